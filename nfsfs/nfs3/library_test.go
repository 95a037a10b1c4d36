package nfs3

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/tree"
)

// text is content that is there.
type text string

func (text) Ready(int64, int) bool                             { return true }
func (text) Await(context.Context, int64, int) (func(), error) { return func() {}, nil }
func (s text) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return strings.NewReader(string(s)).ReadAt(p, off)
}

const (
	filmsID = 2
	songsID = 3
	hello   = "verified bytes"
)

// Infohashes of the torrents of library.
var (
	manyHash   = tree.Infohash{1}
	singleHash = tree.Infohash{2}
)

// library is a tree with two routes, the first of which has a torrent of several files and a torrent of
// one.
func library(t testing.TB) *tree.Tree {
	t.Helper()
	tr := tree.New(time.Unix(1_700_000_000, 987654321))
	putRoute(t, tr, filmsID, "films")
	putRoute(t, tr, songsID, "café")
	putTorrent(t, tr, tree.Torrent{
		Infohash: manyHash, Route: filmsID, Name: "a torrent", FirstID: 10, ModTime: time.Unix(1_600_000_000, 5),
	},
		tree.File{Path: []string{"ready.txt"}, Size: int64(len(hello)), Index: 0, Content: text(hello)},
		tree.File{Path: []string{"empty"}, Size: 0, Index: 1, Content: text("")},
		tree.File{Path: []string{"a", "b", "deep.bin"}, Size: 4, Index: 3, Content: text("deep")},
		tree.File{Path: []string{"a", strings.Repeat("n", tree.MaxName)}, Size: 1 << 40, Index: 4, Content: text("")},
	)
	putFile(t, tr, singleHash, "single.iso", 50, 5, text("image"))
	return tr
}

func putRoute(t testing.TB, tr *tree.Tree, id tree.RouteID, name string) {
	t.Helper()
	if err := tr.PutRoute(tree.Route{ID: id, Name: name}, time.Unix(1_700_000_001, 0)); err != nil {
		t.Fatal(err)
	}
}

// putTorrent puts a torrent with files into a tree.
func putTorrent(t testing.TB, tr *tree.Tree, n tree.Torrent, files ...tree.File) {
	t.Helper()
	if n.ModTime.IsZero() {
		n.ModTime = time.Unix(1_400_000_000, 0)
	}
	if n.Files == nil {
		n.Files = func() ([]tree.File, error) { return files, nil }
	}
	if err := tr.PutTorrent(n, time.Unix(1_700_000_002, 0)); err != nil {
		t.Fatal(err)
	}
}

// putFile puts a torrent of one file into films.
func putFile(t testing.TB, tr *tree.Tree, ih tree.Infohash, name string, id uint64, size int64, content tree.Content) {
	t.Helper()
	putTorrent(t, tr, tree.Torrent{
		Infohash: ih, Route: filmsID, Name: name, FirstID: id, IsFile: true, Size: size, ModTime: time.Unix(1_500_000_000, 7),
	}, tree.File{Size: size, Content: content})
}

// places is a node of each kind.
func (e *export) places() map[string]tree.Node {
	e.t.Helper()
	return map[string]tree.Node{
		"the root":              e.node(),
		"a route":               e.node("films"),
		"a torrent":             e.node("films", "a torrent"),
		"a folder":              e.node("films", "a torrent", "a"),
		"a file":                e.node("films", "a torrent", "ready.txt"),
		"an empty file":         e.node("films", "a torrent", "empty"),
		"a single-file torrent": e.node("films", "single.iso"),
	}
}

// onDisk is content that lies in a file, behind a header.
type onDisk struct {
	text
	file *os.File
	at   int64
	done chan error // one for each Extent
	gone bool       // Extent does not have it, ReadAt does
}

// newOnDisk returns content of a temporary file.
func newOnDisk(t testing.TB, content string) *onDisk {
	t.Helper()
	const header = "what comes before"
	path := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(path, []byte(header+content+"what comes behind"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &onDisk{text: text(content), file: f, at: int64(len(header)), done: make(chan error, 100)}
}

func (o *onDisk) Extent(off int64, n int) (*os.File, int64, func(error), bool) {
	if o.gone || off < 0 || off+int64(n) > int64(len(o.text)) {
		return nil, 0, nil, false
	}
	return o.file, o.at + off, func(err error) { o.done <- err }, true
}

// parked is content that comes when it is told to, and may vanish again.
type parked struct {
	awaits chan struct{} // one for each Await that has begun
	come   chan error    // what an Await returns
	ended  chan error    // the cause that ended the context of an Await; there is room for some only
	read   func(p []byte) (int, error)
}

func newParked() *parked {
	return &parked{
		awaits: make(chan struct{}, 100), come: make(chan error), ended: make(chan error, 100),
		read: func(p []byte) (int, error) {
			for i := range p {
				p[i] = 'p'
			}
			return len(p), nil
		},
	}
}

func (*parked) Ready(int64, int) bool { return false }

func (c *parked) Await(ctx context.Context, _ int64, _ int) (func(), error) {
	select {
	case c.awaits <- struct{}{}:
	default: // nobody looks
	}
	select {
	case err := <-c.come:
		return func() {}, err
	case <-ctx.Done():
		select {
		case c.ended <- context.Cause(ctx):
		default:
		}
		return nil, ctx.Err()
	}
}

func (c *parked) ReadAt(ctx context.Context, p []byte, _ int64) (int, error) {
	if ctx.Err() == nil {
		return 0, io.ErrNoProgress // a READ has to wait in Await
	}
	return c.read(p)
}
