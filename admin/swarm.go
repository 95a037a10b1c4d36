package admin

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/logs"
	"shoal/torrents"
)

// registerSwarm is what there is to see of a torrent beside its row, and of all of them together.
func (s *server) registerSwarm(api *mux.Router) {
	get := []string{http.MethodGet, http.MethodHead}
	api.HandleFunc("/torrents/{infohash}/files", s.withInfohash(s.listFiles)).Methods(get...)
	api.HandleFunc("/torrents/{infohash}/pieces", s.withInfohash(s.listPieces)).Methods(get...)
	api.HandleFunc("/torrents/{infohash}/peers", s.withInfohash(s.listPeers)).Methods(get...)
	api.HandleFunc("/torrents/{infohash}/trackers", s.withInfohash(s.listTrackers)).Methods(get...)
	api.HandleFunc("/stats", s.stats).Methods(get...)
	api.HandleFunc("/stats/history", s.statsHistory).Methods(get...)
}

// withInfohash is a handler for the torrent that the path names. What it returns as an error is answered so.
func (s *server) withInfohash(handle func(http.ResponseWriter, *http.Request, torrents.Infohash) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ih, err := torrents.ParseInfohash(mux.Vars(r)["infohash"])
		if err == nil {
			err = handle(w, r, ih)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	}
}

// peerJSON is a peer on the wire. Rates are in bytes per second.
type peerJSON struct {
	Address   string              `json:"address"`
	Client    string              `json:"client"`
	Found     torrents.PeerSource `json:"found"`
	Transport string              `json:"transport"`
	Encrypted bool                `json:"encrypted"`
	Flags     []torrents.PeerFlag `json:"flags"`
	Progress  float64             `json:"progress"`
	DownRate  int64               `json:"down_rate"`
	UpRate    int64               `json:"up_rate"`
	Received  int64               `json:"received"`
	Sent      int64               `json:"sent"`
}

type availabilityJSON struct {
	Min     int     `json:"min"`
	Mean    float64 `json:"mean"`
	Missing int     `json:"missing"`
}

func (s *server) listPeers(w http.ResponseWriter, _ *http.Request, ih torrents.Infohash) error {
	peers, err := s.library.Peers(ih)
	if err != nil {
		return err
	}
	availability, known, err := s.library.Availability(ih)
	if err != nil {
		return err
	}
	list := struct {
		Peers        []peerJSON        `json:"peers"`
		Availability *availabilityJSON `json:"availability"`
	}{Peers: []peerJSON{}}
	for _, p := range peers {
		list.Peers = append(list.Peers, peerJSON{
			Address: p.Addr, Client: p.Client, Found: p.Found, Transport: p.Transport, Encrypted: p.Encrypted,
			Flags: p.Flags, Progress: p.Progress, DownRate: p.DownRate, UpRate: p.UpRate, Received: p.Received, Sent: p.Sent,
		})
	}
	if known {
		list.Availability = &availabilityJSON{availability.Min, availability.Mean, availability.Missing}
	}
	writeJSON(w, http.StatusOK, "application/json", list)
	return nil
}

// trackerJSON is a tracker on the wire.
type trackerJSON struct {
	Kind     torrents.TrackerKind   `json:"kind"`
	URL      string                 `json:"url"`
	Tier     int                    `json:"tier"`
	Status   torrents.TrackerStatus `json:"status"`
	Message  string                 `json:"message"`
	Seeds    int                    `json:"seeds"`
	Leechers int                    `json:"leechers"`
	Peers    int                    `json:"peers"`
	Failures int                    `json:"failures"`
	Last     *time.Time             `json:"last"`
	Next     *time.Time             `json:"next"`
}

func (s *server) listTrackers(w http.ResponseWriter, _ *http.Request, ih torrents.Infohash) error {
	trackers, err := s.library.Trackers(ih)
	if err != nil {
		return err
	}
	list := struct {
		Trackers []trackerJSON `json:"trackers"`
	}{Trackers: []trackerJSON{}}
	for _, t := range trackers {
		list.Trackers = append(list.Trackers, trackerJSON{
			Kind: t.Kind, URL: logs.Redact(t.URL), Tier: t.Tier, Status: t.Status, Message: logs.Redact(t.Message),
			Seeds: t.Seeds, Leechers: t.Leechers, Peers: t.Peers, Failures: t.Failures,
			Last: timeOrNull(t.Last), Next: timeOrNull(t.Next),
		})
	}
	writeJSON(w, http.StatusOK, "application/json", list)
	return nil
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// minPacked is how many pieces are worth packing.
const minPacked = 4096

// listPieces answers with a byte for each piece, so that a torrent of a million pieces is a megabyte. Who asks again and again says what
// he has got, and who can unpack gets it packed, which makes little of it.
func (s *server) listPieces(w http.ResponseWriter, r *http.Request, ih torrents.Infohash) error {
	states, length, err := s.library.PieceStates(ih)
	if err != nil {
		return err
	}
	body := make([]byte, len(states))
	for i, state := range states {
		body[i] = byte(state)
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Piece-Length", strconv.FormatInt(length, 10))
	h.Set("Vary", "Accept-Encoding")
	sum := sha256.Sum256(body)
	tag := `W/"` + hex.EncodeToString(sum[:12]) + `"`
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if len(body) >= minPacked && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		if body, err = gzipped(body, gzip.BestSpeed); err != nil {
			return err
		}
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone
	return nil
}

// statsJSON is the totals on the wire. Rates are in bytes per second.
type statsJSON struct {
	Version    string                 `json:"version"`
	Uptime     int64                  `json:"uptime"` // in seconds
	Torrents   map[torrents.State]int `json:"torrents"`
	InSwarm    int                    `json:"in_swarm"`
	Size       int64                  `json:"size"`
	Cached     int64                  `json:"cached"`
	CacheUsed  int64                  `json:"cache_used"`
	CacheLimit int64                  `json:"cache_limit"`
	OpenFiles  int                    `json:"open_files"`
	Readers    int                    `json:"readers"`
	Peers      int                    `json:"peers"`
	Seeds      int                    `json:"seeds"`
	DownRate   int64                  `json:"down_rate"`
	UpRate     int64                  `json:"up_rate"`
	Received   int64                  `json:"received"`
	Sent       int64                  `json:"sent"`
}

func (s *server) stats(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", s.newStatsJSON(s.library.Stats()))
}

func (s *server) newStatsJSON(t torrents.Stats) statsJSON {
	return statsJSON{
		Version: s.version, Uptime: int64(time.Since(s.started).Seconds()),
		Torrents: t.Torrents, InSwarm: t.Members, Size: t.Size, Cached: t.Cached, CacheUsed: t.CacheUsed, CacheLimit: t.CacheLimit,
		OpenFiles: t.OpenFiles, Readers: len(s.readers()), Peers: t.Peers, Seeds: t.Seeds,
		DownRate: t.DownRate, UpRate: t.UpRate, Received: t.Received, Sent: t.Sent,
	}
}
