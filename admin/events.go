package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"shoal/admin/logs"
	"shoal/torrents"
)

const (
	maxEventIDs = 200 // torrents that a stream shows
	eventLogs   = 100 // lines of the log that a stream begins with, and sends at once
)

// topic is what a stream of the API tells of. It returns what is to be sent, if the client has what it returned before.
type topic func() (fragment, error)

// topics are what the parameter topics may name.
var topics = map[string]func(*server, eventQuery) (topic, error){
	"stats":    func(s *server, _ eventQuery) (topic, error) { return s.statsTopic, nil },
	"readers":  func(s *server, _ eventQuery) (topic, error) { return s.readersTopic, nil },
	"clients":  func(s *server, _ eventQuery) (topic, error) { return s.clientsTopic, nil },
	"torrents": (*server).torrentsTopic,
	"pieces":   (*server).piecesTopic,
	"logs":     (*server).logsTopic,
}

// eventQuery is what a client wants to be told of.
type eventQuery struct {
	topics []string
	ids    []torrents.Infohash
	level  slog.Level
}

func parseEventQuery(v url.Values) (eventQuery, error) {
	q := eventQuery{topics: strings.Split(cmp.Or(v.Get("topics"), "stats"), ","), level: slog.LevelDebug}
	slices.Sort(q.topics)
	q.topics = slices.Compact(q.topics)
	for _, name := range q.topics {
		if topics[name] == nil {
			all := slices.Sorted(maps.Keys(topics))
			return q, badRequest("There is no topic called %.40q, but %s.", name, strings.Join(all, ", "))
		}
	}
	if ids := v.Get("ids"); ids != "" {
		if strings.Count(ids, ",") >= maxEventIDs {
			return q, badRequest("“ids” may have %d infohashes at the most.", maxEventIDs)
		}
		for id := range strings.SplitSeq(ids, ",") {
			ih, err := torrents.ParseInfohash(id)
			if err != nil {
				return q, err
			}
			if !slices.Contains(q.ids, ih) {
				q.ids = append(q.ids, ih)
			}
		}
	}
	if level := v.Get("level"); level != "" {
		var ok bool
		if q.level, ok = logLevels[strings.ToLower(level)]; !ok {
			return q, badRequest("There is no level called %.40q; it has to be debug, info, warn or error.", level)
		}
	}
	return q, nil
}

func (s *server) registerEvents(api *mux.Router) {
	api.HandleFunc("/events", s.events).Methods(http.MethodGet, http.MethodHead)
}

// events is the stream of the API.
func (s *server) events(w http.ResponseWriter, r *http.Request) {
	query, err := parseEventQuery(r.URL.Query())
	var list []topic
	for _, name := range query.topics {
		var t topic
		if err == nil {
			t, err = topics[name](s, query)
		}
		list = append(list, t)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.stream(w, r, func() ([]fragment, error) {
		parts := make([]fragment, 0, len(list))
		for _, t := range list {
			f, err := t()
			if err != nil {
				return nil, err
			}
			parts = append(parts, f)
		}
		return parts, nil
	})
}

// encodeEvent is v as JSON in one line.
func encodeEvent(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// seenEvent is an event that is the same for all streams, made once in a tick. key is what counts as a change; nil if that is v.
func (s *server) seenEvent(name string, event func() (v, key any)) (fragment, error) {
	return inTick(&s.ticks, "event "+name, func() (fragment, error) {
		v, key := event()
		data, err := encodeEvent(v)
		f := fragment{Name: name, Data: data}
		if key == nil {
			f.sum = sumOf(data)
			return f, err
		}
		data, err = encodeEvent(key)
		f.sum = sumOf(data)
		return f, err
	})
}

// statsTopic tells of GET /stats, but not of the time alone.
func (s *server) statsTopic() (fragment, error) {
	return s.seenEvent("stats", func() (v, key any) {
		stats := s.newStatsJSON(s.seenStats())
		timeless := stats
		timeless.Uptime = 0
		return stats, timeless
	})
}

func (s *server) readersTopic() (fragment, error) {
	return s.seenEvent("readers", func() (v, key any) { return newReaderList(s.seenReaders()), nil })
}

func (s *server) clientsTopic() (fragment, error) {
	return s.seenEvent("clients", func() (v, key any) { return newClientList(s.seenClients(), s.refused(), s.seenNAT()), nil })
}

// logsEvent is lines of the log, the oldest first: at first the last ones, and then those that have come.
type logsEvent struct {
	Records []recordJSON `json:"records"`
	Missed  bool         `json:"missed"` // there were more before them than a stream sends at once
}

func (s *server) logsTopic(q eventQuery) (topic, error) {
	var seen uint64
	var sum string
	return func() (fragment, error) {
		newest := s.logs.Newest()
		if newest == seen && sum != "" {
			return fragment{Name: "logs", sum: sum}, nil
		}
		page := s.logs.Records(logs.Query{Level: q.level, After: seen, Limit: eventLogs})
		event := logsEvent{Records: make([]recordJSON, 0, len(page.Records)), Missed: sum != "" && page.Next != 0}
		for _, record := range slices.Backward(page.Records) {
			event.Records = append(event.Records, newRecordJSON(record))
			newest = max(newest, record.ID)
		}
		seen = newest
		if len(event.Records) > 0 || sum == "" {
			// The last line, not its number alone, which begins again with each start.
			key, err := encodeEvent(event.Records[max(0, len(event.Records)-1):])
			if err != nil {
				return fragment{}, err
			}
			sum = sumOf(key)
		}
		data, err := encodeEvent(event)
		return fragment{Name: "logs", Data: data, sum: sum}, err
	}, nil
}
