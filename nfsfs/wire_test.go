package nfsfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	client "github.com/willscott/go-nfs-client/nfs"
	nfsrpc "github.com/willscott/go-nfs-client/nfs/rpc"

	"shoal/nfsfs/nfs3"
	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

// text is content that is there at once.
type text string

func (s text) Ready(int64, int) bool { return true }

func (s text) Await(context.Context, int64, int) (func(), error) { return func() {}, nil }

func (s text) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return strings.NewReader(string(s)).ReadAt(p, off)
}

// stuck is content that never comes. The begin and the end of each read is announced.
type stuck struct{ reads, ends chan struct{} }

func (s stuck) Ready(int64, int) bool { return false }

func (s stuck) Await(ctx context.Context, _ int64, _ int) (func(), error) {
	s.reads <- struct{}{}
	<-ctx.Done()
	s.ends <- struct{}{}
	return nil, ctx.Err()
}

func (s stuck) ReadAt(ctx context.Context, _ []byte, _ int64) (int, error) {
	return 0, errors.New("it was not awaited")
}

func newStuck() *stuck {
	return &stuck{reads: make(chan struct{}, 1000), ends: make(chan struct{}, 1000)}
}

// testTree has a route with a torrent of a file that is there, one that never comes, and many more.
func testTree(t testing.TB, never *stuck) *tree.Tree {
	t.Helper()
	tr := tree.New(time.Unix(1_700_000_000, 0))
	if err := tr.PutRoute(tree.Route{ID: 2, Name: "films"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	err := tr.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{1}, Route: 2, Name: "a torrent", FirstID: 10, ModTime: time.Unix(1_600_000_000, 0),
		Files: func() ([]tree.File, error) {
			files := []tree.File{
				{Path: []string{"ready.txt"}, Size: int64(len(readyText)), Index: 0, Content: text(readyText)},
				{Path: []string{"stuck.bin"}, Size: 1 << 40, Index: 1, Content: never},
			}
			for i := range 500 {
				name := fmt.Sprintf("f%03d", i)
				files = append(files, tree.File{Path: []string{"many", name}, Size: 4, Index: i + 2, Content: text(name)})
			}
			return files, nil
		},
	}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

const readyText = "verified bytes"

func options(t testing.TB, tr *tree.Tree) Options {
	return Options{
		Tree: tr, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ReadWait: time.Minute,
		Space:  func() nfs3.Space { return nfs3.Space{Bytes: 1000, FreeBytes: 600, Files: 100, FreeFiles: 60} },
		Logger: slog.New(slog.DiscardHandler),
	}
}

// start serves until the test ends.
func start(t testing.TB, opts Options) *Server {
	t.Helper()
	ports, err := OpenPorts("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	s := New(t.Context(), ports, opts)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// wire is a client's connection, at the level of records.
type wire struct {
	t    testing.TB
	conn net.Conn
	xid  uint32
}

func dial(t testing.TB, s *Server) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &wire{t: t, conn: conn}
}

// send sends a call, and returns its xid.
func (w *wire) send(program, version, proc uint32, args []byte) uint32 {
	w.t.Helper()
	w.xid++
	call := rpc.AppendCall(nil, rpc.Header{XID: w.xid, Program: program, Version: version, Proc: proc})
	if err := rpc.WriteRecord(w.conn, append(call, args...)); err != nil {
		w.t.Fatal(err)
	}
	return w.xid
}

// receive returns a reply from its message type on, and its xid.
func (w *wire) receive() (uint32, []uint32) {
	w.t.Helper()
	b, err := rpc.ReadRecord(w.conn, 1<<22)
	if err != nil {
		w.t.Fatal(err)
	}
	words := make([]uint32, len(b)/4)
	for i := range words {
		words[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return words[0], words[1:]
}

func (w *wire) call(program, version, proc uint32, args []byte) []uint32 {
	w.t.Helper()
	want := w.send(program, version, proc, args)
	got, reply := w.receive()
	if got != want {
		w.t.Fatalf("a reply to call %d came instead of one to %d", got, want)
	}
	return reply
}

func opaque(b []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	return append(append(out, b...), make([]byte, xdr.Padded(len(b))-len(b))...)
}

func handleOf(t testing.TB, tr *tree.Tree, path ...string) []byte {
	t.Helper()
	n, err := tr.Walk(context.Background(), path...)
	if err != nil {
		t.Fatal(err)
	}
	h := n.Handle()
	return h[:]
}

func encodeRead(handle []byte, off uint64, count uint32) []byte {
	b := binary.BigEndian.AppendUint64(opaque(handle), off)
	return binary.BigEndian.AppendUint32(b, count)
}

// accepted is how the reply to a call begins that was accepted with a status.
func accepted(stat uint32, more ...uint32) []uint32 {
	return append([]uint32{1, 0, 0, 0, stat}, more...)
}

const (
	nfsOK       = 0
	nfsIO       = 5
	nfsInval    = 22
	nfsReadOnly = 30
	nfsStale    = 70
	nfsJukebox  = 10008
	mountAccess = 13

	getattr         = 1
	procLookup      = 3
	procRead        = 6
	procWrite       = 7
	procRename      = 14
	procReaddir     = 16
	procReaddirplus = 17
	procLink        = 15
	procMount       = 1

	// What the packages below allow.
	maxRead        = 1 << 20
	maxConnWaiting = 512
	closeTime      = 2 * time.Second
)

// mountPath mounts path with a client that nobody here wrote.
func mountPath(t testing.TB, s *Server, path string) (*client.Target, error) {
	t.Helper()
	c, err := nfsrpc.DialTCP("tcp", s.Addr().String(), false)
	for errors.Is(err, syscall.EADDRINUSE) { // it takes a port for itself without looking
		c, err = nfsrpc.DialTCP("tcp", s.Addr().String(), false)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	m := client.Mount{Client: c}
	target, err := m.Mount(path, nfsrpc.AuthNull)
	if err == nil {
		t.Cleanup(target.Close)
	}
	return target, err
}
