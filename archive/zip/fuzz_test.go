package zip

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"shoal/archive/names"
)

func addSeeds(f *testing.F) {
	f.Helper()
	paths, _ := filepath.Glob(filepath.Join(runtime.GOROOT(), "src/archive/zip/testdata/*.zip")) //lint:ignore SA1019 the tests are run where Go is
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil && len(b) < 10_000 {
			f.Add(b)
		}
	}
	plain := builder{}.build(one)
	f.Add(zip64At(plain[len(plain)-endSize-entrySize-len(one.name):len(plain)-endSize], nil))
	f.Add(builder{comment: string(plain)}.build(one, file{name: "b", flags: 1, extra: field(extraUnicode, 1, 2, 3, 4, 5, 6)}))
}

// inspect uses all of an archive, and finds what must not be whatever it is made of.
func inspect(t *testing.T, a *Archive, b []byte) {
	t.Helper()
	type span struct{ off, end int64 }
	var spans []span
	for i := range a.Len() {
		e := a.Entry(i)
		off, n, err := a.Data(bytes.NewReader(b), i)
		switch {
		case err == nil:
			if off < 0 || n < 0 || off+n > a.directory || n != e.Compressed || e.Problem != NoProblem {
				t.Fatalf("%+v is %d bytes at %d", e, n, off)
			}
			spans = append(spans, span{off, off + n})
		case !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrLimit):
			t.Fatal(err)
		}
	}
	if len(spans) < 200 {
		for i, a := range spans {
			for _, b := range spans[:i] {
				if a.off < b.end && b.off < a.end {
					t.Fatalf("%v and %v overlap", a, b)
				}
			}
		}
	}
	tree, err := a.Tree(names.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range tree.Len() {
		if name := tree.Node(i).Name; strings.ContainsAny(name, "/\x00") || name == ".." {
			t.Fatalf("name %q", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &counter{r: bytes.NewReader(b)}
		a, err := Read(r, int64(len(b)), Options{})
		if got := r.reads.Load(); got > 2+2*2*maxEnds {
			t.Fatalf("%d reads", got)
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			return
		}
		inspect(t, a, b)
		again, err := Decode(a.Encode(), int64(len(b)), Options{})
		if err != nil || !reflect.DeepEqual(a, again) {
			t.Fatalf("%+v became %+v, %v", a, again, err)
		}
	})
}

// FuzzLocal changes local headers, which are read long after the directory.
func FuzzLocal(f *testing.F) {
	b := builder{}.build(one, file{name: "two", data: "more content", method: 8}, file{name: "three"})
	f.Add(b[:100])
	f.Fuzz(func(t *testing.T, start []byte) {
		a := list(t, b)
		changed := append([]byte(nil), b...)
		copy(changed[:a.directory], start)
		inspect(t, a, changed)
	})
}

func FuzzDecode(f *testing.F) {
	b := builder{}.build(one, file{name: "two", data: "more", method: 8}, file{name: "\xff", extra: field(extraUnicode, 1, 0, 0, 0, 0xff, 'e')})
	f.Add(list(f, b).Encode())
	f.Fuzz(func(t *testing.T, index []byte) {
		a, err := Decode(sign(index), int64(len(b)), Options{})
		if err == nil {
			inspect(t, a, b)
		} else if !errors.Is(err, ErrIndex) && !errors.Is(err, ErrLimit) {
			t.Fatal(err)
		}
	})
}
