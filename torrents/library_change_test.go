package torrents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func mustChange(t testing.TB, l *Library, ih Infohash, change TorrentChange) Torrent {
	t.Helper()
	changed, err := l.ChangeTorrent(ih, change)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// reopen closes a library and opens it again, with another watcher.
func reopen(t testing.TB, l *Library) (*Library, *recorder) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	opts := l.opts
	opts.Watcher, opts.Routes = rec, nil
	return mustOpen(t, opts), rec
}

// openTwo opens a library with the routes r and s.
func openTwo(t testing.TB, peers ...string) (*Library, *recorder) {
	t.Helper()
	rec := newRecorder()
	opts := testOptions(t, rec, peers...)
	opts.Routes = []string{"r", "s"}
	opts.Swarm.AllowPrivate = true // trackers and web seeds are here
	return mustOpen(t, opts), rec
}

func TestMoveAndRename(t *testing.T) {
	tests := []struct {
		what   string
		change TorrentChange
		route  string
		name   string
		moved  string // the routes whose listing changes
	}{
		{"nothing", TorrentChange{}, "r", "a.txt", ""},
		{"to the same", TorrentChange{Route: new("r"), Name: new("a.txt")}, "r", "a.txt", ""},
		{"rename", TorrentChange{Name: new("Größe.txt")}, "r", "Größe.txt", "r"},
		{"move", TorrentChange{Route: new("s")}, "s", "a.txt", "rs"},
		{"both", TorrentChange{Route: new("s"), Name: new("c")}, "s", "c", "rs"},
		{"move where the name is taken", TorrentChange{Route: new("full")}, "full", "a [%.8s].txt", "rfull"},
		{"both, where the old name is taken", TorrentChange{Route: new("full"), Name: new("c")}, "full", "c", "rfull"},
		{"pause and pin", TorrentChange{Paused: new(true), Pinned: new(true)}, "r", "a.txt", ""},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			l, rec := openTwo(t)
			if _, err := l.AddRoute("full", ArchivesOff); err != nil {
				t.Fatal(err)
			}
			ih := mustAdd(t, l, "r", tiny(t, "a.txt", 1)).Infohash
			mustAdd(t, l, "full", tiny(t, "a.txt", 2))
			before, shown := l.Routes(), rec.await(t, ih)
			got := mustChange(t, l, ih, test.change)
			name := test.name
			if strings.Contains(name, "%") {
				name = fmt.Sprintf(name, ih)
			}
			check := func(l *Library, rec *recorder) {
				t.Helper()
				if again, err := l.Torrent(ih); err != nil || again != got || got.Route != test.route || got.Name != name {
					t.Errorf("changed to %+v, and is then %+v (%v); want it in %q as %q", got, again, err, test.route, name)
				}
				after := rec.await(t, ih)
				if rec.routes[after.Route].Name != test.route || after.Name != name {
					t.Errorf("shown in %q as %q, want %q, %q", rec.routes[after.Route].Name, after.Name, test.route, name)
				}
				if after.FirstID != shown.FirstID || !after.ModTime.Equal(shown.ModTime) {
					t.Errorf("shown with the ids from %d and the time %v, want %d and %v as before", after.FirstID, after.ModTime, shown.FirstID, shown.ModTime)
				}
				for i, r := range l.Routes() {
					if changed := r.Changed.After(before[i].Changed); changed != strings.Contains(test.moved, r.Name) {
						t.Errorf("the listing of %q changed: %t, want those of %q to", r.Name, changed, test.moved)
					}
				}
			}
			check(l, rec)
			if got.Paused != (test.change.Paused != nil) || got.Pinned != (test.change.Pinned != nil) {
				t.Errorf("paused: %t, pinned: %t", got.Paused, got.Pinned)
			}
			check(reopen(t, l))
		})
	}
}

func TestChangeErrors(t *testing.T) {
	l, rec := openTwo(t)
	ih := mustAdd(t, l, "r", tiny(t, "a", 1)).Infohash
	other := mustAdd(t, l, "r", tiny(t, "b", 2)).Infohash
	mustAdd(t, l, "s", tiny(t, "a", 3))
	before, shown := listed(l), rec.await(t, ih)
	var bad *InputError
	for _, name := range []string{"", ".", "..", "x/y", `x\y`, "x\ny", "\xff", strings.Repeat("n", 256)} {
		if _, err := l.ChangeTorrent(ih, TorrentChange{Name: &name, Paused: new(true)}); !errors.As(err, &bad) {
			t.Errorf("the name %q: %v, want an InputError", name, err)
		}
	}
	if _, err := l.ChangeTorrent(ih, TorrentChange{Route: new("nothing")}); !errors.Is(err, ErrNotFound) {
		t.Errorf("to no route: %v, want %v", err, ErrNotFound)
	}
	if _, err := l.ChangeTorrent(Infohash{1}, TorrentChange{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("of no torrent: %v, want %v", err, ErrNotFound)
	}
	var taken *NameTakenError
	if _, err := l.ChangeTorrent(ih, TorrentChange{Name: new("b")}); !errors.As(err, &taken) || taken.Infohash != other {
		t.Errorf("to a name that is taken: %v, want a NameTakenError about %s", err, other)
	}
	if _, err := l.ChangeTorrent(ih, TorrentChange{Name: new("a"), Route: new("s")}); !errors.As(err, &taken) || taken.Route != "s" {
		t.Errorf("to a route where the name is taken: %v, want a NameTakenError about s", err)
	}
	if got := listed(l); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("afterwards the torrents are %+v, want %+v", got, before)
	}
	if after := rec.await(t, ih); after.Name != shown.Name || after.Route != shown.Route {
		t.Errorf("afterwards it is shown as %+v, want %+v", after, shown)
	}
}

// TestChangeWhileRead moves and renames while others list and read.
func TestChangeWhileRead(t *testing.T) {
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(100_000)})
	l, rec := openTwo(t, startPeer(t, s).addr)
	mustAdd(t, l, "r", s.metainfo)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			name, route := fmt.Sprint("name ", i%3), []string{"r", "s"}[i%2]
			change := TorrentChange{Name: &name, Route: &route, Pinned: new(i%2 == 0)}
			if _, err := l.ChangeTorrent(s.infohash, change); err != nil {
				t.Errorf("change: %v", err)
			}
		}
	})
	group.Go(func() {
		for ctx.Err() == nil {
			if list := listed(l); len(list) != 1 || list[0].Route == "" {
				t.Errorf("listed: %+v", list)
			}
			held := 0
			for _, r := range l.Routes() {
				held += r.Torrents
			}
			if held != 1 {
				t.Errorf("%d torrents in the routes, want 1", held)
			}
		}
	})
	files := mustLoad(t, rec.await(t, s.infohash))
	for ctx.Err() == nil {
		got := make([]byte, 100_000)
		if _, err := files[0].ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, s.files[""]) {
			t.Fatalf("read: %v, or other bytes than the original", err)
		}
	}
	group.Wait()
}

func TestPause(t *testing.T) {
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(1 << 20)})
	p := startPeer(t, s)
	l, rec := openTwo(t, p.addr)
	mustAdd(t, l, "r", s.metainfo)
	dead := mustAdd(t, l, "r", tiny(t, "dead", 1)).Infohash
	read := func(rec *recorder, ih Infohash, off int64) error {
		files := mustLoad(t, rec.await(t, ih))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := files[0].ReadAt(ctx, make([]byte, 1), off)
		return err
	}
	if err := read(rec, s.infohash, 0); err != nil {
		t.Fatal(err)
	}
	waits := make(chan error)
	go func() { waits <- read(rec, dead, 0) }()
	awaitMembers(t, l, 2)
	for _, ih := range []Infohash{s.infohash, dead} {
		got := mustChange(t, l, ih, TorrentChange{Paused: new(true)})
		if got.State != StatePaused || !got.Paused || !strings.Contains(got.Reason, "paused") {
			t.Errorf("paused: %+v, want that state, and the reason to say so", got)
		}
	}
	if err := <-waits; !errors.Is(err, ErrPaused) {
		t.Errorf("the read that waited: %v, want %v", err, ErrPaused)
	}
	check := func(l *Library, rec *recorder) {
		t.Helper()
		if err := read(rec, s.infohash, 100); err != nil {
			t.Errorf("what is in the cache: %v", err)
		}
		if err := read(rec, s.infohash, 900_000); !errors.Is(err, ErrPaused) {
			t.Errorf("what is not in the cache: %v, want %v", err, ErrPaused)
		}
		if got := len(l.swarm.list()); got > 0 {
			t.Errorf("%d torrents are in the swarm, want none", got)
		}
	}
	check(l, rec)
	l, rec = reopen(t, l)
	check(l, rec)
	if got := mustChange(t, l, s.infohash, TorrentChange{Paused: new(false)}); got.Paused || got.State != StateIdle {
		t.Errorf("not paused any more: %+v, want it idle", got)
	}
	if err := read(rec, s.infohash, 900_000); err != nil {
		t.Errorf("not paused any more: %v", err)
	}
}

// awaitMembers waits until n torrents are in the swarm.
func awaitMembers(t testing.TB, l *Library, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(l.swarm.list()) != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d torrents are in the swarm, want %d", len(l.swarm.list()), n)
		}
	}
}

// TestChangeMagnet changes one that is unresolved.
func TestChangeMagnet(t *testing.T) {
	s := newSample(t, "its own name", 16<<10, map[string][]byte{"x": randomBytes(50_000)})
	l, _ := openTwo(t)
	mustAdd(t, l, "s", tiny(t, "taken", 1))
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+s.infohash.String()); err != nil {
		t.Fatal(err)
	}
	awaitMembers(t, l, 1)
	var taken *NameTakenError
	if _, err := l.ChangeTorrent(s.infohash, TorrentChange{Name: new("taken"), Route: new("s")}); !errors.As(err, &taken) {
		t.Errorf("a name that is taken: %v, want a NameTakenError", err)
	}
	mustChange(t, l, s.infohash, TorrentChange{Name: new("mine"), Route: new("s"), Pinned: new(true)})
	// The name is the magnet's before it shows.
	if got := mustAdd(t, l, "s", tiny(t, "mine", 2)); got.Name == "mine" {
		t.Error("another torrent got the name of the magnet")
	}
	got := mustChange(t, l, s.infohash, TorrentChange{Paused: new(true)})
	if got.State != StatePaused || got.Name != "mine" || got.Route != "s" {
		t.Errorf("paused: %+v", got)
	}
	awaitMembers(t, l, 0)
	l.opts.Swarm.Peers = []string{startPeer(t, s).addr}
	l, rec := reopen(t, l)
	if got := len(l.swarm.list()); got > 0 {
		t.Errorf("%d torrents are in the swarm after a restart, want none", got)
	}
	mustChange(t, l, s.infohash, TorrentChange{Paused: new(false)})
	readFiles(t, rec.await(t, s.infohash), s.files)
	if got, err := l.Torrent(s.infohash); err != nil || got.Name != "mine" || got.Route != "s" || !got.Pinned || got.Paused {
		t.Errorf("resolved: %+v, %v; want it pinned, in s as mine", got, err)
	}
}

// TestPauseAndResumeMagnet changes its mind faster than the swarm.
func TestPauseAndResumeMagnet(t *testing.T) {
	s := newSample(t, "x", 16<<10, map[string][]byte{"x": randomBytes(1000)})
	l, rec := openTwo(t, startPeer(t, s).addr)
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+s.infohash.String()); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		mustChange(t, l, s.infohash, TorrentChange{Paused: new(true)})
		mustChange(t, l, s.infohash, TorrentChange{Paused: new(false)})
	}
	readFiles(t, rec.await(t, s.infohash), s.files)
}

// TestMoveFailed gives a torrent whose route was lost another one.
func TestMoveFailed(t *testing.T) {
	l, _ := openTwo(t)
	ih := mustAdd(t, l, "r", tiny(t, "a", 1)).Infohash
	unreadable := mustAdd(t, l, "r", tiny(t, "b", 2)).Infohash
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(l.statePath()); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(l.recordPath(unreadable), 10); err != nil {
		t.Fatal(err)
	}
	l, rec := reopen(t, l)
	if _, err := l.AddRoute("new", ArchivesOff); err != nil {
		t.Fatal(err)
	}
	for _, torrent := range listed(l) {
		if torrent.State != StateFailed {
			t.Errorf("before: %+v, want it failed", torrent)
		}
		_, err := l.ChangeTorrent(torrent.Infohash, TorrentChange{Route: new("new")})
		if want := torrent.Infohash == unreadable; want != errors.Is(err, ErrFailed) {
			t.Errorf("move %+v: %v", torrent, err)
		}
	}
	if got := rec.await(t, ih); got.Name != "a" || rec.routes[got.Route].Name != "new" {
		t.Errorf("shown: %+v, want it in new as a", got)
	}
	awaitMembers(t, l, 1)
	l, rec = reopen(t, l)
	rec.await(t, ih)
	if got, err := l.Torrent(ih); err != nil || got.State != StateIdle {
		t.Errorf("after a restart: %+v, %v; want it idle", got, err)
	}
}

// TestFileName: what a single file is called in the metainfo stays known, whatever it is shown as, and for torrents of earlier versions.
func TestFileName(t *testing.T) {
	l, rec := openTwo(t)
	ih := mustAdd(t, l, "r", tiny(t, "x.tar.gz", 1)).Infohash
	double := mustAdd(t, l, "r", tiny(t, "x.tar.gz", 2)).Infohash
	old := mustAdd(t, l, "r", tiny(t, "old.zip", 3)).Infohash
	e, err := l.entry(old)
	if err != nil {
		t.Fatal(err)
	}
	record := e.record()
	record.FileName = ""
	e.setRecord(record)
	if name := rec.await(t, double).Name; name == "x.tar.gz" {
		t.Errorf("two are shown as %q", name)
	}
	mustChange(t, l, ih, TorrentChange{Name: new("film.mkv")})
	mustChange(t, l, old, TorrentChange{Name: new("new.zip")})
	mustChange(t, l, old, TorrentChange{Name: new("newer.mkv")})
	check := func(rec *recorder) {
		t.Helper()
		for ih, want := range map[Infohash]string{ih: "x.tar.gz", double: "x.tar.gz", old: "old.zip"} {
			if got := rec.await(t, ih); got.FileName != want {
				t.Errorf("%q has the name %q in the metainfo, want %q", got.Name, got.FileName, want)
			}
		}
	}
	check(rec)
	_, rec = reopen(t, l)
	check(rec)
}
