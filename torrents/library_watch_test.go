package torrents

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/torrents/watch"
)

// followed is a library with a watch folder.
type followed struct {
	*Library
	t    *testing.T
	dir  string
	opts Options
	rec  *recorder
}

const (
	testRescan = 50 * time.Millisecond
	testSettle = 20 * time.Millisecond
)

// follow opens a library with a watch folder that has the folder films.
func follow(t *testing.T, peers ...string) *followed {
	t.Helper()
	f := &followed{t: t, dir: filepath.Join(t.TempDir(), "watch"), rec: newRecorder()}
	f.opts = testOptions(t, f.rec, peers...)
	f.opts.Routes = nil
	f.opts.Watch = WatchOptions{Dir: f.dir, Rescan: testRescan, Settle: testSettle}
	f.mkdir("films")
	f.Library = mustOpen(t, f.opts)
	return f
}

// restart closes the library, lets something happen, and opens it again.
func (f *followed) restart(meanwhile func()) {
	f.t.Helper()
	f.must(f.Close())
	meanwhile()
	f.rec = newRecorder()
	f.opts.Watcher = f.rec
	f.Library = mustOpen(f.t, f.opts)
}

func (f *followed) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *followed) path(p string) string { return filepath.Join(f.dir, filepath.FromSlash(p)) }

func (f *followed) mkdir(p string) { f.t.Helper(); f.must(os.MkdirAll(f.path(p), 0o755)) }

func (f *followed) write(p string, b []byte) {
	f.t.Helper()
	f.must(os.WriteFile(f.path(p), b, 0o644))
}

func (f *followed) remove(p string) { f.t.Helper(); f.must(os.RemoveAll(f.path(p))) }

func (f *followed) rename(from, to string) {
	f.t.Helper()
	f.must(os.Rename(f.path(from), f.path(to)))
}

// list has the torrents as route/name, sorted.
func (f *followed) list() []string {
	var list []string
	for _, t := range f.Torrents() {
		list = append(list, t.Route+"/"+t.Name)
	}
	slices.Sort(list)
	return list
}

// eventually waits until ok.
func (f *followed) eventually(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			f.t.Fatalf("%s: not within 20 s; there are %q, the watch folder is %+v", what, f.list(), f.Watch())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// awaits waits until there are just these torrents.
func (f *followed) awaits(want ...string) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("torrents %q", want), func() bool { return slices.Equal(f.list(), want) })
}

// stays lets so much time go by that what was to happen has happened, and checks that there are just
// these torrents all the time.
func (f *followed) stays(want ...string) {
	f.t.Helper()
	for end := time.Now().Add(6 * testRescan); time.Now().Before(end); time.Sleep(testSettle) {
		if got := f.list(); !slices.Equal(got, want) {
			f.t.Fatalf("there are %q, want %q", got, want)
		}
	}
}

// rows has what the watch folder says as "path state" and what follows.
func (f *followed) rows() []string {
	var rows []string
	for _, file := range f.Watch().Files {
		row := fmt.Sprintf("%s %s", file.Path, file.State)
		if file.Error != "" {
			row += ": " + file.Error
		}
		rows = append(rows, row)
	}
	return rows
}

func namedMagnet(t testing.TB, metainfo []byte, name string) string {
	t.Helper()
	return fmt.Sprintf("magnet:?xt=urn:btih:%s&dn=%s", infohashOf(t, metainfo), name)
}

func routeNames(l *Library) []string {
	var names []string
	for _, r := range l.Routes() {
		names = append(names, r.Name)
	}
	return names
}

func TestWatchFollows(t *testing.T) {
	f := follow(t)
	f.eventually("a route for the folder", func() bool { return slices.Equal(routeNames(f.Library), []string{"films"}) })
	f.write("films/one.torrent", tiny(t, "a", 1))
	f.awaits("films/a")
	f.mkdir("music")
	f.write("music/two.magnet", []byte("# mine\r\n\r\n"+namedMagnet(t, tiny(t, "x", 2), "b")+"\r\n"+namedMagnet(t, tiny(t, "y", 3), "c")+"\r\n"))
	f.awaits("films/a", "music/b", "music/c")
	if got, want := routeNames(f.Library), []string{"films", "music"}; !slices.Equal(got, want) {
		t.Errorf("routes %q, want %q", got, want)
	}
	f.write("music/two.magnet", []byte(namedMagnet(t, tiny(t, "y", 3), "c")+"\n"+namedMagnet(t, tiny(t, "z", 4), "d")))
	f.awaits("films/a", "music/c", "music/d")
	f.write("films/one.torrent", tiny(t, "e", 5))
	f.awaits("films/e", "music/c", "music/d")
	if got, want := f.rows(), []string{"films/one.torrent added", "music/two.magnet added", "music/two.magnet added"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if w := f.Watch(); w.State != WatchLive || w.Reason != "" || w.Dir != f.dir {
		t.Errorf("the watch folder is %+v, want it watched", w)
	}
	f.remove("films/one.torrent")
	f.awaits("music/c", "music/d")
	f.remove("music")
	f.awaits()
	// The route that was made for it goes with it; the other one has its folder still.
	f.eventually("its route gone", func() bool { return slices.Equal(routeNames(f.Library), []string{"films"}) })
}

// TestWatchTakesRoute has a folder named like a route that was there before, which stays.
func TestWatchTakesRoute(t *testing.T) {
	f := follow(t)
	if _, err := f.AddRoute("mine", ArchivesOff); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, f.Library, "mine", tiny(t, "own", 1))
	f.mkdir("mine")
	f.write("mine/a.torrent", tiny(t, "a", 2))
	f.awaits("mine/a", "mine/own")
	f.remove("mine")
	f.awaits("mine/own")
	f.stays("mine/own")
	f.must(f.Remove(infohashOf(t, tiny(t, "own", 1))))
	f.eventually("the folder forgotten", func() bool { return len(f.current().Watch.Folders) == 1 })
	if got, want := routeNames(f.Library), []string{"films", "mine"}; !slices.Equal(got, want) {
		t.Errorf("routes %q, want %q", got, want)
	}
}

// TestWatchHalfWritten has a file whose second half comes when the first has settled.
func TestWatchHalfWritten(t *testing.T) {
	f := follow(t)
	metainfo := tiny(t, "a", 1)
	f.write("films/a.torrent", metainfo[:len(metainfo)/2])
	f.eventually("the broken file reported", func() bool {
		rows := f.rows()
		return len(rows) == 1 && strings.HasPrefix(rows[0], "films/a.torrent broken: the torrent file cannot be read")
	})
	f.stays()
	f.write("films/a.torrent", metainfo)
	f.awaits("films/a")
	f.eventually("no file broken", func() bool { return slices.Equal(f.rows(), []string{"films/a.torrent added"}) })
	// A broken file may be the one that it was, in a moment: it keeps what it brought.
	f.write("films/a.torrent", metainfo[:len(metainfo)/2])
	f.eventually("the broken file reported", func() bool { return strings.Contains(strings.Join(f.rows(), ""), "broken") })
	f.stays("films/a")
	f.remove("films/a.torrent")
	f.awaits()
}

// TestWatchBroken has all that cannot be taken, beside what can.
func TestWatchBroken(t *testing.T) {
	f := follow(t)
	f.mkdir(`back\slash`)
	f.write(`back\slash/a.torrent`, tiny(t, "a", 1))
	f.write("top.torrent", tiny(t, "b", 2))
	f.write("films/empty.torrent", nil)
	f.write("films/empty.magnet", []byte("\n# nothing\n"))
	f.write("films/lines.magnet", []byte(namedMagnet(t, tiny(t, "c", 3), "c")+"\nhttp://example.org\n"+namedMagnet(t, tiny(t, "d", 4), "d")))
	f.awaits("films/c", "films/d")
	want := []string{
		`back\slash broken: "back\\slash" cannot be the name of a route`,
		`back\slash/a.torrent broken: "back\\slash" cannot be the name of a route`,
		"films/empty.magnet broken: there is no magnet link in the file",
		"films/empty.torrent broken: the torrent file cannot be read",
		"films/lines.magnet added",
		`films/lines.magnet broken: line 2: the magnet link "http://example.org"`,
		"films/lines.magnet added",
		"top.torrent broken: this is in no sub-folder",
	}
	f.eventually("what is broken", func() bool {
		return slices.EqualFunc(f.rows(), want, strings.HasPrefix)
	})
	// While a line is broken, nobody knows what the file would bring.
	f.write("films/lines.magnet", []byte("http://example.org\n"+namedMagnet(t, tiny(t, "d", 4), "d")))
	f.eventually("the broken line reported", func() bool { return strings.Contains(strings.Join(f.rows(), "\n"), "line 1:") })
	f.stays("films/c", "films/d")
	f.write("films/lines.magnet", []byte(namedMagnet(t, tiny(t, "d", 4), "d")))
	f.awaits("films/d")
}

// TestWatchRestart changes the folder while nobody watches.
func TestWatchRestart(t *testing.T) {
	f := follow(t)
	metainfo := tiny(t, "a", 1)
	f.write("films/a.torrent", metainfo)
	f.write("films/b.torrent", tiny(t, "b", 2))
	f.write("films/c.magnet", []byte(namedMagnet(t, tiny(t, "c", 3), "c")))
	mustAddSoon(f, "own", 4)
	f.awaits("films/a", "films/b", "films/c", "films/own")
	f.restart(func() {
		f.remove("films/b.torrent")
		f.remove("films/c.magnet")
		f.write("films/d.torrent", tiny(t, "d", 5))
	})
	f.awaits("films/a", "films/d", "films/own")

	// What has not changed is not read again: now it would be broken.
	st, err := os.Stat(f.path("films/a.torrent"))
	f.must(err)
	f.restart(func() {
		f.write("films/a.torrent", make([]byte, len(metainfo)))
		f.must(os.Chtimes(f.path("films/a.torrent"), st.ModTime(), st.ModTime()))
	})
	f.eventually("the files", func() bool {
		return slices.Equal(f.rows(), []string{"films/a.torrent added", "films/d.torrent added"})
	})
	f.restart(func() { f.must(os.RemoveAll(f.dir)) })
	f.eventually("the folder missed", func() bool { return f.Watch().State == WatchUnavailable })
	f.stays("films/a", "films/d", "films/own")
}

// mustAddSoon adds a torrent by hand, as soon as the route is there.
func mustAddSoon(f *followed, name string, n int) {
	f.t.Helper()
	f.eventually("the route", func() bool { return slices.Contains(routeNames(f.Library), "films") })
	mustAdd(f.t, f.Library, "films", tiny(f.t, name, n))
}

// TestWatchDoubts takes the folder, or a part of it, away as a disk goes. Nothing may be removed, whether
// the library is open then or not, and whether anything comes to where the disk was.
func TestWatchDoubts(t *testing.T) {
	late := tiny(t, "late", 9)
	tests := []struct {
		what      string
		away      func(f *followed)
		back      func(f *followed)
		meanwhile []string // beside the others
	}{
		{
			what: "the folder is gone",
			away: func(f *followed) { f.must(os.Rename(f.dir, f.dir+".away")) },
			back: func(f *followed) { f.must(os.Rename(f.dir+".away", f.dir)) },
		},
		{
			what: "an empty folder in its place",
			away: func(f *followed) {
				f.must(os.Rename(f.dir, f.dir+".away"))
				f.must(os.Mkdir(f.dir, 0o755))
			},
			back: func(f *followed) {
				f.must(os.Remove(f.dir))
				f.must(os.Rename(f.dir+".away", f.dir))
			},
		},
		{
			what: "a folder with another file in its place",
			away: func(f *followed) {
				f.must(os.Rename(f.dir, f.dir+".away"))
				f.mkdir("films")
				f.write("films/late.torrent", late)
			},
			back: func(f *followed) {
				f.must(os.RemoveAll(f.dir))
				f.must(os.Rename(f.dir+".away", f.dir))
			},
			meanwhile: []string{"films/late"},
		},
		{
			what: "a file in its place",
			away: func(f *followed) {
				f.must(os.Rename(f.dir, f.dir+".away"))
				f.must(os.WriteFile(f.dir, nil, 0o644))
			},
			back: func(f *followed) {
				f.must(os.Remove(f.dir))
				f.must(os.Rename(f.dir+".away", f.dir))
			},
		},
		{
			what: "an empty folder in the place of a route",
			away: func(f *followed) {
				f.rename("films", "../films.away")
				f.mkdir("films")
			},
			back: func(f *followed) {
				f.remove("films")
				f.rename("../films.away", "films")
			},
		},
	}
	for _, test := range tests {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, closed %t", test.what, closed), func(t *testing.T) {
				t.Parallel()
				testDoubt(t, closed, test.away, test.back, test.meanwhile)
			})
		}
	}
}

func testDoubt(t *testing.T, closed bool, away, back func(*followed), meanwhile []string) {
	t.Helper()
	f := follow(t)
	all := []string{"films/a", "films/b", "films/c"}
	for i, name := range []string{"a", "b", "c"} {
		f.write("films/"+name+".torrent", tiny(t, name, i))
	}
	f.awaits(all...)
	change := func(f func()) { f() }
	if closed {
		change = f.restart
	}
	change(func() { away(f) })
	with := slices.Sorted(slices.Values(append(slices.Clone(all), meanwhile...)))
	f.eventually("a reason", func() bool { return f.Watch().Reason != "" })
	f.awaits(with...)
	f.stays(with...)
	change(func() { back(f) })
	f.eventually("no reason", func() bool { return f.Watch().Reason == "" && f.Watch().State == WatchLive })
	f.awaits(all...)
	f.stays(all...)
	// From now on what is gone is gone.
	f.remove("films/b.torrent")
	f.awaits("films/a", "films/c")
}

// TestWatchNewDisk has most of the files come back in another folder: that is the watch folder from then on.
func TestWatchNewDisk(t *testing.T) {
	f := follow(t)
	for i := range 3 {
		f.write(fmt.Sprintf("films/%d.torrent", i), tiny(t, fmt.Sprint(i), i))
	}
	f.awaits("films/0", "films/1", "films/2")
	f.restart(func() {
		f.must(os.Rename(f.dir, f.dir+".away"))
		f.mkdir("films")
		for i := range 2 {
			f.write(fmt.Sprintf("films/%d.torrent", i), tiny(t, fmt.Sprint(i), i))
		}
	})
	f.awaits("films/0", "films/1")
	f.remove("films/0.torrent")
	f.awaits("films/1")
}

// TestWatchFolderComesBack takes a folder away for less than a rescan.
func TestWatchFolderComesBack(t *testing.T) {
	f := follow(t)
	f.must(f.Close())
	f.opts.Watch.Rescan = time.Hour
	f.Library = mustOpen(t, f.opts)
	f.write("films/a.torrent", tiny(t, "a", 1))
	f.awaits("films/a")
	f.rename("films", "../films.away")
	f.eventually("the folder missed", func() bool { return len(f.Watch().Files) == 0 })
	f.stays("films/a")
	f.rename("../films.away", "films")
	f.eventually("the folder found", func() bool { return slices.Equal(f.rows(), []string{"films/a.torrent added"}) })
	f.stays("films/a")
	f.remove("films/a.torrent")
	f.awaits()
}

// TestWatchTwins has two files of a torrent, and one that was added by hand.
func TestWatchTwins(t *testing.T) {
	f := follow(t)
	mustAddSoon(f, "own", 2)
	f.write("films/own.torrent", tiny(t, "own", 2))
	f.write("films/a.torrent", tiny(t, "a", 1))
	f.write("films/b.magnet", []byte(namedMagnet(t, tiny(t, "a", 1), "b")))
	f.eventually("all files", func() bool { return len(f.rows()) == 3 && !strings.Contains(strings.Join(f.rows(), ""), "waiting") })
	f.remove("films/own.torrent")
	f.remove("films/a.torrent")
	f.eventually("one file", func() bool { return slices.Equal(f.rows(), []string{"films/b.magnet added"}) })
	both := f.list() // the first file or the second may have been added first
	if f.stays(both...); len(both) != 2 {
		t.Errorf("there are %q, want two", both)
	}
	f.restart(func() {})
	f.eventually("one file", func() bool { return slices.Equal(f.rows(), []string{"films/b.magnet added"}) })
	f.remove("films/b.magnet")
	f.awaits("films/own")
	f.stays("films/own")
}

// TestWatchMoves moves a file: the torrent moves, with what is in the cache and its file ids.
func TestWatchMoves(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"x": randomBytes(40_000)})
	f := follow(t, startPeer(t, s).addr)
	f.mkdir("music")
	f.write("films/show.torrent", s.metainfo)
	f.write("music/same.torrent", v1(t, "show", file(1, "x"))) // another one of that name
	before := f.rec.await(t, s.infohash)
	readFiles(t, before, s.files)
	f.awaits("films/show", "music/show")

	f.rename("films/show.torrent", "films/renamed.torrent")
	f.eventually("the new name", func() bool { return slices.Contains(f.rows(), "films/renamed.torrent added") })
	f.stays("films/show", "music/show")
	moved := fmt.Sprintf("music/show [%s]", s.infohash.String()[:8])
	f.rename("films/renamed.torrent", "music/renamed.torrent")
	f.awaits("music/show", moved)
	after := f.rec.await(t, s.infohash)
	if after.FirstID != before.FirstID || after.Route == before.Route || "music/"+after.Name != moved || after.Changed.IsZero() {
		t.Errorf("shown %+v, before the move %+v", after, before)
	}
	if got, err := f.Torrent(s.infohash); err != nil || got.Cached != got.Size {
		t.Errorf("after the move %d of %d bytes are in the cache, %v", got.Cached, got.Size, err)
	}
	readFiles(t, after, s.files)

	// So it does when the folder gets another name while nobody watches.
	f.restart(func() { f.rename("music", "songs") })
	f.awaits("songs/show", "songs/"+after.Name)
	if got, err := f.Torrent(s.infohash); err != nil || got.Cached != got.Size {
		t.Errorf("after the second move %d of %d bytes are in the cache, %v", got.Cached, got.Size, err)
	}
	f.eventually("the old route gone", func() bool { return slices.Equal(routeNames(f.Library), []string{"films", "songs"}) })
	f.remove("songs/renamed.torrent")
	f.awaits("songs/show")
}

// TestWatchMovesSlowly has a file come to its new place long after it has gone from the old one.
func TestWatchMovesSlowly(t *testing.T) {
	f := follow(t)
	f.must(f.Close())
	f.opts.Watch.Rescan, f.opts.Watch.Settle = time.Hour, 300*time.Millisecond
	f.Library = mustOpen(t, f.opts)
	metainfo := tiny(t, "a", 1)
	f.write("films/a.torrent", metainfo)
	f.awaits("films/a")
	before := f.rec.await(t, infohashOf(t, metainfo))
	f.write("films/b.torrent", metainfo[:10])
	f.remove("films/a.torrent")
	for i := range 60 { // twice as long as a file has to be gone
		f.write("films/b.torrent", metainfo[:10+i])
		time.Sleep(10 * time.Millisecond)
	}
	f.awaits("films/a")
	f.write("films/b.torrent", metainfo)
	f.eventually("the new place", func() bool { return slices.Equal(f.rows(), []string{"films/b.torrent added"}) })
	if after := f.rec.await(t, infohashOf(t, metainfo)); after.FirstID != before.FirstID {
		t.Error("the torrent was removed, and added again")
	}
	f.remove("films/b.torrent")
	f.awaits()
}

// TestWatchMovesMagnet moves the file of a magnet that is not resolved, which is resolved then.
func TestWatchMovesMagnet(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"x": randomBytes(40_000)})
	f := follow(t)
	magnet := fmt.Sprintf("magnet:?xt=urn:btih:%s&dn=later", s.infohash)
	f.write("films/a.magnet", []byte(magnet))
	f.awaits("films/later")
	f.mkdir("music")
	f.rename("films/a.magnet", "music/a.magnet")
	f.awaits("music/later")
	f.opts.Swarm.Peers = []string{startPeer(t, s).addr}
	f.restart(func() {})
	readFiles(t, f.rec.await(t, s.infohash), s.files)
	f.awaits("music/show")
	f.remove("music/a.magnet")
	f.awaits()
}

// TestWatchDismissed removes torrents whose files are there.
func TestWatchDismissed(t *testing.T) {
	f := follow(t)
	f.write("films/a.torrent", tiny(t, "a", 1))
	f.write("films/b.magnet", []byte(namedMagnet(t, tiny(t, "b", 2), "b")+"\n"+namedMagnet(t, tiny(t, "c", 3), "c")))
	mustAddSoon(f, "own", 4)
	f.write("films/own.torrent", tiny(t, "own", 4))
	f.awaits("films/a", "films/b", "films/c", "films/own")
	f.eventually("all files", func() bool { return len(f.rows()) == 4 && !strings.Contains(strings.Join(f.rows(), ""), "waiting") })
	for i, name := range []string{"a", "b", "own"} {
		f.must(f.Remove(infohashOf(t, tiny(t, name, []int{1, 2, 4}[i]))))
	}
	f.stays("films/c")
	want := []string{"films/a.torrent removed", "films/b.magnet removed", "films/b.magnet added", "films/own.torrent removed"}
	if got := f.rows(); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	f.restart(func() {})
	f.eventually("the same as before", func() bool { return slices.Equal(f.rows(), want) })
	f.stays("films/c")
	// A file that changes is wanted again, and so is one that comes back.
	now := time.Now()
	f.must(os.Chtimes(f.path("films/a.torrent"), now, now))
	f.awaits("films/a", "films/c")
	f.rename("films/own.torrent", "films/again.torrent")
	f.awaits("films/a", "films/c", "films/own")
	f.write("films/b.magnet", []byte(namedMagnet(t, tiny(t, "b", 2), "b")))
	f.awaits("films/a", "films/b", "films/own")
	f.eventually("nothing dismissed", func() bool { return len(f.current().Watch.Dismissed) == 0 })
}

// TestWatchDismissedUnseen removes a torrent while nobody knows which files have it.
func TestWatchDismissedUnseen(t *testing.T) {
	f := follow(t)
	f.write("films/a.torrent", tiny(t, "a", 1))
	f.write("films/b.torrent", tiny(t, "b", 2))
	f.awaits("films/a", "films/b")
	f.restart(func() { f.must(os.Rename(f.dir, f.dir+".away")) })
	f.eventually("the folder missed", func() bool { return f.Watch().State == WatchUnavailable })
	f.must(f.Remove(infohashOf(t, tiny(t, "a", 1))))
	f.restart(func() { f.must(os.Rename(f.dir+".away", f.dir)) })
	f.eventually("both files", func() bool {
		return slices.Equal(f.rows(), []string{"films/a.torrent removed", "films/b.torrent added"})
	})
	f.stays("films/b")
	f.restart(func() {})
	f.stays("films/b")
	f.remove("films/a.torrent")
	f.eventually("nothing dismissed", func() bool { return len(f.current().Watch.Dismissed) == 0 })
	f.write("films/a.torrent", tiny(t, "a", 1))
	f.awaits("films/a", "films/b")
}

// TestWatchRouteRemoved removes a route whose folder is there, and renames one.
func TestWatchRouteRemoved(t *testing.T) {
	f := follow(t)
	f.write("films/a.torrent", tiny(t, "a", 1))
	f.awaits("films/a")
	name := "movies"
	if _, err := f.ChangeRoute("films", &name, nil); err != nil {
		t.Fatal(err)
	}
	f.write("films/b.torrent", tiny(t, "b", 2))
	f.awaits("movies/a", "movies/b")
	f.must(f.RemoveRoute("movies", true))
	f.stays()
	if got := routeNames(f.Library); len(got) > 0 {
		t.Errorf("the routes are %q, want none", got)
	}
	// A new file wants its route, which has the name of the folder again.
	f.write("films/c.torrent", tiny(t, "c", 3))
	f.awaits("films/c")
	f.stays("films/c")
}

// TestWatchLibraryFails cannot write what a file brings.
func TestWatchLibraryFails(t *testing.T) {
	f := follow(t)
	f.eventually("the route", func() bool { return len(f.Routes()) == 1 })
	torrents := filepath.Join(f.opts.DataDir, torrentsDir)
	f.must(os.Rename(torrents, torrents+".away"))
	f.write("films/a.torrent", tiny(t, "a", 1))
	f.eventually("the failure", func() bool { return strings.Contains(strings.Join(f.rows(), ""), "broken: write the torrent file") })
	f.stays()
	f.must(os.Rename(torrents+".away", torrents))
	f.awaits("films/a")
	// Nor can it be removed, and then it can.
	f.must(os.Rename(torrents, torrents+".away"))
	f.must(os.WriteFile(torrents, nil, 0o644))
	f.remove("films/a.torrent")
	f.eventually("the failure", func() bool { return strings.Contains(strings.Join(f.rows(), ""), "broken: ") })
	f.must(os.Remove(torrents))
	f.must(os.Rename(torrents+".away", torrents))
	f.awaits()
	f.eventually("no failure", func() bool { return len(f.rows()) == 0 })
}

// TestWatchBusy changes everything from all sides; in the end it is as the files are.
func TestWatchBusy(t *testing.T) {
	f := follow(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	const files = 8
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			p := f.path(fmt.Sprintf("films/%d.torrent", i%files))
			if i/files%2 == 0 {
				_ = os.WriteFile(p, tiny(t, fmt.Sprint(i%files), i%files), 0o644)
			} else {
				_ = os.Remove(p)
			}
			time.Sleep(testSettle / 2)
		}
	})
	busy.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			f.Watch()
			f.Torrents()
			if err := f.Remove(infohashOf(t, tiny(t, fmt.Sprint(i%files), i%files))); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			time.Sleep(testSettle)
		}
	})
	busy.Wait()
	var want []string
	for i := range files {
		name := fmt.Sprint(i)
		f.write("films/"+name+".torrent", append(tiny(t, name, i), "e"...)[:len(tiny(t, name, i))])
		now := time.Now().Add(time.Duration(i+1) * time.Hour)
		f.must(os.Chtimes(f.path("films/"+name+".torrent"), now, now)) // not as it was when it was dismissed
		want = append(want, "films/"+name)
	}
	f.awaits(want...)
	f.remove("films")
	f.awaits()
}

func TestWatchOff(t *testing.T) {
	l := mustOpen(t, testOptions(t, newRecorder()))
	if got := l.Watch(); got.State != WatchOff || got.Files != nil || got.Dir != "" {
		t.Errorf("without a watch folder: %+v", got)
	}
	mustAdd(t, l, "r", tiny(t, "a", 1))
	if err := l.Remove(infohashOf(t, tiny(t, "a", 1))); err != nil {
		t.Fatal(err)
	}
	if got := l.current().Watch.Dismissed; got != nil {
		t.Errorf("dismissed: %v, want nothing", got)
	}
}

// TestDismissedFileGone removes a torrent whose file has just gone: only that file, as it was, must not bring it again.
func TestDismissedFileGone(t *testing.T) {
	l := mustOpen(t, testOptions(t, newRecorder()))
	e := l.entries[mustAdd(t, l, "r", tiny(t, "a", 1)).Infohash]
	rec := e.record()
	rec.Source = &sourceRecord{Path: "r/a.torrent", Stamp: watch.Stamp{Size: 7}}
	e.setRecord(rec)
	for _, w := range []*watching{nil, {files: make(map[string]*watchedFile)}} {
		l.watching = w
		next := l.state.clone()
		l.dismiss(next, e)
		if !next.Watch.isDismissed(e.ih, &watch.File{Path: "r/a.torrent", Stamp: watch.Stamp{Size: 7}}) {
			t.Error("the file may bring it again, want it dismissed")
		}
		for _, other := range []watch.File{{Path: "r/a.torrent", Stamp: watch.Stamp{Size: 8}}, {Path: "r/b.torrent", Stamp: watch.Stamp{Size: 7}}} {
			if next.Watch.isDismissed(e.ih, &other) {
				t.Errorf("%+v is dismissed, and came later", other)
			}
		}
	}
	l.watching = nil
}
