package nlm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

var (
	errUnknownFile        = errors.New("no such file")
	errUnreachable        = errors.New("unreachable")
	quiet                 = slog.New(slog.DiscardHandler)
	patience              = 10 * time.Second
	allVersions           = Versions
	networks              = []string{"tcp", "udp"}
	noLookup       Lookup = func(context.Context, netip.Addr, uint32, uint32, string) (uint16, error) {
		return 0, errUnreachable
	}
)

// newHandler returns a lock manager for all files but those whose handles begin with "gone".
func newHandler(t *testing.T, lookup Lookup) *Handler {
	h := New(Options{
		Resolve: func(handle []byte) error {
			if bytes.HasPrefix(handle, []byte("gone")) {
				return errUnknownFile
			}
			return nil
		},
		Lookup: lookup,
		Logger: quiet,
	})
	t.Cleanup(h.Close)
	return h
}

// listen serves a program on a loopback address, TCP and UDP, and returns its port.
func listen(t *testing.T, ip string, versions []uint32, h rpc.Handler) uint16 {
	t.Helper()
	s, err := rpc.Listen(net.JoinHostPort(ip, "0"), rpc.Options{
		Services: []rpc.Service{{Program: Program, Versions: versions, Handler: h}},
		Allowed:  func(netip.Addr) bool { return true },
		Logger:   quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return uint16(s.Addr().Port)
}

// peer is a client's end of a connection.
type peer struct {
	t       *testing.T
	conn    net.Conn
	version uint32
}

// connect calls the server at port from a loopback address.
func connect(t *testing.T, network, ip string, port uint16, version uint32) peer {
	t.Helper()
	from := netip.AddrPortFrom(netip.MustParseAddr(ip), 0)
	var d net.Dialer
	if network == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
	} else {
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
	}
	conn, err := d.Dial(network, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return peer{t, conn, version}
}

func (p peer) exchange(proc uint32, args []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h := rpc.Header{Program: Program, Version: p.version, Proc: proc, Flavor: rpc.AuthSys, Credential: credential}
	return rpc.Exchange(ctx, p.conn, h, args)
}

// ask makes a call, and fails the test if the result is not made of these parts.
func (p peer) ask(proc uint32, args []byte, want ...[]byte) {
	p.t.Helper()
	got, err := p.exchange(proc, args)
	if err != nil {
		p.t.Fatalf("procedure %d: %v", proc, err)
	}
	if want := bytes.Join(want, nil); !bytes.Equal(got, want) {
		p.t.Errorf("procedure %d of version %d:\n%x, want\n%x", proc, p.version, got, want)
	}
}

// The messages of the protocol, put together by hand.

const cookie = "a cookie"

func words(v ...uint32) []byte        { return xdr.AppendWords(nil, v...) }
func opaque(s string) []byte          { return xdr.AppendOpaque(nil, s) }
func parts(p ...[]byte) []byte        { return bytes.Join(p, nil) }
func (p peer) result(s status) []byte { return parts(opaque(cookie), words(uint32(s))) }

func (p peer) extent(offset, length uint64) []byte {
	if p.version == 4 {
		return xdr.AppendUint64(xdr.AppendUint64(nil, offset), length)
	}
	return words(uint32(offset), uint32(length))
}

// target is of process 1 or so, on a file.
func (p peer) target(caller, file string, svid uint32, offset, length uint64) []byte {
	return parts(opaque(caller), opaque(file), opaque("owner of "+caller), words(svid), p.extent(offset, length))
}

func (p peer) testArgs(exclusive uint32, target []byte) []byte {
	return parts(opaque(cookie), words(exclusive), target)
}

func (p peer) lockArgs(block, exclusive uint32, target []byte) []byte {
	return parts(opaque(cookie), words(block, exclusive), target, words(0, 77))
}

func (p peer) cancelArgs(exclusive uint32, target []byte) []byte {
	return parts(opaque(cookie), words(1, exclusive), target)
}

func (p peer) unlockArgs(target []byte) []byte { return parts(opaque(cookie), target) }

func shareArgs(caller, file, oh string, deny, access uint32) []byte {
	return parts(opaque(cookie), opaque(caller), opaque(file), opaque(oh), words(deny, access, 0))
}

// each runs a test over both transports, in all versions, with a server of its own.
func each(t *testing.T, test func(t *testing.T, h *Handler, p peer)) {
	for _, network := range networks {
		for _, version := range allVersions {
			t.Run(network+"/"+string('0'+rune(version)), func(t *testing.T) {
				h := newHandler(t, noLookup)
				test(t, h, connect(t, network, "127.0.0.1", listen(t, "127.0.0.1", Versions, h), version))
			})
		}
	}
}

func TestLockProcedures(t *testing.T) {
	each(t, func(t *testing.T, h *Handler, p peer) {
		a, b := p.target("a", "file", 1, 10, 20), p.target("b", "file", 1, 15, 0)
		p.ask(procNull, nil)
		p.ask(procTest, p.testArgs(1, a), p.result(granted))
		p.ask(procLock, p.lockArgs(0, 1, a), p.result(granted))
		p.ask(procTest, p.testArgs(1, a), p.result(granted))
		p.ask(procTest, p.testArgs(0, b), p.result(denied), words(1, 1), opaque("owner of a"), p.extent(10, 20))
		p.ask(procLock, p.lockArgs(0, 0, b), p.result(denied))
		p.ask(procLock, p.lockArgs(1, 0, b), p.result(blocked))
		p.ask(procCancel, p.cancelArgs(0, b), p.result(granted))
		p.ask(procCancel, p.cancelArgs(0, b), p.result(denied))
		p.ask(procUnlock, p.unlockArgs(p.target("a", "file", 1, 15, 5)), p.result(granted))
		p.ask(procLock, p.lockArgs(0, 0, p.target("b", "file", 1, 15, 5)), p.result(granted))
		p.ask(procUnlock, p.unlockArgs(p.target("a", "file", 1, 0, 0)), p.result(granted))
		p.ask(procLock, p.lockArgs(0, 0, b), p.result(granted))
		p.ask(procTest, p.testArgs(1, a), p.result(denied), words(0, 1), opaque("owner of b"), p.extent(15, 0))
		p.ask(procUnlock, p.unlockArgs(p.target("a", "never locked", 1, 0, 0)), p.result(granted))
		p.ask(procGranted, p.testArgs(1, a), p.result(denied))
		for proc := uint32(procTestRes); proc <= procGrantedRes; proc++ {
			p.ask(proc, parts(opaque("whose?"), words(0)))
		}
		want := LockInfo{
			Client: netip.MustParseAddr("127.0.0.1"), Name: "b", Process: 1, Owner: "owner of b", Handle: "file",
			Offset: 15,
		}
		if got := h.Locks(); len(got) != 1 || got[0] != want {
			t.Errorf("locks: %+v, want %+v", got, want)
		}
	})
}

func TestSharesAndOthers(t *testing.T) {
	each(t, func(t *testing.T, h *Handler, p peer) {
		if p.version == 1 {
			for proc := uint32(procGrantedRes + 1); proc < 25; proc++ {
				if _, err := p.exchange(proc, nil); err == nil {
					t.Errorf("version 1 has procedure %d", proc)
				}
			}
			return
		}
		shared := func(s status) []byte { return parts(p.result(s), words(0)) }
		p.ask(procShare, shareArgs("a", "file", "1", 2, 1), shared(granted))
		p.ask(procShare, shareArgs("a", "file", "2", 0, 3), shared(denied))
		p.ask(procShare, shareArgs("a", "file", "2", 0, 1), shared(granted))
		p.ask(procUnshare, shareArgs("a", "file", "1", 2, 1), shared(granted))
		p.ask(procShare, shareArgs("a", "file", "3", 0, 3), shared(granted))
		p.ask(procUnshare, shareArgs("a", "file", "never opened", 0, 3), shared(granted))
		p.ask(procUnshare, shareArgs("a", "never opened", "1", 0, 3), shared(granted))
		p.ask(procShare, shareArgs("a", strings.Repeat("f", 65), "3", 0, 3), shared(stale.in(p.version)))
		p.ask(procShare, shareArgs("a", "gone", "3", 0, 3), shared(stale.in(p.version)))
		p.ask(procShare, shareArgs("a", "file", strings.Repeat("x", 256), 0, 3), shared(noLocks))
		p.ask(procNmLock, p.lockArgs(1, 1, p.target("a", "file", 1, 0, 0)), p.result(granted))
		p.ask(procNmLock, p.lockArgs(1, 1, p.target("b", "file", 1, 0, 0)), p.result(denied))
		p.ask(procFreeAll, parts(opaque("b"), words(3)))
		p.ask(procLock, p.lockArgs(0, 1, p.target("b", "file", 1, 0, 0)), p.result(denied))
		p.ask(procFreeAll, parts(opaque("a"), words(3)))
		p.ask(procLock, p.lockArgs(0, 1, p.target("b", "file", 1, 0, 0)), p.result(granted))
		if n := len(h.Locks()); n != 1 {
			t.Errorf("%d locks, want 1", n)
		}
		for _, proc := range []uint32{16, 17, 18, 19, 24} {
			if _, err := p.exchange(proc, nil); err == nil {
				t.Errorf("there is a procedure %d", proc)
			}
		}
	})
}

func TestOddArguments(t *testing.T) {
	each(t, func(t *testing.T, _ *Handler, p peer) {
		long := strings.Repeat("x", maxString)
		p.ask(procLock, p.lockArgs(0, 1, p.target("a", "gone", 1, 0, 0)), p.result(stale.in(p.version)))
		p.ask(procTest, p.testArgs(0, p.target("a", "gone", 1, 0, 0)), p.result(stale.in(p.version)))
		p.ask(procLock, p.lockArgs(0, 1, p.target("a", long, 1, 0, 0)), p.result(stale.in(p.version)))
		p.ask(procUnlock, p.unlockArgs(p.target("a", "gone", 1, 0, 0)), p.result(granted))
		p.ask(procLock, p.lockArgs(0, 1, p.target(long[:256], "file", 1, 0, 0)), p.result(noLocks))
		p.ask(procTest, p.testArgs(1, p.target(long[:300], "file", 1, 0, 0)), p.result(granted))
		p.ask(procTest, parts(opaque(long), words(0), p.target("a", "file", 1, 0, 0)), opaque(long), words(0))
		p.ask(procTest, parts(opaque(""), words(0), p.target("a", "file", 1, 0, 0)), opaque(""), words(0))
		for proc := uint32(procTest); proc <= procGrantedMsg; proc++ {
			for _, args := range [][]byte{
				nil,
				parts(opaque(long+"x"), words(0, 0, 0), p.target("a", "file", 1, 0, 0)),
				parts(opaque(cookie), words(0, 0), p.target(long+"x", "file", 1, 0, 0)),
				words(math.MaxUint32, 0, 0, 0),
			} {
				if _, err := p.exchange(proc, args); err == nil {
					t.Errorf("procedure %d takes %d bytes that are malformed", proc, len(args))
				}
			}
		}
		if p.version > 1 {
			for _, args := range [][]byte{nil, shareArgs("a", "file", "1", 4, 0), shareArgs("a", "file", "1", 0, 4)} {
				if _, err := p.exchange(procShare, args); err == nil {
					t.Errorf("SHARE takes %d bytes that are malformed", len(args))
				}
			}
			if _, err := p.exchange(procFreeAll, nil); err == nil {
				t.Error("FREE_ALL takes nothing")
			}
		}
		if _, err := p.exchange(procGrantedRes, words(0)); err == nil {
			t.Error("GRANTED_RES takes half of its arguments")
		}
		p.version = 2
		if _, err := p.exchange(procNull, nil); err == nil {
			t.Error("there is a version 2")
		}
	})
}

func TestRanges(t *testing.T) {
	h := newHandler(t, noLookup)
	port := listen(t, "127.0.0.1", Versions, h)
	p4, p3 := connect(t, "tcp", "127.0.0.1", port, 4), connect(t, "tcp", "127.0.0.1", port, 3)
	type extent struct{ offset, length uint64 }
	tests := []struct {
		held extent
		want status
		as4  extent // how the holder is told
		as3  extent
	}{
		{extent{1, 2}, granted, extent{1, 2}, extent{1, 2}},
		{extent{1, 0}, granted, extent{1, 0}, extent{1, 0}},
		{extent{7, math.MaxUint64}, granted, extent{7, 0}, extent{7, 0}},
		{extent{1 << 40, 10}, granted, extent{1 << 40, 10}, extent{math.MaxUint32, 0}},
		{extent{1 << 20, 1 << 40}, granted, extent{1 << 20, 1 << 40}, extent{1 << 20, 0}},
		{extent{1<<32 - 2, 1}, granted, extent{1<<32 - 2, 1}, extent{1<<32 - 2, 1}},
		{extent{1<<32 - 2, 2}, granted, extent{1<<32 - 2, 2}, extent{1<<32 - 2, 0}},
		{extent{math.MaxUint64, 1}, granted, extent{math.MaxUint64, 0}, extent{math.MaxUint32, 0}},
		{extent{math.MaxUint64, 2}, tooBig, extent{}, extent{}},
		{extent{2, math.MaxUint64 - 1}, granted, extent{2, 0}, extent{2, 0}},
		{extent{3, math.MaxUint64 - 1}, tooBig, extent{}, extent{}},
	}
	for _, test := range tests {
		target := p4.target("a", "file", 1, test.held.offset, test.held.length)
		p4.ask(procLock, p4.lockArgs(0, 1, target), p4.result(test.want))
		if test.want != granted {
			p4.ask(procTest, p4.testArgs(1, target), p4.result(test.want))
			p4.ask(procUnlock, p4.unlockArgs(target), p4.result(test.want))
			p4.ask(procCancel, p4.cancelArgs(1, target), p4.result(test.want))
			continue
		}
		whole := p4.target("b", "file", 1, 0, 0)
		p4.ask(procTest, p4.testArgs(1, whole), p4.result(denied), words(1, 1), opaque("owner of a"),
			p4.extent(test.as4.offset, test.as4.length))
		whole = p3.target("b", "file", 1, 0, math.MaxUint32)
		p3.ask(procTest, p3.testArgs(1, whole), p3.result(denied), words(1, 1), opaque("owner of a"),
			p3.extent(test.as3.offset, test.as3.length))
		p4.ask(procUnlock, p4.unlockArgs(target), p4.result(granted))
	}
}

func TestDeadlockOnTheWire(t *testing.T) {
	each(t, func(_ *testing.T, _ *Handler, p peer) {
		p.ask(procLock, p.lockArgs(1, 1, p.target("a", "file", 1, 0, 0)), p.result(granted))
		p.ask(procLock, p.lockArgs(1, 1, p.target("b", "file2", 1, 0, 0)), p.result(granted))
		p.ask(procLock, p.lockArgs(1, 1, p.target("a", "file2", 1, 0, 0)), p.result(blocked))
		want := deadlock
		if p.version < 4 {
			want = denied
		}
		p.ask(procLock, p.lockArgs(1, 1, p.target("b", "file", 1, 0, 0)), p.result(want))
	})
}

// A host's locks are its own: another address cannot free them, not even with the name.
func TestFreeAllOfAnotherHost(t *testing.T) {
	h := newHandler(t, noLookup)
	port := listen(t, "127.0.0.1", Versions, h)
	for _, network := range networks {
		a, b := connect(t, network, "127.0.0.2", port, 4), connect(t, network, "127.0.0.3", port, 4)
		target := a.target("tv", "file", 1, 0, 0)
		a.ask(procLock, a.lockArgs(0, 1, target), a.result(granted))
		b.ask(procLock, b.lockArgs(0, 1, target), b.result(denied))
		b.ask(procUnlock, b.unlockArgs(target), b.result(granted))
		b.ask(procFreeAll, parts(opaque("tv"), words(3)))
		b.ask(procLock, b.lockArgs(0, 1, target), b.result(denied))
		h.Free(netip.MustParseAddr("127.0.0.3"), "tv", 0)
		b.ask(procLock, b.lockArgs(0, 1, target), b.result(denied))
		a.ask(procFreeAll, parts(opaque("tv"), words(3)))
		b.ask(procLock, b.lockArgs(0, 1, target), b.result(granted))
		h.Free(netip.MustParseAddr("127.0.0.3"), "tv.lan", 77) // the state of lockArgs
		a.ask(procLock, a.lockArgs(0, 1, target), a.result(denied))
		h.Free(netip.MustParseAddr("127.0.0.3"), "tv.lan", 79)
		if n := len(h.Locks()); n > 0 {
			t.Errorf("%d locks are left", n)
		}
	}
}

func FuzzServe(f *testing.F) {
	p3, p4 := peer{version: 3}, peer{version: 4}
	for _, p := range []peer{p3, p4} {
		target := p.target("a", "file", 1, 5, 10)
		for proc := range uint32(25) {
			f.Add(proc, p.version, p.testArgs(1, target))
			f.Add(proc, p.version, p.lockArgs(1, 1, target))
			f.Add(proc, p.version, p.unlockArgs(target))
		}
		f.Add(uint32(procCancel), p.version, p.cancelArgs(1, target))
		f.Add(uint32(procShare), p.version, shareArgs("a", "file", "1", 1, 2))
		f.Add(uint32(procFreeAll), p.version, parts(opaque("a"), words(1)))
		f.Add(uint32(procGrantedRes), p.version, parts(opaque("12345678"), words(0)))
	}
	h := New(Options{Resolve: func([]byte) error { return nil }, Lookup: noLookup, Logger: quiet})
	f.Cleanup(h.Close)
	f.Fuzz(func(t *testing.T, proc, version uint32, args []byte) {
		version = allVersions[version%3]
		call := &rpc.Call{
			Header: rpc.Header{Program: Program, Version: version, Proc: proc}, Args: args,
			Client: netip.MustParseAddrPort("192.0.2.1:700"), Local: netip.MustParseAddrPort("192.0.2.2:2049"),
		}
		reply, status := h.Serve(call, []byte("before"))
		result, ok := bytes.CutPrefix(reply, []byte("before"))
		if !ok || len(result)%4 != 0 || len(result) > 4<<10 {
			t.Fatalf("a result of %d bytes", len(result))
		}
		if status != rpc.Success && len(result) > 0 {
			t.Fatalf("status %d with a result", status)
		}
		if len(result) > 0 {
			if echoed, s, err := decodeResult(result); err != nil || !bytes.HasPrefix(args[4:], echoed) || uint32(s) != call.Result {
				t.Fatalf("a result of %x, %d; %v", echoed, s, err)
			}
		}
		if a, err := decodeArguments(args, procTest, version); err == nil {
			again, err := decodeArguments(appendGranted(nil, a.cookie, a.exclusive, a.target, version), procTest, version)
			if err != nil || again.caller != a.caller || !bytes.Equal(again.fh, a.fh) || !bytes.Equal(again.oh, a.oh) ||
				again.svid != a.svid || again.offset != a.offset || again.length != a.length {
				t.Fatalf("%+v becomes %+v; %v", a, again, err)
			}
		}
	})
}
