package admin

import (
	"encoding/json"
	"net/http"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

func (s *server) registerLimits(api *mux.Router) {
	api.HandleFunc("/limits", s.getLimits).Methods(http.MethodGet, http.MethodHead)
	api.HandleFunc("/limits", s.changeLimits).Methods(http.MethodPatch)
}

// limitsJSON are the limits on the wire.
type limitsJSON struct {
	CacheLimit limitJSON `json:"cache_limit"`
	DownLimit  limitJSON `json:"down_limit"`
	UpLimit    limitJSON `json:"up_limit"`
}

type limitJSON struct {
	Value int64  `json:"value"` // bytes, or bytes per second
	From  string `json:"from"`
}

func newLimitsJSON(l torrents.Limits) limitsJSON {
	return limitsJSON{newLimitJSON(l.Cache), newLimitJSON(l.Down), newLimitJSON(l.Up)}
}

func newLimitJSON(l torrents.Limit) limitJSON {
	if l.Own {
		return limitJSON{l.Value, "api"}
	}
	return limitJSON{l.Value, "environment"}
}

func (s *server) getLimits(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", newLimitsJSON(s.library.Limits()))
}

func (s *server) changeLimits(w http.ResponseWriter, r *http.Request) {
	change, err := readLimitsChange(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	limits, err := s.library.ChangeLimits(change)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", newLimitsJSON(limits))
}

func readLimitsChange(w http.ResponseWriter, r *http.Request) (torrents.LimitsChange, error) {
	var change torrents.LimitsChange
	var body struct {
		CacheLimit json.RawMessage `json:"cache_limit"`
		DownLimit  json.RawMessage `json:"down_limit"`
		UpLimit    json.RawMessage `json:"up_limit"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return change, err
	}
	for _, m := range []struct {
		name string
		raw  json.RawMessage
		to   *torrents.LimitChange
	}{
		{"cache_limit", body.CacheLimit, &change.Cache},
		{"down_limit", body.DownLimit, &change.Down},
		{"up_limit", body.UpLimit, &change.Up},
	} {
		m.to.Set = m.raw != nil
		if !m.to.Set || isNull(m.raw) {
			continue
		}
		var err error
		if m.to.Value, err = sizeMember(m.name, m.raw); err != nil {
			return change, err
		}
	}
	return change, nil
}
