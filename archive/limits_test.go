package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/archive/archivetest"
	"shoal/archive/rar/rartest"
)

func newStoreOf(t testing.TB, limits Limits) *Store {
	t.Helper()
	return openStore(t, t.TempDir(), Options{Limits: limits})
}

// TestLimits has a zip at each limit, and one over it.
func TestLimits(t *testing.T) {
	nested := makeZip(t, zipEntry{name: "x", data: []byte("x"), stored: true})
	for _, c := range []struct {
		name   string
		limits Limits
		make   func(n int) []zipEntry // with n of it
		limit  int
		// How many members there are with one more; -1 if that is no archive.
		over int
	}{
		{"entries", Limits{Entries: 3}, func(n int) (list []zipEntry) {
			for i := range n {
				list = append(list, zipEntry{name: fmt.Sprint(i)})
			}
			return list
		}, 3, -1},
		{"header bytes", Limits{HeaderBytes: 200}, func(n int) []zipEntry {
			return []zipEntry{{name: strings.Repeat("x", n)}}
		}, 200 - 46 - 9, -1}, // 9 bytes of extended time
		{"name", Limits{NameBytes: 10}, func(n int) []zipEntry {
			return []zipEntry{{name: strings.Repeat("x", n)}, {name: "y"}}
		}, 10, 1},
		{"path", Limits{PathBytes: 10}, func(n int) []zipEntry {
			return []zipEntry{{name: "a/" + strings.Repeat("x", n-2)}, {name: "y"}}
		}, 10, 1},
		{"depth of a path", Limits{PathDepth: 4}, func(n int) []zipEntry {
			return []zipEntry{{name: strings.Repeat("a/", n-1) + "x"}, {name: "y"}}
		}, 4, 1},
		{"links", Limits{Links: 2}, func(n int) (list []zipEntry) {
			for i := range n {
				list = append(list, zipEntry{name: fmt.Sprint(i), data: []byte("x"), mode: fs.ModeSymlink | 0o777})
			}
			return list
		}, 2, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := c.limit; n <= c.limit+1; n++ {
				entries := c.make(n)
				a := newStoreOf(t, c.limits).Archive("t/0", "x.zip", &memory{data: makeZip(t, entries...)}, nil)
				list, err := a.Members(t.Context())
				list = slices.DeleteFunc(slices.Clone(list), func(m Member) bool { return m.Hidden })
				switch {
				case n == c.limit && (err != nil || len(list) < len(entries)):
					t.Errorf("with %d there are %d members, %v", n, len(list), err)
				case n > c.limit && c.over < 0 && (!Refuses(err) || a.Refused() == nil):
					t.Errorf("with %d: %v", n, err)
				case n > c.limit && c.over >= 0 && (err != nil || len(list) != c.over):
					t.Errorf("with %d there are %d members, %v", n, len(list), err)
				}
			}
		})
	}
	t.Run("nested", func(t *testing.T) {
		var entries []zipEntry
		for i := range 3 {
			entries = append(entries, zipEntry{name: fmt.Sprintf("%d.zip", i), data: nested, stored: true})
		}
		s := newStoreOf(t, Limits{Nested: 2})
		first, err := s.Archive("t/0", "x.zip", &memory{data: makeZip(t, entries...)}, nil).Members(t.Context())
		if err != nil || first[1].Archive == nil || first[2].Archive != nil {
			t.Fatalf("the first two of three are archives: %v", err)
		}
		second, err := s.Archive("t/1", "x.zip", &memory{data: makeZip(t, entries...)}, nil).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		other, err := s.Archive("u/0", "x.zip", &memory{data: makeZip(t, entries...)}, nil).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range []struct {
			a  *Archive
			ok bool
		}{
			{first[0].Archive, true}, {second[0].Archive, true}, {second[1].Archive, false}, {first[0].Archive, true}, {other[0].Archive, true},
		} {
			if _, err := c.a.Members(t.Context()); (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrLimit) {
				t.Errorf("%d: %v", i, err)
			}
		}
		if err := s.Forget("t"); err != nil {
			t.Fatal(err)
		}
		again, err := s.Archive("t/1", "x.zip", &memory{data: makeZip(t, entries...)}, nil).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again[1].Archive.Members(t.Context()); err != nil {
			t.Errorf("once the torrent was forgotten: %v", err)
		}
	})
	t.Run("known", func(t *testing.T) {
		s := newStoreOf(t, Limits{Known: 3})
		z := makeZip(t, zipEntry{name: "a"}, zipEntry{name: "b"})
		first, second := s.Archive("t/0", "x.zip", &memory{data: z}, nil), s.Archive("u/0", "x.zip", &memory{data: z}, nil)
		if _, err := first.Members(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := second.Members(t.Context()); !errors.Is(err, ErrCrowded) || Refuses(err) || !second.Shown() {
			t.Errorf("the second: %v", err)
		}
		if _, err := first.Members(t.Context()); err != nil {
			t.Errorf("the first again: %v", err)
		}
		if err := s.Forget("t"); err != nil {
			t.Fatal(err)
		}
		if _, err := second.Members(t.Context()); err != nil {
			t.Errorf("once the first was forgotten: %v", err)
		}
	})
	t.Run("compressed and nested", func(t *testing.T) {
		s := newStoreOf(t, Limits{NestedSize: int64(len(nested) - 1)})
		list, err := s.Archive("t/0", "x.zip", &memory{data: makeZip(t,
			zipEntry{name: "stored.zip", data: nested, stored: true}, zipEntry{name: "packed.zip", data: nested})}, nil).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := list[0].Archive.Members(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := list[1].Archive.Members(t.Context()); !errors.Is(err, ErrLimit) {
			t.Errorf("what would have to be decoded is listed: %v", err)
		}
	})
	t.Run("size and ratio of a member", func(t *testing.T) {
		for limits, ok := range map[Limits]bool{{MemberSize: 1000}: true, {MemberSize: 999}: false, {Ratio: 90}: true, {Ratio: 10}: false} {
			list, err := newStoreOf(t, limits).Archive("t/0", "x.zip", &memory{data: makeZip(t, zipEntry{name: "x", data: make([]byte, 1000)})}, nil).Members(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := list[0].File.ReadAt(t.Context(), make([]byte, 10), 0); (err == nil) != ok || !ok && !Refuses(err) {
				t.Errorf("%+v: %v", limits, err)
			}
		}
	})
}

// patient is a File that takes its time, and then has nothing but zeros.
type patient struct {
	size int64
	wait time.Duration
}

func (p patient) Size() int64 { return p.size }

func (p patient) ReadAt(ctx context.Context, b []byte, _ int64) (int, error) {
	select {
	case <-time.After(p.wait):
		clear(b)
		return len(b), nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func (patient) Ready(int64, int) bool { return false }

func (patient) Await(context.Context, int64, int) (func(), error) { return func() {}, nil }

// TestWorkClock ends what works for too long, and not what waits.
func TestWorkClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := limitWork(t.Context(), 30*time.Second)
		defer stop()
		r := readerAt(ctx, patient{size: 100, wait: time.Hour})
		for range 3 {
			time.Sleep(9 * time.Second)
			if _, err := r.ReadAt(make([]byte, 10), 0); err != nil {
				t.Fatalf("a read during 27 s of work: %v", err)
			}
		}
		if ctx.Err() != nil {
			t.Fatal("it ended after 27 s")
		}
		time.Sleep(4 * time.Second)
		if !errors.Is(context.Cause(ctx), ErrLimit) {
			t.Errorf("after 31 s of work: %v", context.Cause(ctx))
		}
		ctx, stop = limitWork(t.Context(), 30*time.Second)
		stop()
		if err := context.Cause(ctx); errors.Is(err, ErrLimit) {
			t.Errorf("once it is done: %v", err)
		}
		// What goes on with the context starts nothing.
		_, _ = readerAt(ctx, patient{size: 100}).ReadAt(make([]byte, 10), 0)
		time.Sleep(time.Minute)
	})
}

// TestSlowListing refuses an archive that takes too much work, whatever the parser makes of the end of its context.
func TestSlowListing(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range 50_000 {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	a := newStoreOf(t, Limits{Work: time.Nanosecond}).Archive("t/0", "x.tar", &memory{data: b.Bytes()}, nil)
	if _, err := a.Members(t.Context()); !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "1ns") || a.Refused() == nil {
		t.Errorf("it says %v", err)
	}
}

// TestGuarded has a panic on a goroutine of ours.
func TestGuarded(t *testing.T) {
	s := newStoreOf(t, Limits{})
	l := s.newLazy(10, func(context.Context) (File, error) { panic("out of order") })
	if _, err := l.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("it says %v", err)
	}
	a := s.Archive("t/0", "x.zip", nil, nil) // a file that is nil
	if _, err := a.Members(t.Context()); !Refuses(err) || a.Refused() == nil {
		t.Errorf("it says %v", err)
	}
}

// TestGzipLimits has gzip files at the limit of what one may decode to, and over it, which they do not say before. What a tar archive claims to
// have behind that is not looked for.
func TestGzipLimits(t *testing.T) {
	plain := makeTar(t, "a", make([]byte, 40<<20), "b", []byte{})
	for name, data := range map[string][]byte{"x.gz": compress(t, "gz", plain), "x.tar.gz": compress(t, "gz", plain)} {
		for limit, ok := range map[int64]bool{int64(len(plain)): true, int64(len(plain)) - 1: false, 1 << 20: false} {
			s := newStoreOf(t, Limits{MemberSize: limit})
			a := s.Archive("t/0", name, &memory{data: data}, nil)
			if _, err := a.Members(t.Context()); (err == nil) != ok || !ok && (!errors.Is(err, ErrLimit) || a.Refused() == nil) {
				t.Errorf("%s of %d bytes within %d: %v", name, len(plain), limit, err)
			}
			if n := s.Stats().Inflated; n > limit+16<<20 {
				t.Errorf("%s within %d: %d bytes are decoded to find out", name, limit, n)
			}
		}
	}
}

// TestNestedInRAR has an archive that is compressed in a RAR archive, and more than may be decoded to list it. Nothing of it is read.
func TestNestedInRAR(t *testing.T) {
	inner := rartest.Bytes("in.zip", string(text(1, 1000)))
	inner.Method = 3
	volumes, err := rartest.Write(rartest.Options{Format: 5}, inner)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(volumes[0], 0, volumes[0].Size()))
	if err != nil {
		t.Fatal(err)
	}
	f := &memory{data: b}
	list, err := newStoreOf(t, Limits{NestedSize: 999}).Archive("t/0", "x.rar", f, nil).Members(t.Context())
	if err != nil || len(list) != 1 || list[0].Archive == nil {
		t.Fatalf("it holds %v, %v", list, err)
	}
	reads := f.reads.Load()
	if _, err := list[0].Archive.Members(t.Context()); !errors.Is(err, ErrLimit) || f.reads.Load() != reads {
		t.Errorf("after %d reads: %v", f.reads.Load()-reads, err)
	}
}

// TestKnownHoles counts members with many holes for as much memory as they take, which links to them do not.
func TestKnownHoles(t *testing.T) {
	s := newStoreOf(t, Limits{Known: 3000})
	for i, links := range []int{500, 0} {
		a := s.Archive(fmt.Sprintf("t/%d", i), "x.tar", &memory{data: archivetest.LinkedSparseTar(10_000, links)}, nil)
		if _, err := a.Members(t.Context()); errors.Is(err, ErrCrowded) != (i > 0) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestKnownOnce counts an archive once, though it was listed by one whom nobody waited for any more, too.
func TestKnownOnce(t *testing.T) {
	s := newStoreOf(t, Limits{Known: 3})
	a := s.Archive("t/0", "x.zip", &memory{data: makeZip(t, zipEntry{name: "a"}, zipEntry{name: "b"})}, nil)
	for range 2 {
		if _, err := a.read(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if s.members["t"] != 2 {
		t.Errorf("two members are counted as %d", s.members["t"])
	}
}
