package nfs3

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/tree"
)

// both runs a test over a connection and by datagrams.
func (e *export) both(test func(t *testing.T, w *wire)) {
	t := e.t.(*testing.T)
	for network, w := range map[string]*wire{"tcp": e.dial(), "udp": e.packet()} {
		t.Run(network, func(t *testing.T) {
			w.t = t
			test(t, w)
		})
	}
}

func TestAttributes(t *testing.T) {
	e := serve(t, library(t), nil)
	e.both(func(t *testing.T, w *wire) {
		for what, n := range e.places() {
			if r := w.call(procGetattr, n); r.status != statusOK {
				t.Errorf("GETATTR of %s: status %d", what, r.status)
			} else if err := isAttr(r.obj, n); err != nil {
				t.Errorf("GETATTR of %s: %v", what, err)
			}
			r := w.call(procReadlink, n)
			if r.status != statusInval {
				t.Errorf("READLINK of %s: status %d, want INVAL", what, r.status)
			}
			if err := isAttr(r.obj, n); err != nil {
				t.Errorf("READLINK of %s: %v", what, err)
			}
			want := uint32(accessRead)
			if n.IsDir() {
				want |= accessLookup
			}
			for _, mask := range []uint32{0x3f, 0, accessRead, accessLookup, 0x3c, math.MaxUint32} {
				r := w.call(procAccess, n, mask)
				if r.status != statusOK || r.access != want&mask {
					t.Errorf("ACCESS %#x to %s: status %d, %#x; want %#x", mask, what, r.status, r.access, want&mask)
				}
				if err := isAttr(r.obj, n); err != nil {
					t.Errorf("ACCESS to %s: %v", what, err)
				}
			}
		}
	})
}

// TestTimes has torrents with dates that no nfstime3 can tell: the nearest is told instead.
func TestTimes(t *testing.T) {
	tr := library(t)
	for i, test := range []struct{ date, want time.Time }{
		{time.Unix(0, 1), time.Unix(0, 1)},
		{time.Unix(1<<31, 999_999_999), time.Unix(1<<31, 999_999_999)},
		{time.Unix(math.MaxUint32, 0), time.Unix(math.MaxUint32, 0)},
		{time.Unix(math.MaxUint32+1, 0), time.Unix(math.MaxUint32, 0)},
		{time.Unix(1<<55, 0), time.Unix(math.MaxUint32, 0)},
		{time.Unix(-1, 0), time.Unix(0, 0)},
		{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Add(1), time.Unix(0, 1)},
	} {
		putTorrent(t, tr, tree.Torrent{
			Infohash: tree.Infohash{50, byte(i)}, Route: filmsID, Name: test.date.String(), FirstID: uint64(500 + i), ModTime: test.date,
		})
		e := &export{t: t, tree: tr}
		r := serve(t, tr, nil).dial().call(procGetattr, e.node("films", test.date.String()))
		for _, got := range []time.Time{r.obj.read, r.obj.changed, r.obj.status} {
			if !got.Equal(test.want) {
				t.Errorf("%v: %v, want %v", test.date, got, test.want)
			}
		}
	}
}

func TestFileSystem(t *testing.T) {
	e := serve(t, library(t), nil)
	e.both(func(t *testing.T, w *wire) {
		most := uint32(1 << 20)
		if w.packets {
			most = 32 << 10
		}
		for what, n := range e.places() {
			stat, info, conf := w.call(procFsstat, n), w.call(procFsinfo, n), w.call(procPathconf, n)
			for name, r := range map[string]*result{"FSSTAT": stat, "FSINFO": info, "PATHCONF": conf} {
				if err := isAttr(r.obj, n); r.status != statusOK || err != nil {
					t.Errorf("%s of %s: status %d, %v", name, what, r.status, err)
				}
			}
			if want := [6]uint64{disk.Bytes, disk.FreeBytes, disk.FreeBytes, disk.Files, disk.FreeFiles, disk.FreeFiles}; stat.space != want {
				t.Errorf("FSSTAT of %s: %v, want %v", what, stat.space, want)
			}
			want := fsInfo{most, most, 4096, most, most, 4096, min(most, 256<<10), math.MaxInt64, 1, 8}
			if info.info != want {
				t.Errorf("FSINFO of %s: %+v, want %+v", what, info.info, want)
			}
			if want := (pathConf{links: 1, name: 255, noTrunc: true, chown: true, preserve: true}); conf.conf != want {
				t.Errorf("PATHCONF of %s: %+v, want %+v", what, conf.conf, want)
			}
		}
	})
}

func TestLookup(t *testing.T) {
	e := serve(t, library(t), nil)
	long := strings.Repeat("n", tree.MaxName)
	tests := []struct {
		dir    []string
		name   string
		want   uint32
		result []string
	}{
		{nil, "films", statusOK, []string{"films"}},
		{nil, "café", statusOK, []string{"café"}},
		{nil, ".", statusOK, nil},
		{nil, "..", statusOK, nil},
		{nil, "", statusNoEnt, nil},
		{nil, "Films", statusNoEnt, nil},
		{nil, "film", statusNoEnt, nil},
		{nil, "films\x00", statusNoEnt, nil},
		{nil, "films/single.iso", statusNoEnt, nil},
		{nil, "/films", statusNoEnt, nil},
		{nil, "caf\xe9", statusNoEnt, nil},
		{nil, "...", statusNoEnt, nil},
		{[]string{"films"}, "a torrent", statusOK, []string{"films", "a torrent"}},
		{[]string{"films"}, "single.iso", statusOK, []string{"films", "single.iso"}},
		{[]string{"films"}, ".", statusOK, []string{"films"}},
		{[]string{"films"}, "..", statusOK, nil},
		{[]string{"films", "a torrent"}, "a", statusOK, []string{"films", "a torrent", "a"}},
		{[]string{"films", "a torrent"}, "..", statusOK, []string{"films"}},
		{[]string{"films", "a torrent", "a"}, "..", statusOK, []string{"films", "a torrent"}},
		{[]string{"films", "a torrent", "a"}, long, statusOK, []string{"films", "a torrent", "a", long}},
		{[]string{"films", "a torrent", "a"}, long[1:], statusNoEnt, nil},
		{[]string{"films", "a torrent", "a"}, long + "n", statusNameTooLong, nil},
		{[]string{"films", "a torrent", "a"}, strings.Repeat("n", maxName), statusNameTooLong, nil},
		{[]string{"films", "a torrent", "ready.txt"}, "x", statusNotDir, nil},
		{[]string{"films", "a torrent", "ready.txt"}, ".", statusNotDir, nil},
		{[]string{"films", "a torrent", "ready.txt"}, "..", statusNotDir, nil},
		{[]string{"films", "single.iso"}, "x", statusNotDir, nil},
		{[]string{"films", "single.iso"}, long + "n", statusNotDir, nil},
	}
	e.both(func(t *testing.T, w *wire) {
		for _, test := range tests {
			what := fmt.Sprintf("%.40q in %q", test.name, test.dir)
			dir := e.node(test.dir...)
			r := w.call(procLookup, dir, test.name)
			if r.status != test.want {
				t.Errorf("%s: status %d, want %d", what, r.status, test.want)
				continue
			}
			if err := isAttr(r.dir, dir); err != nil {
				t.Errorf("%s: the folder: %v", what, err)
			}
			if test.want != statusOK {
				continue
			}
			n := e.node(test.result...)
			if h := n.Handle(); !bytes.Equal(r.handle, h[:]) {
				t.Errorf("%s: the handle %x, want %x", what, r.handle, h)
			}
			if err := isAttr(r.obj, n); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		// Longer than any name that is looked at.
		if status, _ := w.exchange(procLookup, pack(e.node(), strings.Repeat("n", 5000))); status != rpc.GarbageArgs {
			t.Errorf("a name of 5000 bytes: accept_stat %d, want GARBAGE_ARGS", status)
		}
	})
}

// arguments are good ones of each procedure, about a node where it wants a handle.
func arguments(handle raw) map[uint32][]byte {
	noAttr := raw(pack(uint32(0), uint32(0), uint32(0), uint32(0), uint32(0), uint32(0)))
	allAttr := raw(pack(uint32(1), uint32(0o644), uint32(1), uint32(7), uint32(1), uint32(8), uint32(1), uint64(9),
		uint32(2), uint64(1), uint32(2), uint64(2)))
	return map[uint32][]byte{
		procGetattr:     pack(handle),
		procSetattr:     pack(handle, allAttr, uint32(1), uint64(7)),
		procLookup:      pack(handle, "a"),
		procAccess:      pack(handle, uint32(0x3f)),
		procReadlink:    pack(handle),
		procRead:        pack(handle, uint64(0), uint32(100)),
		procWrite:       pack(handle, uint64(0), uint32(5), uint32(2), "hello"),
		procCreate:      pack(handle, "new.bin", uint32(1), allAttr),
		procMkdir:       pack(handle, "new", noAttr),
		procSymlink:     pack(handle, "new", noAttr, "somewhere"),
		procMknod:       pack(handle, "new", uint32(typeBlock), noAttr, uint64(3)),
		procRemove:      pack(handle, "ready.txt"),
		procRmdir:       pack(handle, "a"),
		procRename:      pack(handle, "old", handle, "newer"),
		procLink:        pack(handle, handle, "new"),
		procReaddir:     pack(handle, uint64(0), uint64(0), uint32(4096)),
		procReaddirplus: pack(handle, uint64(0), uint64(0), uint32(4096), uint32(8192)),
		procFsstat:      pack(handle),
		procFsinfo:      pack(handle),
		procPathconf:    pack(handle),
		procCommit:      pack(handle, uint64(0), uint32(0)),
	}
}

// TestHandles calls each procedure with handles that stand for nothing.
func TestHandles(t *testing.T) {
	tr := library(t)
	e := serve(t, tr, nil)
	putTorrent(t, tr, tree.Torrent{Infohash: tree.Infohash{9}, Route: filmsID, Name: "short-lived", FirstID: 900},
		tree.File{Path: []string{"d", "f"}, Content: text("")})
	putRoute(t, tr, 8, "gone")
	stale := map[string]tree.Node{
		"a torrent that was removed": e.node("films", "short-lived"),
		"a folder in it":             e.node("films", "short-lived", "d"),
		"a file in it":               e.node("films", "short-lived", "d", "f"),
		"a route that was removed":   e.node("gone"),
	}
	tr.RemoveTorrent(tree.Infohash{9}, time.Now())
	tr.RemoveRoute(8, time.Now())

	h := e.node("films", "a torrent", "ready.txt").Handle()
	bad := map[string][]byte{
		"no bytes":   nil,
		"one byte":   {1},
		"too short":  h[:31],
		"too long":   append(slices.Clone(h[:]), 0),
		"zeros":      make([]byte, 32),
		"64 bytes":   make([]byte, 64),
		"65 bytes":   make([]byte, 65),
		"2000 bytes": make([]byte, 2000),
	}
	for i := range h {
		damaged := h
		damaged[i] ^= 0x10
		bad[fmt.Sprintf("byte %d damaged", i)] = damaged[:]
	}
	for what, n := range stale {
		h := n.Handle()
		bad[what] = h[:]
	}
	w := e.dial()
	for what, handle := range bad {
		want := rpc.Success
		if len(handle) > 64 {
			want = rpc.GarbageArgs
		}
		for proc, args := range arguments(pack(handle)) {
			status, body := w.exchange(proc, args)
			if status != want {
				t.Errorf("%s of %s: accept_stat %d, want %d", Names[proc], what, status, want)
			}
			if status != rpc.Success {
				continue
			}
			if r := w.parse(proc, body); r.status != statusStale || r.obj != nil || r.dir != nil {
				t.Errorf("%s of %s: %+v, want STALE", Names[proc], what, r)
			}
		}
	}
	if n := e.changes.Load(); n > 0 {
		t.Errorf("%d calls about nothing went on to go-nfs", n)
	}
}

// TestCutOff cuts good arguments off at each byte, and adds to them.
func TestCutOff(t *testing.T) {
	e := serve(t, library(t), nil)
	w := e.dial()
	w.hurry(3 * patience)
	for what, n := range map[string]tree.Node{"a folder": e.node("films", "a torrent"), "a file": e.node("films", "single.iso")} {
		good := arguments(pack(n))
		if got := slices.Sorted(maps.Keys(good)); len(got) != 21 {
			t.Fatalf("arguments of procedures %d", got)
		}
		for proc, args := range good {
			for size := range len(args) {
				if status, _ := w.exchange(proc, args[:size]); status != rpc.GarbageArgs {
					t.Errorf("%s of %s, %d of %d bytes: accept_stat %d, want GARBAGE_ARGS", Names[proc], what, size, len(args), status)
				}
			}
			_, want := w.exchange(proc, args)
			w.parse(proc, want)
			if status, got := w.exchange(proc, append(args, "what nobody looks at"...)); status != rpc.Success || !bytes.Equal(got, want) {
				t.Errorf("%s of %s with bytes behind it: accept_stat %d, %x; want %x", Names[proc], what, status, got, want)
			}
		}
	}
	for _, proc := range []uint32{22, 23, math.MaxUint32} {
		if status, _ := w.exchange(proc, nil); status != rpc.ProcedureUnavailable {
			t.Errorf("procedure %d: accept_stat %d, want PROC_UNAVAIL", proc, status)
		}
	}
	if status, body := w.exchange(0, []byte("any")); status != rpc.Success || len(body) > 0 {
		t.Errorf("NULL: accept_stat %d, %x", status, body)
	}
}

// TestLoadErrors has torrents whose inside cannot be read. No client may believe that something does not
// exist only because of that.
func TestLoadErrors(t *testing.T) {
	tr := library(t)
	var failure atomic.Pointer[error]
	files := []tree.File{{Path: []string{"d", "f"}, Size: 1, Content: text("x")}}
	fail := func() ([]tree.File, error) { return nil, *failure.Load() }
	putTorrent(t, tr, tree.Torrent{Infohash: tree.Infohash{7}, Route: filmsID, Name: "broken", FirstID: 700, Files: fail})
	putTorrent(t, tr, tree.Torrent{Infohash: tree.Infohash{8}, Route: filmsID, Name: "broken.iso", FirstID: 800, IsFile: true, Size: 1, Files: fail})
	// The same torrent elsewhere, loaded, for the handles of what is inside.
	other := library(t)
	putTorrent(t, other, tree.Torrent{Infohash: tree.Infohash{7}, Route: filmsID, Name: "broken", FirstID: 700}, files...)
	inside := &export{t: t, tree: other}
	e := serve(t, tr, nil)
	w := e.dial()
	for _, test := range []struct {
		err  error
		want uint32
	}{
		{errors.New("damaged"), statusIO},
		{fmt.Errorf("read: %w", syscall.EIO), statusIO},
		{&os.PathError{Op: "open", Path: "7.torrent", Err: syscall.ENOENT}, statusIO},
		{fmt.Errorf("read: %w", fs.ErrNotExist), statusIO},
		{&os.PathError{Op: "open", Path: "7.torrent", Err: syscall.EACCES}, statusIO},
		{&os.PathError{Op: "open", Path: "7.torrent", Err: syscall.EMFILE}, statusJukebox},
		{fmt.Errorf("open: %w", syscall.ENFILE), statusJukebox},
		{fmt.Errorf("open: %w", syscall.ENOMEM), statusJukebox},
	} {
		time.Sleep(300 * time.Millisecond) // for so long the tree remembers the last failure
		failure.Store(&test.err)
		top, single := e.node("films", "broken"), e.node("films", "broken.iso")
		for _, call := range []struct {
			proc uint32
			args []byte
			obj  tree.Node // whose attributes there are all the same
		}{
			{procLookup, pack(top, "d"), top},
			{procLookup, pack(top, "missing"), top},
			{procReaddir, pack(top, uint64(0), uint64(0), uint32(4096)), top},
			{procReaddirplus, pack(top, uint64(0), uint64(0), uint32(4096), uint32(4096)), top},
			{procRead, pack(single, uint64(0), uint32(100)), single},
		} {
			_, body := w.exchange(call.proc, call.args)
			r := w.parse(call.proc, body)
			if r.status != test.want {
				t.Errorf("%s of a torrent that fails with %v: status %d, want %d", Names[call.proc], test.err, r.status, test.want)
			}
			got := r.obj
			if call.proc == procLookup {
				got = r.dir
			}
			if err := isAttr(got, call.obj); err != nil {
				t.Errorf("%s of a torrent that fails with %v: %v", Names[call.proc], test.err, err)
			}
		}
		// What needs nothing of the inside.
		for _, n := range []tree.Node{top, single} {
			if r := w.call(procGetattr, n); r.status != statusOK {
				t.Errorf("GETATTR of a torrent that fails with %v: status %d", test.err, r.status)
			}
		}
		if r := w.call(procLookup, top, ".."); r.status != statusOK {
			t.Errorf("LOOKUP of .. in a torrent that fails with %v: status %d", test.err, r.status)
		}
		// A folder of it cannot be told from one that is not there.
		for proc, args := range arguments(pack(inside.node("films", "broken", "d"))) {
			_, body := w.exchange(proc, args)
			if r := w.parse(proc, body); r.status != test.want {
				t.Errorf("%s inside a torrent that fails with %v: status %d, want %d", Names[proc], test.err, r.status, test.want)
			}
		}
	}
}
