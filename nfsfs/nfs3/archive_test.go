package nfs3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"shoal/tree"
)

// crate is an archive whose list comes when it is open.
type crate struct {
	open    chan struct{}
	refused error
	said    *atomic.Bool // that it is refused; nil if it is not
	full    error        // there are no file ids for what is inside
}

func (c crate) Members(ctx context.Context) ([]tree.Member, error) {
	select {
	case <-c.open:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c.said != nil {
		c.said.Store(true)
	}
	at := time.Unix(1_650_000_000, 0)
	return []tree.Member{
		{Parent: -1, Name: "a.txt", Size: int64(len(hello)), ModTime: at, Content: text(hello)},
		{Parent: -1, Name: "link", Link: "a.txt", ModTime: at},
		{Parent: -1, Name: "run", Size: 1, ModTime: at, Run: true, Content: text("!")},
	}, c.refused
}

func (c crate) Shown() bool { return c.said == nil || !c.said.Load() }

// ids are file ids from 5000 on, of the archive of one torrent.
type ids struct{ full error }

func (i ids) Take(_ string, n int) ([]tree.Run, error) {
	return []tree.Run{{First: 5000, N: n}}, i.full
}

func (ids) Find(id uint64) (string, int, bool) { return "0", int(id - 5000), id >= 5000 }

// serveCrate serves an archive.
func serveCrate(t *testing.T, c crate, edit func(*Options)) (*export, tree.Node) {
	t.Helper()
	tr := library(t)
	route := tree.Route{ID: filmsID, Name: "films", Archives: tree.ArchivesFolder}
	if err := tr.PutRoute(route, time.Unix(1_700_000_003, 0)); err != nil {
		t.Fatal(err)
	}
	putTorrent(t, tr, tree.Torrent{
		Infohash: tree.Infohash{88}, Route: filmsID, Name: "x.zip", FirstID: 880, IsFile: true, Size: 100,
		Archive: c, ArchiveIDs: 882, Numbers: ids{c.full},
	}, tree.File{Size: 100, Content: text("PK")})
	e := serve(t, tr, edit)
	return e, e.node("films", "x.zip")
}

// TestArchive looks into an archive that has to be read first: nothing else waits for that, and neither do its attributes.
func TestArchive(t *testing.T) {
	c := crate{open: make(chan struct{})}
	e, top := serveCrate(t, c, nil)
	w := e.dial()
	xid := w.send(procLookup, pack(top, "a.txt"))
	for range 10 {
		if r := w.call(procGetattr, top); r.status != statusOK || r.obj.kind != typeDir {
			t.Fatalf("GETATTR of an archive that is being read: status %d", r.status)
		}
	}
	close(c.open)
	r := w.expectXID(xid, procLookup)
	file := e.node("films", "x.zip", "a.txt")
	if err := isAttr(r.obj, file); r.status != statusOK || err != nil {
		t.Fatalf("LOOKUP in an archive: status %d, %v", r.status, err)
	}
	if r := w.call(procRead, raw(pack(r.handle)), uint64(0), uint32(100)); string(r.data) != hello {
		t.Errorf("READ of a member: status %d, %q", r.status, r.data)
	}
	if r := w.call(procReaddirplus, top, uint64(0), uint64(0), uint32(4096), uint32(4096)); len(r.entries) != 5 {
		t.Errorf("READDIRPLUS: status %d, %d entries", r.status, len(r.entries))
	}

	link := e.node("films", "x.zip", "link")
	if r := w.call(procReadlink, link); r.status != statusOK || string(r.data) != "a.txt" || r.obj.kind != typeLink {
		t.Errorf("READLINK: status %d, %q", r.status, r.data)
	}
	for name, want := range map[string]uint32{"run": accessRead | accessExecute, "a.txt": accessRead} {
		if r := w.call(procAccess, e.node("films", "x.zip", name), uint32(0x3f)); r.access != want {
			t.Errorf("ACCESS to %q: %#x, want %#x", name, r.access, want)
		}
	}
}

// TestArchiveLate asks for an archive that cannot be read in time: the client is to ask again.
func TestArchiveLate(t *testing.T) {
	e, top := serveCrate(t, crate{open: make(chan struct{})}, func(o *Options) { o.ReadWait = 50 * time.Millisecond })
	if r := e.dial().call(procLookup, top, "a.txt"); r.status != statusJukebox {
		t.Errorf("LOOKUP: status %d, want JUKEBOX", r.status)
	}
}

// TestArchiveFails asks for what is in an archive that cannot be listed, whoever is asked: clients are told so, also those with an old handle.
func TestArchiveFails(t *testing.T) {
	old, top := serveCrate(t, crate{open: closed()}, nil)
	if err := top.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	member := old.node("films", "x.zip", "a.txt").Handle()
	for name, test := range map[string]struct {
		crate crate
		want  uint32
	}{
		"given up":              {crate{refused: errors.New("no byte from the swarm for 5m")}, statusIO},
		"a file is missing":     {crate{refused: fmt.Errorf("the metainfo: %w", fs.ErrNotExist)}, statusIO},
		"the time of a tracker": {crate{refused: fmt.Errorf("a tracker: %w", context.DeadlineExceeded)}, statusIO},
		"no room for numbers":   {crate{full: syscall.ENOSPC}, statusIO},
		"no descriptors":        {crate{refused: syscall.EMFILE}, statusJukebox},
		"a stop":                {crate{refused: fmt.Errorf("another: %w", context.Canceled)}, statusJukebox},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			test.crate.open = closed()
			e, top := serveCrate(t, test.crate, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			w := e.dial()
			for range 2 {
				for what, r := range map[string]*result{
					"LOOKUP":                w.call(procLookup, top, "a.txt"),
					"READDIR":               w.call(procReaddir, top, uint64(0), uint64(0), uint32(4096)),
					"READ of a member":      w.call(procRead, member[:], uint64(0), uint32(10)),
					"GETATTR of a member":   w.call(procGetattr, member[:]),
					"REMOVE below a member": w.call(procRemove, member[:], "x"),
				} {
					if r.status != test.want {
						t.Errorf("%s: status %d, want %d", what, r.status, test.want)
					}
				}
			}
			if r := w.call(procGetattr, top); r.status != statusOK || r.obj.kind != typeDir {
				t.Errorf("GETATTR: status %d", r.status)
			}
			if err := e.close(); err != nil {
				t.Error(err)
			}
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("it is logged in %d lines:\n%s", n, &log)
			}
		})
	}
}

// closed returns a channel from which everybody receives at once.
func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// TestNotArchive asks for what is in a file that is none.
func TestNotArchive(t *testing.T) {
	c := crate{open: make(chan struct{}), refused: fmt.Errorf("%w: damaged", tree.ErrNotArchive), said: new(atomic.Bool)}
	close(c.open)
	e, top := serveCrate(t, c, nil)
	w := e.dial()
	if r := w.call(procLookup, top, "a.txt"); r.status != statusIO && r.status != statusStale {
		t.Errorf("LOOKUP: status %d", r.status)
	}
	if r := w.call(procLookup, e.node("films"), "x.zip"); r.status != statusOK || r.obj.kind != typeFile {
		t.Errorf("LOOKUP of what is no archive: status %d", r.status)
	}
	if _, err := e.tree.Walk(t.Context(), "films", "x.zip", "a.txt"); !errors.Is(err, tree.ErrNotDir) {
		t.Errorf("below a file there is something: %v", err)
	}
}
