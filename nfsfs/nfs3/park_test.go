package nfs3

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/tree"
)

// park serves a file whose data comes when it is told to.
func park(t *testing.T, edit func(*Options)) (*export, *parked, tree.Node) {
	t.Helper()
	tr := library(t)
	p := newParked()
	putFile(t, tr, tree.Infohash{77}, "parked", 770, 1<<20, p)
	e := serve(t, tr, edit)
	return e, p, e.node("films", "parked")
}

// TestParkedRead lets the data of a READ come when other calls were answered.
func TestParkedRead(t *testing.T) {
	e, p, n := park(t, nil)
	e.both(func(t *testing.T, w *wire) {
		xid := w.send(procRead, pack(n, uint64(1<<20-10), uint32(4096)))
		receiveFrom(t, p.awaits)
		for range 10 {
			if r := w.call(procGetattr, n); r.status != statusOK {
				t.Fatalf("GETATTR beside a READ that waits: status %d", r.status)
			}
		}
		p.come <- nil
		r := w.expectXID(xid, procRead)
		if err := isAttr(r.obj, n); r.status != statusOK || err != nil {
			t.Errorf("status %d, %v", r.status, err)
		}
		if string(r.data) != strings.Repeat("p", 10) || !r.eof {
			t.Errorf("%q, EOF %v; want 10 bytes and the end", r.data, r.eof)
		}
	})
}

// TestParkedReadOvertaken lets the data of later READs come first.
func TestParkedReadOvertaken(t *testing.T) {
	tr := library(t)
	var all []*parked
	for i := range 5 {
		all = append(all, newParked())
		putFile(t, tr, tree.Infohash{77, byte(i)}, fmt.Sprint(i), uint64(770+10*i), 100, all[i])
	}
	e := serve(t, tr, nil)
	w := e.dial()
	xids := make([]uint32, len(all))
	for i := range all {
		xids[i] = w.send(procRead, pack(e.node("films", fmt.Sprint(i)), uint64(0), uint32(10)))
	}
	for i, p := range slices.Backward(all) {
		p.come <- nil
		if r := w.expectXID(xids[i], procRead); r.status != statusOK || len(r.data) != 10 {
			t.Errorf("READ %d: status %d, %d bytes", i, r.status, len(r.data))
		}
	}
}

// diskLater is content that lies in a file once it was waited for.
type diskLater struct{ *onDisk }

func (diskLater) Ready(int64, int) bool { return false }

func TestParkedReadOfDisk(t *testing.T) {
	tr := library(t)
	content := noise(300_001)
	d := newOnDisk(t, content)
	putFile(t, tr, tree.Infohash{78}, "disk", 780, int64(len(content)), diskLater{d})
	e := serve(t, tr, nil)
	w := e.dial()
	for _, off := range []int{0, 1, 2, 3, 150_001} {
		r := w.call(procRead, e.node("films", "disk"), uint64(off), uint32(1<<20))
		if r.status != statusOK || string(r.data) != content[off:] || !r.eof {
			t.Errorf("at %d: status %d, %d bytes, EOF %v", off, r.status, len(r.data), r.eof)
		}
		if err := receiveFrom(t, d.done); err != nil {
			t.Errorf("at %d: the file was sent with %v", off, err)
		}
	}
}

func TestParkedReadTakesTooLong(t *testing.T) {
	e, p, n := park(t, func(o *Options) { o.ReadWait = 10 * time.Millisecond })
	e.both(func(t *testing.T, w *wire) {
		r := w.call(procRead, n, uint64(0), uint32(10))
		if err := isAttr(r.obj, n); r.status != statusJukebox || err != nil {
			t.Errorf("status %d, %v; want JUKEBOX", r.status, err)
		}
		if cause := receiveFrom(t, p.ended); !errors.Is(cause, errTooLong) {
			t.Errorf("the wait ended with %v, want %v", cause, errTooLong)
		}
	})
}

// TestParkedReadFails has data that never comes, for several reasons.
func TestParkedReadFails(t *testing.T) {
	for _, test := range []struct {
		err  error
		want uint32
	}{
		{errors.New("given up"), statusIO},
		{fmt.Errorf("the disk: %w", syscall.EIO), statusIO},
		{fmt.Errorf("the disk: %w", syscall.ENOENT), statusIO},
		// An error of the same name as that of our own context is none of it.
		{fmt.Errorf("a tracker: %w", context.DeadlineExceeded), statusIO},
		{fmt.Errorf("the cache: %w", syscall.EMFILE), statusJukebox},
	} {
		e, p, n := park(t, nil)
		e.both(func(t *testing.T, w *wire) {
			xid := w.send(procRead, pack(n, uint64(0), uint32(10)))
			p.come <- test.err
			r := w.expectXID(xid, procRead)
			if err := isAttr(r.obj, n); r.status != test.want || err != nil {
				t.Errorf("%v: status %d, %v; want %d", test.err, r.status, err, test.want)
			}
		})
	}
}

// TestParkedReadRemoved removes the torrent while a READ waits, which then fails in one way or another.
func TestParkedReadRemoved(t *testing.T) {
	removed := errors.New("the torrent was removed")
	for what, test := range map[string]struct{ await, read error }{
		"Await fails":            {await: removed},
		"ReadAt fails":           {read: removed},
		"ReadAt would wait":      {read: context.Canceled},
		"Await lacks a file":     {await: syscall.ENOENT},
		"ReadAt finds it closed": {read: syscall.EBADF},
	} {
		t.Run(what, func(t *testing.T) {
			e, p, n := park(t, nil)
			p.read = func([]byte) (int, error) { return 0, test.read }
			w := e.dial()
			xid := w.send(procRead, pack(n, uint64(0), uint32(10)))
			receiveFrom(t, p.awaits)
			e.tree.RemoveTorrent(tree.Infohash{77}, time.Now())
			p.come <- test.await
			if r := w.expectXID(xid, procRead); r.status != statusStale {
				t.Errorf("status %d, want STALE", r.status)
			}
		})
	}
}

// TestParkedReadEvicted has data that comes, and is gone again when it is read.
func TestParkedReadEvicted(t *testing.T) {
	e, p, n := park(t, nil)
	p.read = func([]byte) (int, error) { return 0, fmt.Errorf("not in the cache: %w", context.Canceled) }
	e.both(func(t *testing.T, w *wire) {
		xid := w.send(procRead, pack(n, uint64(0), uint32(10)))
		p.come <- nil
		r := w.expectXID(xid, procRead)
		if err := isAttr(r.obj, n); r.status != statusJukebox || err != nil {
			t.Errorf("status %d, %v; want JUKEBOX", r.status, err)
		}
	})
}

// TestParkedReadHangUp has a client that goes away. Nobody waits for it any longer, and others do.
func TestParkedReadHangUp(t *testing.T) {
	e, p, n := park(t, nil)
	leaving, staying := e.dial(), e.dial()
	const reads = 10
	for range reads {
		leaving.send(procRead, pack(n, uint64(0), uint32(10)))
		receiveFrom(t, p.awaits)
	}
	xid := staying.send(procRead, pack(n, uint64(0), uint32(10)))
	receiveFrom(t, p.awaits)
	if err := leaving.conn.Close(); err != nil {
		t.Fatal(err)
	}
	for range reads {
		if cause := receiveFrom(t, p.ended); errors.Is(cause, errTooLong) {
			t.Errorf("the wait ended with %v", cause)
		}
	}
	p.come <- nil
	if r := staying.expectXID(xid, procRead); r.status != statusOK {
		t.Errorf("a READ of another client: status %d", r.status)
	}
}

// TestParkedReadAtClose closes the server while a READ waits. The client is told to come again.
func TestParkedReadAtClose(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		e, p, n := park(t, nil)
		w := e.dialTo(network)
		xid := w.send(procRead, pack(n, uint64(0), uint32(10)))
		receiveFrom(t, p.awaits)
		if err := e.close(); err != nil {
			t.Fatal(err)
		}
		r := w.expectXID(xid, procRead)
		if err := isAttr(r.obj, n); r.status != statusJukebox || err != nil {
			t.Errorf("%s: status %d, %v; want JUKEBOX", network, r.status, err)
		}
	}
}

// TestParkedReadPanics has content that is broken. The client is told, and the server lives.
func TestParkedReadPanics(t *testing.T) {
	e, p, n := park(t, nil)
	p.read = func([]byte) (int, error) { panic("on purpose") }
	w := e.dial()
	want := w.send(procRead, pack(n, uint64(0), uint32(10)))
	p.come <- nil
	if xid, status, _ := w.receive(); xid != want || status != 5 {
		t.Errorf("reply to %d with accept_stat %d, want SYSTEM_ERR for %d", xid, status, want)
	}
	if r := w.call(procGetattr, n); r.status != statusOK {
		t.Errorf("GETATTR afterwards: status %d", r.status)
	}
}
