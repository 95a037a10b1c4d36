package nfs3

import (
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

// FuzzNFS calls procedures with any arguments behind a handle that is good, most of the time. There is a
// reply to each call, just as RFC 1813 has it, and nothing changes.
func FuzzNFS(f *testing.F) {
	tr := mixed(f)
	p := newParked()
	putFile(f, tr, tree.Infohash{77}, "parked", 770, 1<<20, p)
	putFile(f, tr, tree.Infohash{78}, "faulty", 780, 1<<40, faulty{n: 3})
	e := serve(f, tr, func(o *Options) {
		o.ReadWait = time.Microsecond
		o.Read = func(*rpc.Call, tree.Node, int64, int) {} // without an account that would grow for ever
	})
	nodes := []tree.Node{
		e.node(), e.node("films"), e.node("films", "mixed"), e.node("films", "a torrent", "a"), e.node("films", "single.iso"),
		e.node("films", "a torrent", "ready.txt"), e.node("films", "parked"), e.node("films", "faulty"),
	}
	for i, n := range nodes {
		for proc, args := range arguments(nil) {
			f.Add(proc, uint8(i), args)
		}
		for j, c := range changesOf(n) {
			if len(c.args) < 5000 && j%len(nodes) == i { // enough of them, if not of each node
				f.Add(c.proc, uint8(len(nodes)), c.args)
			}
		}
	}
	f.Add(uint32(0), uint8(0), []byte(nil))
	f.Add(uint32(22), uint8(0), []byte(nil))
	w := e.dial()
	f.Fuzz(func(t *testing.T, proc uint32, node uint8, args []byte) {
		if len(args) > 1<<20 {
			return // longer than a record may be
		}
		w.t = t
		w.hurry(patience)
		if i := int(node) % (len(nodes) + 1); i < len(nodes) {
			args = pack(nodes[i], raw(args))
		}
		proc %= 24
		status, body := w.exchange(proc, args)
		switch {
		case proc == 0 && status == rpc.Success && len(body) == 0:
			return
		case proc > procCommit && status == rpc.ProcedureUnavailable:
			return
		case status == rpc.GarbageArgs:
			return
		case status != rpc.Success:
			t.Fatalf("procedure %d: accept_stat %d", proc, status)
		}
		r := w.parse(proc, body)
		switch proc {
		case procSetattr, procWrite, procCreate, procMkdir, procSymlink, procMknod, procRemove, procRmdir, procRename, procLink, procCommit:
			if r.status == statusOK || r.status == statusJukebox {
				t.Errorf("%s: status %d", Names[proc], r.status)
			}
		}
		if proc == procReaddir || proc == procReaddirplus {
			checkPageSize(t, proc, args, r)
		}
	})
}

// checkPageSize compares a page with what was asked for.
func checkPageSize(t *testing.T, proc uint32, args []byte, r *result) {
	t.Helper()
	d := xdr.NewDecoder(args)
	d.Opaque(64)
	cookie := d.Uint64()
	d.Uint64()
	if proc == procReaddirplus {
		d.Uint32()
	}
	if count := d.Uint32(); r.status == statusOK && uint64(r.size-4) > uint64(count) {
		t.Errorf("a page of %d bytes, of %d at most", r.size-4, count)
	}
	for _, e := range r.entries {
		if e.cookie <= cookie {
			t.Errorf("cookie %d after %d", e.cookie, cookie)
		}
		cookie = e.cookie
	}
}
