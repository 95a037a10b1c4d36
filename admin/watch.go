package admin

import (
	"net/http"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

func (s *server) registerWatch(api *mux.Router) {
	api.HandleFunc("/watch", s.getWatch).Methods(http.MethodGet, http.MethodHead)
}

// watchJSON is the watch folder on the wire.
type watchJSON struct {
	Dir    string              `json:"dir"`
	State  torrents.WatchState `json:"state"`
	Reason string              `json:"reason"`
	Files  []watchFileJSON     `json:"files"`
}

type watchFileJSON struct {
	Path     string                  `json:"path"`
	State    torrents.WatchFileState `json:"state"`
	Infohash string                  `json:"infohash,omitempty"`
	Error    string                  `json:"error,omitempty"`
}

func (s *server) getWatch(w http.ResponseWriter, _ *http.Request) {
	watch := s.library.Watch()
	j := watchJSON{Dir: watch.Dir, State: watch.State, Reason: watch.Reason, Files: make([]watchFileJSON, len(watch.Files))}
	for i, f := range watch.Files {
		j.Files[i] = watchFileJSON{Path: f.Path, State: f.State, Error: f.Error}
		if f.Infohash != (torrents.Infohash{}) {
			j.Files[i].Infohash = f.Infohash.String()
		}
	}
	writeJSON(w, http.StatusOK, "application/json", j)
}
