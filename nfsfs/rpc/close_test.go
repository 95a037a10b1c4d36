package rpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// closeWithin closes a server, which may take so long.
func closeWithin(t testing.TB, s *Server, limit time.Duration) {
	t.Helper()
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(began); took > limit {
		t.Errorf("Close takes %v, want at most %v", took, limit)
	}
	if n, conns := s.Waiting(), s.Connections(); n > 0 || len(conns) > 0 {
		t.Errorf("after Close, %d calls wait, and there are connections: %v", n, conns)
	}
}

// stuck is a client that sends calls, and does not receive the replies: more than fit any buffer.
func stuck(t testing.TB, s *Server, proc uint32) *client {
	t.Helper()
	c := dial(t, s)
	if err := c.conn.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		c.send(proc)
	}
	return c
}

// flood answers with a megabyte.
func flood(_ *Call, reply []byte) ([]byte, Status) { return append(reply, megabyte...), Success }

var megabyte = bytes.Repeat([]byte("data"), 1<<18)

func TestCloseTwice(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo}))
	c := dial(t, s)
	c.expect(c.send(1))
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() { closeWithin(t, s, closeTime/2) })
	}
	group.Wait()
	if got := c.expectEnd(); len(got) > 0 {
		t.Errorf("%x comes at the end", got)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

func TestCloseBeforeServe(t *testing.T) {
	s, err := Listen("127.0.0.1:0", testOptions(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	closeWithin(t, s, closeTime/2)
	if err := s.Serve(); err != nil {
		t.Errorf("Serve after Close: %v", err)
	}
	// The ports can be taken again.
	again, err := Listen(s.Addr().String(), testOptions(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	closeWithin(t, again, closeTime/2)
}

// TestCloseAtAnyTime closes servers while they start, and while clients come.
func TestCloseAtAnyTime(t *testing.T) {
	for i := range 200 {
		s, err := Listen("127.0.0.1:0", testOptions(t, procs{1: echo}))
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				conn, err := net.Dial("tcp", s.Addr().String())
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = conn.Write(record(header(1, 1)))
				_, _ = io.ReadAll(conn)
			})
		}
		time.Sleep(time.Duration(i) * 10 * time.Microsecond)
		closeWithin(t, s, closeTime/2)
		group.Wait()
		if err := receive(t, served); err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

// TestCloseWithStuckClients has clients that do not receive their replies hold up Close for no longer
// than they may, and nobody else at all.
func TestCloseWithStuckClients(t *testing.T) {
	set(t, &closeTime, 300*time.Millisecond)
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve, 3: flood}))
	for range 5 {
		c := dial(t, s)
		c.send(2)
		receive(t, w.entered)
		stuck(t, s, 3)
	}
	mixed := dial(t, s)
	mixed.send(2) // its reply has to wait for its turn
	receive(t, w.entered)
	for range 200 {
		mixed.send(3)
	}
	polite := dial(t, s)
	waits := polite.send(2, "data")
	receive(t, w.entered)
	for range 50 {
		began := time.Now()
		polite.expect(polite.send(1))
		if took := time.Since(began); took > time.Second {
			t.Errorf("a call takes %v", took)
		}
	}
	closeWithin(t, s, closeTime+time.Second)
	if got := string(polite.expect(waits)); got != "data" {
		t.Errorf("at Close: %q", got)
	}
}

// TestStuckClientIsDropped has the connection end when replies are not received for long.
func TestStuckClientIsDropped(t *testing.T) {
	set(t, &writeTime, 300*time.Millisecond)
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve, 3: flood}))
	c := dial(t, s)
	c.send(2)
	receive(t, w.entered)
	stuck(t, s, 3)
	_ = c.conn.Close()
	eventually(t, 10*time.Second, "the connection ended", func() bool {
		return len(s.Connections()) == 0 && s.Waiting() == 0
	})
}

// TestCloseWithBusyClients has clients that go on calling lose no reply to a call that waits.
func TestCloseWithBusyClients(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve}))
	const clients = 4
	results := make(chan string, clients)
	var group sync.WaitGroup
	for range clients {
		c := dial(t, s)
		waits := c.send(2, "data")
		receive(t, w.entered)
		group.Go(func() {
			defer c.conn.Close()
			// As the kernel's client does, it has so many calls on their way, and no more.
			b, _ := c.call(nil, 1, "call")
			_, _ = c.conn.Write(bytes.Repeat(b, 64))
			for {
				reply, err := ReadRecord(c.in, 1<<20)
				if err != nil {
					results <- "no reply: " + err.Error()
					return
				}
				if xid, result, _ := ParseReply(reply); xid == waits {
					results <- string(result)
					return
				}
				_, _ = c.conn.Write(b)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	closeWithin(t, s, closeTime/2)
	for range clients {
		if got := receive(t, results); got != "data" {
			t.Errorf("at Close: %q, want the reply", got)
		}
	}
	group.Wait()
}

// TestCloseWithTirelessClients has clients send calls faster than they can be answered.
func TestCloseWithTirelessClients(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: func(_ *Call, reply []byte) ([]byte, Status) {
		time.Sleep(100 * time.Microsecond)
		return reply, Success
	}}))
	var group sync.WaitGroup
	for range 2 {
		c := dial(t, s)
		b, _ := c.call(nil, 1)
		b = bytes.Repeat(b, 100)
		group.Go(func() {
			for {
				if _, err := c.conn.Write(b); err != nil {
					return
				}
			}
		})
		group.Go(func() { _, _ = io.Copy(io.Discard, c.conn) })
	}
	time.Sleep(200 * time.Millisecond)
	closeWithin(t, s, closeTime/2)
	group.Wait()
}

// TestCloseEndsAll has connections in every state.
func TestCloseEndsAll(t *testing.T) {
	set(t, &closeTime, 500*time.Millisecond)
	w := newWaiter()
	opts := testOptions(t, procs{1: echo, 2: w.serve, 3: flood})
	opts.Idle = time.Minute
	s := start(t, "127.0.0.1:0", opts)
	idle, cut, large := dial(t, s), dial(t, s), dial(t, s)
	idle.expect(idle.send(1))
	cut.expect(cut.send(1))
	cut.write([]byte("\x80\x00"))
	large.write([]byte(fragment(false, "part")))
	gone := dial(t, s)
	gone.send(2)
	receive(t, w.entered)
	_ = gone.conn.Close()
	stuck(t, s, 3)
	closeWithin(t, s, closeTime+time.Second)
	for _, c := range []*client{idle, cut, large} {
		if got := c.expectEnd(); len(got) > 0 {
			t.Errorf("%x comes at the end", got)
		}
	}
}

// TestCloseWhileRecordsWaitForMemory has records wait for a share that is not given.
func TestCloseWhileRecordsWaitForMemory(t *testing.T) {
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo}))
	if err := s.large.Acquire(context.Background(), maxLarge); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	c.write([]byte(fragment(false, "part")))
	eventually(t, patience, "a connection", func() bool { return len(s.Connections()) == 1 })
	time.Sleep(50 * time.Millisecond)
	closeWithin(t, s, closeTime/2)
}
