package admin

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/logs"
)

func (s *server) registerLogs(api *mux.Router) {
	api.HandleFunc("/logs", s.listLogs).Methods(http.MethodGet, http.MethodHead)
}

// recordJSON is a line of the log on the wire.
type recordJSON struct {
	ID      uint64     `json:"id"`
	Time    time.Time  `json:"time"`
	Level   string     `json:"level"`
	Message string     `json:"message"`
	Attrs   []attrJSON `json:"attrs"`
}

type attrJSON struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func newRecordJSON(r *logs.Record) recordJSON {
	j := recordJSON{
		ID: r.ID, Time: r.Time.UTC(), Level: strings.ToLower(r.Level.String()), Message: r.Message, Attrs: make([]attrJSON, len(r.Attrs)),
	}
	for i, a := range r.Attrs {
		j.Attrs[i] = attrJSON{a.Key, a.Value}
	}
	return j
}

// logLevels are the values of the parameter level.
var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// parseLogQuery reads the parameters level, q and cursor.
func parseLogQuery(v url.Values) (logs.Query, error) {
	query := logs.Query{Level: slog.LevelDebug, Text: v.Get("q")}
	if level := v.Get("level"); level != "" {
		var ok bool
		if query.Level, ok = logLevels[strings.ToLower(level)]; !ok {
			return logs.Query{}, badRequest("There is no level called %.40q; it has to be debug, info, warn or error.", level)
		}
	}
	var before *uint64
	if err := decodeCursor(v.Get("cursor"), &before); err != nil {
		return logs.Query{}, err
	}
	if before != nil {
		query.Before = *before
	}
	return query, nil
}

// listLogs answers with a page of the recent log, or with a file that has all of it.
func (s *server) listLogs(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	query, err := parseLogQuery(v)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	switch format := v.Get("format"); format {
	case "text":
		query.Before = 0 // it has no pages
		s.downloadLogs(w, query)
		return
	case "", "json":
	default:
		s.fail(w, r, badRequest("There is no format called %.40q; it has to be json or text.", format))
		return
	}
	if query.Limit, err = parseLimit(v.Get("limit"), defaultLimit); err != nil {
		s.fail(w, r, err)
		return
	}
	page := s.logs.Records(query)
	list := struct {
		Records []recordJSON `json:"records"`
		Next    string       `json:"next,omitempty"` // cursor of the next page, with older ones
	}{Records: make([]recordJSON, len(page.Records))}
	for i, record := range page.Records {
		list.Records[i] = newRecordJSON(record)
	}
	if page.Next != 0 {
		list.Next = encodeCursor(page.Next)
	}
	writeJSON(w, http.StatusOK, "application/json", list)
}

// downloadLogs answers with a file of what matches, the oldest first.
func (s *server) downloadLogs(w http.ResponseWriter, query logs.Query) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="shoal-`+time.Now().UTC().Format("20060102T150405Z")+`.log"`)
	var line []byte
	for _, record := range slices.Backward(s.logs.Records(query).Records) {
		line, _ = record.AppendText(line[:0]) // never an error
		if _, err := w.Write(line); err != nil {
			return // the client is gone
		}
	}
}
