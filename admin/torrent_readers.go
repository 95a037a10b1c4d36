package admin

import (
	"strings"
	"sync"

	"shoal/torrents"
)

// readerRow is somebody who reads a torrent.
type readerRow struct {
	Reader
	File string // from the torrent's top down; its name if it is a single file

	// At is the place in the torrent's bytes of what he reads next, if Located: what is in an archive has no place of its own.
	At      int64
	Located bool
}

// readerRows returns who reads a torrent.
func (s *server) readerRows(t *torrents.Torrent) []readerRow {
	var rows []readerRow
	top := "/" + t.Route + "/" + t.Name
	for _, r := range s.seenReaders() {
		if r.Infohash != t.Infohash {
			continue
		}
		if len(rows) == maxReadersShown {
			break
		}
		row := readerRow{Reader: r, File: strings.TrimPrefix(r.Path, "/")}
		if path, ok := strings.CutPrefix(r.Path, top); ok && (path == "" || path[0] == '/') {
			path = strings.TrimPrefix(path, "/")
			if row.File = path; path == "" {
				row.File = t.Name
			}
			if place := s.filePlaces.find(s.library, t.Infohash, path); place.known {
				row.Located, row.At = true, place.offset+min(max(r.Offset, 0), max(place.size-1, 0))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// filePlaces remembers where in their torrents files are that are being read: it never changes, and looking for one among 40,000 takes
// too long for doing it several times a second.
type filePlaces struct {
	mu    sync.Mutex
	known map[filePath]filePlace
}

type filePath struct {
	infohash torrents.Infohash
	path     string // from the torrent's top down
}

type filePlace struct {
	offset, size int64
	known        bool // it is a file of the torrent
}

// maxFilePlaces is how many are remembered.
const maxFilePlaces = 1024

func (f *filePlaces) find(library *torrents.Library, ih torrents.Infohash, path string) filePlace {
	key := filePath{ih, path}
	f.mu.Lock()
	place, ok := f.known[key]
	f.mu.Unlock()
	if ok {
		return place
	}
	if file, err := library.FileAt(ih, path); err == nil {
		place = filePlace{file.Offset, file.Size, true}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= maxFilePlaces {
		f.known = make(map[filePath]filePlace)
	}
	f.known[key] = place
	return place
}
