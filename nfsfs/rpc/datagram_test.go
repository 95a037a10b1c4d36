package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// dialUDP connects to the server at 127.0.0.1.
func dialUDP(s *Server) (*net.UDPConn, error) {
	return net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.Addr().Port})
}

// packets is a UDP port that sends to one address, and takes from it only.
type packets struct {
	t    testing.TB
	conn *net.UDPConn
}

func dialPackets(t testing.TB, addr string, s *Server) packets {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(addr), Port: s.Addr().Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return packets{t, conn}
}

func (p packets) send(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func (p packets) receive() []byte {
	p.t.Helper()
	b := make([]byte, 1<<16)
	n, err := p.conn.Read(b)
	if err != nil {
		p.t.Fatalf("no reply: %v", err)
	}
	return b[:n]
}

func (p packets) expect(xid uint32) []byte {
	p.t.Helper()
	got, result, err := ParseReply(p.receive())
	if err != nil || got != xid {
		p.t.Fatalf("reply to %d: %v; want one to %d", got, err, xid)
	}
	return result
}

// hasIPv6 says whether this machine has the loopback address of IPv6.
func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func TestDatagramReplies(t *testing.T) {
	addrs := map[string]string{"127.0.0.1:0": "127.0.0.1", ":0": "127.0.0.1"}
	if hasIPv6() {
		addrs["[::1]:0"], addrs["[::]:0"] = "::1", "::1"
	}
	for listen, addr := range addrs {
		for allowed, tests := range map[bool][]answerTest{true: friendTests(), false: strangerTests()} {
			p := dialPackets(t, addr, start(t, listen, answerOptions(t, allowed)))
			for _, test := range tests {
				p.send(test.call)
				if got := p.receive(); !bytes.Equal(got, words(test.want...)) {
					t.Errorf("%s at %s: %x, want %x", test.what, listen, got, words(test.want...))
				}
			}
		}
	}
}

// TestDatagramReplyAddress has replies come from the address that the call went to, of which a machine
// may have several.
func TestDatagramReplyAddress(t *testing.T) {
	addrs := []string{"127.0.0.1", "127.0.0.2", "127.1.2.3"}
	if hasIPv6() {
		addrs = append(addrs, "::1")
	}
	local := func(call *Call, reply []byte) ([]byte, Status) {
		return append(reply, fmt.Sprint(call.Local, " ", call.Client, " ", call.Stream())...), Success
	}
	s := start(t, ":0", testOptions(t, procs{1: local, 2: func(call *Call, reply []byte) ([]byte, Status) {
		call.Later(func(context.Context) {}, local)
		return reply, Deferred
	}}))
	for _, addr := range addrs {
		p := dialPackets(t, addr, s)
		for _, proc := range []uint32{1, 2} {
			p.send(header(proc, proc))
			want := fmt.Sprint(netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(s.Addr().Port)), " ", p.conn.LocalAddr(), " false")
			if got := string(p.expect(proc)); got != want {
				t.Errorf("procedure %d at %s: %q, want %q", proc, addr, got, want)
			}
		}
	}
}

// TestBroadcast has a call to all be answered from an address of the server's own.
func TestBroadcast(t *testing.T) {
	s := start(t, ":0", testOptions(t, procs{1: echo}))
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	to := &net.UDPAddr{IP: net.IPv4(127, 255, 255, 255), Port: s.Addr().Port}
	if _, err := conn.WriteToUDP(header(7, 1), to); err != nil {
		t.Skipf("this machine cannot broadcast to itself: %v", err)
	}
	b := make([]byte, 100)
	n, from, err := conn.ReadFromUDP(b)
	if err != nil {
		t.Fatal(err)
	}
	if xid, _, err := ParseReply(b[:n]); xid != 7 || err != nil || !from.IP.IsLoopback() || from.IP.Equal(to.IP) {
		t.Errorf("reply to %d from %v: %v", xid, from, err)
	}
}

// TestGarbageDatagrams has what is no call be ignored.
func TestGarbageDatagrams(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo}))
	p := dialPackets(t, "127.0.0.1", s)
	for range 20 {
		for _, b := range notCalls {
			p.send(b)
		}
		p.send(record(header(1, 1))) // with a mark, as over TCP
		p.send(bytes.Repeat([]byte{0xff}, maxDatagram))
	}
	// All that may have been too much for the socket's buffer, so that a call is lost.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := Exchange(ctx, p.conn, echoHeader, []byte("alive")); err != nil || string(got) != "alive" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestLargeDatagrams has calls and replies as large as datagrams can be, and a reply that is larger.
func TestLargeDatagrams(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: flood}))
	p := dialPackets(t, "127.0.0.1", s)
	args := bytes.Repeat([]byte{1}, maxDatagram-40)
	p.send(append(header(1, 1), args...))
	if got := p.expect(1); !bytes.Equal(got, args) {
		t.Errorf("%d bytes come back as %d", len(args), len(got))
	}
	p.send(header(2, 2)) // whose reply is not sent
	p.send(header(3, 1))
	p.expect(3)
}

func TestDatagramDropped(t *testing.T) {
	later := func(status Status) Answer {
		return func(call *Call, reply []byte) ([]byte, Status) {
			call.Later(func(context.Context) {}, func(_ *Call, reply []byte) ([]byte, Status) {
				return append(reply, "rubbish"...), status
			})
			return reply, Deferred
		}
	}
	s := start(t, "127.0.0.1:0", testOptions(t, procs{
		1: echo, 2: later(Dropped), 3: later(Deferred),
		4: func(_ *Call, reply []byte) ([]byte, Status) { return append(reply, "rubbish"...), Dropped },
	}))
	p := dialPackets(t, "127.0.0.1", s)
	for proc := range uint32(3) {
		p.send(header(proc, 2+proc))
	}
	eventually(t, patience, "no call waits", func() bool { return s.Waiting() == 0 })
	p.send(header(9, 1))
	p.expect(9)
}

func TestDatagramLater(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve}))
	p := dialPackets(t, "127.0.0.1", s)
	p.send(append(header(1, 2), "waits"...))
	receive(t, w.entered)
	p.send(append(header(2, 1), "overtakes"...))
	if got := string(p.expect(2)); got != "overtakes" {
		t.Errorf("%q", got)
	}
	w.release <- struct{}{}
	if got := string(p.expect(1)); got != "waits" {
		t.Errorf("%q", got)
	}
}

// TestDatagramLaterLimit has clients let as many calls wait as they may.
func TestDatagramLaterLimit(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve}))
	p := dialPackets(t, "127.0.0.1", s)
	for range maxConnWaiting {
		p.send(header(1, 2))
		receive(t, w.entered)
	}
	p.send(header(2, 2))
	if xid, status, err := parseAnyReply(p.receive()); xid != 2 || status != tooMany || err != nil {
		t.Errorf("one more: status %d for %d, %v", status, xid, err)
	}
	c := dial(t, s)
	c.send(2)
	receive(t, w.entered)
	close(w.release)
}

// TestDatagramLaterAtClose has what waits be answered when the server closes.
func TestDatagramLaterAtClose(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{2: w.serve}))
	p := dialPackets(t, "127.0.0.1", s)
	p.send(append(header(1, 2), "data"...))
	receive(t, w.entered)
	closeWithin(t, s, closeTime/2)
	if got := string(p.expect(1)); got != "data" {
		t.Errorf("%q", got)
	}
	if err := receive(t, w.causes); !errors.Is(err, ErrClosing) {
		t.Errorf("the context ends with %v", err)
	}
	if err := p.conn.SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, _ = p.conn.Write(header(2, 2))
	if n, err := p.conn.Read(make([]byte, 100)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after Close the port is still there: %d bytes, %v", n, err)
	}
}

// TestDatagramPanics has a panic answered, and the port live on.
func TestDatagramPanics(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: func(call *Call, reply []byte) ([]byte, Status) {
		call.Later(func(context.Context) { panic("on purpose") }, echo)
		return reply, Deferred
	}}))
	p := dialPackets(t, "127.0.0.1", s)
	p.send(header(1, 2))
	if xid, status, err := parseAnyReply(p.receive()); xid != 1 || status != SystemError || err != nil {
		t.Errorf("status %d for %d, %v", status, xid, err)
	}
	p.send(header(2, 1))
	p.expect(2)
}
