package archive

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// account is a Room that has a limit.
type account struct {
	mu          sync.Mutex
	used, limit int64
}

func (a *account) Take(_ context.Context, n int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used+n > a.limit {
		return errAway
	}
	a.used += n
	return nil
}

func (a *account) Add(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used += n
}

func (a *account) Give(n int64) { a.Add(-n) }

func mustOpenIndexes(t *testing.T, dir string, a *account, limit int64) *indexes {
	t.Helper()
	x, err := openIndexes(dir, a, func() int64 { return limit }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// checkIndexes compares what is counted with what there is.
func checkIndexes(t *testing.T, x *indexes, a *account) {
	t.Helper()
	var disk int64
	entries, err := os.ReadDir(x.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n, _, err := measureIndex(filepath.Join(x.dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if f := x.folders[e.Name()]; f == nil || f.bytes != n {
			t.Errorf("%s has %d bytes, counted as %+v", e.Name(), n, f)
		}
		disk += n
	}
	if x.used != disk || a.used != disk || len(x.folders) != len(entries) {
		t.Errorf("%d bytes are on disk, in %d folders, counted as %d and %d, in %d", disk, len(entries), x.used, a.used, len(x.folders))
	}
}

// TestIndexAccount writes, removes and evicts at random, and counts what is there, after a restart as well.
func TestIndexAccount(t *testing.T) {
	dir, random := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	a := &account{limit: 300_000}
	x := mustOpenIndexes(t, dir, a, 250_000)
	key := func() string {
		return string('a'+rune(random.IntN(6))) + "/" + strings.Repeat("1/", random.IntN(3)) + string('x'+rune(random.IntN(3))) + "x"
	}
	for i := range 400 {
		switch random.IntN(8) {
		case 0:
			_ = x.remove(key()) // which need not be there
		case 1:
			if _, err := x.forget(string('a' + rune(random.IntN(6)))); err != nil {
				t.Fatal(err)
			}
		case 2:
			x.free(random.Int64N(20_000))
		case 3:
			x = func() *indexes { a.used = 0; return mustOpenIndexes(t, dir, a, 250_000) }()
		default:
			k, b := key(), make([]byte, random.IntN(30_000))
			x.write(t.Context(), k, b)
			if got := x.read(k); !bytes.Equal(got, b) {
				t.Fatalf("of %d bytes %d were kept", len(b), len(got))
			}
		}
		checkIndexes(t, x, a)
		if x.used > 250_000 {
			t.Errorf("%d bytes are used", x.used)
		}
		if t.Failed() {
			t.Fatalf("step %d", i)
		}
	}
}

func (x *indexes) names() (list []string) {
	for name := range x.folders {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// TestIndexOldestFirst evicts what was used least lately, as a whole, and never for more than there may be.
func TestIndexOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &account{limit: 1 << 30}
		x := mustOpenIndexes(t, t.TempDir(), a, 100_000)
		for _, key := range []string{"a/list", "b/list", "c/list"} {
			x.write(t.Context(), key, make([]byte, 20_000))
			time.Sleep(time.Second)
		}
		x.read("a/list")
		time.Sleep(time.Second)
		x.write(t.Context(), "d/1/list", make([]byte, 20_000))
		if got := x.names(); !slices.Equal(got, []string{"a", "c", "d"}) {
			t.Errorf("%v are left", got)
		}
		x.write(t.Context(), "e/list", make([]byte, 100_000))
		if x.read("e/list") != nil || len(x.names()) != 3 {
			t.Errorf("what is more than may be was kept, or %v are left", x.names())
		}
		checkIndexes(t, x, a)
		x.free(1 << 30)
		x.write(t.Context(), "e/list", make([]byte, 10_000))
		x.write(t.Context(), "f/list", make([]byte, 10_000))
		time.Sleep(time.Second)
		x.read("e/list")
		if n := x.free(1); n == 0 || !slices.Equal(x.names(), []string{"e"}) {
			t.Errorf("%d bytes freed, %v are left", n, x.names())
		}
		x.write(t.Context(), "g/list", nil)
		if err := x.keep([]string{"a", "g"}); err != nil || !slices.Equal(x.names(), []string{"g"}) {
			t.Errorf("%v are left, %v", x.names(), err)
		}
		a.limit = a.used
		x.write(t.Context(), "h/list", make([]byte, 10))
		if x.read("h/list") != nil || !slices.Equal(x.names(), []string{"g"}) {
			t.Errorf("there is no room, and %v are left", x.names())
		}
		checkIndexes(t, x, a)
	})
}

// TestIndexLowered opens what an earlier run has left, which is more than there may be now.
func TestIndexLowered(t *testing.T) {
	dir := t.TempDir()
	x := mustOpenIndexes(t, dir, &account{limit: 1 << 30}, 1<<30)
	for _, key := range []string{"a/list", "b/list", "c/list"} {
		x.write(t.Context(), key, make([]byte, 20_000))
	}
	a := &account{limit: 1 << 30}
	x = mustOpenIndexes(t, dir, a, 60_000)
	if n := len(x.names()); n != 2 {
		t.Errorf("%d are left", n)
	}
	checkIndexes(t, x, a)
}

// TestIndexLeftovers removes what was not written whole, and does not take what is damaged.
func TestIndexLeftovers(t *testing.T) {
	dir := t.TempDir()
	a := &account{limit: 1 << 30}
	x := mustOpenIndexes(t, dir, a, 1<<30)
	x.write(t.Context(), "a/0/list", []byte("what is inside"))
	if err := os.WriteFile(x.path("a/0/other")+tempSuffix, make([]byte, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	a.used = 0
	x = mustOpenIndexes(t, dir, a, 1<<30)
	if _, err := os.Stat(x.path("a/0/other") + tempSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was not written whole: %v", err)
	}
	checkIndexes(t, x, a)
	path := x.path("a/0/list")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := x.read("a/0/list"); got != nil {
			t.Fatalf("with byte %d changed it reads %q", i, got)
		}
	}
}

// TestForget removes everything of a torrent, and keeps nothing of it that a decoder learns later.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	b := makeZip(t, zipEntry{name: "x.txt", data: text(5, 3<<20)})
	for _, key := range []string{"a/0", "b/0"} {
		list, err := s.Archive(key, "x.zip", &memory{data: b}, nil).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := list[0].File.ReadAt(t.Context(), make([]byte, 100), 2<<20); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Forget("a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.indexes.names(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%v are left", got)
	}
	if s.indexes.read("b/0/0"+pointsSuffix) == nil {
		t.Error("what was learned of the other is not kept")
	}
}

// TestIndexTooLarge leaves what is known of other torrents where it would be removed for nothing: for what does not fit without it either, or
// for a limit that is not known yet.
func TestIndexTooLarge(t *testing.T) {
	dir, limit := t.TempDir(), int64(100_000)
	a := &account{limit: 1 << 30}
	x, err := openIndexes(dir, a, func() int64 { return limit }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	x.write(t.Context(), "a/list", make([]byte, 20_000))
	x.write(t.Context(), "b/1/list", make([]byte, 40_000))
	for _, c := range []struct {
		key   string
		size  int
		limit int64
		left  string
	}{
		{"c/list", 120_000, 100_000, "a b"},
		{"c/list", 10, 0, "a b"},
		{"c/list", 10, -1, "a b"},
		{"b/2/list", 60_000, 100_000, "a b"}, // with what else there is of b
		{"b/2/list", 30_000, 100_000, "b"},
		{"c/list", 30_000, 100_000, "c"},
	} {
		limit = c.limit
		x.write(t.Context(), c.key, make([]byte, c.size))
		if got := strings.Join(x.names(), " "); got != c.left {
			t.Errorf("%d bytes of %s within %d: %s are left, want %s", c.size, c.key, c.limit, got, c.left)
		}
		checkIndexes(t, x, a)
	}
	limit, a.used = 0, 0
	if x, err = openIndexes(dir, a, func() int64 { return limit }, slog.New(slog.DiscardHandler)); err != nil || len(x.folders) != 1 {
		t.Errorf("%v are left when it is opened without a limit, %v", x.names(), err)
	}
}

// TestOtherVersion has files of another version, and torn ones: what was refused is looked at again, what was listed and would have to be
// fetched for that is a file until then, and what was asked for still is.
func TestOtherVersion(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"this one": func(b []byte) []byte { return b },
		"another":  func(b []byte) []byte { b[len(indexVersion)-2]++; return b },
		"torn":     func(b []byte) []byte { return make([]byte, len(b)) },
		"cut":      func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := newStore(t, dir)
			for _, key := range []string{"t/0/refused", "t/1/list", "t/2/asked"} {
				s.writeIndex(key, []byte("what was kept"))
				b, err := os.ReadFile(s.indexes.path(key))
				if err == nil {
					err = os.WriteFile(s.indexes.path(key), damage(b), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			nobody := &memory{data: []byte("x")}
			nobody.fails.Store(true)
			fits := name == "this one"
			for _, c := range []struct {
				key, name string
				shown     bool
			}{{"t/0", "x.zip", !fits}, {"t/1", "x.tar.gz", fits}, {"t/2", "x.tar.gz", true}} {
				if before, now := ShownBefore(dir+"/index", c.key, c.name), s.Archive(c.key, c.name, nobody, nil).Shown(); before != c.shown || now != c.shown {
					t.Errorf("%s is shown: %v by the disk alone, %v by the store, want %v", c.key, before, now, c.shown)
				}
			}
		})
	}
}
