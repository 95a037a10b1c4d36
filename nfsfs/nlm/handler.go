// Package nlm is the Network Lock Manager, program 100021, versions 1 and 3 (X/Open XNFS version 3W,
// chapter 10) and 4 (RFC 1813, section 6, which says what is different): advisory locks on ranges of
// bytes, and the share modes of DOS. Without it, a client that is not told "nolock" hangs at its first
// flock.
//
// Locks are between clients; nothing here looks at what a file contains, or whether it could be written.
// So an exclusive lock can be had on a file that nobody may change.
//
// All of it is in memory only. After a restart nobody holds a lock, and nobody is told so: there is no
// list of clients to notify and no grace period in which they could claim their locks again. The export
// is read-only, so what two clients could do at a time because of that is reading. A client that unlocks
// what it held before is told that it did.
//
// A client that has to wait is told to, and called when it has its turn. Where it cannot be called, as
// behind address translation, asking again has to do, which clients do anyway: the call may get lost.
package nlm

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// sweepEvery is how often it is looked at what is late, as long as anybody waits for a lock.
const sweepEvery = time.Second

var errShareBits = errors.New("a share mode that does not exist")

// Options say what a lock manager needs from others. All are required.
type Options struct {
	// Resolve returns an error if a handle is not that of a file. It is called for locks and shares that
	// are asked for, not for giving them up. It must not wait for anything but the local disk, and must
	// not keep the handle.
	Resolve func(handle []byte) error
	// Lookup finds the lock managers of clients. Only addresses are asked for that calls came from.
	Lookup Lookup
	Logger *slog.Logger
}

// Handler answers calls to the lock manager, in all its versions, and makes those that tell clients of
// locks that they waited for. Only addresses that have called are called.
type Handler struct {
	opts    Options
	caller  *caller
	waiting chan struct{} // has room for one: somebody may wait for a lock
	stop    context.CancelFunc
	group   sync.WaitGroup

	mu    sync.Mutex
	table *table
}

// New returns a lock manager without locks. It has a goroutine, which Close ends.
func New(opts Options) *Handler {
	h := &Handler{opts: opts, table: newTable(), waiting: make(chan struct{}, 1)}
	h.caller = newCaller(opts.Lookup, opts.Logger, h.answered)
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	h.group.Go(func() { h.sweep(ctx) })
	return h
}

// Close ends the calls to clients, and waits for that, which takes no time. What is asked for afterwards
// is answered, but nobody is called.
func (h *Handler) Close() {
	h.stop()
	h.group.Wait()
	h.caller.close()
}

// with lets f use the table, and calls the clients that this has granted anything to.
func (h *Handler) with(f func(t *table, now time.Time)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h.table, time.Now())
	for _, q := range h.table.take() {
		h.caller.send(grant(q))
	}
	if h.table.waiting > 0 {
		select {
		case h.waiting <- struct{}{}:
		default:
		}
	}
}

// sweep looks after those who wait, as long as there are any.
func (h *Handler) sweep(ctx context.Context) {
	for {
		select {
		case <-h.waiting:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(sweepEvery):
		case <-ctx.Done():
			return
		}
		h.with((*table).sweep) //nolint:contextcheck // the calls that this leads to end with the caller
	}
}

// grant returns the call that tells a client of a grant.
func grant(q *request) message {
	proc := uint32(procGranted)
	if q.route.async {
		proc = procGrantedMsg
	}
	args := appendGranted(nil, binary.BigEndian.AppendUint64(nil, q.id), q.exclusive, target{
		caller: q.name, fh: []byte(q.file.handle), oh: []byte(q.oh), svid: q.svid,
		offset: q.route.offset, length: q.route.length,
	}, q.route.version)
	return message{route: q.route, proc: proc, args: args, grant: q.id, again: q.tries > 1, over: q.over}
}

// answered notes what a client said to a grant.
func (h *Handler) answered(id uint64, addr netip.Addr, s status) {
	if s != granted && s != denied {
		return // a client that has just started, for one, has to be asked again
	}
	h.with(func(t *table, now time.Time) { t.acknowledge(id, addr, s == granted, now) })
}

// Free takes all locks, requests and shares from a client that has lost them itself, as it has restarted.
// Both have to match, so that no host can free what another one holds: the address that its locks were
// asked for from, and its name; one of the two names may lack the domain. state is that of the client's
// status monitor since the restart: what the client asked for in this state is newer, and stays. With a
// state of 0 nothing does.
func (h *Handler) Free(client netip.Addr, name string, state uint32) {
	n := 0
	h.with(func(t *table, now time.Time) { n = t.freeHost(client, name, state, now) })
	if n > 0 {
		h.opts.Logger.Info("a client restarted, and its locks are free", "client", client.String(), "name", name, "locks", n)
	}
}

// LockInfo is a lock that a client holds, or waits for.
type LockInfo struct {
	Client    netip.Addr
	Name      string // how the client calls itself
	Process   uint32 // a number by which the client tells its lock owners apart
	Owner     string // how it calls the owner: any bytes, but mostly text
	Handle    string // of the file
	Offset    uint64 // in bytes
	Length    uint64 // in bytes; 0 is to the end of the file
	Exclusive bool
	Waiting   bool // the client does not have it yet, or does not know
}

// Locks returns all locks, in no order, and those that are waited for.
func (h *Handler) Locks() []LockInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	infos := make([]LockInfo, 0, h.table.entries)
	for _, f := range h.table.files {
		for i := range f.held {
			infos = append(infos, info(f, &f.held[i], false))
		}
		for _, q := range f.queue {
			infos = append(infos, info(f, &q.lock, true))
		}
	}
	return infos
}

func info(f *file, l *lock, waiting bool) LockInfo {
	return LockInfo{
		Client: l.addr, Name: l.name, Process: l.svid, Owner: l.oh, Handle: f.handle,
		Offset: l.first, Length: l.length(), Exclusive: l.exclusive, Waiting: waiting,
	}
}

// Serve answers a call. It waits for nothing but Options.Resolve.
func (h *Handler) Serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	switch p := call.Proc; {
	case p == procNull:
		return reply, rpc.Success
	case p <= procGranted:
		return h.answer(call, p, false, reply)
	case p <= procGrantedMsg:
		return h.answerLater(call, p-toMsg, reply)
	case p <= procGrantedRes:
		return h.acknowledged(call, reply)
	case call.Version == 1: // has no more
		return reply, rpc.ProcedureUnavailable
	case p == procNmLock:
		return h.answer(call, p, false, reply)
	case p == procShare || p == procUnshare:
		return h.answerShare(call, reply)
	case p == procFreeAll:
		return h.freeAll(call, reply)
	}
	return reply, rpc.ProcedureUnavailable
}

// answerLater answers an asynchronous call: with nothing, and with a call of our own that has the result.
func (h *Handler) answerLater(call *rpc.Call, proc uint32, reply []byte) ([]byte, rpc.Status) {
	result, answered := h.answer(call, proc, true, nil)
	if answered == rpc.Success {
		h.caller.send(message{route: routeOf(call), proc: proc + toRes, args: result})
	}
	return reply, answered
}

// acknowledged takes the results of asynchronous calls, of which we make only one that has any.
func (h *Handler) acknowledged(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	if call.Proc != procGrantedRes {
		return reply, rpc.Success
	}
	cookie, s, err := decodeResult(call.Args)
	if err != nil {
		return reply, rpc.GarbageArgs
	}
	if len(cookie) == 8 {
		h.answered(binary.BigEndian.Uint64(cookie), call.Client.Addr(), s)
	}
	return reply, rpc.Success
}

// freeAll is what clients without a status monitor call when they start.
func (h *Handler) freeAll(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	name := d.String(maxString)
	d.Uint32() // its state: it has none, or it would have a status monitor to tell of the restart
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	h.Free(call.Client.Addr(), name, 0)
	return reply, rpc.Success
}

func routeOf(call *rpc.Call) route {
	return route{addr: call.Client.Addr(), local: call.Local, version: call.Version}
}
