package archive

import (
	stdtar "archive/tar"
	stdzip "archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a File that counts reads, and fails while it is told to.
type memory struct {
	data  []byte
	reads atomic.Int64
	fails atomic.Bool
	held  atomic.Int64
}

var errAway = errors.New("no peer has it")

func (m *memory) Size() int64 { return int64(len(m.data)) }

func (m *memory) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	m.reads.Add(1)
	if m.fails.Load() {
		return 0, errAway
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *memory) Ready(int64, int) bool { return !m.fails.Load() }

func (m *memory) Await(ctx context.Context, _ int64, _ int) (func(), error) {
	if m.fails.Load() {
		return nil, errAway
	}
	m.held.Add(1)
	return func() { m.held.Add(-1) }, ctx.Err()
}

func newStore(t testing.TB, dir string) *Store {
	t.Helper()
	return openStore(t, dir, Options{})
}

// openStore opens a store below dir until the test ends, with room for 1 GiB in its spool unless o says otherwise.
func openStore(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	o.Dir, o.Spool.Dir, o.Logger = dir+"/index", dir+"/spool", slog.New(slog.DiscardHandler)
	if o.Spool.Limit == nil {
		o.Spool.Limit = func() int64 { return 1 << 30 }
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// text is compressible noise.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = append(b, "the quick brown fox jumps over lazy dogs"[r.IntN(20):][:1+r.IntN(20)]...)
	}
	return b[:n]
}

type zipEntry struct {
	name   string
	data   []byte
	stored bool
	mode   fs.FileMode
}

func makeZip(t testing.TB, entries ...zipEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stdzip.NewWriter(&b)
	for _, e := range entries {
		h := &stdzip.FileHeader{Name: e.name, Method: stdzip.Deflate, Modified: time.Date(2020, 1, 2, 3, 4, 6, 0, time.UTC)}
		if e.stored {
			h.Method = stdzip.Store
		}
		if e.mode != 0 {
			h.SetMode(e.mode)
		}
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write(e.data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sample is a zip with all sorts of members.
func sample(t testing.TB) (z []byte, content map[string][]byte) {
	t.Helper()
	content = map[string][]byte{
		"film.mkv":             text(1, 3<<20),
		"docs/a.txt":           text(2, 70_000),
		"docs/inner.zip/x.bin": text(3, 200_000),
		"docs/inner.zip/y.txt": text(4, 1<<20),
		"run.sh":               []byte("#!/bin/sh\n"),
		"empty":                {},
	}
	inner := makeZip(t,
		zipEntry{name: "x.bin", data: content["docs/inner.zip/x.bin"], stored: true},
		zipEntry{name: "y.txt", data: content["docs/inner.zip/y.txt"]})
	return makeZip(t,
		zipEntry{name: "docs/", mode: fs.ModeDir | 0o755},
		zipEntry{name: "film.mkv", data: content["film.mkv"], stored: true},
		zipEntry{name: "docs/a.txt", data: content["docs/a.txt"]},
		zipEntry{name: "docs/inner.zip", data: inner, stored: true},
		zipEntry{name: "run.sh", data: content["run.sh"], mode: 0o755},
		zipEntry{name: "latest", data: []byte("docs/a.txt"), stored: true, mode: fs.ModeSymlink | 0o777},
		zipEntry{name: "out", data: []byte("../../etc/passwd"), stored: true, mode: fs.ModeSymlink | 0o777},
		zipEntry{name: "empty"},
	), content
}

// makeTar makes a tar of files: a name and a content of each.
func makeTar(t testing.TB, files ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stdtar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		data := files[i+1].([]byte)
		h := stdtar.Header{Name: files[i].(string), Mode: 0o644, Size: int64(len(data)), ModTime: time.Unix(1577934246, 0)}
		err := w.WriteHeader(&h)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// walk calls do for all members by path, those of archives in archives too.
func walk(t testing.TB, a *Archive, above string, do func(path string, m Member)) {
	t.Helper()
	list, err := a.Members(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", above, err)
	}
	paths := make([]string, len(list))
	for i, m := range list {
		paths[i] = above + m.Name
		if m.Parent >= 0 {
			paths[i] = paths[m.Parent] + "/" + m.Name
		}
		switch {
		case m.Hidden:
			continue
		case m.Archive != nil:
			walk(t, m.Archive, paths[i]+"/", do)
			continue
		}
		do(paths[i], m)
	}
}

func TestZip(t *testing.T) {
	z, content := sample(t)
	file := &memory{data: z}
	dir := t.TempDir()
	a := newStore(t, dir).Archive("t/0", "Sample.ZIP", file, nil)
	seen := make(map[string]bool)
	walk(t, a, "", func(path string, m Member) {
		seen[path] = true
		want, isFile := content[path]
		switch {
		case path == "docs":
			if !m.Dir || m.File != nil {
				t.Errorf("%q is no folder", path)
			}
			return
		case path == "latest":
			if m.Link != "docs/a.txt" || m.File != nil {
				t.Errorf("the link says %q", m.Link)
			}
			return
		case !isFile:
			t.Errorf("there is %q", path)
			return
		}
		if m.Run != (path == "run.sh") || m.Size != int64(len(want)) || m.File.Size() != m.Size || m.ModTime.Year() != 2020 {
			t.Errorf("%q is %+v", path, m)
		}
		got, err := io.ReadAll(io.NewSectionReader(readerAt(t.Context(), m.File), 0, m.Size))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes of %d, or others; %v", path, len(got), len(want), err)
		}
		release, err := m.File.Await(t.Context(), 0, 100_000)
		if err != nil || !m.File.Ready(0, 100_000) {
			t.Errorf("%q is not ready, %v", path, err)
			return
		}
		release()
		if located, ok := m.File.(Located); ok && m.Size > 0 {
			f, at, ok := located.Locate(0, int(m.Size))
			stored := strings.HasSuffix(path, ".mkv") || strings.HasSuffix(path, ".bin")
			if ok != stored || ok && (f != File(file) || !bytes.Equal(z[at:][:m.Size], want)) {
				t.Errorf("%q is said to be at %d, %v", path, at, ok)
			}
		}
	})
	if len(seen) != len(content)+2 {
		t.Errorf("there are %d members, want %d", len(seen), len(content)+2)
	}
	if n := file.held.Load(); n != 0 {
		t.Errorf("%d parts are still held", n)
	}

	// After a restart nothing is read for the list.
	file = &memory{data: z}
	file.fails.Store(true)
	count := 0
	walk(t, newStore(t, dir).Archive("t/0", "Sample.ZIP", file, nil), "", func(string, Member) { count++ })
	if count != len(seen) || file.reads.Load() != 0 {
		t.Errorf("after a restart there are %d members, by %d reads", count, file.reads.Load())
	}
}

// TestRefused has files that are no archives: that is remembered. Whose data does not come is asked for again.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, dir)
	bad := &memory{data: text(9, 10_000)}
	a := s.Archive("t/1", "x.zip", bad, nil)
	if a.Refused() != nil {
		t.Error("it is refused before anybody looks")
	}
	bad.fails.Store(true)
	if _, err := a.Members(t.Context()); !errors.Is(err, errAway) || a.Refused() != nil {
		t.Errorf("while no peer has it: %v", err)
	}
	bad.fails.Store(false)
	if _, err := a.Members(t.Context()); !Refuses(err) || a.Refused() == nil {
		t.Errorf("what is no archive: %v", err)
	}
	again := newStore(t, dir).Archive("t/1", "x.zip", bad, nil)
	reads := bad.reads.Load()
	if _, err := again.Members(t.Context()); !Refuses(err) || bad.reads.Load() != reads {
		t.Errorf("after a restart: %v, by %d more reads", err, bad.reads.Load()-reads)
	}
	index := filepath.Join(dir, "index")
	if WasRefused(index, "t/1") == nil || ShownBefore(index, "t/1", "x.zip") {
		t.Error("it is not known to be a file before the store is open")
	}
	for _, left := range []string{"", "shoal archive 0\n....reason"} { // by a crash, or another version
		if err := os.WriteFile(filepath.Join(index, "t/1", refusedSuffix), []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if a := newStore(t, dir).Archive("t/1", "x.zip", bad, nil); !a.Shown() {
			t.Errorf("%q refuses it", left)
		}
		if WasRefused(index, "t/1") != nil || !ShownBefore(index, "t/1", "x.zip") {
			t.Errorf("%q makes a file of it before the store is open", left)
		}
	}
}

func TestNoArchive(t *testing.T) {
	s := newStore(t, t.TempDir())
	for _, name := range []string{"x.cbz", "x.epub", "x.jar", "x.docx", "zip", ".zip", "x.zip.txt", "x.part2.rar", "x.r00", "x.002", "film.mkv"} {
		if s.Archive("t/0", name, &memory{}, nil) != nil {
			t.Errorf("%q is taken for an archive", name)
		}
	}
}

// testLimit is for what a test waits for.
const testLimit = time.Minute

// receive takes from a channel what should come at once. It belongs on the test's own goroutine.
func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(testLimit):
		t.Fatal("nothing comes")
	}
	return v
}

// TestFlight has several who wait for something: it ends with the last of them, and is done once.
func TestFlight(t *testing.T) {
	var f flight[int]
	s := newStore(t, t.TempDir())
	begun, ended := make(chan struct{}, 9), make(chan struct{}, 9)
	find := func(ctx context.Context) (int, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return 0, ctx.Err()
	}
	var cancels []context.CancelFunc
	var waiting sync.WaitGroup
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		cancels = append(cancels, cancel)
		waiting.Go(func() {
			if _, err := f.do(ctx, s, find); !errors.Is(err, context.Canceled) {
				t.Errorf("who went away got %v", err)
			}
		})
	}
	receive(t, begun)
	for _, cancel := range cancels {
		cancel()
	}
	waiting.Wait()
	receive(t, ended)
	got, err := f.do(t.Context(), s, func(context.Context) (int, error) { return 7, nil })
	if got != 7 || err != nil {
		t.Errorf("afterwards it is %d, %v", got, err)
	}
	if got, err := f.do(t.Context(), s, find); got != 7 || err != nil {
		t.Errorf("once it was found it is %d, %v", got, err)
	}
}

func TestTar(t *testing.T) {
	var b bytes.Buffer
	w := stdtar.NewWriter(&b)
	content := map[string][]byte{"a/film.mkv": text(1, 3<<20+7), "a/empty": {}, "run": text(2, 100)}
	put := func(h stdtar.Header, data []byte) {
		h.Size, h.ModTime = int64(len(data)), time.Date(2020, 1, 2, 3, 4, 6, 0, time.UTC)
		err := w.WriteHeader(&h)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(stdtar.Header{Name: "a/film.mkv", Mode: 0o644}, content["a/film.mkv"])
	put(stdtar.Header{Name: "./a/empty", Mode: 0o644}, nil)
	put(stdtar.Header{Name: "run", Mode: 0o755}, content["run"])
	put(stdtar.Header{Name: "same", Typeflag: stdtar.TypeLink, Linkname: "run"}, nil)
	put(stdtar.Header{Name: "a/link", Typeflag: stdtar.TypeSymlink, Linkname: "../run"}, nil)
	put(stdtar.Header{Name: "a/out", Typeflag: stdtar.TypeSymlink, Linkname: "../../etc"}, nil)
	put(stdtar.Header{Name: "dev", Typeflag: stdtar.TypeChar}, nil)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content["same"] = content["run"]
	dir := t.TempDir()
	for range 2 { // the second time from what is kept
		s := newStore(t, dir)
		count := 0
		walk(t, s.Archive("t/2", "x.tar", &memory{data: b.Bytes()}, nil), "", func(path string, m Member) {
			count++
			switch want, isFile := content[path]; {
			case path == "a/link":
				if m.Link != "../run" {
					t.Errorf("the link says %q", m.Link)
				}
			case path == "a":
			case !isFile:
				t.Errorf("there is %q", path)
			default:
				got, err := io.ReadAll(io.NewSectionReader(readerAt(t.Context(), m.File), 0, m.Size))
				if err != nil || !bytes.Equal(got, want) || m.Run != (path == "run") && path != "same" {
					t.Errorf("%q is %+v with %d bytes, %v", path, m, len(got), err)
				}
			}
		})
		if count != len(content)+2 {
			t.Errorf("there are %d members", count)
		}
	}
}

// TestSplit joins a file that was cut into parts, and looks into it.
func TestSplit(t *testing.T) {
	z, content := sample(t)
	folder := make(volumeFolder)
	for i := 0; len(z) > 0; i++ {
		n := min(len(z), 1_000_000)
		folder[fmt.Sprintf("x.zip.%03d", i+1)] = &memory{data: z[:n]}
		z = z[n:]
	}
	a := newStore(t, t.TempDir()).Archive("t/4", "x.zip.001", folder["x.zip.001"], folder)
	count := 0
	walk(t, a, "", func(path string, m Member) {
		want, isFile := content[strings.TrimPrefix(path, "x.zip/")]
		if !isFile {
			return
		}
		count++
		got, err := io.ReadAll(io.NewSectionReader(readerAt(t.Context(), m.File), 0, m.Size))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q has %d bytes of %d, or others; %v", path, len(got), len(want), err)
		}
	})
	if count != len(content) {
		t.Errorf("there are %d members, want %d", count, len(content))
	}
	delete(folder, "x.zip.002")
	a = newStore(t, t.TempDir()).Archive("t/5", "x.zip.001", folder["x.zip.001"], folder)
	if _, err := a.Members(t.Context()); !Refuses(err) {
		t.Errorf("without its second part: %v", err)
	}
}

// closedFile is a File of which nobody knows what is there before it is read.
type closedFile struct{ *memory }

func (c *closedFile) Ready(int64, int) bool { return c.reads.Load() > 0 }

// TestWholeTar lists all of a tar that is there, though nobody has read it since the start.
func TestWholeTar(t *testing.T) {
	var files []any
	for i := range 100 {
		files = append(files, fmt.Sprint(i), text(uint64(i), 10_000))
	}
	s := newStoreOf(t, Limits{FetchBytes: 128 << 10})
	f := &closedFile{memory: &memory{data: makeTar(t, files...)}}
	if list, err := s.Archive("t/0", "x.tar", f, nil).Members(t.Context()); err != nil || len(list) != 100 {
		t.Errorf("%d members, %v", len(list), err)
	}
	away := &patchyFile{memory: &memory{data: f.data}}
	if list, err := s.Archive("t/1", "x.tar", away, nil).Members(t.Context()); err != nil || len(list) == 0 || len(list) == 100 {
		t.Errorf("of what is not there, %d members, %v", len(list), err)
	}
}

// patchyFile is never all there.
type patchyFile struct{ *memory }

func (patchyFile) Ready(int64, int) bool { return false }

// TestPartial has a tar archive of which only the first headers may be fetched. All are listed after a restart, once all of it is there or
// somebody asks, and the first ones are the same.
func TestPartial(t *testing.T) {
	var files []any
	for i := range 8 {
		files = append(files, fmt.Sprintf("%d/data", i), text(uint64(i), 200_000))
	}
	data := makeTar(t, files...)
	for _, ask := range []bool{false, true} {
		dir := t.TempDir()
		file := &away{memory: memory{data: data}}
		var first []Member
		for run := range 3 {
			s := newStore(t, dir)
			s.opts.Limits.FetchBytes = 200_000
			a := s.Archive("t/0", "x.tar", file, nil)
			list, err := a.Members(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case run == 0:
				first = list
				if len(list) == 0 || len(list) >= 16 || a.Partial() == "" {
					t.Errorf("%d members, and the reason %q", len(list), a.Partial())
				}
			case run == 1 && len(list) != len(first):
				t.Errorf("after a restart there are %d members, not %d", len(list), len(first))
			case run == 2 && (len(list) != 16 || a.Partial() != ""):
				t.Errorf("there are %d members, and the reason %q", len(list), a.Partial())
			}
			for i := range first {
				if list[i].Name != first[i].Name || list[i].Parent != first[i].Parent || list[i].Size != first[i].Size {
					t.Errorf("member %d is another one", i)
				}
			}
			if run == 1 && ask {
				a.Ask()
			} else if run == 1 {
				file.here.Store(true)
			}
		}
	}
}

// away is a memory that can be read, and says that it is not there.
type away struct {
	memory
	here atomic.Bool
}

func (a *away) Holds(int64, int64) bool { return a.here.Load() }
