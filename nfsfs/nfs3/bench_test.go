package nfs3

import (
	"context"
	"fmt"
	"testing"
	"time"

	"shoal/tree"
)

// nothing is content that nobody reads.
type nothing struct{}

func (nothing) Ready(int64, int) bool                                    { return true }
func (nothing) Await(context.Context, int64, int) (func(), error)        { return func() {}, nil }
func (nothing) ReadAt(_ context.Context, p []byte, _ int64) (int, error) { return len(p), nil }

// wide returns a tree with a torrent of n files.
func wide(tb testing.TB, n int) *tree.Tree {
	tb.Helper()
	t := tree.New(time.Unix(1_700_000_000, 0))
	if err := t.PutRoute(tree.Route{ID: 2, Name: "r"}, time.Time{}); err != nil {
		tb.Fatal(err)
	}
	files := make([]tree.File, n)
	for i := range files {
		files[i] = tree.File{Path: []string{fmt.Sprintf("a file with a name as long as they are %06d", i*7919%n)}, Size: 1, Index: i, Content: nothing{}}
	}
	err := t.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{1}, Route: 2, Name: "wide", FirstID: 10, ModTime: time.Unix(1_600_000_000, 5),
		Files: func() ([]tree.File, error) { return files, nil },
	}, time.Time{})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// BenchmarkReaddirplus encodes a listing of 100,000 entries, in pages of 64 KiB.
func BenchmarkReaddirplus(b *testing.B) {
	n, err := wide(b, 100_000).Walk(b.Context(), "r", "wide")
	if err != nil {
		b.Fatal(err)
	}
	listing, err := n.Dir()
	if err != nil {
		b.Fatal(err)
	}
	everything := listing.After(0)
	reply := make([]byte, 0, 1<<20)
	for b.Loop() {
		cookie, entries := uint64(0), 0
		for all := false; !all; {
			p := page{plus: true, names: 64 << 10, limit: 64 << 10}
			reply, all = p.appendEntries(reply[:0], n, listing, cookie)
			entries += p.entries
			if !all {
				cookie = everything[entries-3].Node.FileID() + cookieBase // without "." and ".."
			}
		}
		if entries != 100_002 {
			b.Fatalf("%d entries, want 100,002", entries)
		}
	}
}
