package torrents

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/torrents/cache"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// tiny is a .torrent of one small file. Nobody has its data.
func tiny(t testing.TB, name string, n int) []byte {
	t.Helper()
	return encode(t, dict{"info": dict{
		"name": name, "piece length": 16384, "length": 1 + n, "pieces": hashes(1), "number": n,
	}})
}

func infohashOf(t testing.TB, metainfo []byte) Infohash {
	t.Helper()
	m, err := ParseMetainfo(metainfo)
	if err != nil {
		t.Fatal(err)
	}
	return m.Infohash
}

func mustAdd(t testing.TB, l *Library, route string, metainfo []byte) Torrent {
	t.Helper()
	added, err := l.AddMetainfo(route, metainfo)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

// listed lists the torrents of a library by name, then by infohash.
func listed(l *Library) []Torrent {
	return slices.SortedFunc(slices.Values(l.Torrents()), func(a, b Torrent) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), slices.Compare(a.Infohash[:], b.Infohash[:]))
	})
}

func names(list []Torrent) []string {
	var names []string
	for _, t := range list {
		names = append(names, t.Name)
	}
	return names
}

func TestLibrarySurvivesRestart(t *testing.T) {
	rec := newRecorder()
	opts := testOptions(t, rec)
	l := mustOpen(t, opts)
	if _, err := l.AddRoute("other", ArchivesOff); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, "r", tiny(t, "a.txt", 1))
	mustAdd(t, l, "other", tiny(t, "a.txt", 2))
	mustAdd(t, l, "r", v1(t, "folder", file(1, "x"), file(2, "y", "z")))
	newName := "renamed"
	if _, err := l.ChangeRoute("other", &newName, nil); err != nil {
		t.Fatal(err)
	}
	routes, torrents := l.Routes(), listed(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := newRecorder()
	opts.Watcher = again
	l = mustOpen(t, opts)
	if got := l.Routes(); !slices.Equal(got, routes) {
		t.Errorf("routes %+v, before the restart %+v", got, routes)
	}
	if got := listed(l); !slices.Equal(got, torrents) {
		t.Errorf("torrents %+v, before the restart %+v", got, torrents)
	}
	for ih, before := range rec.torrents {
		after := again.torrents[ih]
		before.Load, after.Load, before.Changed = nil, nil, time.Time{}
		before.Numbers.lib = after.Numbers.lib
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("shown %+v, before the restart %+v", after, before)
		}
	}
	// File ids never overlap, nor with those of later torrents.
	mustAdd(t, l, "r", tiny(t, "late", 3))
	used := make(map[uint64]bool)
	for id := range again.routes {
		used[id] = true
	}
	for _, s := range again.torrents {
		for id := s.FirstID; id < s.FirstID+2; id++ { // at least a top and a file
			if used[id] || id < firstID {
				t.Errorf("file id %d is used twice", id)
			}
			used[id] = true
		}
	}
}

func TestCollisions(t *testing.T) {
	opts := testOptions(t, newRecorder())
	l := mustOpen(t, opts)
	first, second := tiny(t, "a.txt", 1), tiny(t, "a.txt", 2)
	mustAdd(t, l, "r", first)
	got := mustAdd(t, l, "r", second)
	want := fmt.Sprintf("a [%s].txt", infohashOf(t, second).String()[:8])
	if got.Name != want {
		t.Errorf("the second is called %q, want %q", got.Name, want)
	}
	// It keeps its name, though the first goes, and over a restart.
	if err := l.Remove(infohashOf(t, first)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, opts)
	if got := names(listed(l)); !slices.Equal(got, []string{want}) {
		t.Errorf("after the restart: %q, want %q", got, want)
	}
	mustAdd(t, l, "r", first)
	if got := names(listed(l)); !slices.Equal(got, []string{want, "a.txt"}) {
		t.Errorf("the first again: %q", got)
	}
}

func TestAddErrors(t *testing.T) {
	l := mustOpen(t, testOptions(t, newRecorder()))
	mustAdd(t, l, "r", tiny(t, "a", 1))
	var exists *ExistsError
	if _, err := l.AddMetainfo("r", tiny(t, "a", 1)); !errors.As(err, &exists) || exists.Route != "r" || exists.Torrent != "a" {
		t.Errorf("the same torrent: %v, want an ExistsError that says where", err)
	}
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+infohashOf(t, tiny(t, "a", 1)).String()); !errors.As(err, &exists) {
		t.Errorf("its magnet: %v, want an ExistsError", err)
	}
	if _, err := l.AddMetainfo("nowhere", tiny(t, "b", 2)); !errors.Is(err, ErrNotFound) {
		t.Errorf("into no route: %v, want %v", err, ErrNotFound)
	}
	var bad *InputError
	for _, magnet := range []string{
		"", "http://example.org", "magnet:?dn=x", "magnet:?xt=urn:btih:123",
		"magnet:?xt=urn:btih:" + strings.Repeat("z", 40), "magnet:?" + strings.Repeat("a", maxMagnet),
	} {
		if _, err := l.AddMagnet("r", magnet); !errors.As(err, &bad) {
			t.Errorf("%.50q: %v, want an InputError", magnet, err)
		}
	}
	if got := names(listed(l)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("afterwards the library has %q", got)
	}
}

func TestRoutes(t *testing.T) {
	l := mustOpen(t, testOptions(t, newRecorder()))
	var bad *InputError
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "a\nb", "\xff", strings.Repeat("n", 256)} {
		if _, err := l.AddRoute(name, ArchivesFolder); !errors.As(err, &bad) {
			t.Errorf("route %q: %v, want an InputError", name, err)
		}
	}
	var exists *ExistsError
	if _, err := l.AddRoute("r", ArchivesFolder); !errors.As(err, &exists) {
		t.Errorf("a route twice: %v", err)
	}
	if err := l.RemoveRoute("nothing", false); !errors.Is(err, ErrNotFound) {
		t.Errorf("remove nothing: %v", err)
	}
	mustAdd(t, l, "r", tiny(t, "a", 1))
	var notEmpty *NotEmptyError
	if err := l.RemoveRoute("r", false); !errors.As(err, &notEmpty) || notEmpty.Torrents != 1 {
		t.Errorf("remove a full route: %v", err)
	}
	if err := l.RemoveRoute("r", true); err != nil {
		t.Error(err)
	}
	if len(l.Routes()) != 0 || len(listed(l)) != 0 {
		t.Errorf("left: %v, %v", l.Routes(), listed(l))
	}
	if left, err := filepath.Glob(filepath.Join(l.opts.DataDir, torrentsDir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left on disk: %q, %v", left, err)
	}
}

// badEntry is a way to damage the library, and what is said of that.
type badEntry struct {
	what   string
	damage func(dir string, ih Infohash) error
	reason string
}

// setMember changes a number in a file of JSON.
func setMember(path, name, value string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	members := make(map[string]json.RawMessage)
	if err := json.Unmarshal(b, &members); err != nil {
		return err
	}
	members[name] = json.RawMessage(value)
	if b, err = json.Marshal(members); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// TestBadEntries damages the library in the ways that disks and people do.
func TestBadEntries(t *testing.T) {
	whole := tiny(t, "whole", 0)
	tests := []badEntry{
		{"record cut off", func(dir string, ih Infohash) error {
			return os.Truncate(filepath.Join(dir, ih.String()+".json"), 20)
		}, "read the record"},
		{"record empty", func(dir string, ih Infohash) error {
			return os.Truncate(filepath.Join(dir, ih.String()+".json"), 0)
		}, "read the record"},
		{"record of another", func(dir string, ih Infohash) error {
			b, err := os.ReadFile(filepath.Join(dir, ih.String()+".json"))
			if err != nil {
				return err
			}
			other := strings.ReplaceAll(string(b), ih.String(), strings.Repeat("ab", 20))
			return os.WriteFile(filepath.Join(dir, ih.String()+".json"), []byte(other), 0o644)
		}, "the record is that of"},
		{"torrent file missing", func(dir string, ih Infohash) error {
			return os.Remove(filepath.Join(dir, ih.String()+".torrent"))
		}, "look for the torrent file"},
		{"torrent file cut off", func(dir string, ih Infohash) error {
			return os.Truncate(filepath.Join(dir, ih.String()+".torrent"), 30)
		}, "30 bytes instead of"},
		{"route gone", func(dir string, _ Infohash) error {
			path := filepath.Join(dir, "..", "library.json")
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(strings.Replace(string(b), `"id": 3`, `"id": 1000`, 1)), 0o644)
		}, "which is not there"},
	}
	for member, reason := range map[string]string{"piece_length": "pieces of", "pieces": "pieces of", "size": "bytes in", "length": "bytes in"} {
		for _, value := range []string{"-1", "1152921504606846976"} {
			tests = append(tests, badEntry{fmt.Sprintf("record with %s %s", member, value), func(dir string, ih Infohash) error {
				return setMember(filepath.Join(dir, ih.String()+".json"), member, value)
			}, reason})
		}
	}
	tests = append(tests, badEntry{"record without a piece length", func(dir string, ih Infohash) error {
		return setMember(filepath.Join(dir, ih.String()+".json"), "piece_length", "0")
	}, "pieces of"})
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			rec := newRecorder()
			opts := testOptions(t, rec)
			opts.Routes = []string{"r", "s"}
			l := mustOpen(t, opts)
			victim := tiny(t, "victim", 1)
			mustAdd(t, l, "r", whole)
			mustAdd(t, l, "s", victim)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			ih := infohashOf(t, victim)
			if err := test.damage(filepath.Join(opts.DataDir, torrentsDir), ih); err != nil {
				t.Fatal(err)
			}
			rec = newRecorder()
			opts.Watcher, opts.Routes = rec, nil
			l = mustOpen(t, opts)
			got, err := l.Torrent(ih)
			if err != nil || got.State != StateFailed || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("the damaged one: state %q, reason %q, %v; want failed, with %q", got.State, got.Reason, err, test.reason)
			}
			if _, shown := rec.shown(ih); shown {
				t.Error("the damaged one is shown")
			}
			if _, shown := rec.shown(infohashOf(t, whole)); !shown {
				t.Error("the other one is not shown")
			}
			// It is kept until somebody removes it.
			if err := l.Remove(ih); err != nil {
				t.Error(err)
			}
			if got := names(listed(l)); !slices.Equal(got, []string{"whole"}) {
				t.Errorf("after removing it: %q", got)
			}
		})
	}
}

// TestDamagedTorrentFile has damage that only reading can show.
func TestDamagedTorrentFile(t *testing.T) {
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec))
	metainfo := tiny(t, "a", 1)
	added := mustAdd(t, l, "r", metainfo)
	damaged := slices.Clone(metainfo)
	damaged[len(damaged)-10] ^= 1
	if err := os.WriteFile(l.metainfoPath(added.Infohash), damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	shown := rec.await(t, added.Infohash)
	if _, err := shown.Load(); !errors.Is(err, ErrFailed) {
		t.Errorf("load: %v, want %v", err, ErrFailed)
	}
	if got, err := l.Torrent(added.Infohash); err != nil || got.State != StateFailed {
		t.Errorf("state %q, %v; want failed", got.State, err)
	}
	// Once the file is restored, the torrent works again.
	if err := os.WriteFile(l.metainfoPath(added.Infohash), metainfo, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := shown.Load(); err != nil {
		t.Error(err)
	}
	if got, err := l.Torrent(added.Infohash); err != nil || got.State != StateIdle {
		t.Errorf("state %q, %v; want idle", got.State, err)
	}
}

// TestLostLibraryFile loses the file that says which ids are taken.
func TestLostLibraryFile(t *testing.T) {
	opts := testOptions(t, newRecorder())
	l := mustOpen(t, opts)
	old := tiny(t, "old", 1)
	mustAdd(t, l, "r", old)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(l.statePath()); err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	opts.Watcher = rec
	l = mustOpen(t, opts)
	if got, err := l.Torrent(infohashOf(t, old)); err != nil || got.State != StateFailed {
		t.Errorf("the old torrent: %+v, %v; want it failed", got, err)
	}
	mustAdd(t, l, "r", tiny(t, "new", 2))
	taken := l.entries[infohashOf(t, old)].rec
	for id := range rec.routes {
		if id <= taken.Route {
			t.Errorf("the new route has the id %d, which the old one had", id)
		}
	}
	if got := rec.await(t, infohashOf(t, tiny(t, "new", 2))).FirstID; got < taken.FirstID+taken.IDs {
		t.Errorf("the new torrent has file ids from %d, the old one had those from %d", got, taken.FirstID)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Run("second instance", func(t *testing.T) {
		opts := testOptions(t, newRecorder())
		mustOpen(t, opts)
		if _, err := Open(opts); !errors.Is(err, ErrLocked) {
			t.Errorf("%v, want %v", err, ErrLocked)
		}
		if err := CheckUnlocked(opts.DataDir, opts.CacheDir); !errors.Is(err, ErrLocked) {
			t.Errorf("the check says %v, want %v", err, ErrLocked)
		}
	})
	t.Run("second instance on the cache", func(t *testing.T) {
		opts := testOptions(t, newRecorder())
		l := mustOpen(t, opts)
		other := testOptions(t, newRecorder())
		other.CacheDir = opts.CacheDir
		_, err := Open(other)
		path, ok := errors.AsType[*fs.PathError](err)
		if !errors.Is(err, ErrLocked) || !ok || path.Path != opts.CacheDir {
			t.Errorf("%v, want %v of %s", err, ErrLocked, opts.CacheDir)
		}
		if err := CheckUnlocked(other.DataDir, other.CacheDir); !errors.Is(err, ErrLocked) {
			t.Errorf("the check says %v, want %v", err, ErrLocked)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := CheckUnlocked(other.DataDir, other.CacheDir); err != nil {
			t.Errorf("after the first one has closed the check says %v", err)
		}
		mustOpen(t, other) // the first try has left no lock behind
	})
	t.Run("data and cache in one folder", func(t *testing.T) {
		opts := testOptions(t, newRecorder())
		opts.CacheDir = opts.DataDir
		mustOpen(t, opts)
	})
	t.Run("a file in the way", func(t *testing.T) {
		opts := testOptions(t, newRecorder())
		if err := os.WriteFile(opts.DataDir, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(opts); err == nil {
			t.Error("opened")
		}
	})
	t.Run("newer format", func(t *testing.T) {
		opts := testOptions(t, newRecorder())
		if err := os.MkdirAll(opts.DataDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(opts.DataDir, "library.json"), []byte(`{"format": 3}`), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(opts); err == nil || !strings.Contains(err.Error(), "format 3") {
			t.Errorf("%v, want one about format 3", err)
		}
		if _, err := os.Stat(filepath.Join(opts.DataDir, "library.json")); err != nil {
			t.Errorf("the library was touched: %v", err)
		}
	})
	t.Run("port taken", func(t *testing.T) {
		opts := testOptions(t, newRecorder())
		l := mustOpen(t, opts)
		second := testOptions(t, newRecorder())
		second.Swarm.Addr = fmt.Sprintf("127.0.0.1:%d", l.swarm.client.LocalPort())
		if got := mustOpen(t, second).swarm.client.LocalPort(); got == l.swarm.client.LocalPort() || got == 0 {
			t.Errorf("the second listens on port %d, the first on %d", got, l.swarm.client.LocalPort())
		}
	})
	t.Run("no such address", func(t *testing.T) {
		opts := testOptions(t, newRecorder())
		opts.Swarm.Addr = "203.0.113.1:0" // of documentation (RFC 5737): no machine has it
		if _, err := Open(opts); err == nil || !strings.Contains(err.Error(), opts.Swarm.Addr) {
			t.Errorf("%v, want one about %s", err, opts.Swarm.Addr)
		}
		// Its lock is free again.
		opts.Swarm.Addr = "127.0.0.1:0"
		mustOpen(t, opts)
	})
}

// TestDeadDelaysNothing has magnets and a torrent that nobody seeds.
func TestDeadDelaysNothing(t *testing.T) {
	alive := newSample(t, "alive", 16<<10, map[string][]byte{"x": randomBytes(100_000)})
	opts := testOptions(t, newRecorder(), startPeer(t, alive).addr)
	l := mustOpen(t, opts)
	const dead = 100 // more magnets than are looked for at a time
	for i := range dead {
		if _, err := l.AddMagnet("r", fmt.Sprintf("magnet:?xt=urn:btih:%040x", i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	opts.Watcher = rec
	start := time.Now()
	l = mustOpen(t, opts)
	mustAdd(t, l, "r", tiny(t, "dead", 1))
	mustAdd(t, l, "r", alive.metainfo)
	if got := len(listed(l)); got != dead+2 {
		t.Errorf("%d torrents, want %d", got, dead+2)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("opening, adding and listing took %v", took)
	}

	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	files := mustLoad(t, rec.await(t, infohashOf(t, tiny(t, "dead", 1))))
	go func() {
		_, err := files[0].ReadAt(ctx, make([]byte, 1), 0)
		waits <- err
	}()
	readFiles(t, rec.await(t, alive.infohash), alive.files)
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("read of a dead torrent: %v, want %v", err, context.Canceled)
	}
}

// TestKilledWhileFetching opens the cache as a process leaves it that was killed.
func TestKilledWhileFetching(t *testing.T) {
	s := newSample(t, "killed", 16<<10, map[string][]byte{"x": randomBytes(160 << 10)})
	m, err := ParseMetainfo(s.metainfo)
	if err != nil {
		t.Fatal(err)
	}
	p := startPeer(t, s)
	rec := newRecorder()
	opts := testOptions(t, rec, p.addr)
	// Ten pieces: the first four are whole, the fifth claims to be but is not, the others are missing.
	if err := os.MkdirAll(opts.CacheDir, 0o755); err != nil {
		t.Fatal(err)
	}
	store, err := cache.Open(cache.Options{Dir: opts.CacheDir, Limit: opts.CacheLimit, Logger: opts.Logger})
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := store.Open(m.Infohash.key(), m.geometry(), newPieceHashes(m).verify)
	if err != nil {
		t.Fatal(err)
	}
	pieces.Fetch(true)
	pieces.Want(cache.Span{First: 0, Last: 4}, cache.Now, 1, 0)
	for i := range 5 {
		piece := slices.Clone(s.files["x"][i<<14 : (i+1)<<14])
		if i == 4 {
			piece[100] ^= 1
		}
		if _, err := pieces.WriteAt(i, piece, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := pieces.Hash(i, io.Discard, 16<<10); err != nil {
			t.Fatal(err)
		}
		if !pieces.Verified(i) {
			t.Fatalf("piece %d is not present", i)
		}
	}
	// As a killed process leaves it.
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(opts.CacheDir)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pieces.Close(), store.Close()); err != nil {
		t.Fatal(err)
	}
	first := mustOpen(t, opts)
	mustAdd(t, first, "r", s.metainfo)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	opts.CacheDir = killed
	rec = newRecorder()
	opts.Watcher = rec
	mustOpen(t, opts)
	readFiles(t, rec.await(t, s.infohash), s.files)
	if got, want := p.uploaded(), int64(6*16<<10); got != want {
		t.Errorf("the peer sent %d bytes, want %d: what was whole is not fetched again", got, want)
	}
}
