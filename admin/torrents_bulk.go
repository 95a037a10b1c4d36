package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"shoal/torrents"
)

const (
	// maxBulk is how many torrents something is done to at once.
	maxBulk = maxLimit

	// maxBulkErrors is how many of what went wrong the note afterwards tells.
	maxBulkErrors = 3
)

// bulkDeletePage asks before several torrents are deleted.
var bulkDeletePage = page{name: "torrents_delete", nav: "torrents"}

type bulkDeleteView struct {
	Torrents []bulkDeleteRow
	Cached   int64 // bytes that are freed
	Back     string
}

type bulkDeleteRow struct {
	Infohash     torrents.Infohash
	Label, Route string
}

// bulk does to several torrents what the list's form says.
func (s *server) bulk(w http.ResponseWriter, r *http.Request) {
	if err := readForm(w, r); err != nil {
		s.failPage(w, r, err)
		return
	}
	back := s.local(cmp.Or(r.PostForm.Get("back"), s.url(torrentsPath)))
	chosen, err := chosenTorrents(r.PostForm)
	if err != nil {
		s.failPage(w, r, err)
		return
	}
	do := r.PostForm.Get("do")
	action, err := s.bulkAction(do, r.PostForm.Get("route"))
	switch {
	case err != nil:
		s.failPage(w, r, err)
	case len(chosen) == 0:
		s.redirect(w, r, back, note{Text: s.locale(r).T("torrents.none_chosen"), Error: true})
	case do == "delete" && r.PostForm.Get("sure") == "":
		s.askBulkDelete(w, r, chosen, back)
	default:
		s.redirect(w, r, back, s.bulkNote(r, do, chosen, action))
	}
}

// chosenTorrents returns the torrents that a form means: those with a tick, or all that were shown.
func chosenTorrents(form url.Values) ([]torrents.Infohash, error) {
	names := slices.Clone(form["t"])
	if form.Get("all") != "" {
		names = append(names, strings.FieldsFunc(form.Get("shown"), func(c rune) bool { return c == ',' })...)
	}
	seen := make(map[torrents.Infohash]bool)
	var list []torrents.Infohash
	for _, name := range names {
		ih, err := torrents.ParseInfohash(name)
		if err != nil {
			return nil, err
		}
		if !seen[ih] {
			seen[ih] = true
			list = append(list, ih)
		}
	}
	if len(list) > maxBulk {
		return nil, badRequest("These are %d torrents, and %d is the most that can be changed at once.", len(list), maxBulk)
	}
	return list, nil
}

// bulkAction is what is done to each torrent.
func (s *server) bulkAction(do, route string) (func(torrents.Infohash) error, error) {
	change := func(c torrents.TorrentChange) (func(torrents.Infohash) error, error) {
		return func(ih torrents.Infohash) error {
			_, err := s.library.ChangeTorrent(ih, c)
			return err
		}, nil
	}
	switch do {
	case "pause", "resume":
		paused := do == "pause"
		return change(torrents.TorrentChange{Paused: &paused})
	case "pin", "unpin":
		pinned := do == "pin"
		return change(torrents.TorrentChange{Pinned: &pinned})
	case "move":
		if route == "" {
			return nil, badRequest("Choose the route that the torrents go to.")
		}
		if err := s.checkRoute(route); err != nil {
			return nil, err
		}
		return change(torrents.TorrentChange{Route: &route})
	case "prefetch":
		return func(ih torrents.Infohash) error { return s.library.Prefetch(ih, "") }, nil
	case "evict":
		return func(ih torrents.Infohash) error {
			_, err := s.library.Evict(ih, "")
			return err
		}, nil
	case "delete":
		return s.library.Remove, nil
	}
	return nil, badRequest("Torrents cannot be changed by %.40q.", do)
}

// bulkNote does it, to as many as it can be done to, and says how many that were and what was wrong with the others.
func (s *server) bulkNote(r *http.Request, do string, chosen []torrents.Infohash, action func(torrents.Infohash) error) note {
	l := s.locale(r)
	var wrong []string
	for _, ih := range chosen {
		name := ih.String()
		if t, err := s.library.Torrent(ih); err == nil {
			name = torrentLabel(&t)
		}
		if err := action(ih); err != nil {
			wrong = append(wrong, l.T("torrents.bulk_error", name, s.problemOf(r, err).Detail))
		}
	}
	said := []string{l.N("torrents.did_"+do, len(chosen)-len(wrong))}
	if len(wrong) > 0 {
		said = append(said, l.N("torrents.bulk_failed", len(wrong)))
	}
	said = append(said, wrong[:min(len(wrong), maxBulkErrors)]...)
	if more := len(wrong) - maxBulkErrors; more > 0 {
		said = append(said, l.N("torrents.bulk_more", more))
	}
	return note{Text: strings.Join(said, " "), Error: len(wrong) > 0}
}

// askBulkDelete answers with a page that names what would be lost, and asks.
func (s *server) askBulkDelete(w http.ResponseWriter, r *http.Request, chosen []torrents.Infohash, back string) {
	v := bulkDeleteView{Back: back}
	for _, ih := range chosen {
		t, err := s.library.Torrent(ih)
		if err != nil { // somebody else was quicker
			continue
		}
		v.Torrents = append(v.Torrents, bulkDeleteRow{ih, torrentLabel(&t), t.Route})
		v.Cached += t.Cached
	}
	if len(v.Torrents) == 0 {
		s.redirect(w, r, back, note{Text: s.locale(r).T("torrents.none_chosen"), Error: true})
		return
	}
	s.render(w, r, http.StatusOK, &bulkDeletePage, v)
}
