package nfsfs

import (
	"context"
	"testing"
	"time"

	"shoal/tree"
)

// zeros is content that is there at once and costs nothing.
type zeros struct{}

func (zeros) Ready(int64, int) bool { return true }

func (zeros) Await(context.Context, int64, int) (func(), error) { return func() {}, nil }

func (zeros) ReadAt(_ context.Context, p []byte, _ int64) (int, error) { return len(p), nil }

func benchTree(b testing.TB) *tree.Tree {
	b.Helper()
	tr := tree.New(time.Unix(0, 0))
	if err := tr.PutRoute(tree.Route{ID: 2, Name: "r"}, time.Time{}); err != nil {
		b.Fatal(err)
	}
	err := tr.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{1}, Route: 2, Name: "f", FirstID: 10, IsFile: true, Size: 1 << 40,
		Files: func() ([]tree.File, error) { return []tree.File{{Size: 1 << 40, Content: zeros{}}}, nil },
	}, time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	return tr
}

// BenchmarkCalls measures calls over loopback, 8 at a time on one
// connection.
func BenchmarkCalls(b *testing.B) {
	tr := benchTree(b)
	h := handleOf(b, tr, "r", "f")
	for _, call := range []struct {
		name  string
		proc  uint32
		args  []byte
		bytes int64
	}{
		{"GETATTR", getattr, opaque(h), 0},
		{"READ 4 KiB", procRead, encodeRead(h, 0, 4<<10), 4 << 10},
		{"READ 1 MiB", procRead, encodeRead(h, 0, 1<<20), 1 << 20},
	} {
		b.Run(call.name, func(b *testing.B) {
			w := dial(b, start(b, options(b, tr)))
			if err := w.conn.SetDeadline(time.Time{}); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(call.bytes)
			const window = 8
			sent, received := 0, 0
			for b.Loop() {
				for sent < received+window {
					w.send(100003, 3, call.proc, call.args)
					sent++
				}
				w.receive()
				received++
			}
			for ; received < sent; received++ {
				w.receive()
			}
		})
	}
}
