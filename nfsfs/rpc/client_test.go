package rpc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/nfsfs/xdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// The programs of the tests, from the numbers that RFC 5531 leaves to users.
const (
	testProgram   = 0x20000001
	testVersion   = 4
	screenProgram = 0x20000002 // its handler refuses clients itself
)

// procs are the procedures of a program.
type procs map[uint32]Answer

func (p procs) Serve(call *Call, reply []byte) ([]byte, Status) {
	if serve := p[call.Proc]; serve != nil {
		return serve(call, reply)
	}
	return nil, ProcedureUnavailable
}

// echo answers a call with its arguments.
func echo(call *Call, reply []byte) ([]byte, Status) { return append(reply, call.Args...), Success }

// testOptions has the procedures as program testProgram, and lets everybody in.
func testOptions(t testing.TB, p procs) Options {
	return Options{
		Services: []Service{{Program: testProgram, Versions: []uint32{2, testVersion}, Handler: p}},
		Allowed:  func(netip.Addr) bool { return true },
		Logger:   slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// start serves until the test ends.
func start(t testing.TB, addr string, opts Options) *Server {
	t.Helper()
	s, err := Listen(addr, opts)
	for errors.Is(err, syscall.EADDRINUSE) && strings.HasSuffix(addr, ":0") {
		s, err = Listen(addr, opts) // the UDP port of the number is another's
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
	return s
}

// set changes a variable until the test ends. What reads it has to start and to end within the test.
func set[T any](t testing.TB, variable *T, v T) {
	old := *variable
	*variable = v
	t.Cleanup(func() { *variable = old })
}

// eventually waits until a condition holds.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// receive takes a value off a channel.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// client is one end of a TCP connection.
type client struct {
	t    testing.TB
	conn *net.TCPConn
	in   *bufio.Reader
	xid  uint32
}

func dial(t testing.TB, s *Server) *client {
	t.Helper()
	return dialFrom(t, "127.0.0.1", s)
}

// dialFrom connects from an address of this machine.
func dialFrom(t testing.TB, host string, s *Server) *client {
	t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
	to := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(s.Addr().Port)))
	conn, err := d.DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn.(*net.TCPConn), in: bufio.NewReader(conn)}
}

// call appends a call of testProgram as it goes over a connection, and returns its XID, too.
func (c *client) call(b []byte, proc uint32, args ...string) (stream []byte, xid uint32) {
	c.xid++
	return append(b, record(append(header(c.xid, proc), strings.Join(args, "")...))...), c.xid
}

func (c *client) send(proc uint32, args ...string) (xid uint32) {
	c.t.Helper()
	b, xid := c.call(nil, proc, args...)
	c.write(b)
	return xid
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the next record.
func (c *client) receive() []byte {
	c.t.Helper()
	b, err := ReadRecord(c.in, 1<<30)
	if err != nil {
		c.t.Fatalf("no reply: %v", err)
	}
	return b
}

// expect takes the reply to a call, which has to be the next.
func (c *client) expect(xid uint32) (result []byte) {
	c.t.Helper()
	got, result, err := ParseReply(c.receive())
	if err != nil || got != xid {
		c.t.Fatalf("reply to %d: %v; want one to %d", got, err, xid)
	}
	return result
}

// expectDenial takes a reply that has no result.
func (c *client) expectDenial(xid uint32, want Status) {
	c.t.Helper()
	got, status, err := parseAnyReply(c.receive())
	if err != nil || got != xid || status != want {
		c.t.Fatalf("reply to %d: status %d, %v; want status %d for %d", got, status, err, want, xid)
	}
}

// expectEnd waits for the server to end the connection, and returns what it sends before that.
func (c *client) expectEnd() []byte {
	c.t.Helper()
	b, err := io.ReadAll(c.in)
	// The end is a reset if there is something that the server has not read.
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("the connection does not end: %v", err)
	}
	return b
}

// header is a call of testProgram, without arguments.
func header(xid, proc uint32) []byte {
	return AppendCall(nil, Header{XID: xid, Program: testProgram, Version: testVersion, Proc: proc})
}

// record is b as a record of one fragment.
func record(b []byte) []byte { return []byte(fragment(true, string(b))) }

func words(w ...uint32) []byte { return xdr.AppendWords(nil, w...) }

// parseAnyReply is RFC 5531, section 9, once more: it knows every reply, and that nothing follows but a
// result.
func parseAnyReply(b []byte) (xid uint32, status Status, err error) {
	word := func(n int) uint32 { return binary.BigEndian.Uint32(b[4*n:]) }
	bad := fmt.Errorf("malformed reply: %x", b)
	if len(b) < 20 || word(1) != messageReply {
		return 0, 0, bad
	}
	xid = word(0)
	switch word(2) {
	case 0: // MSG_ACCEPTED
		if len(b) < 24 || word(3) != AuthNone || word(4) != 0 {
			return xid, 0, bad
		}
		status = Status(word(5))
		switch want := map[Status]int{1: 24, 2: 32, 3: 24, 4: 24, 5: 24}[status]; {
		case status == Success:
		case len(b) != want, status == ProgramMismatch && word(6) > word(7):
			return xid, status, bad
		}
		return xid, status, nil
	case 1: // MSG_DENIED
		switch {
		case len(b) == 24 && word(3) == 0 && word(4) == 2 && word(5) == 2: // RPC_MISMATCH
			return xid, otherVersion, nil
		case len(b) == 20 && word(3) == 1 && word(4) == 1: // AUTH_ERROR, AUTH_BADCRED
			return xid, BadCredential, nil
		case len(b) == 20 && word(3) == 1 && word(4) == 5: // AUTH_TOOWEAK
			return xid, TooWeak, nil
		}
	}
	return xid, 0, bad
}
