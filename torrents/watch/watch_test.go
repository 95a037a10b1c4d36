package watch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	settle  = 20 * time.Millisecond
	never   = time.Hour // no rescan within a test
	maxSize = 1 << 20
	limit   = 20 * time.Second // for everything that a test waits for
)

// watched is a folder that is watched until the test ends.
type watched struct {
	dir   string
	scans chan found
	again atomic.Bool // what the scans are answered
	count atomic.Int64
}

// found is what a scan found, for comparing.
type found struct {
	err      error
	notified bool
	partial  bool
	root     Identity
	folders  map[string]Identity
	settled  []string          // paths
	waiting  []string          // paths
	refused  map[string]string // by path, why
	content  map[string]string // of what is settled
}

func start(t testing.TB, dir string, rescan time.Duration) *watched {
	t.Helper()
	w := &watched{dir: dir, scans: make(chan found)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		Run(ctx, Options{
			Dir: dir, Rescan: rescan, Settle: settle, MaxSize: maxSize,
			Scanned: w.scanned, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
	}()
	return w
}

func (w *watched) scanned(ctx context.Context, s *Scan) bool {
	w.count.Add(1)
	f := found{
		err: s.Err, notified: s.Notified, partial: s.Partial, root: s.Root,
		folders: make(map[string]Identity), refused: make(map[string]string), content: make(map[string]string),
	}
	for name := range s.Folders {
		f.folders[name] = s.Folders[name].Identity
	}
	for _, file := range s.Files {
		switch {
		case file.Err != nil:
			f.refused[file.Path] = file.Err.Error()
		case !file.Settled:
			f.waiting = append(f.waiting, file.Path)
		default:
			f.settled = append(f.settled, file.Path)
			if b, err := s.Read(file); err == nil {
				f.content[file.Path] = string(b)
			}
		}
	}
	select {
	case w.scans <- f:
	case <-ctx.Done():
	}
	return w.again.Load()
}

// await returns the first scan that is like that.
func (w *watched) await(t testing.TB, what string, like func(found) bool) found {
	t.Helper()
	var last found
	for end := time.After(limit); ; {
		select {
		case last = <-w.scans:
			if like(last) {
				return last
			}
		case <-end:
			t.Fatalf("no scan with %s within %v; the last: %+v", what, limit, last)
		}
	}
}

// awaitFiles waits until just these are settled.
func (w *watched) awaitFiles(t testing.TB, paths ...string) found {
	t.Helper()
	return w.await(t, fmt.Sprintf("%q settled", paths), func(f found) bool {
		return slices.Equal(f.settled, paths) && len(f.waiting) == 0
	})
}

func mkdir(t testing.TB, path ...string) string {
	t.Helper()
	dir := filepath.Join(path...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t testing.TB, content string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestEvents changes a folder in all the ways that people and programs do. There is no rescan, so that
// each change has to be noticed by itself.
func TestEvents(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir, "films")
	write(t, "before", dir, "films", "a.torrent")
	w := start(t, dir, never)
	if f := w.awaitFiles(t, "films/a.torrent"); !f.notified || f.content["films/a.torrent"] != "before" {
		t.Errorf("the first scan with a settled file: %+v", f)
	}
	path := func(elements ...string) string { return filepath.Join(append([]string{dir}, elements...)...) }
	for _, change := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"a file is written", func() error { return os.WriteFile(path("films", "b.MAGNET"), nil, 0o644) }, []string{"films/a.torrent", "films/b.MAGNET"}},
		{"a file is removed", func() error { return os.Remove(path("films", "b.MAGNET")) }, []string{"films/a.torrent"}},
		{"a temporary file is renamed into place", func() error {
			write(t, "x", path("films", ".c.torrent.part"))
			return os.Rename(path("films", ".c.torrent.part"), path("films", "c.torrent"))
		}, []string{"films/a.torrent", "films/c.torrent"}},
		{"a file is renamed", func() error { return os.Rename(path("films", "c.torrent"), path("films", "d.torrent")) }, []string{"films/a.torrent", "films/d.torrent"}},
		{"a file is hidden", func() error { return os.Rename(path("films", "d.torrent"), path("films", "~d.torrent")) }, []string{"films/a.torrent"}},
		{"a folder is made with a file in it", func() error {
			write(t, "y", mkdir(t, path("music")), "e.torrent")
			return nil
		}, []string{"films/a.torrent", "music/e.torrent"}},
		{"a file comes to the new folder", func() error { return os.WriteFile(path("music", "f.torrent"), nil, 0o644) }, []string{"films/a.torrent", "music/e.torrent", "music/f.torrent"}},
		{"a folder is renamed", func() error { return os.Rename(path("music"), path("songs")) }, []string{"films/a.torrent", "songs/e.torrent", "songs/f.torrent"}},
		{"a file comes to the renamed folder", func() error { return os.WriteFile(path("songs", "g.torrent"), nil, 0o644) }, []string{"films/a.torrent", "songs/e.torrent", "songs/f.torrent", "songs/g.torrent"}},
		{"a folder is removed", func() error { return os.RemoveAll(path("songs")) }, []string{"films/a.torrent"}},
		{"another folder takes the place of one", func() error {
			write(t, "z", mkdir(t, path("new")), "h.torrent")
			must(t, os.Rename(path("films"), path(".old")))
			return os.Rename(path("new"), path("films"))
		}, []string{"films/h.torrent"}},
		{"a file comes to that", func() error { return os.WriteFile(path("films", "i.torrent"), nil, 0o644) }, []string{"films/h.torrent", "films/i.torrent"}},
	} {
		t.Run(change.what, func(t *testing.T) {
			must(t, change.do())
			w.awaitFiles(t, change.want...)
		})
	}
}

// TestSettle writes a file slowly.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir, "films")
	w := start(t, dir, never)
	w.await(t, "the folder", func(f found) bool { return len(f.folders) == 1 })
	file, err := os.Create(filepath.Join(dir, "films", "a.torrent"))
	must(t, err)
	defer file.Close()
	const parts = 30
	stop := make(chan struct{})
	written := make(chan error, 1)
	go func() {
		defer close(stop)
		for range parts {
			if _, err := file.WriteString("part"); err != nil {
				written <- err
				return
			}
			time.Sleep(settle / 4)
		}
		written <- nil
	}()
	waited := false
	f := w.await(t, "the settled file", func(f found) bool {
		waited = waited || len(f.waiting) == 1
		return len(f.settled) == 1 && f.content["films/a.torrent"] == strings.Repeat("part", parts)
	})
	<-stop
	must(t, <-written)
	if !waited || len(f.waiting) != 0 {
		t.Errorf("nobody waited for the file: %+v", f)
	}
}

// TestReadNoticesChange changes a file between the scan and reading it.
func TestReadNoticesChange(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir, "films")
	write(t, "12345", dir, "films", "a.torrent")
	w := &watcher{Options: Options{Dir: dir, MaxSize: maxSize}}
	s := w.scan(time.Now())
	defer s.close()
	must(t, s.Err)
	if b, err := s.Read(s.Files[0]); err != nil || string(b) != "12345" {
		t.Errorf("read: %q, %v", b, err)
	}
	write(t, "1234567", dir, "films", "a.torrent")
	if b, err := s.Read(s.Files[0]); err != ErrChanged { //nolint:errorlint // it is not wrapped
		t.Errorf("read after a change: %q, %v; want %v", b, err, ErrChanged)
	}
	must(t, os.Remove(filepath.Join(dir, "films", "a.torrent")))
	if b, err := s.Read(s.Files[0]); !os.IsNotExist(err) {
		t.Errorf("read after it was removed: %q, %v", b, err)
	}
}

// TestRescan makes no use of events: the folder is a new one each time.
func TestRescan(t *testing.T) {
	dir := t.TempDir()
	w := start(t, filepath.Join(dir, "watch"), settle)
	w.await(t, "an error", func(f found) bool {
		return os.IsNotExist(f.err) && f.folders == nil || len(f.folders) == 0 && f.err != nil
	})
	mkdir(t, dir, "watch", "films")
	write(t, "x", dir, "watch", "films", "a.torrent")
	first := w.awaitFiles(t, "films/a.torrent")
	must(t, os.Rename(filepath.Join(dir, "watch"), filepath.Join(dir, "away")))
	w.await(t, "an error", func(f found) bool { return os.IsNotExist(f.err) })
	mkdir(t, dir, "watch", "films")
	f := w.await(t, "the empty folder", func(f found) bool { return f.err == nil && len(f.folders) == 1 })
	if f.root.Same(first.root) || f.folders["films"].Same(first.folders["films"]) {
		t.Errorf("the other folder cannot be told from the first: %+v, %+v", f, first)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "watch")))
	must(t, os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "watch")))
	f = w.awaitFiles(t, "films/a.torrent")
	if !f.root.Same(first.root) || !f.folders["films"].Same(first.folders["films"]) {
		t.Errorf("the folder is not the same when it is back: %+v, %+v", f, first)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "watch")))
	write(t, "a file", dir, "watch")
	w.await(t, "an error", func(f found) bool { return f.err != nil && !os.IsNotExist(f.err) })
}

// TestBurst makes many files at once, which is not as many scans.
func TestBurst(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir, "films")
	w := start(t, dir, never)
	w.await(t, "the folder", func(f found) bool { return len(f.folders) == 1 })
	before := w.count.Load()
	const files = 500
	for i := range files {
		write(t, "x", dir, "films", fmt.Sprintf("%04d.torrent", i))
	}
	w.await(t, "all files", func(f found) bool { return len(f.settled) == files })
	if scans := w.count.Load() - before; scans > files/10 {
		t.Errorf("%d scans for %d files", scans, files)
	}
}

// TestUninteresting has files that are no matter: writing them makes no scan.
func TestUninteresting(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir, "films")
	w := start(t, dir, never)
	w.await(t, "the folder", func(f found) bool { return len(f.folders) == 1 })
	for i := range 100 {
		write(t, "x", dir, "films", fmt.Sprintf("data%d.mkv", i))
		write(t, "x", dir, "films", fmt.Sprintf(".%d.torrent", i))
	}
	select {
	case f := <-w.scans:
		t.Errorf("a scan: %+v", f)
	case <-time.After(10 * settle):
	}
}

// TestAgain wants another scan without any event.
func TestAgain(t *testing.T) {
	w := start(t, t.TempDir(), never)
	w.again.Store(true)
	for range 3 {
		w.await(t, "nothing", func(found) bool { return true })
	}
}

// TestKinds has what else may be in a folder.
func TestKinds(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	write(t, "secret", outside, "o.torrent")
	films := mkdir(t, dir, "films")
	for _, name := range []string{
		"a.torrent", "UPPER.TORRENT", "b.magnet", "ä.torrent", "no", "a.torrent.part", ".a.torrent", "~a.torrent", "a.torrent~",
		".a.torrent.swp", "torrent", ".torrent", "x.mkv",
	} {
		write(t, name, films, name)
	}
	write(t, "x", films, "\xff.torrent")
	write(t, strings.Repeat("x", maxSize+1), films, "large.torrent")
	write(t, strings.Repeat("x", maxSize), films, "largest.torrent")
	write(t, "x", dir, "top.torrent")
	write(t, "x", dir, "top.mkv")
	write(t, "x", mkdir(t, films, "deep"), "d.torrent")
	mkdir(t, films, "folder.torrent")
	for _, name := range []string{".hidden", "lost+found", "@eaDir", "#recycle", "$RECYCLE.BIN"} {
		write(t, "x", mkdir(t, dir, name), "x.torrent")
	}
	must(t, os.Symlink("a.torrent", filepath.Join(films, "link.torrent")))
	must(t, os.Symlink("../films/b.magnet", filepath.Join(films, "up.magnet")))
	must(t, os.Symlink(filepath.Join(outside, "o.torrent"), filepath.Join(films, "out.torrent")))
	must(t, os.Symlink("nowhere", filepath.Join(films, "broken.torrent")))
	must(t, os.Symlink("deep", filepath.Join(films, "dir.torrent")))
	must(t, os.Symlink(outside, filepath.Join(dir, "linked")))
	must(t, os.Symlink("films", filepath.Join(dir, "twin")))
	must(t, makePipe(filepath.Join(films, "pipe.torrent")))

	f := start(t, dir, never).await(t, "all settled", func(f found) bool { return len(f.waiting) == 0 })
	want := []string{
		"films/UPPER.TORRENT", "films/a.torrent", "films/b.magnet", "films/largest.torrent", "films/link.torrent",
		"films/up.magnet", "films/ä.torrent",
	}
	if !slices.Equal(f.settled, want) {
		t.Errorf("files %q, want %q", f.settled, want)
	}
	if f.content["films/link.torrent"] != "a.torrent" || f.content["films/up.magnet"] != "b.magnet" {
		t.Errorf("the links have %q", f.content)
	}
	if len(f.folders) != 1 {
		t.Errorf("folders %v, want films", f.folders)
	}
	for p, reason := range map[string]string{
		"films/\xff.torrent": "UTF-8", "films/large.torrent": "larger than 1 MiB", "top.torrent": "no sub-folder",
		"films/out.torrent": "leads out", "films/broken.torrent": "leads out", "linked": "link to a folder", "twin": "link to a folder",
		"films/pipe.torrent": "not an ordinary file",
	} {
		if !strings.Contains(f.refused[p], reason) {
			t.Errorf("%q: %q, want %q", p, f.refused[p], reason)
		}
		if strings.Contains(f.refused[p], dir) || strings.Contains(f.refused[p], outside) {
			t.Errorf("%q: the reason %q has a path", p, f.refused[p])
		}
		delete(f.refused, p)
	}
	if len(f.refused) > 0 {
		t.Errorf("refused as well: %q", f.refused)
	}
}

// TestTooMany has more entries than are looked at.
func TestTooMany(t *testing.T) {
	dir := t.TempDir()
	mkdir(t, dir, "films")
	write(t, "x", dir, "films", "a.torrent")
	s := &Scan{entries: MaxEntries - 1, maxSize: maxSize}
	must(t, s.open(dir))
	defer s.close()
	var names []string
	for range 2 {
		must(t, s.names("films", func(name string) { names = append(names, name) }))
	}
	if len(names) != 1 || !s.Partial {
		t.Errorf("%q, partial %t; want one name of two, and partial", names, s.Partial)
	}
}

func TestMagnetLines(t *testing.T) {
	for content, want := range map[string][]string{
		"":                                      nil,
		"\n\n \t\n":                             nil,
		"magnet:?a":                             {"1 magnet:?a"},
		"magnet:?a\n":                           {"1 magnet:?a"},
		"\uFEFFmagnet:?a\r\nmagnet:?b\r\n":      {"1 magnet:?a", "2 magnet:?b"},
		"# films\n\n  magnet:?a  \n#magnet:?b":  {"3 magnet:?a"},
		"a\rb\r\rc":                             {"1 a", "2 b", "4 c"},
		"one\n\ntwo # not a comment\n\x00\n":    {"1 one", "3 two # not a comment", "4 \x00"},
		"#\n" + strings.Repeat("x", 1<<16) + "": {"2 " + strings.Repeat("x", 1<<16)},
	} {
		var got []string
		for number, line := range MagnetLines([]byte(content)) {
			got = append(got, fmt.Sprintf("%d %s", number, line))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%.40q gives %.80q, want %.80q", content, got, want)
		}
	}
}

// FuzzMagnetLines reads any file: every line is in it, in order, and there is nothing else but blanks and
// comments.
func FuzzMagnetLines(f *testing.F) {
	for _, seed := range []string{"", "magnet:?a\r\n#x\n\n", "\uFEFF a\rb\n", "\x00\xff\n#"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, last := b, 0
		for number, line := range MagnetLines(b) {
			if line == "" || line != strings.TrimSpace(line) || line[0] == '#' || strings.ContainsAny(line, "\r\n") {
				t.Fatalf("the line %q of %q", line, b)
			}
			if number <= last {
				t.Fatalf("line %d after line %d of %q", number, last, b)
			}
			last = number
			_, after, found := bytes.Cut(rest, []byte(line))
			if !found {
				t.Fatalf("the line %q is not in %q", line, b)
			}
			rest = after
		}
		for range MagnetLines(b) { // ending early is no trouble
			break
		}
	})
}
