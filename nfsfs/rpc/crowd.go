package rpc

import (
	"maps"
	"net/netip"
	"sync"
)

const (
	// maxConns is how many connections there may be at a time, and maxAddrConns from one address,
	// behind which there may be many clients.
	maxConns     = 768
	maxAddrConns = 576
	// fairConns is how many from one address are nothing special.
	fairConns = 32
	// maxStrangers is how many of them may be of clients that are not allowed, so that those keep nobody
	// out. Each is there only to be told so.
	maxStrangers = 256
)

// crowd is the connections of a server.
type crowd struct {
	mu     sync.Mutex
	conns  map[*conn]struct{} // nil once closed
	byAddr map[netip.Addr]int
	// strangers is how many of the connections are of clients that are not allowed.
	strangers int
}

func newCrowd() *crowd {
	return &crowd{conns: make(map[*conn]struct{}), byAddr: make(map[netip.Addr]int)}
}

// add lets a connection in, and calls admitted if it does. When all places are taken, one that has nothing
// to do has to go: clients connect again when they have.
func (w *crowd) add(c *conn, admitted func()) bool {
	var idle *conn
	defer func() {
		if idle != nil {
			idle.end() // without the lock, as that may wait for what is just being sent
		}
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	full := len(w.conns) >= maxConns
	if w.conns == nil || w.byAddr[c.client.Addr()] >= maxAddrConns || !c.allowed && (full || w.strangers >= maxStrangers) {
		return false
	}
	if full {
		if idle = w.leastActive(); idle == nil {
			return false
		}
		w.remove(idle)
	}
	w.conns[c] = struct{}{}
	w.byAddr[c.client.Addr()]++
	if !c.allowed {
		w.strangers++
	}
	admitted()
	return true
}

// leastActive returns the connection without calls that wait that has been so for longest, of those from the
// address that has most, if that is many: whoever takes all places for himself takes them from himself. It needs w.mu.
func (w *crowd) leastActive() *conn {
	var found *conn
	most := 0
	for c := range w.conns {
		if len(c.waiting) > 0 {
			continue
		}
		n := max(w.byAddr[c.client.Addr()], fairConns)
		if found == nil || n > most || n == most && c.active.Load() < found.active.Load() {
			found, most = c, n
		}
	}
	return found
}

// drop lets a connection out, if it is still in.
func (w *crowd) drop(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(c)
}

func (w *crowd) remove(c *conn) {
	if _, in := w.conns[c]; !in {
		return
	}
	delete(w.conns, c)
	if !c.allowed {
		w.strangers--
	}
	addr := c.client.Addr()
	if w.byAddr[addr]--; w.byAddr[addr] == 0 {
		delete(w.byAddr, addr)
	}
}

// close lets nobody in any more, and returns who is in.
func (w *crowd) close() map[*conn]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	conns := w.conns
	w.conns, w.byAddr = nil, nil
	return conns
}

// count returns how many connections there are from each address.
func (w *crowd) count() map[netip.Addr]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.byAddr)
}
