package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"
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

// TestArchiveUnread uses handles that were got before a restart: what is inside an archive is there when that was read.
func TestArchiveUnread(t *testing.T) {
	ids := newNumbers()
	outer, _, lone := boxes(nil)
	handles := make(map[string][]byte)
	for path, n := range loadAll(t, archiveTree(t, ids, ArchivesFolder, outer, lone)) {
		handles[path] = handleBytes(n)
	}
	open := make(chan struct{})
	outer, _, lone = boxes(open)
	tr := archiveTree(t, ids, ArchivesFolder, outer, lone)
	top := mustWalk(t, tr, "r/t/x.zip")
	if !top.IsDir() || top.Attr().Mode != dirMode {
		t.Error("an archive that was not read is no folder")
	}
	if _, err := top.Dir(); !errors.Is(err, ErrUnread) {
		t.Errorf("the listing of one that was not read: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{"r/t/x.zip/docs", "r/t/x.zip/docs/inner.zip/deep.txt", "r/t/x.zip/docs/inner.zip"} {
		h := handles[path]
		if _, err := tr.Resolve(h); !errors.Is(err, ErrUnread) || tr.Loaded(h, false) {
			t.Errorf("%q before it was read: %v", path, err)
		}
		if err := tr.Load(ctx, h); !errors.Is(err, context.Canceled) {
			t.Errorf("%q, by who does not wait: %v", path, err)
		}
	}
	if h := handles["r/t/x.zip"]; !tr.Loaded(h, false) || tr.Loaded(h, true) {
		t.Error("the attributes of an archive have to wait, or its listing has not")
	}
	close(open)
	for path, h := range handles {
		must(t, tr.Load(t.Context(), h))
		n, err := tr.Resolve(h)
		if err != nil || strings.Join(n.Path(), "/") != path || !tr.Loaded(h, true) {
			t.Errorf("the handle of %q leads to %q, %v", path, n.Path(), err)
		}
	}
}

// TestNotArchive has files that look like archives only: they are files once that is known.
func TestNotArchive(t *testing.T) {
	broken := fmt.Errorf("%w: its directory is damaged", ErrNotArchive)
	outer, inner, lone := boxes(nil)
	inner.refused, lone.refused = broken, broken
	tr := archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
	for _, path := range []string{"r/lone.zip", "r/t/x.zip/docs/inner.zip"} {
		top := mustWalk(t, tr, path)
		before := top.Parent().Attr().ModTime
		if err := top.Load(t.Context()); !errors.Is(err, ErrNotArchive) {
			t.Errorf("%q: %v", path, err)
		}
		file := mustWalk(t, tr, path)
		if _, err := file.Content(); file.IsDir() || err != nil {
			t.Errorf("%q is no file: %v", path, err)
		}
		if _, err := tr.Resolve(handleBytes(top)); !errors.Is(err, ErrStale) {
			t.Errorf("the handle of the folder %q: %v", path, err)
		}
		if path == "r/lone.zip" && !top.Parent().Attr().ModTime.After(before) {
			t.Errorf("clients are not told that %q has changed", path)
		}
	}
	outer, inner, lone = boxes(nil)
	outer.refused = broken
	outer.known.Store(true)
	tr = archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
	if mustWalk(t, tr, "r/t/x.zip").IsDir() {
		t.Error("what is known to be no archive is shown as one")
	}
	_ = inner
}

// TestArchiveRefuses loads archives whose lists are wrong.
func TestArchiveRefuses(t *testing.T) {
	for name, list := range map[string][]Member{
		"a name":         {member(-1, "a/b", "")},
		"twice":          {member(-1, "a", ""), member(-1, "a", "")},
		"no such folder": {member(7, "a", "")},
		"in a file":      {member(-1, "a", ""), member(0, "b", "")},
		"in itself":      {{Parent: 0, Name: "a", Dir: true}},
	} {
		outer, _, lone := boxes(nil)
		outer.list = list
		tr := archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
		if err := mustWalk(t, tr, "r/t/x.zip").Load(t.Context()); err == nil {
			t.Errorf("%s: it is loaded", name)
		}
	}
}

// TestArchiveHandleLater asks for what is inside an archive by a handle, before anything was listed since the restart.
func TestArchiveHandleLater(t *testing.T) {
	outer, _, lone := boxes(nil)
	ids := newNumbers()
	tr := archiveTree(t, ids, ArchivesFolder, outer, lone)
	n, err := tr.Walk(t.Context(), "r", "lone.zip", "only.bin")
	if err != nil {
		t.Fatal(err)
	}
	handle := n.Handle()

	_, _, lone = boxes(nil)
	lone.later.Store(true)
	tr = archiveTree(t, ids, ArchivesFolder, outer, lone)
	if _, err := tr.Resolve(handle[:]); !errors.Is(err, ErrStale) {
		t.Errorf("while it is a file: %v", err)
	}
	lone.later.Store(false)
	if err := tr.Load(t.Context(), handle[:]); err != nil {
		t.Fatal(err)
	}
	if again, err := tr.Resolve(handle[:]); err != nil || again.Name() != "only.bin" {
		t.Errorf("it is %v, %v", again, err)
	}
}

// TestArchivePlaces resolves file ids that a damaged record has at places where no archive can be.
func TestArchivePlaces(t *testing.T) {
	ids := newNumbers()
	outer, _, lone := boxes(nil)
	tr := archiveTree(t, ids, ArchivesFolder, outer, lone)
	top := mustWalk(t, tr, "r/t/x.zip")
	must(t, top.Load(t.Context()))
	for i, place := range []string{"1/-3", "1/99", "1/x", "1/", "-1", "99", "", "1/2/-1", "1/1073741824", "1/2147483647", "1/9223372036854775807"} {
		id := uint64(5000 + 10*i)
		ids.runs[place] = []Run{{id, 4}}
		h := mustWalk(t, tr, "r/t/x.zip/docs/a.txt").Handle()
		binary.BigEndian.PutUint32(h[24:], uint32(id))
		binary.BigEndian.PutUint32(h[28:], crc32.Checksum(h[:28], castagnoli))
		if n, err := tr.Resolve(h[:]); err == nil && place != "1/" || err != nil && !errors.Is(err, ErrStale) && !errors.Is(err, ErrUnread) {
			t.Errorf("the place %q leads to %v, %v", place, n, err)
		}
	}
}
