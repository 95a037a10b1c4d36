package admin

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/logs"
)

var logsPage = page{name: "logs", parts: []string{"records"}}

const (
	// maxRecordsShown is how many lines of the log a page has: all of them are sent again when there is another one.
	maxRecordsShown = 100
	// maxFilterText is how long a text to look for may be, in bytes.
	maxFilterText = 1000
)

// logsView is the recent log as far as it matches.
type logsView struct {
	Levels   []levelChoice
	Text     string
	Records  []recordRow
	Filtered bool
	Older    string // addresses, empty where there is none
	Newest   string
	Download string
}

type levelChoice struct {
	Name   string
	Chosen bool
}

// recordRow is a line of the log.
type recordRow struct {
	ID      uint64
	Time    time.Time
	Level   string // one of logLevels
	Message string
	Attrs   []logs.Attr
}

func (s *server) registerLogsPage(r *mux.Router) {
	s.handlePage(r, "/logs", logsPage, s.viewLogs)
}

func (s *server) viewLogs(r *http.Request) (any, error) {
	parameters := r.URL.Query()
	if text := parameters.Get("q"); len(text) > maxFilterText {
		return nil, badRequest("The text to look for has %d bytes, and may have %d.", len(text), maxFilterText)
	}
	q, err := parseLogQuery(parameters)
	if err != nil {
		return nil, err
	}
	level := strings.ToLower(parameters.Get("level"))
	v := logsView{Text: q.Text, Filtered: q.Text != "" || q.Level > slog.LevelDebug}
	for _, name := range []string{"debug", "info", "warn", "error"} {
		v.Levels = append(v.Levels, levelChoice{name, name == level || level == "" && name == "debug"})
	}
	here := s.url("/logs")
	if v.Download, err = query(s.url("/api/v1/logs"), "format", "text", "level", level, "q", q.Text); err != nil {
		return nil, err
	}
	if q.Before != 0 {
		if v.Newest, err = query(here, "level", level, "q", q.Text); err != nil {
			return nil, err
		}
	}
	q.Limit = maxRecordsShown
	found := s.logs.Records(q)
	for _, record := range found.Records {
		v.Records = append(v.Records, recordRow{record.ID, record.Time, levelName(record.Level), record.Message, record.Attrs})
	}
	if found.Next != 0 {
		if v.Older, err = query(here, "level", level, "q", q.Text, "cursor", encodeCursor(found.Next)); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// levelName is the highest of logLevels that a level reaches.
func levelName(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "error"
	case level >= slog.LevelWarn:
		return "warn"
	case level >= slog.LevelInfo:
		return "info"
	default:
		return "debug"
	}
}
