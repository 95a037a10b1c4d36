package rpc

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// tooMany says that there were too many calls waiting.
const tooMany = SystemError

// waiter is a procedure whose calls wait until they are let go.
type waiter struct {
	entered  chan struct{}
	release  chan struct{} // each lets one go; all, when it is closed
	causes   chan error    // why the context ended
	answered atomic.Int64
}

func newWaiter() *waiter {
	return &waiter{
		entered: make(chan struct{}, 2*maxWaiting), release: make(chan struct{}),
		causes: make(chan error, 2*maxWaiting),
	}
}

func (w *waiter) serve(call *Call, reply []byte) ([]byte, Status) {
	result := append([]byte{}, call.Args...)
	ok := call.Later(func(ctx context.Context) {
		w.entered <- struct{}{}
		select {
		case <-w.release:
		case <-ctx.Done():
			w.causes <- context.Cause(ctx)
		}
	}, func(_ *Call, reply []byte) ([]byte, Status) {
		w.answered.Add(1)
		return append(reply, result...), Success
	})
	if !ok {
		return reply, tooMany
	}
	return reply, Deferred
}

func TestLaterIsOvertaken(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve}))
	c, other := dial(t, s), dial(t, s)
	b, before := c.call(nil, 1, "before")
	b, waits := c.call(b, 2, "waits")
	b, after := c.call(b, 1, "after")
	c.write(b)
	if got := string(c.expect(before)) + string(c.expect(after)); got != "beforeafter" {
		t.Errorf("the others' results: %q", got)
	}
	for range 10 {
		c.expect(c.send(1))
		other.expect(other.send(1))
	}
	if n := s.Waiting(); n != 1 {
		t.Errorf("%d calls wait, want 1", n)
	}
	w.release <- struct{}{}
	if got := string(c.expect(waits)); got != "waits" {
		t.Errorf("result %q", got)
	}
	eventually(t, patience, "no call waits", func() bool { return s.Waiting() == 0 })
	c.expect(c.send(1))
}

// TestLaterCall has answer see the call as it was, but for what was in the record.
func TestLaterCall(t *testing.T) {
	var began time.Time
	answered := make(chan Call, 1)
	observed := make(chan Call, 1)
	opts := testOptions(t, procs{1: func(call *Call, reply []byte) ([]byte, Status) {
		began = call.Began
		call.Later(func(context.Context) {
			time.Sleep(20 * time.Millisecond)
		}, func(call *Call, reply []byte) ([]byte, Status) {
			answered <- *call
			call.Result = 5
			return nil, GarbageArgs
		})
		return reply, Deferred
	}})
	opts.Observe = func(call *Call, status Status) {
		if status == GarbageArgs {
			observed <- *call
		}
	}
	c := dial(t, start(t, "127.0.0.1:0", opts))
	c.write(record(append(callWords(testProgram, testVersion, 1, AuthSys, sysCredential("host", 1, 2)), "args"...)))
	c.expectDenial(77, GarbageArgs)
	got := receive(t, answered)
	if got.XID != 77 || got.Proc != 1 || !got.Allowed || !got.Stream() || got.Client != c.conn.LocalAddr().(addrPorter).AddrPort() {
		t.Errorf("the call is %+v", got)
	}
	if got.Args != nil || got.Credential != nil || !got.Began.Equal(began) || got.Waited < 20*time.Millisecond {
		t.Errorf("the call is %+v", got)
	}
	if got := receive(t, observed); got.Result != 5 || got.Waited < 20*time.Millisecond {
		t.Errorf("observed: %+v", got)
	}
}

type addrPorter interface{ AddrPort() netip.AddrPort }

// TestLaterAgain has an answer that has to wait, too.
func TestLaterAgain(t *testing.T) {
	var again Answer
	rounds := 0
	again = func(call *Call, reply []byte) ([]byte, Status) {
		if rounds++; rounds > 3 {
			return append(reply, "at last!"...), Success
		}
		if !call.Later(func(context.Context) {}, again) {
			return reply, tooMany
		}
		return reply, Deferred
	}
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: again}))
	c := dial(t, s)
	if got := string(c.expect(c.send(1))); got != "at last!" {
		t.Errorf("result %q", got)
	}
	eventually(t, patience, "no call waits", func() bool { return s.Waiting() == 0 })
}

func TestLaterDropped(t *testing.T) {
	later := func(status Status) Answer {
		return func(call *Call, reply []byte) ([]byte, Status) {
			call.Later(func(context.Context) {}, func(_ *Call, reply []byte) ([]byte, Status) {
				return append(reply, "rubbish"...), status
			})
			return append(reply, "rubbish"...), Deferred
		}
	}
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: later(Dropped), 3: later(Deferred)}))
	c := dial(t, s)
	c.send(2)
	c.send(3)
	eventually(t, patience, "no call waits", func() bool { return s.Waiting() == 0 })
	c.expect(c.send(1))
}

// TestLaterPanics has both parts of a call that waits panic: it fails, and nothing else does.
func TestLaterPanics(t *testing.T) {
	var answered atomic.Bool
	s := start(t, "127.0.0.1:0", testOptions(t, procs{
		1: func(call *Call, reply []byte) ([]byte, Status) {
			call.Later(func(context.Context) { panic("on purpose") }, func(_ *Call, reply []byte) ([]byte, Status) {
				answered.Store(true)
				return reply, Success
			})
			return reply, Deferred
		},
		2: func(call *Call, reply []byte) ([]byte, Status) {
			call.Later(func(context.Context) {}, func(*Call, []byte) ([]byte, Status) { panic("on purpose") })
			return reply, Deferred
		},
	}))
	c := dial(t, s)
	for _, proc := range []uint32{1, 2, 1} {
		c.expectDenial(c.send(proc), SystemError)
	}
	if answered.Load() {
		t.Error("what panicked while it waited is answered as if it had not")
	}
	c.expect(c.send(0))
	eventually(t, patience, "no call waits", func() bool { return s.Waiting() == 0 })
}

// TestLaterConnLimit has one connection let as many calls wait as it may.
func TestLaterConnLimit(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve}))
	c, other := dial(t, s), dial(t, s)
	waits := make(map[uint32]bool)
	for range maxConnWaiting {
		waits[c.send(2)] = true
	}
	for range maxConnWaiting {
		receive(t, w.entered)
	}
	c.expectDenial(c.send(2), tooMany)
	c.expect(c.send(1))
	others := other.send(2)
	receive(t, w.entered)
	if n := s.Waiting(); n != maxConnWaiting+1 {
		t.Errorf("%d calls wait, want %d", n, maxConnWaiting+1)
	}
	w.release <- struct{}{}
	w.release <- struct{}{}
	eventually(t, patience, "two calls do not wait any more", func() bool { return s.Waiting() == maxConnWaiting-1 })
	close(w.release)
	other.expect(others)
	for range maxConnWaiting {
		xid, _, err := ParseReply(c.receive())
		if err != nil || !waits[xid] {
			t.Fatalf("reply to %d: %v", xid, err)
		}
		delete(waits, xid)
	}
	eventually(t, patience, "no call waits", func() bool { return s.Waiting() == 0 })
	c.expect(c.send(2))
}

// TestLaterLimit has all clients together let as many calls wait as they may.
func TestLaterLimit(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve}))
	const most = maxWaiting / 2 // of one address
	for range most / maxConnWaiting {
		c := dial(t, s)
		for range maxConnWaiting {
			c.send(2)
		}
	}
	for range most {
		receive(t, w.entered)
	}
	c := dial(t, s)
	c.expectDenial(c.send(2), tooMany)
	c.expect(c.send(1))
	w.release <- struct{}{}
	eventually(t, patience, "there is room", func() bool { return s.Waiting() < most })
	waits := c.send(2)
	receive(t, w.entered)
	c.expectDenial(c.send(2), tooMany)
	close(w.release)
	c.expect(waits)
}

// TestLaterOfClientThatHangsUp has nothing left of a client a second after it hung up.
func TestLaterOfClientThatHangsUp(t *testing.T) {
	hangUps := map[string]func(*client) error{
		"closes":         func(c *client) error { return c.conn.Close() },
		"closes one way": func(c *client) error { return c.conn.CloseWrite() },
		"resets":         func(c *client) error { return errors.Join(c.conn.SetLinger(0), c.conn.Close()) },
		"sends nonsense": func(c *client) error { _, err := c.conn.Write([]byte("\xff\xff\xff\xff")); return err },
		"closes in a call": func(c *client) error {
			_, err := c.conn.Write([]byte("\x80\x00\x00"))
			return errors.Join(err, c.conn.Close())
		},
		"closes with calls": func(c *client) error { c.send(1); c.send(1); return c.conn.Close() },
	}
	for what, hangUp := range hangUps {
		w := newWaiter()
		s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve}))
		eventually(t, patience, "the server serves", func() bool { return served(s) })
		before := goleak.IgnoreCurrent()
		c := dial(t, s)
		const calls = 20
		for range calls {
			c.send(2)
		}
		for range calls {
			receive(t, w.entered)
		}
		if err := hangUp(c); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Second, "nothing waits", func() bool { return s.Waiting() == 0 && len(s.Connections()) == 0 })
		if err := goleak.Find(before); err != nil {
			t.Errorf("a client %s, and leaves %v", what, err)
		}
		if n := w.answered.Load(); n > 0 {
			t.Errorf("a client %s, and is answered %d times", what, n)
		}
		for range calls {
			if err := receive(t, w.causes); !errors.Is(err, errGone) {
				t.Errorf("a client %s: contexts end with %v", what, err)
			}
		}
	}
}

// served says whether all goroutines of a server run that do when there are no clients.
func served(s *Server) bool {
	conn, err := dialUDP(s)
	if err != nil {
		return false
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = Exchange(ctx, conn, Header{Program: testProgram, Version: testVersion}, nil)
	return err == nil
}

// TestLaterAtClose has calls that wait be answered when the server closes.
func TestLaterAtClose(t *testing.T) {
	w := newWaiter()
	s := start(t, "127.0.0.1:0", testOptions(t, procs{1: echo, 2: w.serve}))
	const calls = 100
	clients := []*client{dial(t, s), dial(t, s), dial(t, s)}
	for _, c := range clients {
		for range calls {
			c.send(2, "data")
		}
		for range calls {
			receive(t, w.entered)
		}
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > closeTime/2 {
		t.Errorf("Close takes %v", took)
	}
	for _, c := range clients {
		seen := make(map[uint32]bool)
		for range calls {
			xid, result, err := ParseReply(c.receive())
			if err != nil || string(result) != "data" || seen[xid] {
				t.Fatalf("reply to %d: %q, %v", xid, result, err)
			}
			seen[xid] = true
		}
		if got := c.expectEnd(); len(got) > 0 {
			t.Errorf("%x comes after the replies", got)
		}
	}
	for range len(clients) * calls {
		if err := receive(t, w.causes); !errors.Is(err, ErrClosing) {
			t.Errorf("contexts end with %v", err)
		}
	}
}
