package archive

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"shoal/archive/rar/rartest"
	"shoal/archive/spool"
)

// fuzzSuffixes are those under which the bytes are looked at.
var fuzzSuffixes = []string{
	".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".gz", ".bz2", ".xz", ".zst", ".rar", ".part1.rar", ".zip.001",
}

// smallLimits bound what a bomb of some KiB costs.
var smallLimits = Limits{
	Entries: 200, HeaderBytes: 64 << 10, FetchBytes: 1 << 20, Depth: 3, Nested: 20, NestedSize: 1 << 20, MemberSize: 16 << 20,
	Dictionary: 1 << 20, Window: 1 << 20, Work: 5 * time.Second,
}

// FuzzArchive takes any bytes for an archive of each kind, lists it, and reads in its first members and in the archives among them.
// Nothing panics, hangs, or goes on when the store is closed; a list is the same when it is made of what was kept.
func FuzzArchive(f *testing.F) {
	z, _ := sample(f)
	f.Add(uint8(0), z[len(z)-min(len(z), 20_000):])
	f.Add(uint8(0), makeZip(f, zipEntry{name: "a/b.txt", data: text(1, 5000)}, zipEntry{name: "in.zip", data: makeZip(f, zipEntry{name: "x"}), stored: true}))
	f.Add(uint8(1), makeTar(f, "a/b", text(1, 700), "c.tar", makeTar(f, "d", text(2, 10))))
	for _, format := range []int{4, 5} {
		volumes, err := rartest.Write(rartest.Options{Format: format},
			rartest.File{Name: "a.txt", Data: bytes.NewReader(text(1, 3000)), Size: 3000, ModTime: rartest.Time})
		if err != nil {
			f.Fatal(err)
		}
		b, err := io.ReadAll(io.NewSectionReader(volumes[0], 0, volumes[0].Size()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(10), b)
	}
	f.Add(uint8(12), []byte("Rar!"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		name := "x" + fuzzSuffixes[int(kind)%len(fuzzSuffixes)]
		dir, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}()
		begun, goroutines := time.Now(), runtime.NumGoroutine()
		first := lookAround(t, dir, name, data)
		again := lookAround(t, dir, name, data)
		if len(first) != len(again) {
			t.Errorf("there are %d members, and from what is kept %d", len(first), len(again))
		}
		for i := range min(len(first), len(again)) {
			if first[i] != again[i] {
				t.Errorf("member %d is %q, and from what is kept %q", i, first[i], again[i])
			}
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("it takes %v", took)
		}
		// A goroutine ends a moment after who waits for it knows.
		for n := 0; runtime.NumGoroutine() > goroutines && n < 1000; n++ {
			time.Sleep(time.Millisecond)
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			t.Errorf("%d goroutines are left", n-goroutines)
		}
	})
}

// lookAround opens an archive in a store of its own, and returns the names of what it has.
func lookAround(t *testing.T, dir, name string, data []byte) []string {
	t.Helper()
	s := openStore(t, dir, Options{Segments: 1 << 20, Limits: smallLimits, Workers: 2, Spool: spool.Options{Limit: func() int64 { return 4 << 20 }}})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	folder := volumeFolder{name: &memory{data: data}, "x.part2.rar": &memory{data: data}, "x.zip.002": &memory{data: data}}
	a := s.Archive("t/0", name, folder[name], folder)
	if a == nil {
		return nil
	}
	return lookInto(ctx, t, a, 1)
}

func lookInto(ctx context.Context, t *testing.T, a *Archive, depth int) (seen []string) {
	t.Helper()
	list, err := a.Members(ctx)
	if err != nil {
		if list != nil {
			t.Errorf("there are %d members beside the error %v", len(list), err)
		}
		return nil
	}
	if depth > smallLimits.Depth+1 || len(list) > 2*smallLimits.Entries {
		t.Errorf("%d members, %d archives deep", len(list), depth)
	}
	b := make([]byte, 64<<10)
	for i, m := range list {
		seen = append(seen, m.Name)
		if m.Parent >= i || m.Parent >= 0 && !list[m.Parent].Dir || m.Name == "" || len(m.Name) > 255 || m.Dir != (m.File == nil && m.Link == "") {
			t.Errorf("member %d is %+v", i, m)
		}
		if i >= 20 || m.File == nil {
			continue
		}
		if m.File.Size() != m.Size || m.Size < 0 {
			t.Errorf("%q has %d bytes, or %d", m.Name, m.Size, m.File.Size())
		}
		for _, off := range []int64{0, m.Size - 10} {
			off = max(off, 0)
			n, err := m.File.ReadAt(ctx, b, off)
			if want := min(int64(len(b)), m.Size-off); n < 0 || int64(n) > want || err == nil && n < len(b) {
				t.Errorf("%q at %d of %d: %d bytes, %v", m.Name, off, m.Size, n, err)
			}
		}
		if m.Archive != nil {
			seen = append(seen, lookInto(ctx, t, m.Archive, depth+1)...)
		}
	}
	return seen
}
