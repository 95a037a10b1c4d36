package tree

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestArchivesLookInTurn has very many archives in a folder that may be folders later: its attributes ask some of them at a time.
func TestArchivesLookInTurn(t *testing.T) {
	const batch = 20
	const n = 3*batch + 1
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		all := make([]*slowBox, n)
		names := make([]string, n)
		for i := range all {
			all[i] = &slowBox{looks: func() {
				asked.Add(1)
				time.Sleep(lookTime / batch)
			}}
			all[i].later.Store(true)
			names[i] = fmt.Sprintf("%d.gz=", i)
		}
		folder := folderTorrent(hash(1), 2, "t", 10, names...)
		files := folder.Files
		folder.Files = func() ([]File, error) {
			list, err := files()
			for i := range list {
				list[i].Archive = all[i]
			}
			return list, err
		}
		folder.ArchiveIDs, folder.Numbers = 1000, newNumbers()
		tr := New(epoch)
		must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: ArchivesFolder}, epoch))
		must(t, tr.PutTorrent(folder, epoch))
		top := mustWalk(t, tr, "r/t")
		if _, err := top.Dir(); err != nil {
			t.Fatal(err)
		}
		for _, b := range all {
			b.later.Store(false)
		}
		for look := range 4 {
			time.Sleep(lookPause)
			asked.Store(0)
			top.Attr()
			top.Attr()
			if got := asked.Load(); got > batch {
				t.Errorf("%d archives are asked at a time", got)
			}
			dir, err := top.Dir()
			must(t, err)
			folders := 0
			for _, e := range dir.Entries() {
				if e.Node.IsDir() {
					folders++
				}
			}
			if want := min(n, (look+1)*batch); folders != want {
				t.Errorf("after look %d: %d folders, want %d", look, folders, want)
			}
		}
	})
}

// TestListingOfHidden makes a listing while an archive in the folder turns out to be none: it is not kept as it was begun.
func TestListingOfHidden(t *testing.T) {
	outer, _, lone := boxes(nil)
	tr := archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
	top := mustWalk(t, tr, "r/t/x.zip")
	folder := top.torrent.inside.Load().nodes[0].folder
	folder.dirs.forget()
	hidden := make(chan struct{})
	begun := folder.dirs.keep(ArchivesFolder, func(l *listing) {
		l.add(top.archive, Entry{Name: "x.zip", Node: top.archive.file}, ArchivesFolder)
		go func() {
			defer close(hidden)
			outer.known.Store(true)
			top.archive.show(false)
		}()
		select {
		case <-hidden:
		case <-time.After(50 * time.Millisecond): // it waits for us, then
		}
	})
	<-hidden
	if n, ok := begun.Lookup("x.zip"); !ok || !n.IsDir() {
		t.Fatal("the test lists no folder")
	}
	dir, err := top.Parent().Dir()
	must(t, err)
	if n, ok := dir.Lookup("x.zip"); !ok || n.IsDir() {
		t.Error("what turned out to be no archive is listed as a folder")
	}
}

// TestRefusalForgotten has an archive that is none, which its source does not remember: it is a file for a while, and does not turn each time
// that somebody looks into it.
func TestRefusalForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := newNumbers()
		outer, _, lone := boxes(nil)
		handles := make(map[string][]byte)
		for path, n := range loadAll(t, archiveTree(t, ids, ArchivesFolder, outer, lone)) {
			handles[path] = handleBytes(n)
		}
		outer, inner, lone := boxes(nil)
		paths := map[string]*box{"r/lone.zip": lone, "r/t/x.zip/docs/inner.zip": inner}
		for _, b := range paths {
			b.refused, b.forgets = ErrNotArchive, true
		}
		tr := archiveTree(t, ids, ArchivesFolder, outer, lone)
		for path := range paths {
			top := mustWalk(t, tr, path)
			turns, was := 0, true
			for range 10 * refusalPause / time.Second {
				time.Sleep(time.Second)
				top.Parent().Attr()
				now := mustWalk(t, tr, path)
				if now.IsDir() != was {
					turns++
				}
				was = now.IsDir()
				if err := now.Load(t.Context()); was != errors.Is(err, ErrNotArchive) {
					t.Fatalf("%s, a folder (%t), is loaded: %v", path, was, err)
				}
				for _, h := range [][]byte{handles[path], handles[path+"/deep.txt"], handles[path+"/only.bin"]} {
					_ = tr.Load(t.Context(), h)
				}
			}
			if turns > 20 || turns < 15 {
				t.Errorf("%s turned %d times in ten minutes", path, turns)
			}
		}
	})
}

// stamps are the mtimes of all folders in which there are archives.
func stamps(t *testing.T, tr *Tree, top string) [4]time.Time {
	t.Helper()
	var at [4]time.Time
	for i, path := range []string{"r", "r/t", "r/t/" + top, "r/t/" + top + "/docs"} {
		n := mustWalk(t, tr, path)
		if n.IsDir() {
			at[i] = n.Attr().ModTime
		}
	}
	return at
}

// TestArchiveStamps: the mtime of a folder is another one whenever what it lists is, also after a restart, or clients keep what they have; and it
// is the same when that is the same.
func TestArchiveStamps(t *testing.T) {
	ways := map[Archives]string{ArchivesFolder: "x.zip", ArchivesBoth: "x.zip.contents (1)"}
	restarted := func(way Archives, known bool) *Tree {
		outer, inner, lone := boxes(nil)
		inner.refused = fmt.Errorf("%w: it is damaged", ErrNotArchive)
		inner.known.Store(known)
		return archiveTree(t, newNumbers(), way, outer, lone)
	}
	tr := restarted(ArchivesFolder, false)
	seen := make(map[time.Time]string)
	for way, top := range ways {
		must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: way}, epoch.Add(time.Hour)))
		got := stamps(t, tr, top)
		for i, at := range got {
			if other, taken := seen[at]; taken && other != top {
				t.Errorf("folder %d has the same mtime for archives as %q and as %q", i, top, other)
			}
			seen[at] = top
		}
		if after := stamps(t, restarted(way, false), top); after != got {
			t.Errorf("%q: after a restart the mtimes are %v, and were %v", top, after, got)
		}
	}

	must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: ArchivesFolder}, epoch))
	before := stamps(t, tr, "x.zip")
	if err := mustWalk(t, tr, "r/t/x.zip/docs/inner.zip").Load(t.Context()); !errors.Is(err, ErrNotArchive) {
		t.Fatal(err)
	}
	after := stamps(t, tr, "x.zip")
	for i := 1; i < len(after); i++ {
		if after[i].Equal(before[i]) || after[i].Sub(before[i]).Abs() >= time.Second {
			t.Errorf("folder %d has the mtime %v after an archive turned out to be none, and had %v", i, after[i], before[i])
		}
	}
	again := restarted(ArchivesFolder, true)
	must(t, mustWalk(t, again, "r/t/x.zip").Load(t.Context()))
	if got := stamps(t, again, "x.zip"); got != after {
		t.Errorf("after a restart, when that is known, the mtimes are %v, and were %v", got, after)
	}

	must(t, again.PutRoute(Route{ID: 3, Name: "other", Archives: ArchivesOff}, epoch))
	must(t, again.PutTorrent(Torrent{Infohash: hash(1), Route: 3, Name: "t"}, epoch))
	if got := mustWalk(t, again, "other/t").Attr().ModTime; got.Equal(after[1]) {
		t.Error("in another route, which shows archives as files, the torrent's folder has the same mtime")
	}
}

// TestArchivesLater has archives that are files at first, and folders later: what has changed is seen by the mtime of the folder above.
func TestArchivesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(epoch.Add(time.Hour)))
		outer, inner, lone := boxes(nil)
		for _, b := range []*box{outer, inner, lone} {
			b.later.Store(true)
		}
		tr := archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
		find := func(path ...string) Node {
			t.Helper()
			n, err := tr.Walk(t.Context(), path...)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		turns := func(b *box, path ...string) {
			t.Helper()
			above := find(path[:len(path)-1]...)
			if n := find(path...); n.IsDir() {
				t.Errorf("%q is a folder at once", path)
			}
			before := above.Attr().ModTime
			time.Sleep(2 * time.Second)
			b.later.Store(false)
			after := above.Attr().ModTime
			if n := find(path...); !n.IsDir() || after.Equal(before) {
				t.Errorf("%q is a folder: %v; the mtime above was %v and is %v", path, n.IsDir(), before, after)
			}
		}
		turns(lone, "r", "lone.zip")
		turns(outer, "r", "t", "x.zip")
		turns(inner, "r", "t", "x.zip", "docs", "inner.zip")

		// One whose inside cannot be listed is a file again, until that can be.
		lone.refused = ErrNotArchive
		lone.later.Store(true)
		if _, err := tr.Walk(t.Context(), "r", "lone.zip", "only.bin"); !errors.Is(err, ErrNotArchive) {
			t.Fatal(err)
		}
		handle := find("r", "lone.zip").Handle()
		if find("r", "lone.zip").IsDir() {
			t.Error("what was refused is a folder")
		}
		lone.refused = nil
		lone.known.Store(false)
		turns(lone, "r", "lone.zip")
		if n, err := tr.Resolve(handle[:]); err != nil || n.IsDir() {
			t.Errorf("the handle of the file is one of %v, %v", n, err)
		}
	})
}
