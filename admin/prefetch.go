package admin

import (
	"net/http"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

// registerPrefetch is what changes how much of a torrent is in the cache.
func (s *server) registerPrefetch(api *mux.Router) {
	api.HandleFunc("/torrents/{infohash}/prefetch", s.withInfohash(s.prefetch)).Methods(http.MethodPost)
	api.HandleFunc("/torrents/{infohash}/evict", s.withInfohash(s.evict)).Methods(http.MethodPost)
}

// prefetch begins to fetch a file or folder, and does not wait for that.
func (s *server) prefetch(w http.ResponseWriter, r *http.Request, ih torrents.Infohash) error {
	path, err := readPath(w, r)
	if err != nil {
		return err
	}
	if err := s.library.Prefetch(ih, path); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// evict drops a file or folder from the cache.
func (s *server) evict(w http.ResponseWriter, r *http.Request, ih torrents.Infohash) error {
	path, err := readPath(w, r)
	if err != nil {
		return err
	}
	freed, err := s.library.Evict(ih, path)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Freed int64 `json:"freed"` // bytes
	}{freed})
	return nil
}

// readPath reads the body {"path": …}. Without a body it is the whole torrent.
func readPath(w http.ResponseWriter, r *http.Request) (string, error) {
	var body struct {
		Path string `json:"path"`
	}
	if r.ContentLength == 0 {
		return "", nil
	}
	err := readJSON(w, r, &body)
	return body.Path, err
}
