package admin

import (
	"cmp"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"shoal/torrents"
	"shoal/tree"
)

// maxTreeRows is how many entries of a folder a page has.
const maxTreeRows = 200

// treeFolder is a page of a folder of the tree.
type treeFolder struct {
	Rows        []treeRow
	From, Total int    // the place of the first row from 1 on, and how many there are on all pages
	First, Next string // addresses of other pages, empty where there is none
	Top, Route  bool   // it is the root, or a route
}

// To is the place of the last row.
func (v *treeFolder) To() int { return v.From + len(v.Rows) - 1 }

// treeRow is an entry of a folder.
type treeRow struct {
	Name, Address string
	Kind          string // route, torrent, folder, link, or as mediaKind
	Infohash      string // of a torrent
	Sized         bool   // the size is known
	Size, Cached  int64  // in bytes
	ModTime       time.Time
	Open          string // addresses, empty where that is not possible
	Play          string
	Download      string
}

func (s *server) newTreeFolder(r *http.Request, node tree.Node, names []string) (*treeFolder, error) {
	var after *fileCursor
	if err := decodeCursor(r.URL.Query().Get("cursor"), &after); err != nil {
		return nil, err
	}
	dir, err := node.Dir()
	if err != nil {
		return nil, err
	}
	entries := foldersFirst(dir.Entries())
	v := &treeFolder{From: 1, Total: len(entries), Top: len(names) == 0}
	_, inTorrent := node.Infohash()
	v.Route = !v.Top && !inTorrent
	here := s.filesAddress(names)
	if after != nil {
		first := placeAfter(entries, *after)
		v.From, entries = first+1, entries[first:]
		v.First = here
	}
	if len(entries) > maxTreeRows {
		entries = entries[:maxTreeRows]
		last := entries[maxTreeRows-1]
		v.Next = here + "?cursor=" + encodeCursor(fileCursor{last.Node.IsDir(), last.Name})
	}
	for _, e := range entries {
		v.Rows = append(v.Rows, s.newTreeRow(e, append(slices.Clip(names), e.Name), v))
	}
	return v, nil
}

// foldersFirst orders what is sorted by name, and stays as it is.
func foldersFirst(entries []tree.Entry) []tree.Entry {
	ordered := make([]tree.Entry, 0, len(entries))
	var files []tree.Entry
	for _, e := range entries {
		if e.Node.IsDir() {
			ordered = append(ordered, e)
		} else {
			files = append(files, e)
		}
	}
	return append(ordered, files...)
}

// placeAfter is where a page begins in what foldersFirst has ordered.
func placeAfter(entries []tree.Entry, last fileCursor) int {
	files := slices.IndexFunc(entries, func(e tree.Entry) bool { return !e.Node.IsDir() })
	if files < 0 {
		files = len(entries)
	}
	begin, end := files, len(entries)
	if last.Folder {
		begin, end = 0, files
	}
	place, found := slices.BinarySearchFunc(entries[begin:end], last.Name, func(e tree.Entry, name string) int {
		return cmp.Compare(e.Name, name)
	})
	if found {
		place++
	}
	return begin + place
}

func (s *server) newTreeRow(e tree.Entry, names []string, folder *treeFolder) treeRow {
	attr := e.Node.Attr()
	row := treeRow{Name: e.Name, Address: s.filesAddress(names), Kind: mediaKind(e.Name), ModTime: attr.ModTime}
	switch {
	case folder.Top:
		row.Kind = "route"
		return row
	case attr.Mode&fs.ModeSymlink != 0:
		row.Kind = "link"
		return row
	case attr.Mode.IsDir():
		row.Kind = "folder"
	default:
		row.Sized, row.Size, row.Cached = true, attr.Size, min(attr.Used, attr.Size)
		address := s.pathFS(names)
		row.Download = address + "?download=1"
		switch row.Kind {
		case "video", "audio":
			row.Play = row.Address + "?play=1"
		case "image", "text":
			row.Open = address
		}
	}
	if ih, ok := e.Node.Infohash(); ok && folder.Route {
		row.Infohash = torrents.Infohash(ih).String()
		// That of a torrent which was removed meanwhile, or is an archive's folder beside its file, stays unknown.
		if t, err := s.library.Torrent(torrents.Infohash(ih)); err == nil && row.Kind == "folder" && !strings.Contains(e.Name, "\x00") {
			row.Sized, row.Size, row.Cached = true, t.Size, t.Cached
		}
	}
	return row
}
