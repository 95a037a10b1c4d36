package rpc

import (
	"net/netip"
	"sync"
)

// waiters are the calls in Call.Later, by client. One address may have as many as are still free: alone it
// gets half of all places, two get a third each, and there is always something left for the next.
type waiters struct {
	mu     sync.Mutex
	all    int
	byAddr map[netip.Addr]int
}

func (w *waiters) add(client netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byAddr[client] >= maxWaiting-w.all {
		return false
	}
	w.all++
	w.byAddr[client]++
	return true
}

func (w *waiters) drop(client netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.byAddr[client]--; w.byAddr[client] == 0 {
		delete(w.byAddr, client)
	}
}

func (w *waiters) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all
}
