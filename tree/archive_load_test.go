package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fullNumbers have no room for those of what nobody has looked into.
type fullNumbers struct {
	*numbers
	full error
}

func (n *fullNumbers) Take(place string, want int) ([]Run, error) {
	if n.full != nil {
		return nil, n.full
	}
	return n.numbers.Take(place, want)
}

// TestArchiveFails loads an archive that cannot be listed. Whoever waited for that is told why when he looks, and soon it is tried again.
func TestArchiveFails(t *testing.T) {
	ids := newNumbers()
	outer, _, lone := boxes(nil)
	handle := handleBytes(loadAll(t, archiveTree(t, ids, ArchivesFolder, outer, lone))["r/lone.zip/only.bin"])
	gaveUp := errors.New("given up")
	for name, test := range map[string]struct {
		refused, full error
		list          []Member
		want          error
		forgotten     bool
	}{
		"no peers":       {refused: gaveUp, want: gaveUp},
		"no numbers":     {full: syscall.ENOSPC, want: syscall.ENOSPC},
		"a wrong list":   {list: []Member{member(-1, "twice", ""), member(-1, "twice", "")}, want: fs.ErrExist},
		"a missing file": {refused: fmt.Errorf("the metainfo: %w", fs.ErrNotExist)},
		"who gave up":    {refused: context.Canceled, forgotten: true}, // another who waited
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, lone := boxes(nil)
				good := lone.list
				lone.refused = test.refused
				if test.list != nil {
					lone.list = test.list
				}
				full := &fullNumbers{ids, test.full}
				tr := loneTree(t, lone, full)
				top := mustWalk(t, tr, "r/lone.zip")
				if err := tr.Load(t.Context(), handle); err == nil {
					t.Error("it is loaded")
				}
				_, resolveErr := tr.Resolve(handle)
				_, dirErr := top.Dir()
				for what, err := range map[string]error{"Resolve": resolveErr, "Dir": dirErr} {
					if err == nil || test.want != nil && !errors.Is(err, test.want) ||
						errors.Is(err, ErrUnread) != test.forgotten || errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s of what could not be loaded: %v, want %v", what, err, test.want)
					}
				}
				lone.refused, full.full, lone.list = nil, nil, good
				if err := top.Load(t.Context()); (err == nil) != test.forgotten {
					t.Errorf("at once it is tried again: %v", err)
				}
				time.Sleep(failurePause)
				must(t, tr.Load(t.Context(), handle))
				if n, err := tr.Resolve(handle); err != nil || n.Name() != "only.bin" {
					t.Errorf("later: %v", err)
				}
			})
		})
	}
}

// loneTree shows an archive that is a torrent.
func loneTree(t testing.TB, lone Archive, ids Numbers) *Tree {
	t.Helper()
	tr := New(epoch)
	must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: ArchivesFolder}, epoch))
	single := fileTorrent(hash(2), 2, "lone.zip", 30, "PK-lone")
	single.Archive, single.ArchiveIDs, single.Numbers = lone, 60, ids
	must(t, tr.PutTorrent(single, epoch))
	return tr
}

// slowBox is a box that looks at the disk before it says whether it is shown.
type slowBox struct {
	box
	looks func()
}

func (b *slowBox) Shown() bool {
	b.looks()
	return b.box.Shown()
}

// TestArchiveShownUnlocked adds an archive that takes its time to say whether it is one: nobody else waits for that.
func TestArchiveShownUnlocked(t *testing.T) {
	tr := New(epoch)
	must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: ArchivesFolder}, epoch))
	looks := func() {
		answered := make(chan Attr)
		go func() { answered <- tr.Root().Attr() }()
		select {
		case <-answered:
		case <-time.After(time.Second):
			t.Error("the attributes of the root wait for an archive that is added")
			go func() { <-answered }()
		}
	}
	single := fileTorrent(hash(2), 2, "lone.zip", 30, "PK-lone")
	single.Archive, single.ArchiveIDs, single.Numbers = &slowBox{looks: looks}, 60, newNumbers()
	must(t, tr.PutTorrent(single, epoch))
	if !mustWalk(t, tr, "r/lone.zip").IsDir() {
		t.Error("it is no folder")
	}
}
