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
