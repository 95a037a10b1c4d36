package admin

import (
	"net/http"
	"strconv"

	"shoal/torrents"
)

// ofTorrent is a form of the torrent that the path names.
func (s *server) ofTorrent(handle func(*http.Request, torrents.Torrent) (string, note, error)) func(*http.Request) (string, note, error) {
	return func(r *http.Request) (string, note, error) {
		ih, err := infohashOf(r)
		if err != nil {
			return "", note{}, err
		}
		t, err := s.library.Torrent(ih)
		if err != nil {
			return "", note{}, err
		}
		return handle(r, t)
	}
}

// changeTorrentForm changes what the form has: paused, pinned, name or route.
func (s *server) changeTorrentForm(r *http.Request, t torrents.Torrent) (string, note, error) {
	var change torrents.TorrentChange
	var err error
	if change.Paused, err = boolField(r, "paused"); err != nil {
		return "", note{}, err
	}
	if change.Pinned, err = boolField(r, "pinned"); err != nil {
		return "", note{}, err
	}
	if r.PostForm.Has("name") {
		change.Name = new(r.PostForm.Get("name"))
	}
	if r.PostForm.Has("route") {
		change.Route = new(r.PostForm.Get("route"))
		if err := s.checkRoute(*change.Route); err != nil {
			return "", note{}, err
		}
	}
	if change == (torrents.TorrentChange{}) {
		return "", note{}, badRequest("The form says nothing that could be changed.")
	}
	if t, err = s.library.ChangeTorrent(t.Infohash, change); err != nil {
		return "", note{}, err
	}
	l, said := s.locale(r), ""
	switch {
	case change.Paused != nil && *change.Paused:
		said = l.T("torrent.did_pause")
	case change.Paused != nil:
		said = l.T("torrent.did_resume")
	case change.Pinned != nil && *change.Pinned:
		said = l.T("torrent.did_pin")
	case change.Pinned != nil:
		said = l.T("torrent.did_unpin")
	case change.Route != nil:
		said = l.T("torrent.did_move", t.Route)
	default:
		said = l.T("torrent.did_rename", t.Name)
	}
	return s.url("/torrents", t.Infohash), note{Text: said}, nil
}

func boolField(r *http.Request, name string) (*bool, error) {
	if !r.PostForm.Has(name) {
		return nil, nil
	}
	b, err := strconv.ParseBool(r.PostForm.Get(name))
	if err != nil {
		return nil, badRequest("“%s” is %.40q, and has to be true or false.", name, r.PostForm.Get(name))
	}
	return &b, nil
}

// backToFolder is the page of a torrent, at the folder that a form was in.
func (s *server) backToFolder(r *http.Request, t torrents.Torrent) string {
	self := s.url("/torrents", t.Infohash)
	if !r.PostForm.Has("folder") {
		return self
	}
	return folderAddress(self, r.PostForm.Get("folder"), r.PostForm.Get("cursor")) + "#files"
}

func (s *server) prefetchForm(r *http.Request, t torrents.Torrent) (string, note, error) {
	path := r.PostForm.Get("path")
	if err := s.library.Prefetch(t.Infohash, path); err != nil {
		return "", note{}, err
	}
	return s.backToFolder(r, t), note{Text: s.locale(r).T("torrent.did_prefetch", shownPath(t, path))}, nil
}

func (s *server) evictForm(r *http.Request, t torrents.Torrent) (string, note, error) {
	path := r.PostForm.Get("path")
	freed, err := s.library.Evict(t.Infohash, path)
	if err != nil {
		return "", note{}, err
	}
	l := s.locale(r)
	return s.backToFolder(r, t), note{Text: l.T("torrent.did_evict", shownPath(t, path), l.Size(freed))}, nil
}

// shownPath is what to call a file or folder of a torrent; the torrent itself if path is empty.
func shownPath(t torrents.Torrent, path string) string {
	if path == "" {
		return t.Name
	}
	return path
}

// lookForm looks into an archive, and does not wait for long.
func (s *server) lookForm(r *http.Request, t torrents.Torrent) (string, note, error) {
	place := r.PostForm.Get("archive")
	if !archivePlace.MatchString(place) {
		return "", note{}, badRequest("%.60q is not an archive of the torrent.", place)
	}
	a, err := s.inside.Look(r.Context(), t.Infohash, place)
	if err != nil {
		return "", note{}, err
	}
	l := s.locale(r)
	said := note{Text: l.T("torrent.did_look", shownPath(t, a.Path), l.T("torrent.archive_"+string(a.State))), Error: a.State == ArchiveRefused}
	return s.url("/torrents", t.Infohash) + "#archives", said, nil
}

// torrentDeleteView asks whether a torrent is to be deleted.
type torrentDeleteView struct {
	torrents.Torrent
	Title   string
	Self    string // the address of the torrent's page
	Readers int
}

func (v torrentDeleteView) title() string { return v.Title }

func (s *server) viewTorrentDelete(r *http.Request) (any, error) {
	ih, err := infohashOf(r)
	if err != nil {
		return nil, err
	}
	t, err := s.library.Torrent(ih)
	if err != nil {
		return nil, err
	}
	v := torrentDeleteView{Torrent: t, Title: s.locale(r).T("torrent_delete.heading", t.Name), Self: s.url("/torrents", ih)}
	for _, reader := range s.seenReaders() {
		if reader.Infohash == ih {
			v.Readers++
		}
	}
	return v, nil
}

func (s *server) deleteTorrentForm(r *http.Request, t torrents.Torrent) (string, note, error) {
	if err := s.library.Remove(t.Infohash); err != nil {
		return "", note{}, err
	}
	return s.url("/torrents"), note{Text: s.locale(r).T("torrent_delete.did", t.Name)}, nil
}
