package nfsfs

import (
	"testing"
	"time"

	"shoal/nfsfs/nfs3"
	"shoal/tree"
)

// TestReadBytesOfRoutes renames a route, moves the torrent that is read, and removes the route that it was in.
func TestReadBytesOfRoutes(t *testing.T) {
	tr := testTree(t, newStuck())
	s := start(t, options(t, tr))
	w := dial(t, s)
	ready := handleOf(t, tr, "films", "a torrent", "ready.txt")
	const metric = "shoal_nfs_read_bytes_total"
	read := func(n uint32) { w.call(nfs3.Program, 3, procRead, encodeRead(ready, 0, n)) }
	put := func(r tree.Route) {
		t.Helper()
		if err := tr.PutRoute(r, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	put(tree.Route{ID: 900, Name: "empty"})
	read(5)
	wantMetrics(t, s, []string{metric + `{export="films"} 5`}, metric)
	put(tree.Route{ID: 2, Name: "movies"})
	read(1)
	wantMetrics(t, s, []string{metric + `{export="movies"} 6`}, metric)
	node, err := tr.Resolve(ready)
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := node.Route(); !ok || id != 2 {
		t.Errorf("the file is in route %d (%v), want 2", id, ok)
	}
	ih, _ := node.Infohash()
	if err := tr.PutTorrent(tree.Torrent{Infohash: ih, Route: 900, Name: "moved"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	read(2)
	wantMetrics(t, s, []string{metric + `{export="movies"} 6`, metric + `{export="empty"} 2`}, metric)
	tr.RemoveRoute(2, time.Now())
	for range 2 {
		wantMetrics(t, s, []string{metric + `{export="empty"} 2`}, metric)
	}
	if n := len(s.ledger.routes); n != 1 {
		t.Errorf("%d routes are kept account of, want that which is left", n)
	}
	read(3)
	wantMetrics(t, s, []string{metric + `{export="empty"} 5`}, metric)
	if got := s.BytesRead(); got != 11 {
		t.Errorf("%d bytes were read in all, want 11", got)
	}
}
