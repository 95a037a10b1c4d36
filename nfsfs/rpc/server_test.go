package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestNotCalls has connections end with what is no call, after the calls before it were answered.
func TestNotCalls(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo}))
	for what, b := range notCalls {
		c := dial(t, s)
		first, xid := c.call(nil, 1, "abcd")
		c.write(append(first, record(b)...))
		if got := c.expect(xid); string(got) != "abcd" {
			t.Errorf("before %s: %q", what, got)
		}
		if got := c.expectEnd(); len(got) > 0 {
			t.Errorf("%s is answered: %x", what, got)
		}
	}
	c := dial(t, s)
	c.expect(c.send(1))
}

// TestCall has handlers see what was sent, and where from.
func TestCall(t *testing.T) {
	var seen atomic.Pointer[Call]
	opts := testOptions(t, procs{1: func(call *Call, reply []byte) ([]byte, Status) {
		copied := *call
		copied.Args = bytes.Clone(call.Args)
		copied.Credential = bytes.Clone(call.Credential)
		seen.Store(&copied)
		call.Result = 70
		return reply, Success
	}})
	var observed []string
	opts.Observe = func(call *Call, status Status) {
		observed = append(observed, fmt.Sprint(call.Proc, status, call.Result))
	}
	s := start(t, ":0", opts)
	c := dial(t, s)
	before := time.Now()
	sys := sysCredential("host", 1000, 100)
	c.write(record(append(callWords(testProgram, testVersion, 1, AuthSys, sys), "arguments"...)))
	c.expect(77)
	got := seen.Load()
	if string(got.Args) != "arguments" || !bytes.Equal(got.Credential, sys) || !got.Allowed || !got.Stream() {
		t.Errorf("the call is %+v", got)
	}
	if want := c.conn.LocalAddr().(*net.TCPAddr).AddrPort(); got.Client != want {
		t.Errorf("the client is %v, want %v", got.Client, want)
	}
	if want := c.conn.RemoteAddr().(*net.TCPAddr).AddrPort(); got.Local != want {
		t.Errorf("it came to %v, want %v", got.Local, want)
	}
	if got.Began.Before(before) || got.Began.After(time.Now()) {
		t.Errorf("it began at %v", got.Began)
	}
	c.expectDenial(c.send(9), ProcedureUnavailable)
	c.expect(c.send(0))
	if want := "[1 0 70 9 3 0 0 0 0]"; fmt.Sprint(observed) != want {
		t.Errorf("observed: %v, want %v", observed, want)
	}
}

// TestDropped has calls that are not answered leave no trace.
func TestDropped(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{
		1: echo,
		2: func(_ *Call, reply []byte) ([]byte, Status) { return append(reply, "rubbish"...), Dropped },
		3: func(*Call, []byte) ([]byte, Status) { return nil, Dropped },
	}))
	c := dial(t, s)
	b, first := c.call(nil, 1, "abcd")
	b, _ = c.call(b, 2)
	b, _ = c.call(b, 3)
	b, last := c.call(b, 1, "efgh")
	c.write(b)
	if got := string(c.expect(first)) + string(c.expect(last)); got != "abcdefgh" {
		t.Errorf("%q, want the results of the other calls", got)
	}
}

// TestOrder has many calls sent at once be answered in their order, whatever becomes of each.
func TestOrder(t *testing.T) {
	big := bytes.Repeat([]byte("big "), 16<<10)
	s := start(t, "127.0.0.1:0", testOptions(t, procs{
		1: echo,
		2: func(*Call, []byte) ([]byte, Status) { panic("on purpose") },
		3: func(*Call, []byte) ([]byte, Status) { return nil, Dropped },
		4: func(_ *Call, reply []byte) ([]byte, Status) { return append(reply, big...), Success },
	}))
	c := dial(t, s)
	const calls = 3000
	var b []byte
	proc := func(i int) uint32 {
		switch {
		case i%500 == 0:
			return 2
		case i%50 == 0:
			return 3
		case i%33 == 0:
			return 4
		}
		return 1
	}
	for i := range calls {
		b, _ = c.call(b, proc(i), strings.Repeat("arg ", i%100))
	}
	sent := make(chan struct{})
	go func() { defer close(sent); _, _ = c.conn.Write(b) }()
	for i := range calls {
		xid := uint32(i + 1)
		switch proc(i) {
		case 1:
			if got, want := string(c.expect(xid)), strings.Repeat("arg ", i%100); got != want {
				t.Fatalf("call %d: %q, want %q", i, got, want)
			}
		case 2:
			c.expectDenial(xid, SystemError)
		case 4:
			if got := c.expect(xid); !bytes.Equal(got, big) {
				t.Fatalf("call %d: %d bytes, want %d", i, len(got), len(big))
			}
		}
	}
	<-sent
}

// TestBatch has the replies to calls that came together go out together.
func TestBatch(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := start(t, "127.0.0.1:0", testOptions(t, procs{
		1: echo,
		2: func(_ *Call, reply []byte) ([]byte, Status) {
			close(entered)
			<-release
			return reply, Success
		},
	}))
	c := dial(t, s)
	b, first := c.call(nil, 1)
	b, second := c.call(b, 2)
	b, third := c.call(b, 1)
	// What has not come whole is not waited for.
	rest := len(b) - 3
	c.write(b[:rest])
	receive(t, entered)
	if err := c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a reply comes on its own: %v", err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	close(release)
	c.expect(first)
	c.expect(second)
	c.write(b[rest:])
	c.expect(third)
}

// TestLongCalls has calls up to the limit answered, and the connection ended by one above.
func TestLongCalls(t *testing.T) {
	for allowed, limit := range map[bool]int{true: maxRecord, false: maxStrangerRecord} {
		opts := answerOptions(t, allowed)
		opts.Services[0].Screens = true
		s := start(t, "127.0.0.1:0", opts)
		c := dial(t, s)
		args := strings.Repeat("long", limit/4-10)
		if got := c.expect(c.send(procEcho, args)); string(got) != args {
			t.Errorf("%d bytes come back as %d", len(args), len(got))
		}
		c.expect(c.send(procEcho))
		// The server need not read all of it, so that the writing may fail.
		stream, _ := c.call(nil, procEcho, args, "!")
		written := make(chan struct{})
		go func() { defer close(written); _, _ = c.conn.Write(stream) }()
		if got := c.expectEnd(); len(got) > 0 {
			t.Errorf("a record of %d bytes is answered", limit+1)
		}
		<-written
	}
}

// TestAddressLimit has one address open as many connections as it may.
func TestAddressLimit(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo}))
	var clients []*client
	for range maxAddrConns {
		clients = append(clients, dial(t, s))
	}
	for _, c := range clients {
		c.expect(c.send(0))
	}
	if got := dial(t, s).expectEnd(); len(got) > 0 {
		t.Errorf("one more gets %x", got)
	}
	other := dialFrom(t, "127.0.0.2", s)
	other.expect(other.send(0))
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	if got := s.Connections(); len(got) != 2 || got[here] != maxAddrConns || got[there] != 1 {
		t.Errorf("connections: %v", got)
	}
	_ = clients[0].conn.Close()
	eventually(t, patience, "a place is free", func() bool { return s.Connections()[here] < maxAddrConns })
	again := dial(t, s)
	again.expect(again.send(0))
}

// TestStrangersKeepNobodyOut has clients that are not allowed open as many connections as they may.
func TestStrangersKeepNobodyOut(t *testing.T) {
	opts := testOptions(t, procs{1: echo})
	opts.Allowed = func(addr netip.Addr) bool { return addr == netip.MustParseAddr("127.0.0.2") }
	s := start(t, "127.0.0.1:0", opts)
	for range maxStrangers {
		c := dial(t, s)
		c.expect(c.send(0))
	}
	if got := dial(t, s).expectEnd(); len(got) > 0 {
		t.Errorf("one more gets %x", got)
	}
	friend := dialFrom(t, "127.0.0.2", s)
	friend.expect(friend.send(1))
}

// TestStrangersAreDropped has clients that are not allowed be told so, and then be gone.
func TestStrangersAreDropped(t *testing.T) {
	set(t, &recordTime, 300*time.Millisecond)
	opts := testOptions(t, procs{1: echo})
	opts.Allowed = func(addr netip.Addr) bool { return addr == netip.MustParseAddr("127.0.0.2") }
	s := start(t, "127.0.0.1:0", opts)
	friend, stranger := dialFrom(t, "127.0.0.2", s), dial(t, s)
	began := time.Now()
	for range 3 {
		stranger.expectDenial(stranger.send(1), TooWeak)
		time.Sleep(50 * time.Millisecond)
	}
	if got := stranger.expectEnd(); len(got) > 0 {
		t.Errorf("a stranger gets %x", got)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a stranger may stay for %v", took)
	}
	time.Sleep(recordTime)
	friend.expect(friend.send(1))
}

// TestSlowCall has a connection end on which a call does not come to its end.
func TestSlowCall(t *testing.T) {
	set(t, &recordTime, 200*time.Millisecond)
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo}))
	c, other := dial(t, s), dial(t, s)
	b, xid := c.call(nil, 1)
	b, _ = c.call(b, 1)
	c.write(b[:len(b)-1])
	c.expect(xid)
	c.expectEnd()
	other.expect(other.send(1))
}

func TestIdle(t *testing.T) {
	opts := testOptions(t, procs{1: echo})
	opts.Idle = 300 * time.Millisecond
	s := start(t, "127.0.0.1:0", opts)
	idle, busy := dial(t, s), dial(t, s)
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = idle.in.ReadByte() }()
	began := time.Now()
	for range 20 {
		busy.expect(busy.send(1))
		time.Sleep(opts.Idle / 10)
	}
	receive(t, ended)
	busy.expect(busy.send(1))
	if took := time.Since(began); took < opts.Idle {
		t.Errorf("an idle connection ended after %v", took)
	}
}

// TestIdleWhileCallsWait has a call wait for longer than a connection may be idle.
func TestIdleWhileCallsWait(t *testing.T) {
	w := newWaiter()
	opts := testOptions(t, procs{1: echo, 2: w.serve})
	opts.Idle = 50 * time.Millisecond
	c := dial(t, start(t, "127.0.0.1:0", opts))
	waits := c.send(2, "data")
	time.Sleep(6 * opts.Idle)
	w.release <- struct{}{}
	if got := c.expect(waits); string(got) != "data" {
		t.Errorf("%q", got)
	}
	c.expectEnd()
}

func TestListenFails(t *testing.T) {
	opts := testOptions(t, nil)
	s := start(t, "127.0.0.1:0", opts)
	for what, addr := range map[string]string{
		"a port that is taken":      s.Addr().String(),
		"an address of another":     "192.0.2.77:0",
		"a port that is none":       "127.0.0.1:100000",
		"an address without a port": "127.0.0.1",
	} {
		if s, err := Listen(addr, opts); err == nil {
			t.Errorf("%s: no error", what)
			_ = s.Close()
		}
	}
}

// TestListenFailsWithoutUDP has the port free for TCP, but not for UDP on every address family.
func TestListenFailsWithoutUDP(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if s, err := Listen(fmt.Sprintf(":%d", taken.LocalAddr().(*net.UDPAddr).Port), testOptions(t, nil)); err == nil {
		t.Error("the server listens without its UDP port")
		_ = s.Close()
	}
}

// TestManyClients has clients come, call and go at the same time.
func TestManyClients(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo}))
	var group sync.WaitGroup
	var wrong atomic.Int64
	for range 50 {
		group.Go(func() {
			for i := range uint32(20) {
				conn, err := net.Dial("tcp", s.Addr().String())
				if err != nil {
					wrong.Add(1)
					return
				}
				args := binary.BigEndian.AppendUint32(nil, i)
				got, err := Exchange(t.Context(), conn, Header{Program: testProgram, Version: testVersion, Proc: 1}, args)
				if err != nil || !bytes.Equal(got, args) {
					wrong.Add(1)
				}
				_ = conn.Close()
			}
		})
	}
	group.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d calls were not answered right", n)
	}
	eventually(t, patience, "no connection is left", func() bool { return len(s.Connections()) == 0 })
}
