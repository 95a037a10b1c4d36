package nlm

import (
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// answer appends the result of TEST, LOCK, CANCEL, UNLOCK, GRANTED or NM_LOCK. async says that the client
// gets it in a call of ours.
func (h *Handler) answer(call *rpc.Call, proc uint32, async bool, reply []byte) ([]byte, rpc.Status) {
	a, err := decodeArguments(call.Args, proc, call.Version)
	if err != nil {
		return reply, rpc.GarbageArgs
	}
	var s status
	var holder lock
	switch proc {
	case procTest:
		s, holder = h.test(call, &a)
	case procLock, procNmLock:
		s = h.lock(call, &a, async)
	case procCancel, procUnlock:
		s = h.unlock(call, &a, proc == procCancel)
	case procGranted:
		s = denied // nothing is locked elsewhere from here
	}
	call.Result = uint32(s.in(call.Version))
	reply = appendResult(reply, a.cookie, s, call.Version)
	if proc == procTest && s == denied {
		reply = appendHolder(reply, &holder, call.Version)
	}
	return reply, rpc.Success
}

// want returns the lock that a call is about.
func want(call *rpc.Call, a *arguments) (lock, bool) {
	s, ok := a.span(call.Version)
	return lock{
		owner:     owner{client{call.Client.Addr(), a.caller}, a.svid},
		span:      s,
		exclusive: a.exclusive,
		oh:        string(a.oh),
		state:     a.state,
	}, ok
}

// check returns granted if there may be locks on a file.
func (h *Handler) check(fh []byte) status {
	if len(fh) > maxHandle || h.opts.Resolve(fh) != nil {
		return stale
	}
	return granted
}

func (h *Handler) test(call *rpc.Call, a *arguments) (status, lock) {
	l, ok := want(call, a)
	if !ok {
		return tooBig, lock{}
	}
	if s := h.check(a.fh); s != granted {
		return s, lock{}
	}
	s := granted
	var holder lock
	h.with(func(t *table, _ time.Time) {
		var found bool
		if holder, found = t.test(string(a.fh), &l); found {
			s = denied
		}
	})
	return s, holder
}

// lock is LOCK, and NM_LOCK, which never waits (XNFS, chapter 10) and is not told apart otherwise: no
// client is monitored. Whether a lock is claimed again makes no difference, as there is no grace period.
func (h *Handler) lock(call *rpc.Call, a *arguments, async bool) status {
	l, ok := want(call, a)
	if !ok {
		return tooBig
	}
	if s := h.check(a.fh); s != granted {
		return s
	}
	if len(l.name) > maxKept || len(l.oh) > maxKept {
		return noLocks
	}
	r := &request{lock: l, route: routeOf(call)}
	r.route.async, r.route.offset, r.route.length = async, a.offset, a.length
	var s status
	h.with(func(t *table, now time.Time) {
		s = t.lock(string(a.fh), r, a.block && call.Proc != procNmLock, now)
	})
	return s
}

// unlock is UNLOCK and CANCEL. They are about what is in the table, even if the file is gone since.
func (h *Handler) unlock(call *rpc.Call, a *arguments, cancel bool) status {
	l, ok := want(call, a)
	if !ok {
		return tooBig
	}
	s := granted
	h.with(func(t *table, now time.Time) {
		switch {
		case !cancel:
			s = t.unlock(string(a.fh), &l, now)
		case !t.cancel(string(a.fh), &l, now):
			s = denied
		}
	})
	return s
}

// answerShare appends the result of SHARE or UNSHARE.
func (h *Handler) answerShare(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	cookie, fh, wanted, err := decodeShare(call.Args)
	if err != nil {
		return reply, rpc.GarbageArgs
	}
	wanted.addr = call.Client.Addr()
	s := granted
	switch {
	case call.Proc == procUnshare:
		h.with(func(t *table, _ time.Time) { t.unshare(fh, wanted) })
	case len(wanted.name) > maxKept || len(wanted.oh) > maxKept:
		s = noLocks
	default:
		if s = h.check([]byte(fh)); s == granted {
			h.with(func(t *table, _ time.Time) { s = t.share(fh, wanted) })
		}
	}
	call.Result = uint32(s.in(call.Version))
	reply = appendResult(reply, cookie, s, call.Version)
	return xdr.AppendUint32(reply, 0), rpc.Success // a sequence number, which nobody uses
}
