//go:build linux

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"shoal/nfsfs/portmap"
	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// Procedures of NLM.
const (
	lockTest       = 1
	lockLock       = 2
	lockCancel     = 3
	lockUnlock     = 4
	lockGranted    = 5
	lockTestMsg    = 6
	lockLockMsg    = 7
	lockGrantedMsg = 10
	lockTestRes    = 11
	lockGrantedRes = 15
	lockShare      = 20
	lockUnshare    = 21
	lockNmLock     = 22
	lockFreeAll    = 23
)

// Status of NLM, which is not that of NFS.
const (
	granted = "0"
	denied  = "1"
	blocked = "3"
	stale   = "7"
)

// called is a call of the appliance to the lock manager of a client.
type called struct{ version, proc uint32 }

// lockManager is that of the client. It says yes to everything.
type lockManager struct {
	calls chan called
	early []called // not waited for yet
}

// Serve notes the call.
func (m *lockManager) Serve(c *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	m.calls <- called{c.Version, c.Proc}
	if c.Proc == lockGranted {
		d := xdr.NewDecoder(c.Args)
		reply = xdr.AppendUint32(xdr.AppendOpaque(reply, d.Opaque(1024)), 0)
	}
	return reply, rpc.Success
}

// serveLocks runs a lock manager at the client's address, and the portmapper that tells its port.
func serveLocks(t *testing.T) *lockManager {
	t.Helper()
	m := &lockManager{calls: make(chan called, 1000)}
	versions := []uint32{1, 3, 4}
	port := serve(t, "0", rpc.Service{Program: programLocks, Versions: versions, Handler: m})
	var mappings []portmap.Mapping
	for _, v := range versions {
		for _, protocol := range []portmap.Protocol{portmap.TCP, portmap.UDP} {
			mappings = append(mappings, portmap.Mapping{Program: programLocks, Version: v, Protocol: protocol, Port: port})
		}
	}
	serve(t, portmapPort, portmap.New(mappings).Service())
	return m
}

// serve serves a program at a port of the client's address.
func serve(t *testing.T, port string, service rpc.Service) uint16 {
	t.Helper()
	s, err := rpc.Listen(net.JoinHostPort(clientAddr, port), rpc.Options{
		Services: []rpc.Service{service},
		Allowed:  func(netip.Addr) bool { return true },
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return uint16(s.Addr().Port)
}

// await returns when the appliance has made a call, maybe before another that was waited for earlier.
func (m *lockManager) await(t *testing.T, version, proc uint32) {
	t.Helper()
	want := called{version, proc}
	late := time.After(replyTime)
	for {
		if i := slices.Index(m.early, want); i >= 0 {
			m.early = slices.Delete(m.early, i, i+1)
			return
		}
		select {
		case c := <-m.calls:
			m.early = append(m.early, c)
		case <-late:
			t.Errorf("the appliance has not made call %d of NLM version %d", proc, version)
			return
		}
	}
}

// locker makes calls about locks in one version.
type locker struct {
	*peer

	version uint32
	cookies byte
}

func (l *locker) call(proc uint32, args ...[]byte) call {
	return call{program: programLocks, version: l.version, proc: proc, args: bytes.Join(args, nil)}
}

// cookie returns another one each time, as they tell calls apart.
func (l *locker) cookie() []byte {
	l.cookies++
	return opaque([]byte{0, 0, 0, l.cookies})
}

// target is bytes 10 to 19 of a file, for a process.
func (l *locker) target(file []byte, process uint32) []byte {
	return slices.Concat(opaque("client"), opaque(file), opaque(strconv.Itoa(int(process))+"@client"), words(process), l.extent(10, 10))
}

func (l *locker) extent(offset, length uint64) []byte {
	if l.version == 4 {
		return slices.Concat(long(offset), long(length))
	}
	return words(uint32(offset), uint32(length))
}

// want checks the status of a result, which is behind the cookie.
func (l *locker) want(t *testing.T, what string, c call, want string) {
	t.Helper()
	outcome, result := l.do(t, c)
	if outcome == "success" {
		d := xdr.NewDecoder(result)
		d.Opaque(1024)
		outcome = fmt.Sprint(d.Uint32())
	}
	if outcome != want {
		t.Errorf("%s (NLM version %d procedure %d, %s): %s, want %s", what, c.version, c.proc, l.network, outcome, want)
	}
}

// callLocks makes all calls of NLM.
func callLocks(t *testing.T, p *peer, h *handles, m *lockManager) {
	t.Helper()
	for _, version := range []uint32{1, 3, 4} {
		l := &locker{peer: p, version: version}
		p.want(t, "NULL", l.call(0), "void")
		callSync(t, l, h, m)
		callAsync(t, l, h, m)
		callCutOff(t, l)
		if version > 1 {
			callShares(t, l, h)
		}
		p.want(t, "what there is not", l.call(16), "no procedure")
		p.want(t, "what there is not", l.call(24), "no procedure")
	}
}

// lockArgs are those of LOCK for an exclusive lock.
func (l *locker) lockArgs(block uint32, file []byte, process uint32) []byte {
	return slices.Concat(l.cookie(), words(block, 1), l.target(file, process), words(0, 77))
}

func (l *locker) testArgs(file []byte, process uint32) []byte {
	return slices.Concat(l.cookie(), words(1), l.target(file, process))
}

func (l *locker) cancelArgs(file []byte, process uint32) []byte {
	return slices.Concat(l.cookie(), words(1, 1), l.target(file, process))
}

func (l *locker) unlockArgs(file []byte, process uint32) []byte {
	return slices.Concat(l.cookie(), l.target(file, process))
}

func callSync(t *testing.T, l *locker, h *handles, m *lockManager) {
	t.Helper()
	gone := stale
	if l.version < 4 {
		gone = "2" // no locks: they know nothing else
	}
	l.want(t, "TEST", l.call(lockTest, l.testArgs(h.file, 1)), granted)
	l.want(t, "LOCK", l.call(lockLock, l.lockArgs(0, h.file, 1)), granted)
	l.want(t, "TEST of what is taken", l.call(lockTest, l.testArgs(h.file, 2)), denied)
	l.want(t, "LOCK of what is taken", l.call(lockLock, l.lockArgs(0, h.file, 2)), denied)
	l.want(t, "LOCK that waits", l.call(lockLock, l.lockArgs(1, h.file, 2)), blocked)
	l.want(t, "CANCEL", l.call(lockCancel, l.cancelArgs(h.file, 2)), granted)
	l.want(t, "CANCEL of nothing", l.call(lockCancel, l.cancelArgs(h.file, 9)), denied)
	l.want(t, "LOCK that waits", l.call(lockLock, l.lockArgs(1, h.file, 3)), blocked)
	l.want(t, "UNLOCK", l.call(lockUnlock, l.unlockArgs(h.file, 1)), granted)
	m.await(t, l.version, lockGranted)
	l.want(t, "UNLOCK", l.call(lockUnlock, l.unlockArgs(h.file, 3)), granted)
	l.want(t, "GRANTED", l.call(lockGranted, l.testArgs(h.file, 1)), denied)
	for _, handle := range [][]byte{h.removed, h.album, make([]byte, 32), nil} {
		l.want(t, "TEST of no file", l.call(lockTest, l.testArgs(handle, 1)), gone)
		l.want(t, "LOCK of no file", l.call(lockLock, l.lockArgs(0, handle, 1)), gone)
		l.want(t, "UNLOCK of no file", l.call(lockUnlock, l.unlockArgs(handle, 1)), granted)
	}
}

// callAsync makes the calls whose results come as calls.
func callAsync(t *testing.T, l *locker, h *handles, m *lockManager) {
	t.Helper()
	for _, c := range []call{
		l.call(lockTestMsg, l.testArgs(h.file, 1)),
		l.call(lockLockMsg, l.lockArgs(0, h.file, 1)),
		l.call(lockTestMsg, l.testArgs(h.file, 2)), // denied
		l.call(lockLockMsg, l.lockArgs(1, h.file, 2)),
		l.call(lockCancel+5, l.cancelArgs(h.file, 2)),
		l.call(lockLockMsg, l.lockArgs(1, h.file, 3)),
		l.call(lockUnlock+5, l.unlockArgs(h.file, 1)),
		l.call(lockGrantedMsg, l.testArgs(h.file, 1)),
	} {
		l.peer.want(t, "a message", c, "void")
		m.await(t, c.version, c.proc+5) // its result
	}
	m.await(t, l.version, lockGrantedMsg)
	for proc := uint32(lockTestRes); proc <= lockGrantedRes; proc++ {
		l.peer.want(t, "a result", l.call(proc, l.cookie(), words(0)), "void")
	}
	l.want(t, "UNLOCK", l.call(lockUnlock, l.unlockArgs(h.file, 3)), granted)
}

func callShares(t *testing.T, l *locker, h *handles) {
	t.Helper()
	share := func(owner string, deny, access uint32) []byte {
		return slices.Concat(l.cookie(), opaque("client"), opaque(h.file), opaque(owner), words(deny, access, 0))
	}
	l.want(t, "SHARE", l.call(lockShare, share("a", 2, 1)), granted)
	l.want(t, "SHARE of what is taken", l.call(lockShare, share("b", 0, 2)), denied)
	l.want(t, "UNSHARE", l.call(lockUnshare, share("a", 2, 1)), granted)
	l.peer.want(t, "SHARE of nonsense", l.call(lockShare, share("a", 4, 1)), "garbage")
	l.want(t, "NM_LOCK", l.call(lockNmLock, l.lockArgs(1, h.file, 1)), granted)
	l.want(t, "NM_LOCK of what is taken", l.call(lockNmLock, l.lockArgs(1, h.file, 2)), denied)
	l.peer.want(t, "FREE_ALL", l.call(lockFreeAll, opaque("client"), words(79)), "void")
	l.want(t, "LOCK of what was freed", l.call(lockLock, l.lockArgs(0, h.file, 2)), granted)
	l.want(t, "UNLOCK", l.call(lockUnlock, l.unlockArgs(h.file, 2)), granted)
}

func callCutOff(t *testing.T, l *locker) {
	t.Helper()
	procs := []uint32{lockTest, lockLock, lockCancel, lockUnlock, lockGranted, lockTestMsg, lockLockMsg, lockGrantedMsg, lockGrantedRes}
	if l.version > 1 {
		procs = append(procs, lockShare, lockUnshare, lockNmLock, lockFreeAll)
	}
	for _, proc := range procs {
		l.peer.want(t, "cut off", l.call(proc, words(2000)), "garbage")
	}
}
