package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// text is Content that is there at once.
type text string

func (text) Await(context.Context, int64, int) (func(), error) { return func() {}, nil }

func (s text) Ready(int64, int) bool { return true }

func (s text) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return strings.NewReader(string(s)).ReadAt(p, off)
}

func hash(b byte) (ih Infohash) {
	for i := range ih {
		ih[i] = b
	}
	return ih
}

// folderTorrent is a torrent of the files, given as path=content.
func folderTorrent(ih Infohash, route RouteID, name string, firstID uint64, files ...string) Torrent {
	return Torrent{
		Infohash: ih, Route: route, Name: name, FirstID: firstID, ModTime: epoch,
		Files: func() ([]File, error) {
			var list []File
			for i, f := range files {
				path, content, _ := strings.Cut(f, "=")
				list = append(list, File{
					Path: strings.Split(path, "/"), Size: int64(len(content)), Index: i, Content: text(content),
				})
			}
			return list, nil
		},
	}
}

func fileTorrent(ih Infohash, route RouteID, name string, firstID uint64, content string) Torrent {
	return Torrent{
		Infohash: ih, Route: route, Name: name, FirstID: firstID, ModTime: epoch,
		IsFile: true, Size: int64(len(content)),
		Files: func() ([]File, error) { return []File{{Size: int64(len(content)), Content: text(content)}}, nil },
	}
}

// sampleTree has two routes, a folder torrent in the first and a file torrent in each.
func sampleTree(t testing.TB) *Tree {
	t.Helper()
	tr := New(epoch)
	must(t, tr.PutRoute(Route{ID: 2, Name: "films"}, epoch))
	must(t, tr.PutRoute(Route{ID: 3, Name: "data sets"}, epoch))
	must(t, tr.PutTorrent(folderTorrent(hash(1), 2, "Sintel", 10,
		"sintel.mkv=moving pictures", "subs/en.srt=hello", "subs/deep/de.srt=hallo", "empty="), epoch))
	must(t, tr.PutTorrent(fileTorrent(hash(2), 2, "bunny.mp4", 30, "a big rabbit"), epoch))
	must(t, tr.PutTorrent(fileTorrent(hash(3), 3, "numbers.csv", 40, "1,2,3"), epoch))
	return tr
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustWalk(t testing.TB, tr *Tree, path string) Node {
	t.Helper()
	n, err := tr.Walk(t.Context(), strings.FieldsFunc(path, func(r rune) bool { return r == '/' })...)
	must(t, err)
	return n
}

// all returns every node of the tree by its path.
func all(t testing.TB, tr *Tree) map[string]Node {
	t.Helper()
	nodes := make(map[string]Node)
	var visit func(n Node)
	visit = func(n Node) {
		nodes["/"+strings.Join(n.Path(), "/")] = n
		if !n.IsDir() {
			return
		}
		dir, err := n.Dir()
		must(t, err)
		for _, e := range dir.Entries() {
			if e.Name != e.Node.Name() {
				t.Errorf("entry %q is node %q", e.Name, e.Node.Name())
			}
			visit(e.Node)
		}
	}
	visit(tr.Root())
	return nodes
}

func TestFS(t *testing.T) {
	tr := sampleTree(t)
	err := fstest.TestFS(tr.FS(t.Context()),
		"films/Sintel/sintel.mkv", "films/Sintel/subs/deep/de.srt", "films/Sintel/empty", "films/bunny.mp4", "data sets/numbers.csv")
	if err != nil {
		t.Error(err)
	}
	got, err := fs.ReadFile(tr.FS(t.Context()), "films/Sintel/subs/en.srt")
	if err != nil || string(got) != "hello" {
		t.Errorf("ReadFile: %q, %v", got, err)
	}
}

func TestAttr(t *testing.T) {
	tr := sampleTree(t)
	tests := []struct {
		path string
		mode fs.FileMode
		size int64
		id   uint64
	}{
		{"/", fs.ModeDir | 0o555, 0, 1},
		{"/films", fs.ModeDir | 0o555, 0, 2},
		{"/films/Sintel", fs.ModeDir | 0o555, 0, 10},
		{"/films/Sintel/sintel.mkv", 0o444, 15, 11},
		{"/films/Sintel/subs/en.srt", 0o444, 5, 12},
		{"/films/Sintel/subs/deep/de.srt", 0o444, 5, 13},
		{"/films/Sintel/empty", 0o444, 0, 14},
		{"/films/Sintel/subs", fs.ModeDir | 0o555, 0, 15},
		{"/films/Sintel/subs/deep", fs.ModeDir | 0o555, 0, 16},
		{"/films/bunny.mp4", 0o444, 12, 30},
	}
	for _, test := range tests {
		a := mustWalk(t, tr, test.path).Attr()
		if a.Mode != test.mode || a.Size != test.size || a.FileID != test.id {
			t.Errorf("%s: mode %v, size %d, id %d; want %v, %d, %d",
				test.path, a.Mode, a.Size, a.FileID, test.mode, test.size, test.id)
		}
	}
	ids := make(map[uint64]string)
	for path, n := range all(t, tr) {
		if other, ok := ids[n.Attr().FileID]; ok {
			t.Errorf("%s and %s have the file id %d", path, other, n.Attr().FileID)
		}
		ids[n.Attr().FileID] = path
	}
}

func TestInfohash(t *testing.T) {
	want := map[string]Infohash{
		"/films/Sintel": hash(1), "/films/Sintel/subs/en.srt": hash(1), "/films/bunny.mp4": hash(2), "/data sets/numbers.csv": hash(3),
	}
	tr := sampleTree(t)
	for path, want := range want {
		if got, ok := mustWalk(t, tr, path).Infohash(); !ok || got != want {
			t.Errorf("%s: %x, %t; want %x", path, got, ok, want)
		}
	}
	for _, path := range []string{"/", "/films"} {
		if got, ok := mustWalk(t, tr, path).Infohash(); ok {
			t.Errorf("%s: %x, want none", path, got)
		}
	}
}

func TestWalkErrors(t *testing.T) {
	tr := sampleTree(t)
	tests := []struct {
		path []string
		want error
	}{
		{[]string{"nothing"}, fs.ErrNotExist},
		{[]string{"films", "nothing"}, fs.ErrNotExist},
		{[]string{"films", "Sintel", "Subs"}, fs.ErrNotExist},
		{[]string{"films", "bunny.mp4", "x"}, ErrNotDir},
		{[]string{"films", "Sintel", "empty", "x"}, ErrNotDir},
		{[]string{""}, fs.ErrNotExist},
		{[]string{".."}, fs.ErrNotExist},
	}
	for _, test := range tests {
		if _, err := tr.Walk(t.Context(), test.path...); !errors.Is(err, test.want) {
			t.Errorf("%q: %v, want %v", test.path, err, test.want)
		}
	}
	for _, path := range []string{"/", "/films", "/films/Sintel", "/films/Sintel/subs"} {
		if _, err := mustWalk(t, tr, path).Content(); !errors.Is(err, ErrIsDir) {
			t.Errorf("content of %s: %v, want %v", path, err, ErrIsDir)
		}
	}
}

func TestHandlesSurviveRestart(t *testing.T) {
	before := sampleTree(t)
	handles := make(map[string]Handle)
	seen := make(map[Handle]bool)
	for path, n := range all(t, before) {
		h := n.Handle()
		if seen[h] {
			t.Errorf("%s: the handle %x is that of another node too", path, h)
		}
		handles[path], seen[h] = h, true
	}
	// Another process has the same library, and has looked at nothing yet.
	after := sampleTree(t)
	for path, h := range handles {
		n, err := after.Resolve(h[:])
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := "/" + strings.Join(n.Path(), "/"); got != path {
			t.Errorf("the handle of %s is now %s", path, got)
		}
	}
}

func TestHandleSurvivesRenameAndMove(t *testing.T) {
	tr := sampleTree(t)
	h := mustWalk(t, tr, "films/Sintel/subs/en.srt").Handle()
	must(t, tr.PutRoute(Route{ID: 2, Name: "movies"}, epoch))
	moved := folderTorrent(hash(1), 3, "Sintel (2010)", 10)
	must(t, tr.PutTorrent(moved, epoch))
	n, err := tr.Resolve(h[:])
	must(t, err)
	if got, want := n.Path(), []string{"data sets", "Sintel (2010)", "subs", "en.srt"}; !slices.Equal(got, want) {
		t.Errorf("path %q, want %q", got, want)
	}
	if _, err := tr.Walk(t.Context(), "movies", "Sintel"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old place: %v, want %v", err, fs.ErrNotExist)
	}
}

func TestStale(t *testing.T) {
	tr := sampleTree(t)
	paths := []string{"films", "films/Sintel", "films/Sintel/subs", "films/Sintel/empty", "films/bunny.mp4"}
	handles := make(map[string]Handle)
	for _, p := range paths {
		handles[p] = mustWalk(t, tr, p).Handle()
	}
	tr.RemoveTorrent(hash(1), epoch)
	tr.RemoveRoute(2, epoch)
	for p, h := range handles {
		if _, err := tr.Resolve(h[:]); !errors.Is(err, ErrStale) {
			t.Errorf("%s: %v, want %v", p, err, ErrStale)
		}
	}
	if got := len(all(t, tr)); got != 3 { // the root, a route, and its file
		t.Errorf("%d nodes are left, want 3", got)
	}
}

func TestResolveRefuses(t *testing.T) {
	tr := sampleTree(t)
	good := mustWalk(t, tr, "films/Sintel/subs/en.srt").Handle()
	for i := range good {
		bad := good
		bad[i] ^= 0x40
		if _, err := tr.Resolve(bad[:]); !errors.Is(err, ErrHandle) {
			t.Errorf("byte %d changed: %v, want %v", i, err, ErrHandle)
		}
	}
	for _, n := range []int{0, 1, 31, 33, 64} {
		if _, err := tr.Resolve(make([]byte, n)); !errors.Is(err, ErrHandle) {
			t.Errorf("%d zeros: %v, want %v", n, err, ErrHandle)
		}
	}
}

func FuzzResolve(f *testing.F) {
	tr := sampleTree(f)
	for _, n := range all(f, tr) {
		h := n.Handle()
		f.Add(h[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := tr.Resolve(b)
		if err != nil {
			return
		}
		if h := n.Handle(); !bytes.Equal(h[:], b) {
			t.Errorf("the handle %x is node %q, whose handle is %x", b, n.Path(), h)
		}
	})
}

func TestMtimes(t *testing.T) {
	tr := sampleTree(t)
	mtime := func(path string) time.Time { return mustWalk(t, tr, path).Attr().ModTime }
	film, files, other := mtime("films"), mtime("films/Sintel/empty"), mtime("data sets")
	root := mtime("/")
	// Though the clock stands still, a change moves the time, and no other time.
	tr.RemoveTorrent(hash(2), epoch)
	if !mtime("films").After(film) {
		t.Error("removing a torrent did not move the route's mtime")
	}
	if mtime("films/Sintel/empty") != files || mtime("data sets") != other || mtime("/") != root {
		t.Error("removing a torrent moved another mtime than its route's")
	}
	must(t, tr.PutRoute(Route{ID: 9, Name: "new"}, epoch))
	if !mtime("/").After(root) {
		t.Error("a new route did not move the root's mtime")
	}
	film = mtime("films")
	must(t, tr.PutTorrent(fileTorrent(hash(9), 2, "was there", 90, ""), time.Time{}))
	if mtime("films") != film {
		t.Error("a torrent that was there all the time moved its route's mtime")
	}
}

func TestListingsAreSnapshots(t *testing.T) {
	tr := sampleTree(t)
	dir, err := mustWalk(t, tr, "films").Dir()
	must(t, err)
	names := func(d *Dir) (list []string) {
		for _, e := range d.Entries() {
			list = append(list, e.Name)
		}
		return list
	}
	before := names(dir)
	must(t, tr.PutTorrent(fileTorrent(hash(7), 2, "Aaa", 70, ""), epoch))
	if got := names(dir); !slices.Equal(got, before) {
		t.Errorf("a listing changed from %q to %q", before, got)
	}
	dir, err = mustWalk(t, tr, "films").Dir()
	must(t, err)
	if got, want := names(dir), []string{"Aaa", "Sintel", "bunny.mp4"}; !slices.Equal(got, want) {
		t.Errorf("the new listing is %q, want %q", got, want)
	}
}

func TestPutRefuses(t *testing.T) {
	tr := sampleTree(t)
	if err := tr.PutTorrent(fileTorrent(hash(8), 2, "Sintel", 80, ""), epoch); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name twice: %v, want %v", err, fs.ErrExist)
	}
	if err := tr.PutTorrent(fileTorrent(hash(8), 99, "x", 80, ""), epoch); !errors.Is(err, ErrStale) {
		t.Errorf("an unknown route: %v, want %v", err, ErrStale)
	}
	if err := tr.PutRoute(Route{ID: 9, Name: "films"}, epoch); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a route twice: %v, want %v", err, fs.ErrExist)
	}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00", "\xff", strings.Repeat("é", 128)} {
		if err := tr.PutRoute(Route{ID: 9, Name: name}, epoch); err == nil {
			t.Errorf("the route %q was accepted", name)
		}
		if err := tr.PutTorrent(fileTorrent(hash(8), 2, name, 80, ""), epoch); err == nil {
			t.Errorf("the torrent %q was accepted", name)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		what  string
		files []string
	}{
		{"a path twice", []string{"a=1", "a=2"}},
		{"a file below a file", []string{"a=1", "a/b=2"}},
		{"a file where a folder is", []string{"a/b=1", "a=2"}},
		{"dots", []string{"../b=1"}},
		{"an empty name", []string{"a//b=1"}},
	}
	for _, test := range tests {
		tr := New(epoch)
		must(t, tr.PutRoute(Route{ID: 2, Name: "r"}, epoch))
		must(t, tr.PutTorrent(folderTorrent(hash(1), 2, "t", 10, test.files...), epoch))
		if _, err := mustWalk(t, tr, "r/t").Dir(); err == nil {
			t.Errorf("%s: accepted", test.what)
		}
	}
}

func TestLoadAgainAfterError(t *testing.T) { synctest.Test(t, testLoadAgainAfterError) }

func testLoadAgainAfterError(t *testing.T) {
	tr := New(epoch)
	must(t, tr.PutRoute(Route{ID: 2, Name: "r"}, epoch))
	broken := errors.New("broken")
	torrent := folderTorrent(hash(1), 2, "t", 10, "a=1")
	whole := torrent.Files
	calls := 0
	torrent.Files = func() ([]File, error) {
		if calls++; calls == 1 {
			return nil, broken
		}
		return whole()
	}
	must(t, tr.PutTorrent(torrent, epoch))
	if _, err := tr.Walk(t.Context(), "r", "t", "a"); !errors.Is(err, broken) {
		t.Errorf("first look: %v, want %v", err, broken)
	}
	if _, err := tr.Walk(t.Context(), "r", "t", "a"); !errors.Is(err, broken) || calls != 1 {
		t.Errorf("at once after that: %v after %d tries, want %v after one", err, calls, broken)
	}
	time.Sleep(loadPause)
	// What does not need the inside works all the while.
	if got := mustWalk(t, tr, "r/t").Attr().FileID; got != 10 {
		t.Errorf("file id %d, want 10", got)
	}
	for range 2 {
		if _, err := tr.Walk(t.Context(), "r", "t", "a"); err != nil {
			t.Error(err)
		}
	}
	if calls != 2 {
		t.Errorf("the inside was loaded %d times, want 2", calls)
	}
}

func TestHiddenFiles(t *testing.T) {
	// The metainfo's second file is padding, which nobody is told of.
	tr := New(epoch)
	must(t, tr.PutRoute(Route{ID: 2, Name: "r"}, epoch))
	must(t, tr.PutTorrent(Torrent{Infohash: hash(1), Route: 2, Name: "t", FirstID: 10, Files: func() ([]File, error) {
		return []File{
			{Path: []string{"c"}, Index: 2, Content: text("")},
			{Path: []string{"a"}, Index: 0, Content: text("")},
		}, nil
	}}, epoch))
	c := mustWalk(t, tr, "r/t/c")
	if got := c.Attr().FileID; got != 13 {
		t.Errorf("file id %d, want 13: that of the metainfo's third file", got)
	}
	h := c.Handle()
	if n, err := tr.Resolve(h[:]); err != nil || n != c {
		t.Errorf("resolve: %v, %v", n, err)
	}
}

// TestConcurrent lets readers walk while the tree changes; the race detector looks on.
func TestConcurrent(t *testing.T) {
	tr := sampleTree(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := fs.WalkDir(tr.FS(context.Background()), ".", func(_ string, d fs.DirEntry, err error) error {
					if err == nil {
						_, err = d.Info()
					}
					return err
				})
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 200 {
		must(t, tr.PutRoute(Route{ID: 5, Name: fmt.Sprintf("r%d", i)}, epoch))
		must(t, tr.PutTorrent(folderTorrent(hash(5), 5, "t", 100, "a/b=1", "c=2"), epoch))
		tr.RemoveTorrent(hash(5), epoch)
		tr.RemoveRoute(5, epoch)
	}
	close(stop)
	wg.Wait()
}

func TestLargeFolder(t *testing.T) {
	const n = 40_000
	files := make([]string, n)
	for i := range files {
		files[i] = fmt.Sprintf("d%d/f%d=x", i%7, i)
	}
	tr := New(epoch)
	must(t, tr.PutRoute(Route{ID: 2, Name: "r"}, epoch))
	must(t, tr.PutTorrent(folderTorrent(hash(1), 2, "t", 10, files...), epoch))
	if got, want := len(all(t, tr)), n+7+3; got != want {
		t.Errorf("%d nodes, want %d", got, want)
	}
	content, err := mustWalk(t, tr, "r/t/d3/f39994").Content()
	must(t, err)
	if b, err := io.ReadAll(io.NewSectionReader(contentReader{t.Context(), content}, 0, 1)); err != nil || string(b) != "x" {
		t.Errorf("read %q, %v", b, err)
	}
}
