package nfsfs

import (
	"slices"
	"testing"
	"time"

	"shoal/tree"
)

// TestLoadingDelaysNothing looks into a torrent whose metainfo takes long to read, on the connection that
// other calls use.
func TestLoadingDelaysNothing(t *testing.T) {
	tr := testTree(t, newStuck())
	looked, goOn := make(chan struct{}), make(chan struct{})
	err := tr.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{2}, Route: 2, Name: "large", FirstID: 10_000,
		Files: func() ([]tree.File, error) {
			close(looked)
			<-goOn
			return []tree.File{{Path: []string{"file"}, Size: 1, Content: text("x")}}, nil
		},
	}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	w := dial(t, start(t, options(t, tr)))
	large, ready := handleOf(t, tr, "films", "large"), handleOf(t, tr, "films", "a torrent", "ready.txt")
	if got := w.call(100003, 3, getattr, opaque(large)); !slices.Equal(got[:6], accepted(0, nfsOK)) {
		t.Errorf("GETATTR of the torrent, which needs nothing of it: %v", got[:6])
	}
	lookup := w.send(100003, 3, procLookup, append(opaque(large), opaque([]byte("file"))...))
	<-looked
	for _, args := range [][]byte{opaque(ready), opaque(large)} {
		if got := w.call(100003, 3, getattr, args); !slices.Equal(got[:6], accepted(0, nfsOK)) {
			t.Errorf("GETATTR meanwhile: %v", got[:6])
		}
	}
	close(goOn)
	if xid, got := w.receive(); xid != lookup || !slices.Equal(got[:6], accepted(0, nfsOK)) {
		t.Errorf("LOOKUP: %v", got[:6])
	}
	if got := w.call(100003, 3, procLookup, append(opaque(large), opaque([]byte("none"))...)); got[5] != 2 {
		t.Errorf("LOOKUP of what is not there: %v, want NOENT", got[5])
	}
}
