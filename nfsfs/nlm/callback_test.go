package nlm

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// receiver is the lock manager of a client. It passes on what it is called with, but not what is sent
// again because the answer took long.
type receiver struct {
	calls   chan rpc.Call
	answers chan status // to GRANTED

	mu   sync.Mutex
	seen map[uint32]bool // by XID
}

func newReceiver() *receiver {
	return &receiver{calls: make(chan rpc.Call, 100), answers: make(chan status, 100), seen: make(map[uint32]bool)}
}

func (r *receiver) Serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	r.mu.Lock()
	again := r.seen[call.XID]
	r.seen[call.XID] = true
	r.mu.Unlock()
	if again {
		return reply, rpc.Dropped
	}
	own := *call
	own.Args = bytes.Clone(call.Args)
	r.calls <- own
	if call.Proc != procGranted {
		return reply, rpc.Success
	}
	d := xdr.NewDecoder(call.Args)
	return appendResult(reply, d.Opaque(maxNetobj), <-r.answers, call.Version), rpc.Success
}

// expect returns the next call, which has to be of this procedure and made of these parts; a cookie in
// front of them is returned, if the call is to have one of the server's own.
func (r *receiver) expect(t *testing.T, proc, version uint32, own bool, want ...[]byte) (cookie []byte) {
	t.Helper()
	select {
	case call := <-r.calls:
		if call.Proc != proc || call.Version != version {
			t.Fatalf("procedure %d of version %d is called, want %d of %d", call.Proc, call.Version, proc, version)
		}
		if call.Flavor != rpc.AuthSys {
			t.Errorf("a credential of flavor %d, want AUTH_SYS", call.Flavor)
		}
		args := call.Args
		if own {
			d := xdr.NewDecoder(args)
			cookie = d.Opaque(8)
			args = d.Rest()
		}
		if want := bytes.Join(want, nil); !bytes.Equal(args, want) {
			t.Fatalf("procedure %d:\n%x, want\n%x", proc, args, want)
		}
		if got := call.Client.Addr(); got != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("called from %v, not from where the client called", got)
		}
	case <-time.After(patience):
		t.Fatalf("procedure %d is not called", proc)
	}
	return cookie
}

// nobody fails the test if there was another call.
func (r *receiver) nobody(t *testing.T) {
	t.Helper()
	select {
	case call := <-r.calls:
		t.Errorf("procedure %d is called", call.Proc)
	default:
	}
}

// lookupFor finds a port for one transport only.
func lookupFor(t *testing.T, addr string, port uint16, only string) Lookup {
	return func(_ context.Context, a netip.Addr, program, _ uint32, network string) (uint16, error) {
		if a != netip.MustParseAddr(addr) || program != Program {
			t.Errorf("looked up: program %d at %v", program, a)
		}
		switch network {
		case only:
			return port, nil
		case "udp":
			return 0, nil // not registered
		}
		return 0, errUnreachable
	}
}

// eventually waits until there are so many locks that nobody waits for, and requests.
func eventually(t *testing.T, h *Handler, held, waiting int) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		gotHeld, gotWaiting := 0, 0
		for _, l := range h.Locks() {
			if l.Waiting {
				gotWaiting++
			} else {
				gotHeld++
			}
		}
		if gotHeld == held && gotWaiting == waiting {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d locks and %d requests, want %d and %d", gotHeld, gotWaiting, held, waiting)
		}
		time.Sleep(time.Millisecond)
	}
}

// eachCallback runs a test with a receiver that is called over one transport, in one version.
func eachCallback(t *testing.T, test func(t *testing.T, h *Handler, p peer, r *receiver)) {
	for _, network := range networks {
		for _, version := range allVersions {
			t.Run(network+"/"+string('0'+rune(version)), func(t *testing.T) {
				r := newReceiver()
				callback := listen(t, "127.0.0.2", Versions, r)
				h := newHandler(t, lookupFor(t, "127.0.0.2", callback, network))
				port := listen(t, "127.0.0.1", Versions, h)
				test(t, h, connect(t, "tcp", "127.0.0.2", port, version), r)
				r.nobody(t)
			})
		}
	}
}

func TestGranted(t *testing.T) {
	eachCallback(t, func(t *testing.T, h *Handler, p peer, r *receiver) {
		a, b, c := p.target("a", "file", 1, 10, 20), p.target("b", "file", 2, 15, 0), p.target("c", "file", 3, 0, 0)
		p.ask(procLock, p.lockArgs(1, 1, a), p.result(granted))
		p.ask(procLock, p.lockArgs(1, 1, b), p.result(blocked))
		p.ask(procLock, p.lockArgs(1, 0, c), p.result(blocked))
		r.nobody(t)

		r.answers <- denied // by b, and
		r.answers <- granted
		p.ask(procUnlock, p.unlockArgs(a), p.result(granted))
		first := r.expect(t, procGranted, p.version, true, words(1), b)
		second := r.expect(t, procGranted, p.version, true, words(0), c)
		if bytes.Equal(first, second) {
			t.Error("two grants have the same cookie")
		}
		eventually(t, h, 1, 1)
		p.ask(procTest, p.testArgs(1, a), p.result(denied), words(0, 3), opaque("owner of c"), p.extent(0, 0))
		p.ask(procUnlock, p.unlockArgs(c), p.result(granted))
		p.ask(procLock, p.lockArgs(1, 1, b), p.result(granted)) // it was another b that denied
		eventually(t, h, 1, 0)
	})
}

func TestAsynchronous(t *testing.T) {
	eachCallback(t, func(t *testing.T, h *Handler, p peer, r *receiver) {
		const msg, res = toMsg, toRes
		a, b := p.target("a", "file", 1, 10, 20), p.target("b", "file", 2, 15, 0)
		p.ask(procTest+msg, p.testArgs(1, a))
		r.expect(t, procTest+res, p.version, false, p.result(granted))
		p.ask(procLock+msg, p.lockArgs(1, 1, a))
		r.expect(t, procLock+res, p.version, false, p.result(granted))
		p.ask(procTest+msg, p.testArgs(1, b))
		r.expect(t, procTest+res, p.version, false,
			p.result(denied), words(1, 1), opaque("owner of a"), p.extent(10, 20))
		p.ask(procLock+msg, p.lockArgs(0, 1, b))
		r.expect(t, procLock+res, p.version, false, p.result(denied))
		p.ask(procLock+msg, p.lockArgs(1, 1, b))
		r.expect(t, procLock+res, p.version, false, p.result(blocked))
		p.ask(procCancel+msg, p.cancelArgs(1, b))
		r.expect(t, procCancel+res, p.version, false, p.result(granted))
		p.ask(procGranted+msg, p.testArgs(1, b))
		r.expect(t, procGranted+res, p.version, false, p.result(denied))
		p.ask(procLock+msg, p.lockArgs(1, 1, p.target("a", "gone", 1, 0, 0)))
		r.expect(t, procLock+res, p.version, false, p.result(stale.in(p.version)))

		p.ask(procLock+msg, p.lockArgs(1, 1, b))
		r.expect(t, procLock+res, p.version, false, p.result(blocked))
		p.ask(procUnlock, p.unlockArgs(a), p.result(granted))
		grant := r.expect(t, procGrantedMsg, p.version, true, words(1), b)
		eventually(t, h, 0, 1)
		p.ask(procGrantedRes, parts(opaque("a wrong one"), words(0)))
		p.ask(procGrantedRes, parts(opaque("8 bytes!"), words(0)))
		p.ask(procGrantedRes, parts(opaque(string(grant)), words(uint32(gracePeriod))))
		eventually(t, h, 0, 1)
		p.ask(procGrantedRes, parts(opaque(string(grant)), words(0)))
		eventually(t, h, 1, 0)
		p.ask(procUnlock+msg, p.unlockArgs(b))
		r.expect(t, procUnlock+res, p.version, false, p.result(granted))
		eventually(t, h, 0, 0)
	})
}

// call is one that did not come over a network.
func call(h *Handler, p peer, proc uint32, args []byte) (reply []byte, s rpc.Status) {
	return h.Serve(&rpc.Call{
		Header: rpc.Header{Program: Program, Version: p.version, Proc: proc}, Args: args,
		Client: netip.MustParseAddrPort("192.0.2.1:700"), Local: netip.MustParseAddrPort("192.0.2.2:2049"),
	}, nil)
}

// Nobody can be called; Linux asks again every 30 seconds, and that is enough.
func TestAskingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{Resolve: func([]byte) error { return nil }, Lookup: noLookup, Logger: quiet})
		defer h.Close()
		p := peer{t: t, version: 4}
		a, b, c := p.target("a", "file", 1, 0, 0), p.target("b", "file", 1, 0, 0), p.target("c", "file", 1, 0, 0)
		ask := func(want status, proc uint32, args []byte) {
			t.Helper()
			if got, s := call(h, p, proc, args); s != rpc.Success || !bytes.Equal(got, p.result(want)) {
				t.Errorf("after %v: %x, want %x", time.Since(start), got, p.result(want))
			}
		}
		ask(granted, procLock, p.lockArgs(1, 1, a))
		ask(blocked, procLock, p.lockArgs(1, 1, b))
		ask(blocked, procLock, p.lockArgs(1, 1, c)) // and is never seen again
		for range 10 {
			time.Sleep(30 * time.Second)
			ask(blocked, procLock, p.lockArgs(1, 1, b))
		}
		time.Sleep(29 * time.Second)
		ask(granted, procUnlock, p.unlockArgs(a))
		ask(denied, procLock, p.lockArgs(0, 1, a))
		time.Sleep(time.Second)
		ask(granted, procLock, p.lockArgs(1, 1, b))
		time.Sleep(time.Hour)
		ask(denied, procLock, p.lockArgs(0, 1, a))
		ask(granted, procUnlock, p.unlockArgs(b)) // now it is c's turn
		time.Sleep(callTries * callEvery / 2)
		ask(denied, procLock, p.lockArgs(0, 1, a))
		time.Sleep(callTries*callEvery/2 + sweepEvery)
		ask(granted, procLock, p.lockArgs(0, 1, a))
	})
}

// piped is a client that is reached over a pipe, with a script of what it does with each call.
func piped(t *testing.T, h *Handler, script ...func(conn net.Conn)) (called func() int) {
	next := make(chan int, 1)
	next <- 0
	h.caller.dial = func(context.Context, string, netip.Addr, netip.AddrPort) (net.Conn, error) {
		i := <-next
		next <- i + 1
		if i >= len(script) {
			return nil, errUnreachable
		}
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer theirs.Close()
			script[i](theirs)
		}()
		t.Cleanup(func() { <-done })
		return ours, nil
	}
	return func() int {
		i := <-next
		next <- i
		return i
	}
}

// silentClient takes a call and does not answer; answering answers GRANTED.
func silentClient(conn net.Conn) {
	_, _ = rpc.ReadRecord(conn, 1<<10)
	_, _ = conn.Read(make([]byte, 1)) // until it is given up
}

func answering(s status) func(net.Conn) {
	return func(conn net.Conn) {
		b, err := rpc.ReadRecord(conn, 1<<10)
		if err != nil {
			return
		}
		d := xdr.NewDecoder(b)
		xid := d.Uint32()
		d.Fixed(4 * 5)
		d.Uint32()
		d.Opaque(400)
		d.Fixed(8)
		reply := words(xid, 1, 0, 0, 0, 0)
		_ = rpc.WriteRecord(conn, appendResult(reply, d.Opaque(maxNetobj), s, version4))
	}
}

// A client that is not reached at once is called again, a few times.
func TestCalledAgain(t *testing.T) {
	tests := []struct {
		what   string
		script []func(net.Conn)
		after  time.Duration
		calls  int
		held   bool // by the client, then
	}{
		{"at once", []func(net.Conn){answering(granted)}, time.Second, 1, true},
		{"silent first", []func(net.Conn){silentClient, answering(granted)}, callEvery + 2*sweepEvery, 2, true},
		{"starting", []func(net.Conn){answering(gracePeriod), answering(granted)}, callEvery + 2*sweepEvery, 2, true},
		{"hangs up", []func(net.Conn){func(net.Conn) {}, func(net.Conn) {}, func(net.Conn) {}, answering(granted)}, callTries * callEvery, 4, true},
		{"never", nil, 2 * silence, callTries, false},
		{"always silent", []func(net.Conn){silentClient, silentClient, silentClient, silentClient}, 2 * silence, callTries, false},
	}
	for _, test := range tests {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := New(Options{
					Resolve: func([]byte) error { return nil },
					Lookup:  lookupFor(t, "192.0.2.1", 4045, "tcp"),
					Logger:  quiet,
				})
				defer h.Close()
				called := piped(t, h, test.script...)
				p := peer{t: t, version: 4}
				a, b := p.target("a", "file", 1, 0, 0), p.target("b", "file", 1, 0, 0)
				call(h, p, procLock, p.lockArgs(1, 1, a))
				call(h, p, procLock, p.lockArgs(1, 1, b))
				call(h, p, procUnlock, p.unlockArgs(a))
				time.Sleep(test.after)
				if n := called(); n != test.calls {
					t.Errorf("%d calls, want %d", n, test.calls)
				}
				locks := h.Locks()
				if held := len(locks) == 1 && !locks[0].Waiting; held != test.held || !held && len(locks) > 0 {
					t.Errorf("locks: %+v; held should be %v", locks, test.held)
				}
			})
		})
	}
}

// A client in a virtual machine on this host seems to be this host, whose lock manager is we ourselves.
func TestCallsNotItself(t *testing.T) {
	h := newHandler(t, func(context.Context, netip.Addr, uint32, uint32, string) (uint16, error) { return 2049, nil })
	m := message{route: route{
		addr: netip.MustParseAddr("127.0.0.1"), local: netip.MustParseAddrPort("127.0.0.1:2049"), version: 4,
	}, proc: procGranted}
	if err := h.caller.call(m); !errors.Is(err, errSelf) {
		t.Errorf("%v, want %v", err, errSelf)
	}
}

func TestCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{
			Resolve: func([]byte) error { return nil },
			Lookup: func(ctx context.Context, _ netip.Addr, _, _ uint32, _ string) (uint16, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			},
			Logger: quiet,
		})
		for host := range 2 * maxCallees {
			for range 2 * maxCalls {
				addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(host)})
				h.caller.send(message{route: route{addr: addr, version: 4}, proc: procGrantedRes})
			}
		}
		synctest.Wait()
		h.caller.mu.Lock()
		if n := len(h.caller.queues); n != maxCallees {
			t.Errorf("%d addresses are called, want %d", n, maxCallees)
		}
		for addr, q := range h.caller.queues {
			if len(q) > maxCalls {
				t.Errorf("%d calls wait for %v, want %d", len(q), addr, maxCalls)
			}
		}
		h.caller.mu.Unlock()
		h.Close()
		h.caller.send(message{route: route{addr: hostA}})
		if len(h.caller.queues) > 0 {
			t.Error("a call is queued after Close")
		}
	})
}

func TestPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		asked, udp, tcp := 0, uint16(0), uint16(0)
		p := newPorts(func(_ context.Context, _ netip.Addr, _, _ uint32, network string) (uint16, error) {
			asked++
			switch {
			case network == "udp" && udp > 0:
				return udp, nil
			case network == "tcp" && tcp > 0:
				return tcp, nil
			}
			return 0, errUnreachable
		})
		find := func(wantPort uint16, wantNetwork string, wantAsked int) {
			t.Helper()
			asked = 0
			port, network, err := p.find(ctx, hostA, 4)
			if port != wantPort || network != wantNetwork || (err == nil) != (port > 0) || asked != wantAsked {
				t.Errorf("%s port %d, %v, after %d lookups; want %s port %d after %d", network, port, err, asked, wantNetwork, wantPort, wantAsked)
			}
		}
		find(0, "", 2)
		tcp = 700
		find(0, "", 0) // known not to be there
		p.forget(hostA, 4)
		find(0, "", 0)
		time.Sleep(keepNone + 1)
		find(700, "tcp", 2)
		udp = 800
		find(700, "tcp", 0)
		p.forget(hostA, 4)
		find(800, "udp", 1)
		udp = 900
		time.Sleep(keepPort)
		find(800, "udp", 0)
		time.Sleep(time.Nanosecond)
		find(900, "udp", 1)
		for n := range 2 * maxPorts {
			_, _, _ = p.find(ctx, netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 4)
		}
		if len(p.known) > maxPorts {
			t.Errorf("%d ports are remembered, want %d at most", len(p.known), maxPorts)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		udp, tcp = 0, 0
		p.forget(hostA, 4)
		_, _, _ = p.find(ended, hostA, 4)
		if _, ok := p.known[callee{hostA, 4}]; ok {
			t.Error("a lookup that was given up is remembered")
		}
	})
}
