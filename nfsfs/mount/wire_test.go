package mount

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// friend is allowed, and stranger is not.
const (
	friend   = "127.0.0.1"
	stranger = "127.0.0.9"
)

// library is a tree with two routes and three torrents: one of several files, one of a single file, and
// one that cannot be read.
func library(t testing.TB, broken func() ([]tree.File, error)) *tree.Tree {
	t.Helper()
	tr := tree.New(time.Unix(1_700_000_000, 0))
	files := []tree.File{{Path: []string{"a", "b", "f"}, Index: 0}, {Path: []string{"a", "g"}, Index: 1}}
	all := func() ([]tree.File, error) { return files, nil }
	one := func() ([]tree.File, error) { return files[:1], nil }
	err := errors.Join(
		tr.PutRoute(tree.Route{ID: 2, Name: "films"}, time.Time{}),
		tr.PutRoute(tree.Route{ID: 3, Name: "café au lait"}, time.Time{}),
		tr.PutTorrent(tree.Torrent{Infohash: tree.Infohash{1}, Route: 2, Name: "a torrent", FirstID: 10, Files: all}, time.Time{}),
		tr.PutTorrent(tree.Torrent{Infohash: tree.Infohash{2}, Route: 2, Name: "single.iso", FirstID: 20, IsFile: true, Files: one}, time.Time{}),
		tr.PutTorrent(tree.Torrent{Infohash: tree.Infohash{3}, Route: 2, Name: "broken", FirstID: 30, Files: broken}, time.Time{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// service is a server with a tree.
type service struct {
	t       testing.TB
	tree    *tree.Tree
	mounts  *Server
	port    int
	results atomic.Uint32 // Call.Result of the latest call
}

// serve answers calls until the test ends.
func serve(t testing.TB, tr *tree.Tree) *service {
	t.Helper()
	v := &service{t: t, tree: tr, mounts: New(tr)}
	opts := rpc.Options{
		Services: []rpc.Service{{Program: Program, Versions: Versions, Handler: v.mounts, Screens: true}},
		Allowed:  func(client netip.Addr) bool { return client.String() != stranger },
		Observe:  func(call *rpc.Call, _ rpc.Status) { v.results.Store(call.Result) },
		Logger:   slog.New(slog.DiscardHandler),
	}
	s, err := rpc.Listen("127.0.0.1:0", opts)
	for errors.Is(err, syscall.EADDRINUSE) {
		s, err = rpc.Listen("127.0.0.1:0", opts) // the UDP port of the number is another's
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
	})
	v.port = s.Addr().Port
	return v
}

// handle is that of the node at a path.
func (v *service) handle(path ...string) []byte {
	v.t.Helper()
	n, err := v.tree.Walk(context.Background(), path...)
	if err != nil {
		v.t.Fatal(err)
	}
	h := n.Handle()
	return h[:]
}

// wire is a client, at the level of calls.
type wire struct {
	t       testing.TB
	conn    net.Conn
	packets bool
	xid     uint32
	machine string // what it calls itself; without one it says nothing of itself
}

// dial connects from an address of this machine.
func (v *service) dial(network, host string) *wire {
	v.t.Helper()
	d := net.Dialer{Timeout: patience}
	if network == "tcp" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(host)}
	} else {
		d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(host)}
	}
	conn, err := d.DialContext(v.t.Context(), network, fmt.Sprintf("127.0.0.1:%d", v.port))
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		v.t.Fatal(err)
	}
	return &wire{t: v.t, conn: conn, packets: network == "udp"}
}

// both runs a test over a connection and by datagrams.
func (v *service) both(host string, test func(t *testing.T, w *wire)) {
	for _, network := range []string{"tcp", "udp"} {
		v.t.(*testing.T).Run(network, func(t *testing.T) {
			w := v.dial(network, host)
			w.t = t
			test(t, w)
		})
	}
}

// call makes a call, and returns the reply from its reply_stat on.
func (w *wire) call(version, proc uint32, args []byte) []byte {
	w.t.Helper()
	w.xid++
	h := rpc.Header{XID: w.xid, Program: Program, Version: version, Proc: proc}
	if w.machine != "" {
		h.Flavor = rpc.AuthSys
		h.Credential = append(xdr.AppendOpaque(words(0), w.machine), words(0, 0, 0)...)
	}
	call := append(rpc.AppendCall(nil, h), args...)
	var b []byte
	var err error
	if w.packets {
		_, err = w.conn.Write(call)
		if err == nil {
			b = make([]byte, 1<<16)
			var n int
			n, err = w.conn.Read(b)
			b = b[:n]
		}
	} else {
		err = rpc.WriteRecord(w.conn, call)
		if err == nil {
			b, err = rpc.ReadRecord(w.conn, 1<<22)
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if len(b) < 12 || !bytes.Equal(b[:8], words(w.xid, 1)) {
		w.t.Fatalf("%x is no reply to call %d", b, w.xid)
	}
	return b[8:]
}

// expect makes a call whose whole reply is known.
func (w *wire) expect(what string, version, proc uint32, args, want []byte) {
	w.t.Helper()
	if got := w.call(version, proc, args); !bytes.Equal(got, want) {
		w.t.Errorf("%s: %x, want %x", what, got, want)
	}
}

// accepted is a reply from its reply_stat on.
func accepted(status rpc.Status, result ...byte) []byte {
	return append(words(0, 0, 0, uint32(status)), result...)
}

// tooWeak is the denial of a client that is not allowed, from its reply_stat on.
var tooWeak = words(1, 1, 5)

func words(w ...uint32) []byte { return xdr.AppendWords(nil, w...) }

func path(p string) []byte { return xdr.AppendOpaque(nil, p) }

// join joins parts of a result.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// strict takes a list apart, and is content with nothing that is not exactly as it should be.
type strict struct {
	rest []byte
	err  error
}

func (s *strict) take(n int) []byte {
	if s.err != nil || n > len(s.rest) {
		s.err = errors.Join(s.err, fmt.Errorf("%d bytes are left, want %d", len(s.rest), n))
		return make([]byte, min(n, 1<<16))
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

func (s *strict) u32() uint32 { return binary.BigEndian.Uint32(s.take(4)) }

func (s *strict) flag() bool {
	v := s.u32()
	if v > 1 {
		s.err = errors.Join(s.err, fmt.Errorf("%d is no bool", v))
	}
	return v == 1
}

func (s *strict) string(limit int) string {
	n := s.u32()
	if uint64(n) > uint64(limit) {
		s.err = errors.Join(s.err, fmt.Errorf("%d bytes where there are %d at most", n, limit))
		return ""
	}
	b := s.take(int(n))
	if !bytes.Equal(s.take(-int(n)&3), make([]byte, -int(n)&3)) {
		s.err = errors.Join(s.err, errors.New("padding that is not zero"))
	}
	return string(b)
}

// parseDump takes a mountlist apart: client and path of each entry.
func parseDump(b []byte) (list [][2]string, err error) {
	s := &strict{rest: b}
	for s.err == nil && s.flag() {
		list = append(list, [2]string{s.string(255), s.string(1024)})
	}
	return list, s.end()
}

// parseExports takes a list of exports apart: the paths, none of which may have groups.
func parseExports(b []byte) (list []string, err error) {
	s := &strict{rest: b}
	for s.err == nil && s.flag() {
		list = append(list, s.string(1024))
		if s.flag() {
			return nil, errors.New("groups")
		}
	}
	return list, s.end()
}

func (s *strict) end() error {
	if s.err == nil && len(s.rest) > 0 {
		return fmt.Errorf("%d bytes too many", len(s.rest))
	}
	return s.err
}
