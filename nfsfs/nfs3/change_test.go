package nfs3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/tree"
)

// sattr is a sattr3 that sets what of mode, owner, group and size has a bit in mask, and times as told.
func sattr(mask int, readTime, changeTime uint32) raw {
	var b []byte
	for i, v := range []any{uint32(0o644), uint32(1), uint32(2), uint64(3)} {
		if mask&(1<<i) == 0 {
			b = append(b, pack(uint32(0))...)
		} else {
			b = append(b, pack(uint32(1), v)...)
		}
	}
	for _, how := range []uint32{readTime, changeTime} {
		b = append(b, pack(how)...)
		if how == setToClientTime {
			b = append(b, pack(uint32(7), uint32(8))...)
		}
	}
	return b
}

// change is a call that would change something.
type change struct {
	what string
	proc uint32
	args []byte
	// passed says that go-nfs is to answer it.
	passed bool
}

// changesOf are all kinds of changes of a node.
func changesOf(n tree.Node) []change {
	stamp := n.Attr().ModTime
	ctime := raw(pack(uint32(1), uint32(stamp.Unix()), uint32(stamp.Nanosecond())))
	none := raw(pack(uint32(0)))
	all := []change{
		{"with a guard", procSetattr, pack(n, sattr(0, 0, 0), ctime), false},
		{"unchecked", procCreate, pack(n, "new", uint32(createUnchecked), sattr(1, 0, 0)), true},
		{"guarded", procCreate, pack(n, "new", uint32(createGuarded), sattr(15, 2, 2)), true},
		{"exclusive", procCreate, pack(n, "new", uint32(createExclusive), uint64(77)), false},
		{"of no mode there is", procCreate, pack(n, "new", uint32(3)), false},
		{"of a device", procMknod, pack(n, "new", uint32(typeBlock), sattr(1, 0, 0), uint32(8), uint32(1)), false},
		{"of a character device", procMknod, pack(n, "new", uint32(typeCharacter), sattr(15, 2, 1), uint32(8), uint32(1)), false},
		{"of a socket", procMknod, pack(n, "new", uint32(typeSocket), sattr(0, 0, 0)), false},
		{"of a pipe", procMknod, pack(n, "new", uint32(typeFifo), sattr(0, 2, 0)), false},
		{"without data", procWrite, pack(n, uint64(0), uint32(0), uint32(0), ""), true},
		{"of less than it says", procWrite, pack(n, uint64(0), uint32(100), uint32(0), "abc"), true},
		{"of more than it says", procWrite, pack(n, uint64(1<<63), uint32(1), uint32(1), "abcde"), true},
		{"of a kind there is not", procWrite, pack(n, uint64(0), uint32(3), uint32(9), "abc"), true},
		{"of 32 KiB", procWrite, pack(n, uint64(0), uint32(32<<10), uint32(2), make([]byte, 32<<10)), true},
		{"to nowhere", procSymlink, pack(n, "new", sattr(0, 0, 0), ""), true},
		{"to far away", procSymlink, pack(n, "new", sattr(15, 1, 1), strings.Repeat("../", 1365)), true},
	}
	for _, kind := range []uint32{0, 1, 2, 5, 8, 1 << 31} {
		all = append(all, change{fmt.Sprintf("of type %d", kind), procMknod, pack(n, "new", kind), false})
	}
	for mask := range 16 {
		for times := range uint32(9) {
			a := sattr(mask, times%3, times/3)
			all = append(all,
				change{fmt.Sprintf("of %x, %d", mask, times), procSetattr, pack(n, a, none), true},
				change{fmt.Sprintf("with %x, %d", mask, times), procMkdir, pack(n, "new", a), true})
		}
	}
	for _, name := range []string{
		"", ".", "..", "a", "ab", "abc", "abcd", "abcde", "ready.txt", "a/b", "../a", "/", "\xff\xfe", "nul\x00",
		strings.Repeat("n", 255), strings.Repeat("n", 256), strings.Repeat("n", maxName),
	} {
		what := fmt.Sprintf("of %.10q (%d)", name, len(name))
		all = append(all,
			change{what, procCreate, pack(n, name, uint32(createUnchecked), sattr(0, 0, 0)), true},
			change{what, procMkdir, pack(n, name, sattr(0, 0, 0)), true},
			change{what, procSymlink, pack(n, name, sattr(0, 0, 0), "target"), true},
			change{what, procMknod, pack(n, name, uint32(typeFifo), sattr(0, 0, 0)), false},
			change{what, procRemove, pack(n, name), true},
			change{what, procRmdir, pack(n, name), true},
			change{what, procRename, pack(n, name, n, "other"), true},
			change{what, procRename, pack(n, "other", n, name), true},
			change{what, procLink, pack(n, n, name), false})
	}
	return all
}

// TestChangesAreRefused tries to change what there is in all ways.
func TestChangesAreRefused(t *testing.T) {
	e := serve(t, library(t), nil)
	e.both(func(t *testing.T, w *wire) {
		w.hurry(3 * patience)
		for where, n := range e.places() {
			for _, c := range changesOf(n) {
				what := fmt.Sprintf("%s %s: %s", Names[c.proc], where, c.what)
				before := e.changes.Load()
				status, body := w.exchange(c.proc, c.args)
				if status != rpc.Success {
					t.Errorf("%s: accept_stat %d", what, status)
					continue
				}
				r := w.parse(c.proc, body)
				if r.status != statusReadOnly {
					t.Errorf("%s: status %d, want ROFS", what, r.status)
				}
				for _, a := range r.wcc {
					if err := isAttr(a, n); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				if c.proc == procLink {
					if err := isAttr(r.obj, n); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				if passed := e.changes.Load() > before; passed != c.passed {
					t.Errorf("%s: it went to go-nfs: %v, want %v", what, passed, c.passed)
				}
			}
			r := w.call(procCommit, n, uint64(1<<63), uint32(1<<31))
			if err := isAttr(r.wcc[0], n); r.status != statusReadOnly || err != nil {
				t.Errorf("COMMIT %s: status %d, %v; want ROFS", where, r.status, err)
			}
		}
	})
}

// TestChangeOfTwo has two nodes, whose attributes must not be mixed up, and of which either may be gone.
func TestChangeOfTwo(t *testing.T) {
	tr := library(t)
	e := serve(t, tr, nil)
	putFile(t, tr, tree.Infohash{9}, "gone", 900, 1, text("x"))
	one, two, gone := e.node("films", "a torrent"), e.node(), e.node("films", "gone")
	tr.RemoveTorrent(tree.Infohash{9}, time.Now())
	w := e.dial()
	r := w.call(procRename, one, "a", two, "b")
	if err := errors.Join(isAttr(r.wcc[0], one), isAttr(r.wcc[1], two)); err != nil {
		t.Errorf("RENAME: %v", err)
	}
	r = w.call(procLink, one, two, "b")
	if err := errors.Join(isAttr(r.obj, one), isAttr(r.wcc[0], two)); err != nil {
		t.Errorf("LINK: %v", err)
	}
	for _, args := range [][]any{{one, "a", gone, "b"}, {gone, "a", two, "b"}, {gone, "a", gone, "b"}} {
		if r := w.call(procRename, args...); r.status != statusStale || r.wcc[0] != nil || r.wcc[1] != nil {
			t.Errorf("RENAME of what is gone: %+v, want STALE", r)
		}
	}
	for _, args := range [][]any{{one, gone, "b"}, {gone, two, "b"}} {
		if r := w.call(procLink, args...); r.status != statusStale || r.obj != nil || r.wcc[0] != nil {
			t.Errorf("LINK of what is gone: %+v, want STALE", r)
		}
	}
}

// TestChangeLengths has lengths that nobody can mean, each of which go-nfs would take memory for.
func TestChangeLengths(t *testing.T) {
	e := serve(t, library(t), nil)
	n := e.node("films", "a torrent")
	w := e.dial()
	good := arguments(pack(n))
	for proc, args := range good {
		// Each word in turn becomes a length or an enum of 2^32-16.
		for at := 0; at+4 <= len(args); at += 4 {
			bad := bytes.Clone(args)
			copy(bad[at:], "\xff\xff\xff\xf0")
			if status, body := w.exchange(proc, bad); status == rpc.Success {
				w.parse(proc, body)
			} else if status != rpc.GarbageArgs {
				t.Errorf("%s with %x: accept_stat %d", Names[proc], bad, status)
			}
		}
	}
	for what, c := range map[string]change{
		"a name of 4097 bytes":     {proc: procRemove, args: pack(n, strings.Repeat("n", maxName+1))},
		"a path of 4097 bytes":     {proc: procSymlink, args: pack(n, "new", sattr(0, 0, 0), strings.Repeat("n", maxPath+1))},
		"data of 1 MiB and a byte": {proc: procWrite, args: pack(n, uint64(0), uint32(1<<20+1), uint32(0), make([]byte, 1<<20+1))},
	} {
		if status, _ := w.exchange(c.proc, c.args); status != rpc.GarbageArgs {
			t.Errorf("%s: accept_stat %d, want GARBAGE_ARGS", what, status)
		}
	}
	if r := w.call(procWrite, n, uint64(0), uint32(1<<20), uint32(0), make([]byte, 1<<20)); r.status != statusReadOnly {
		t.Errorf("data of 1 MiB: status %d, want ROFS", r.status)
	}
}

// TestChangesAreChecked looks at what Options.Changes gets: the arguments, and nothing behind them.
func TestChangesAreChecked(t *testing.T) {
	var got []byte
	var from netip.AddrPort
	e := serve(t, library(t), func(o *Options) {
		o.Changes = func(_ context.Context, client netip.AddrPort, record []byte) ([]byte, error) {
			got, from = record, client
			return pack(uint32(statusReadOnly), uint32(0), uint32(0)), nil
		}
	})
	w := e.dial()
	args := pack(e.node("films"), "odd")
	w.call(procRemove, raw(args), raw("and more"))
	want := append(rpc.AppendCall(nil, rpc.Header{XID: w.xid, Program: Program, Version: Version, Proc: procRemove}), args...)
	if !bytes.Equal(got, want) {
		t.Errorf("the record %x, want %x", got, want)
	}
	if from.String() != w.conn.LocalAddr().String() {
		t.Errorf("a call of %v, want %v", from, w.conn.LocalAddr())
	}
}

// TestChangeResults passes on what Options.Changes says.
func TestChangeResults(t *testing.T) {
	attr := raw(pack(uint32(1), raw(appendAttr(nil, library(t).Root()))))
	wcc := raw(pack(uint32(0), attr))
	for what, test := range map[string]struct {
		proc   uint32
		result []byte
		err    error
		want   uint32
	}{
		"WRITE that succeeds":   {procWrite, pack(uint32(0), wcc, uint32(5), uint32(2), uint64(9)), nil, statusOK},
		"MKDIR that succeeds":   {procMkdir, pack(uint32(0), uint32(1), make([]byte, 32), attr, wcc), nil, statusOK},
		"RENAME that succeeds":  {procRename, pack(uint32(0), wcc, wcc), nil, statusOK},
		"REMOVE that fails":     {procRemove, pack(uint32(2), uint32(0), uint32(0)), nil, 2},
		"REMOVE, without a wcc": {procRemove, pack(uint32(2)), nil, 2},
		"REMOVE, without words": {procRemove, nil, nil, statusJukebox},
		"REMOVE, cut off":       {procRemove, []byte{0, 0}, nil, statusJukebox},
		"go-nfs fails":          {procRemove, nil, errors.New("broken"), statusJukebox},
		"go-nfs says too late":  {procRemove, pack(uint32(0)), errors.New("broken"), statusJukebox},
	} {
		t.Run(what, func(t *testing.T) {
			e := serve(t, library(t), func(o *Options) {
				o.Changes = func(context.Context, netip.AddrPort, []byte) ([]byte, error) { return test.result, test.err }
			})
			w := e.dial()
			status, body := w.exchange(test.proc, arguments(pack(e.node("films")))[test.proc])
			if status != rpc.Success {
				t.Fatalf("accept_stat %d", status)
			}
			r := w.parse(test.proc, body)
			if r.status != test.want {
				t.Errorf("status %d, want %d", r.status, test.want)
			}
			if test.want == statusOK {
				if !bytes.Equal(body, test.result) {
					t.Errorf("%x, want %x", body, test.result)
				}
				return
			}
			if err := isAttr(r.wcc[0], e.node("films")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestChangesThatWait lets as many changes wait as may, and one more. Others are not held up.
func TestChangesThatWait(t *testing.T) {
	const most = 512 // of one connection
	begun, end := make(chan struct{}, most), make(chan struct{})
	e := serve(t, library(t), func(o *Options) {
		o.Changes = func(ctx context.Context, _ netip.AddrPort, _ []byte) ([]byte, error) {
			begun <- struct{}{}
			select {
			case <-end:
				return pack(uint32(statusReadOnly), uint32(0), uint32(0)), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	})
	n := e.node("films")
	w := e.dial()
	waiting := map[uint32]bool{}
	for range most {
		waiting[w.send(procRemove, pack(n, "x"))] = true
		receiveFrom(t, begun)
	}
	if r := w.call(procGetattr, n); r.status != statusOK {
		t.Errorf("GETATTR: status %d", r.status)
	}
	r := w.call(procRemove, n, "x")
	if err := isAttr(r.wcc[0], n); r.status != statusJukebox || err != nil {
		t.Errorf("one REMOVE more: status %d, %v; want JUKEBOX", r.status, err)
	}
	close(end)
	for range most {
		xid, status, body := w.receive()
		if !waiting[xid] || status != rpc.Success || w.parse(procRemove, body).status != statusReadOnly {
			t.Errorf("reply to %d: accept_stat %d, %x", xid, status, body)
		}
		delete(waiting, xid)
	}
}

// TestChangeAgain sends calls again, on the same connection, on another, and by datagram.
func TestChangeAgain(t *testing.T) {
	e := serve(t, library(t), nil)
	n := e.node("films", "a torrent")
	for proc, args := range arguments(pack(n)) {
		var first []byte
		for i, w := range []*wire{e.dial(), e.dial(), e.packet()} {
			for range 2 {
				w.sendAs(7, proc, args)
				xid, status, body := w.receive()
				if xid != 7 || status != rpc.Success {
					t.Fatalf("%s: reply to %d with accept_stat %d", Names[proc], xid, status)
				}
				if i == 0 && first == nil {
					first = body
				}
				// FSINFO says something else by datagram.
				if !bytes.Equal(body, first) && (!w.packets || proc != procFsinfo) {
					t.Errorf("%s: once %x, and then %x", Names[proc], first, body)
				}
			}
		}
	}
}

// TestChangeOfRemoved removes the torrent before go-nfs gets to it.
func TestChangeOfRemoved(t *testing.T) {
	for _, proc := range []uint32{procWrite, procCreate, procMkdir, procSymlink, procRemove, procRmdir, procRename} {
		tr := library(t)
		e := serve(t, tr, func(o *Options) {
			pass := o.Changes
			o.Changes = func(ctx context.Context, client netip.AddrPort, record []byte) ([]byte, error) {
				tr.RemoveTorrent(manyHash, time.Now())
				return pass(ctx, client, record)
			}
		})
		w := e.dial()
		_, body := w.exchange(proc, arguments(pack(e.node("films", "a torrent", "a")))[proc])
		if r := w.parse(proc, body); r.status != statusStale || r.wcc[0] != nil {
			t.Errorf("%s: status %d, %v; want STALE without attributes", Names[proc], r.status, r.wcc[0])
		}
	}
}
