package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

func (s *server) registerTorrents(api *mux.Router) {
	api.HandleFunc("/torrents", s.listTorrents).Methods(http.MethodGet, http.MethodHead)
	api.HandleFunc("/torrents", s.addTorrents).Methods(http.MethodPost)
	api.HandleFunc("/torrents/{infohash}", s.getTorrent).Methods(http.MethodGet, http.MethodHead).MatcherFunc(isNoPreview)
	api.HandleFunc("/torrents/{infohash}", s.changeTorrent).Methods(http.MethodPatch).MatcherFunc(isNoPreview)
	api.HandleFunc("/torrents/{infohash}", s.removeTorrent).Methods(http.MethodDelete).MatcherFunc(isNoPreview)
}

// torrentJSON is a torrent on the wire. Sizes are in bytes, rates in bytes per second.
type torrentJSON struct {
	Infohash string         `json:"infohash"`
	Name     string         `json:"name"`
	Route    string         `json:"route"`
	State    torrents.State `json:"state"`
	Reason   string         `json:"reason"`
	Size     int64          `json:"size"`
	Cached   int64          `json:"cached"`
	Files    int            `json:"files"`
	Peers    int            `json:"peers"`
	Seeds    int            `json:"seeds"`
	DownRate int64          `json:"down_rate"`
	UpRate   int64          `json:"up_rate"`
	Added    time.Time      `json:"added"`
	LastRead *time.Time     `json:"last_read"`
	Paused   bool           `json:"paused"`
	Pinned   bool           `json:"pinned"`
	// ArchivesRefused is as far as it is known since the start.
	ArchivesRefused int `json:"archives_refused"`
}

func (s *server) newTorrentJSON(t torrents.Torrent) torrentJSON {
	j := torrentJSON{
		Infohash: t.Infohash.String(), Name: t.Name, Route: t.Route, State: t.State, Reason: t.Reason,
		Size: t.Size, Cached: t.Cached, Files: t.Files, Peers: t.Peers, Seeds: t.Seeds,
		DownRate: t.DownRate, UpRate: t.UpRate, Added: t.Added, Paused: t.Paused, Pinned: t.Pinned,
		ArchivesRefused: s.inside.Refused(t.Infohash),
	}
	if !t.LastRead.IsZero() {
		j.LastRead = &t.LastRead
	}
	return j
}

func (s *server) listTorrents(w http.ResponseWriter, r *http.Request) {
	query, err := parseListQuery(r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := query.page(s.library.Torrents())
	list := struct {
		Torrents []torrentJSON `json:"torrents"`
		Total    int           `json:"total"`          // that match, on all pages
		Next     string        `json:"next,omitempty"` // cursor of the next page
	}{Torrents: []torrentJSON{}, Total: page.total, Next: page.next}
	for _, t := range page.torrents {
		list.Torrents = append(list.Torrents, s.newTorrentJSON(t))
	}
	writeJSON(w, http.StatusOK, "application/json", list)
}

func (s *server) getTorrent(w http.ResponseWriter, r *http.Request) {
	ih, err := torrents.ParseInfohash(mux.Vars(r)["infohash"])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	t, err := s.library.Torrent(ih)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", s.newTorrentJSON(t))
}

func (s *server) changeTorrent(w http.ResponseWriter, r *http.Request) {
	ih, err := torrents.ParseInfohash(mux.Vars(r)["infohash"])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	change, err := s.readTorrentChange(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	t, err := s.library.ChangeTorrent(ih, change)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", s.newTorrentJSON(t))
}

func (s *server) readTorrentChange(w http.ResponseWriter, r *http.Request) (torrents.TorrentChange, error) {
	var change torrents.TorrentChange
	var body struct {
		Route  json.RawMessage `json:"route"`
		Name   json.RawMessage `json:"name"`
		Paused json.RawMessage `json:"paused"`
		Pinned json.RawMessage `json:"pinned"`
	}
	err := readJSON(w, r, &body)
	if err != nil {
		return change, err
	}
	if change.Route, err = member[string]("route", body.Route, "the name of a route"); err != nil {
		return change, err
	}
	if change.Name, err = member[string]("name", body.Name, "a text"); err != nil {
		return change, err
	}
	if change.Paused, err = member[bool]("paused", body.Paused, "true or false"); err != nil {
		return change, err
	}
	if change.Pinned, err = member[bool]("pinned", body.Pinned, "true or false"); err != nil {
		return change, err
	}
	if change.Route != nil {
		err = s.checkRoute(*change.Route)
	}
	return change, err
}

func (s *server) removeTorrent(w http.ResponseWriter, r *http.Request) {
	ih, err := torrents.ParseInfohash(mux.Vars(r)["infohash"])
	if err == nil {
		err = s.library.Remove(ih)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) addTorrents(w http.ResponseWriter, r *http.Request) {
	var added []torrents.Torrent
	var err error
	switch mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType {
	case "multipart/form-data":
		added, err = s.addUpload(w, r)
	default:
		added, err = s.addLink(w, r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(added) == 1 {
		w.Header().Set("Location", "torrents/"+added[0].Infohash.String())
		writeJSON(w, http.StatusCreated, "application/json", s.newTorrentJSON(added[0]))
		return
	}
	list := struct {
		Torrents []torrentJSON `json:"torrents"`
	}{}
	for _, t := range added {
		list.Torrents = append(list.Torrents, s.newTorrentJSON(t))
	}
	writeJSON(w, http.StatusCreated, "application/json", list)
}

// addLink adds a magnet link, or what is at a URL.
func (s *server) addLink(w http.ResponseWriter, r *http.Request) ([]torrents.Torrent, error) {
	var body struct {
		Route  string `json:"route"`
		Magnet string `json:"magnet"`
		URL    string `json:"url"`
	}
	if err := readJSON(w, r, &body); err != nil {
		return nil, err
	}
	switch {
	case body.Magnet == "" && body.URL == "":
		return nil, badRequest("“magnet” is missing, or “url”.")
	case body.Magnet != "" && body.URL != "":
		return nil, badRequest("There are both “magnet” and “url”; give one of them.")
	}
	if err := s.checkRoute(body.Route); err != nil {
		return nil, err
	}
	var t torrents.Torrent
	var err error
	if body.URL != "" {
		t, err = s.library.AddURL(r.Context(), body.Route, body.URL)
	} else {
		t, err = s.library.AddMagnet(body.Route, body.Magnet)
	}
	return []torrents.Torrent{t}, err
}

// checkRoute says what is wrong with the route of a torrent that is to be added.
func (s *server) checkRoute(name string) error {
	if name == "" {
		return badRequest("“route” is missing.")
	}
	for _, r := range s.library.Routes() {
		if r.Name == name {
			return nil
		}
	}
	return badRequest("There is no route called %.60q.", name)
}

const (
	// maxUpload is the largest upload, in bytes: many ordinary .torrent files, or a few huge ones.
	maxUpload = 64 << 20
	// maxField is the longest value of a form field, in bytes.
	maxField = 4 << 10
)

// upload is a form with .torrent files.
type upload struct {
	route string
	files []uploadedFile
}

type uploadedFile struct {
	name     string // as the client calls it
	metainfo []byte
}

// addUpload adds every torrent of a form, or none: they are all looked at first. The first one that is known
// takes what trackers it lacks.
func (s *server) addUpload(w http.ResponseWriter, r *http.Request) ([]torrents.Torrent, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	form, err := readUpload(r)
	if err != nil {
		return nil, err
	}
	if err := s.checkRoute(form.route); err != nil {
		return nil, err
	}
	links, err := s.checkFiles(form)
	if err != nil {
		return nil, err
	}
	var added []torrents.Torrent
	for _, f := range form.files {
		t, err := s.library.AddMetainfo(form.route, f.metainfo)
		if err != nil {
			err = fmt.Errorf("%.100q: %w", f.name, err)
			for _, before := range added {
				// A link that is a torrent now was there before, and stays.
				if !links[before.Infohash] {
					err = errors.Join(err, s.library.Remove(before.Infohash))
				}
			}
			return nil, err
		}
		added = append(added, t)
	}
	return added, nil
}

// checkFiles says what keeps files from being added. Of some the library may have a magnet link, which is
// no hindrance: it returns which.
func (s *server) checkFiles(form upload) (map[torrents.Infohash]bool, error) {
	links := make(map[torrents.Infohash]bool)
	seen := make(map[torrents.Infohash]string)
	for _, f := range form.files {
		m, err := torrents.ParseMetainfo(f.metainfo)
		if err != nil {
			return nil, fmt.Errorf("%.100q: %w", f.name, err)
		}
		if twin, ok := seen[m.Infohash]; ok {
			return nil, badRequest("%.100q and %.100q are the same torrent.", twin, f.name)
		}
		seen[m.Infohash] = f.name
		known, err := s.library.Torrent(m.Infohash)
		if err != nil {
			continue
		}
		if links[m.Infohash] = !known.Resolved; known.Resolved {
			if _, err := s.library.AddMetainfo(form.route, f.metainfo); err != nil {
				return nil, fmt.Errorf("%.100q: %w", f.name, err)
			}
		}
	}
	return links, nil
}

// readUpload reads the form, each part up to its own limit.
func readUpload(r *http.Request) (upload, error) {
	var form upload
	parts, err := r.MultipartReader()
	if err != nil {
		return form, badRequest("The form cannot be read: %v.", err)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return form, formError(err)
		}
		if err := form.add(part); err != nil {
			return form, err
		}
	}
	if len(form.files) == 0 {
		return form, badRequest("The form has no file in a field called “torrent”.")
	}
	return form, nil
}

func (u *upload) add(part *multipart.Part) error {
	limit := maxField
	if part.FormName() == "torrent" {
		limit = torrents.MaxMetainfo
	}
	b, err := io.ReadAll(io.LimitReader(part, int64(limit)+1))
	switch {
	case err != nil:
		return formError(err)
	case len(b) > limit && part.FormName() == "torrent":
		return badRequest("%.100q is larger than the %d MiB that a torrent file may have.", part.FileName(), limit>>20)
	case len(b) > limit:
		return badRequest("The field %.60q is longer than %d bytes.", part.FormName(), limit)
	}
	switch part.FormName() {
	case "torrent":
		u.files = append(u.files, uploadedFile{part.FileName(), b})
	case "route":
		u.route = string(b)
	default:
		return badRequest("There is no field called %.60q.", part.FormName())
	}
	return nil
}

func formError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	return badRequest("The form cannot be read: %v.", err)
}

// boolParameter reads an optional parameter of the query.
func boolParameter(r *http.Request, name string) (bool, error) {
	value := r.URL.Query().Get(name)
	if value == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, badRequest("The parameter %s is %.40q, and has to be true or false.", name, value)
	}
	return b, nil
}
