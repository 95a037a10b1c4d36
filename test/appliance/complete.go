//go:build linux

package appliance

import (
	"net/http"
	"path/filepath"
	"testing"

	"shoal/test/complete"
)

// pieceLength is that of the torrents that are made here: with small pieces, reads cross their borders.
const pieceLength = 64 << 10

// AddComplete adds a torrent of files to a route whose bytes are all in the cache.
func (a *Appliance) AddComplete(tb testing.TB, route, name string, files ...complete.File) Torrent {
	tb.Helper()
	torrent, err := complete.Torrent(filepath.Join(a.Dir, "cache"), name, pieceLength, files...)
	if err != nil {
		tb.Fatal(err)
	}
	added := a.Upload(tb, route, torrent, http.StatusCreated)
	if added.Cached != added.Size {
		tb.Fatalf("of %d bytes %d are in the cache: it is no longer what package complete makes of it", added.Size, added.Cached)
	}
	return added
}

// AddDead adds a torrent of files to a route that nobody has.
func (a *Appliance) AddDead(tb testing.TB, route, name string, files ...complete.File) Torrent {
	tb.Helper()
	torrent, err := complete.Torrent("", name, pieceLength, files...)
	if err != nil {
		tb.Fatal(err)
	}
	return a.Upload(tb, route, torrent, http.StatusCreated)
}
