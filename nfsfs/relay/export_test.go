package relay

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/willscott/go-nfs"

	"shoal/tree"
)

// TestExport looks at the tree as go-nfs does.
func TestExport(t *testing.T) {
	tr := tree.New(time.Unix(1_700_000_000, 0))
	err := errors.Join(
		tr.PutRoute(tree.Route{ID: 2, Name: "films"}, time.Time{}),
		tr.PutTorrent(tree.Torrent{
			Infohash: tree.Infohash{1}, Route: 2, Name: "a film", FirstID: 10,
			Files: func() ([]tree.File, error) { return []tree.File{{Path: []string{"a", "b"}}}, nil },
		}, time.Time{}))
	if err != nil {
		t.Fatal(err)
	}
	e := newExport(t.Context(), tr)
	for _, path := range [][]string{{}, {"films"}, {"films", "a film"}, {"films", "a film", "a"}, {"films", "a film", "a", "b"}} {
		n, err := tr.Walk(t.Context(), path...)
		if err != nil {
			t.Fatal(err)
		}
		h := n.Handle()
		if got := e.ToHandle(e.fs, path); !slices.Equal(got, h[:]) {
			t.Errorf("the handle of %q is %x, want %x", path, got, h)
		}
		_, got, err := e.FromHandle(h[:])
		if err != nil || !slices.Equal(got, path) || cap(got) != len(got) {
			t.Errorf("the path of %q is %q (room for %d), %v", path, got, cap(got), err)
		}
	}
	if h := e.ToHandle(e.fs, []string{"films", "nothing"}); h != nil {
		t.Errorf("the handle of nothing is %x", h)
	}
	film, err := tr.Walk(t.Context(), "films", "a film", "a")
	if err != nil {
		t.Fatal(err)
	}
	h := film.Handle()
	tr.RemoveTorrent(tree.Infohash{1}, time.Now())
	if _, _, err := e.FromHandle(h[:]); !errors.Is(err, tree.ErrStale) {
		t.Errorf("what was removed: %v, want %v", err, tree.ErrStale)
	}
	if _, _, err := e.FromHandle(nil); !errors.Is(err, tree.ErrHandle) {
		t.Errorf("no handle: %v, want %v", err, tree.ErrHandle)
	}
	// go-nfs asks for a handle even of what it was refused, and dies without a file system.
	status, fs, _ := e.Mount(t.Context(), nil, nfs.MountRequest{})
	if status != nfs.MountStatusErrAcces || fs == nil {
		t.Errorf("MNT: %v, %v; want %v and a file system", status, fs, nfs.MountStatusErrAcces)
	}
	if e.Change(e.fs) != nil {
		t.Error("it says that it can be changed")
	}
	if err := errors.Join(e.InvalidateHandle(e.fs, nil), e.FSStat(context.Background(), e.fs, nil)); err != nil || e.HandleLimit() < 1 {
		t.Errorf("%v, %d handles", err, e.HandleLimit())
	}
}
