package admin

import (
	"net/http"
	"slices"
	"strings"

	"shoal/admin/locale"
	"shoal/torrents"
)

// folderRows is how many files and folders a page of a torrent shows.
const folderRows = 200

// folderView is one folder of a torrent.
type folderView struct {
	Above  []crumb // the folders above it, from the torrent's top down, and itself
	Path   string
	Cursor string // of this page; empty for the first
	Rows   []fileRow
	Total  int    // on all pages
	First  string // the address of the first page; empty on it
	Next   string // of the next page; empty on the last one
}

type crumb struct{ Name, Address string }

type fileRow struct {
	torrents.Item
	Address string // of a folder's page, or of a file below /fs/
}

// folder lists the folder that a request names.
func (s *server) folder(r *http.Request, t *torrents.Torrent) (*folderView, error) {
	v := r.URL.Query()
	path := strings.Trim(v.Get("path"), "/")
	var after *fileCursor
	if err := decodeCursor(v.Get("cursor"), &after); err != nil {
		return nil, err
	}
	items, err := s.library.Files(t.Infohash, path)
	if err != nil {
		return nil, err
	}
	self := s.url("/torrents", t.Infohash)
	f := &folderView{Path: path, Cursor: v.Get("cursor"), Total: len(items), Above: []crumb{{t.Name, self}}}
	var names []string
	if path != "" {
		names = strings.Split(path, "/")
	}
	for i, name := range names {
		f.Above = append(f.Above, crumb{name, folderAddress(self, strings.Join(names[:i+1], "/"), "")})
	}
	if after != nil {
		items = behind(items, *after)
		f.First = folderAddress(self, path, "")
	}
	if len(items) > folderRows {
		items = items[:folderRows]
		last := items[folderRows-1]
		f.Next = folderAddress(self, path, encodeCursor(fileCursor{last.IsFolder, last.Name}))
	}
	for _, item := range items {
		row := fileRow{Item: item, Address: folderAddress(self, item.Path, "")}
		if !item.IsFolder {
			row.Address = s.fileAddress(t, item.Path)
		}
		f.Rows = append(f.Rows, row)
	}
	return f, nil
}

func folderAddress(self, path, cursor string) string {
	address, _ := query(self, "path", path, "cursor", cursor) // pairs
	return address
}

// fileAddress is where a file is in the tree.
func (s *server) fileAddress(t *torrents.Torrent, path string) string {
	names := []string{t.Route, t.Name}
	if path != "" { // else the torrent is a single file
		names = append(names, strings.Split(path, "/")...)
	}
	return s.pathFS(names)
}

// behind returns the items behind a place, be there such an item or not.
func behind(items []torrents.Item, place fileCursor) []torrents.Item {
	last := torrents.Item{Name: place.Name, IsFolder: place.Folder}
	first, found := slices.BinarySearchFunc(items, last, torrents.Item.Compare)
	if found {
		first++
	}
	return items[first:]
}

// archiveSection is a part of the archives of a torrent.
type archiveSection struct {
	Rows  []archiveRow
	Total int
	Next  string // the address of the page with those that follow; may be empty
	First string // of the first; empty on it
}

type archiveRow struct {
	Archive
	StateName string
	CanLook   bool
}

// archiveRows is how many archives a page of a torrent shows.
const archiveRows = 100

// archivesOf lists archives of a torrent; nil if it has none.
func (s *server) archivesOf(r *http.Request, l *locale.Locale, t *torrents.Torrent) (*archiveSection, error) {
	q := ArchiveQuery{Limit: archiveRows, After: r.URL.Query().Get("archives")}
	if q.After != "" && !archivePlace.MatchString(q.After) {
		return nil, badRequest("%.60q is not an archive of the torrent.", q.After)
	}
	p, err := s.inside.List(t.Infohash, q)
	if err != nil || p.Total == 0 {
		return nil, err
	}
	list := &archiveSection{Total: p.Total}
	self := s.url("/torrents", t.Infohash)
	if q.After != "" {
		list.First = self + "#archives"
	}
	if n := len(p.Archives); p.More && n > 0 {
		address, _ := query(self, "archives", p.Archives[n-1].Place) // a pair
		list.Next = address + "#archives"
	}
	for _, a := range p.Archives {
		if a.Path == "" {
			a.Path = t.Name
		}
		list.Rows = append(list.Rows, archiveRow{a, l.T("torrent.archive_" + string(a.State)), a.State != ArchiveReading && a.State != ArchiveFolder})
	}
	return list, nil
}
