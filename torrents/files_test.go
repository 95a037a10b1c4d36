package torrents

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestFiles(t *testing.T) {
	const piece = 16 << 10
	s := newSample(t, "show", piece, map[string][]byte{
		"b.bin": randomBytes(3*piece + 100), "sub/b.bin": randomBytes(piece), "empty": {}, "sub/deep/c": []byte("c"), "a": randomBytes(10),
	})
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, startPeer(t, s).addr))
	mustAdd(t, l, "r", s.metainfo)
	files := mustLoad(t, rec.await(t, s.infohash))
	if got := listing(t, l, s.infohash, ""); got != "sub/ 16385 of which 0 in 2 at sub; a 10 of which 0 in 1 at a; "+
		"b.bin 49252 of which 0 in 1 at b.bin; empty 0 of which 0 in 1 at empty" {
		t.Errorf("the top has %s", got)
	}
	// The first byte of b.bin makes the first piece come: the 10 bytes of a, and the rest is of b.bin.
	for i := range files {
		if strings.Join(files[i].Path, "/") != "b.bin" {
			continue
		}
		if _, err := files[i].ReadAt(t.Context(), make([]byte, 1), 0); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"":          "sub/ 16385 of which 0 in 2 at sub; a 10 of which 10 in 1 at a; b.bin 49252 of which 16374 in 1 at b.bin; empty 0 of which 0 in 1 at empty",
		"/sub/":     "deep/ 1 of which 0 in 1 at sub/deep; b.bin 16384 of which 0 in 1 at sub/b.bin",
		"sub/deep":  "c 1 of which 0 in 1 at sub/deep/c",
		"su":        "not found",
		"a":         "not found",
		"sub//deep": "not found",
		"../..":     "not found",
	} {
		if got := listing(t, l, s.infohash, path); got != want {
			t.Errorf("the folder %q has %s, want %s", path, got, want)
		}
	}
	// All of it is all of each.
	readFiles(t, rec.await(t, s.infohash), s.files)
	items, err := l.Files(s.infohash, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if item.Cached != item.Size {
			t.Errorf("all is cached, and of %s %d of %d bytes", item.Name, item.Cached, item.Size)
		}
	}
}

// listing is a folder in words.
func listing(t testing.TB, l *Library, ih Infohash, path string) string {
	t.Helper()
	items, err := l.Files(ih, path)
	if errors.Is(err, ErrNotFound) {
		return "not found"
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, i := range items {
		name := i.Name
		if i.IsFolder {
			name += "/"
		}
		if i.IsFolder != (i.Index == -1) {
			t.Errorf("%q has the index %d", i.Path, i.Index)
		}
		list = append(list, fmt.Sprintf("%s %d of which %d in %d at %s", name, i.Size, i.Cached, i.Files, i.Path))
	}
	return strings.Join(list, "; ")
}

func TestFilesOfSingleFile(t *testing.T) {
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec))
	first, second := tiny(t, "x.bin", 1), tiny(t, "x.bin", 2)
	mustAdd(t, l, "r", first)
	shown := mustAdd(t, l, "r", second)
	if got, want := listing(t, l, shown.Infohash, ""), shown.Name+" 3 of which 0 in 1 at "; got != want {
		t.Errorf("the top has %s, want %s", got, want)
	}
	if got := listing(t, l, shown.Infohash, "x.bin"); got != "not found" {
		t.Errorf("a file has %s inside", got)
	}
	magnet, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+strings.Repeat("ab", 20))
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, l, magnet.Infohash, ""); got != "" {
		t.Errorf("a magnet has %s", got)
	}
	if got := listing(t, l, Infohash{}, ""); got != "not found" {
		t.Errorf("what is not there has %s", got)
	}
}

// TestCachedBytes compares the sums with counting byte by byte.
func TestFileAt(t *testing.T) {
	const piece = 16 << 10
	s := newSample(t, "show", piece, map[string][]byte{"a": randomBytes(piece + 10), "sub/deep/c": []byte("c"), "sub/b": randomBytes(3)})
	single := newSample(t, "film", piece, map[string][]byte{"": randomBytes(5)})
	l := mustOpen(t, testOptions(t, newRecorder()))
	mustAdd(t, l, "r", s.metainfo)
	mustAdd(t, l, "r", single.metainfo)
	unresolved := Infohash{1}
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+unresolved.String()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		infohash Infohash
		path     string
		offset   int64 // -1 if there is no such file
		size     int64
	}{
		{s.infohash, "a", 0, piece + 10},
		{s.infohash, "sub/b", piece + 10, 3},
		{s.infohash, "sub/deep/c", piece + 13, 1},
		{single.infohash, "", 0, 5},
		{s.infohash, "", -1, 0},
		{s.infohash, "sub", -1, 0},
		{s.infohash, "a/b", -1, 0},
		{s.infohash, "/a", -1, 0},
		{single.infohash, "film", -1, 0},
		{unresolved, "", -1, 0},
		{Infohash{2}, "a", -1, 0},
	} {
		f, err := l.FileAt(test.infohash, test.path)
		if test.offset < 0 {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("the file %q is %+v, %v, want ErrNotFound", test.path, f, err)
			}
			continue
		}
		if err != nil || f.Offset != test.offset || f.Size != test.size {
			t.Errorf("the file %q is %+v, %v, want %d bytes at %d", test.path, f, err, test.size, test.offset)
		}
	}
}

func TestCachedBytes(t *testing.T) {
	const length, end = 10, 47 // the last piece is shorter
	states := []PieceState{PieceCached, PieceMissing, PieceCached, PieceCached, PieceCached}
	for broken := range states {
		states := append([]PieceState(nil), states...)
		states[broken] = []PieceState{PieceMissing, PiecePartial, PieceNow, PieceAhead}[broken%4]
		states[(broken+1)%len(states)] = PieceUnchecked // it is here
		c := newCachedBytes(states, &Metainfo{pieceLength: length})
		for off := range int64(end + 1) {
			for n := range end - off + 1 {
				var want int64
				for i := off; i < off+n; i++ {
					if isHere(states[i/length]) {
						want++
					}
				}
				if got := c.of(off, n); got != want {
					t.Fatalf("without piece %d, %d bytes at %d: %d, want %d", broken, n, off, got, want)
				}
			}
		}
	}
	if got := newCachedBytes(nil, &Metainfo{pieceLength: length}).of(0, 5); got != 0 {
		t.Errorf("of a cache without pieces it is %d", got)
	}
}

// manyFiles is a torrent of n files in folders of a thousand.
func manyFiles(t testing.TB, n int) []byte {
	t.Helper()
	var list []any
	for i := range n {
		path := []any{fmt.Sprintf("folder %d", i/1000), fmt.Sprintf("a file with a usual name %d.bin", i)}
		list = append(list, dict{"length": 1000, "path": path})
	}
	size := 1000 * n
	return encode(t, dict{"info": dict{
		"name": "many", "piece length": 16384, "pieces": hashes((size + 16383) / 16384), "files": list,
	}})
}

func TestFilesOfMany(t *testing.T) {
	l := mustOpen(t, testOptions(t, newRecorder()))
	added := mustAdd(t, l, "r", manyFiles(t, 40_000))
	for _, path := range []string{"", "folder 7"} {
		begin := time.Now()
		items, err := l.Files(added.Infohash, path)
		if err != nil || len(items) != map[string]int{"": 40, "folder 7": 1000}[path] {
			t.Fatalf("the folder %q has %d items, %v", path, len(items), err)
		}
		t.Logf("the folder %q: %v", path, time.Since(begin))
	}
	// For a while it is not read again, and then let go.
	if err := os.Remove(l.metainfoPath(added.Infohash)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Files(added.Infohash, "folder 8"); err != nil {
		t.Errorf("the metainfo was read again: %v", err)
	}
	l.browsed.forget(time.Now().Add(browseTime + time.Second))
	if _, err := l.Files(added.Infohash, "folder 8"); !errors.Is(err, ErrFailed) {
		t.Errorf("the metainfo is still kept: %v", err)
	}
}

func BenchmarkFilesOfMany(b *testing.B) {
	l := mustOpen(b, testOptions(b, newRecorder()))
	added := mustAdd(b, l, "r", manyFiles(b, 40_000))
	for b.Loop() {
		if _, err := l.Files(added.Infohash, "folder 7"); err != nil {
			b.Fatal(err)
		}
	}
}
