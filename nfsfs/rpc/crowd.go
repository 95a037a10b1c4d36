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
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil || w.byAddr[c.client.Addr()] >= maxAddrConns || !c.allowed && w.strangers >= maxStrangers {
		return false
	}
	if len(w.conns) >= maxConns {
		idle := w.leastActive()
		if idle == nil {
			return false
		}
		w.remove(idle)
		idle.end()
	}
	w.conns[c] = struct{}{}
	w.byAddr[c.client.Addr()]++
	if !c.allowed {
		w.strangers++
	}
	admitted()
	return true
}

// leastActive returns the connection that has been without a call for longest, of those from the address
// that has most: whoever takes all places for himself takes them from himself. It needs w.mu.
func (w *crowd) leastActive() *conn {
	var crowded netip.Addr
	most := 0
	for addr, n := range w.byAddr {
		if n > most {
			crowded, most = addr, n
		}
	}
	var found *conn
	for c := range w.conns {
		if c.client.Addr() == crowded && len(c.waiting) == 0 && (found == nil || c.active.Load() < found.active.Load()) {
			found = c
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
