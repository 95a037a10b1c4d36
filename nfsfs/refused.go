package nfsfs

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"shoal/nfsfs/rpc"
)

// maxRefused is how many addresses are remembered that were refused. Anybody can make up addresses over UDP.
const maxRefused = 64

// Refused is an address that has made calls, and may not.
type Refused struct {
	Addr        netip.Addr
	Calls       uint64
	First, Last time.Time // when it made a call
}

// refusals keeps account of calls by those who may make none. It has a lock of its own, so that these keep nobody waiting who may.
type refusals struct {
	mu   sync.Mutex
	last map[netip.Addr]*refusal
}

type refusal struct {
	calls       uint64
	first, last time.Time
}

func (r *refusal) lastTime() int64 { return r.last.UnixNano() }

// observe is told of each call that was refused.
func (r *refusals) observe(call *rpc.Call) {
	addr, now := call.Client.Addr(), answered(call)
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.last[addr]
	if a == nil {
		if len(r.last) >= maxRefused {
			forgetOldest(r.last)
		}
		if r.last == nil {
			r.last = make(map[netip.Addr]*refusal)
		}
		a = &refusal{first: now}
		r.last[addr] = a
	}
	a.calls++
	a.last = now
}

// Refused lists the addresses that made calls last though they may make none (Options.Allow), the latest first: some dozens at most.
func (s *Server) Refused() []Refused {
	r := &s.ledger.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Refused, 0, len(r.last))
	for addr, a := range r.last {
		list = append(list, Refused{addr, a.calls, a.first, a.last})
	}
	slices.SortFunc(list, func(a, b Refused) int { return cmp.Or(b.Last.Compare(a.Last), a.Addr.Compare(b.Addr)) })
	return list
}
