package nfs3

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/nfsfs/relay"
	"shoal/nfsfs/rpc"
	"shoal/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// disk is what FSSTAT tells of.
var disk = Space{Bytes: 1 << 40, FreeBytes: 6 << 30, Files: 1000, FreeFiles: 600}

// export is a server with a tree.
type export struct {
	t       testing.TB
	tree    *tree.Tree
	addr    string
	close   func() error // of the server
	changes atomic.Int64 // calls that went to Options.Changes

	mu    sync.Mutex
	reads []seen // what Options.Read was told
}

// seen is a READ that Options.Read was told of.
type seen struct {
	node   tree.Node
	offset int64
	n      int
}

// serve serves a tree until the test ends. What changes something goes to go-nfs, unless edit wants it
// otherwise.
func serve(t testing.TB, tr *tree.Tree, edit func(*Options)) *export {
	t.Helper()
	e := &export{t: t, tree: tr}
	r := relay.New(tr)
	opts := Options{
		Tree: tr, ReadWait: patience, Space: func() Space { return disk }, Changes: r.Call,
		Wait: func(netip.Addr, tree.Node) func() { return func() {} },
		Read: func(_ *rpc.Call, node tree.Node, offset int64, n int) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.reads = append(e.reads, seen{node, offset, n})
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&opts)
	}
	change := opts.Changes
	opts.Changes = func(ctx context.Context, client netip.AddrPort, record []byte) ([]byte, error) {
		e.changes.Add(1)
		return change(ctx, client, record)
	}
	server := rpc.Options{
		Services: []rpc.Service{{Program: Program, Versions: []uint32{Version}, Handler: New(opts)}},
		Allowed:  func(netip.Addr) bool { return true },
		Logger:   slog.New(slog.DiscardHandler),
	}
	s, err := rpc.Listen("127.0.0.1:0", server)
	for errors.Is(err, syscall.EADDRINUSE) {
		s, err = rpc.Listen("127.0.0.1:0", server) // the UDP port of the number is another's
	}
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		r.Close()
	})
	e.addr, e.close = s.Addr().String(), s.Close
	return e
}

// node returns the node at a path.
func (e *export) node(path ...string) tree.Node {
	e.t.Helper()
	n, err := e.tree.Walk(context.Background(), path...)
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

// wire is a client, at the level of calls.
type wire struct {
	t       testing.TB
	conn    net.Conn
	packets bool
	xid     uint32
}

func (e *export) dial() *wire   { return e.dialTo("tcp") }
func (e *export) packet() *wire { return e.dialTo("udp") }

func (e *export) dialTo(network string) *wire {
	e.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(e.t.Context(), network, e.addr)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	w := &wire{t: e.t, conn: conn, packets: network == "udp"}
	w.hurry(patience)
	return w
}

// hurry sets by when all has to be done.
func (w *wire) hurry(within time.Duration) {
	w.t.Helper()
	if err := w.conn.SetDeadline(time.Now().Add(within)); err != nil {
		w.t.Fatal(err)
	}
}

// send sends a call, and returns its XID.
func (w *wire) send(proc uint32, args []byte) (xid uint32) {
	w.t.Helper()
	w.xid++
	w.sendAs(w.xid, proc, args)
	return w.xid
}

func (w *wire) sendAs(xid, proc uint32, args []byte) {
	w.t.Helper()
	call := append(rpc.AppendCall(nil, rpc.Header{XID: xid, Program: Program, Version: Version, Proc: proc}), args...)
	var err error
	if w.packets {
		_, err = w.conn.Write(call)
	} else {
		err = rpc.WriteRecord(w.conn, call)
	}
	if err != nil {
		w.t.Fatalf("procedure %d: %v", proc, err)
	}
}

// receive returns the next reply: whose it is, whether the call was accepted, and its result.
func (w *wire) receive() (xid uint32, status rpc.Status, body []byte) {
	w.t.Helper()
	var b []byte
	var err error
	if w.packets {
		b = make([]byte, 1<<16)
		var n int
		n, err = w.conn.Read(b)
		b = b[:n]
	} else {
		b, err = rpc.ReadRecord(w.conn, 1<<22)
	}
	if err != nil {
		w.t.Fatalf("no reply: %v", err)
	}
	// XID, REPLY, MSG_ACCEPTED, and a verifier of AUTH_NONE.
	if len(b) < 24 || !bytes.Equal(b[4:20], pack(uint32(1), uint32(0), uint32(0), uint32(0))) {
		w.t.Fatalf("not an accepted reply: %x", b[:min(len(b), 64)])
	}
	status = rpc.Status(binary.BigEndian.Uint32(b[20:]))
	if status != rpc.Success && len(b) != 24 {
		w.t.Fatalf("accept_stat %d with %d bytes behind it", status, len(b)-24)
	}
	return binary.BigEndian.Uint32(b), status, b[24:]
}

// exchange makes a call, whose reply has to be the next.
func (w *wire) exchange(proc uint32, args []byte) (rpc.Status, []byte) {
	w.t.Helper()
	want := w.send(proc, args)
	xid, status, body := w.receive()
	if xid != want {
		w.t.Fatalf("a reply to call %d came instead of one to %d", xid, want)
	}
	return status, body
}

// call makes a call that has a result, and takes that apart.
func (w *wire) call(proc uint32, args ...any) *result {
	w.t.Helper()
	status, body := w.exchange(proc, pack(args...))
	if status != rpc.Success {
		w.t.Fatalf("%s: accept_stat %d", Names[proc], status)
	}
	return w.parse(proc, body)
}

func (w *wire) parse(proc uint32, body []byte) *result {
	w.t.Helper()
	r, err := parseResult(proc, body)
	if err != nil {
		w.t.Fatalf("%s: %v\n%x", Names[proc], err, body[:min(len(body), 512)])
	}
	return r
}

// expectXID takes the next reply, which has to be that to a call.
func (w *wire) expectXID(want, proc uint32) *result {
	w.t.Helper()
	xid, status, body := w.receive()
	if xid != want || status != rpc.Success {
		w.t.Fatalf("a reply to call %d with accept_stat %d came, want one to %d", xid, status, want)
	}
	return w.parse(proc, body)
}

// raw is what goes into arguments as it is.
type raw []byte

// pack encodes arguments: nodes as their handles, byte slices and strings with their lengths.
func pack(values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case []byte:
			b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
			b = append(b, v...)
			b = append(b, make([]byte, -len(v)&3)...)
		case string:
			b = append(b, pack([]byte(v))...)
		case tree.Node:
			h := v.Handle()
			b = append(b, pack(h[:])...)
		case raw:
			b = append(b, v...)
		default:
			panic(fmt.Sprintf("%T is no argument", v))
		}
	}
	return b
}

// receiveFrom takes a value off a channel.
func receiveFrom[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}
