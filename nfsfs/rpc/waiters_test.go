package rpc

import (
	"net/netip"
	"testing"
)

// TestWaiters has clients that take all the places they get.
func TestWaiters(t *testing.T) {
	w := waiters{byAddr: make(map[netip.Addr]int)}
	got := make(map[int]int)
	for client := range 8 {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(client)})
		for w.add(addr) {
			got[client]++
		}
		if got[client] == 0 {
			t.Errorf("client %d gets no place, after %v", client, got)
		}
	}
	if got[0] != maxWaiting/2 || got[1] != maxWaiting/4 {
		t.Errorf("places: %v; want half of them for the first, and half of the rest for the next", got)
	}
	for client, n := range got {
		for range n {
			w.drop(netip.AddrFrom4([4]byte{10, 0, 0, byte(client)}))
		}
	}
	if w.count() != 0 || len(w.byAddr) != 0 {
		t.Errorf("%d calls of %d clients are left", w.count(), len(w.byAddr))
	}
}
