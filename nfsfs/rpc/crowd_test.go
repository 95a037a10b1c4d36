package rpc

import (
	"net/netip"
	"testing"
	"time"
)

// absent returns a connection that is not there.
func absent(addr netip.Addr, active time.Duration, busy bool) (c *conn, ended *bool) {
	ended = new(bool)
	c = &conn{
		client: netip.AddrPortFrom(addr, 1), allowed: true, end: func() { *ended = true },
		waiting: make(chan struct{}, 1),
	}
	c.active.Store(int64(active))
	if busy {
		c.waiting <- struct{}{}
	}
	return c, ended
}

// TestCrowd fills a server, with more connections of one address than of any other.
func TestCrowd(t *testing.T) {
	w := newCrowd()
	admit := func(c *conn) bool {
		admitted := false
		return w.add(c, func() { admitted = true }) == admitted && admitted
	}
	var busy []*conn
	for i := range maxConns - 3 {
		c, _ := absent(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1, true)
		if busy = append(busy, c); !admit(c) {
			t.Fatalf("no room for connection %d", i)
		}
	}
	crowded := netip.MustParseAddr("10.1.0.0")
	young, youngEnded := absent(crowded, 20, false)
	old, oldEnded := absent(crowded, 10, false)
	third, _ := absent(crowded, 5, true)
	for _, c := range []*conn{young, old, third} {
		if !admit(c) {
			t.Fatal("no room for the last connections")
		}
	}
	other := netip.MustParseAddr("10.2.0.0")
	if c, _ := absent(other, 30, false); !admit(c) || !*oldEnded || *youngEnded {
		t.Errorf("a newcomer is in the place of the one that was idle longest: %v, instead of a later one: %v", *oldEnded, *youngEnded)
	}
	if got := w.count(); len(got) != maxConns-1 || got[crowded] != 2 || got[other] != 1 {
		t.Errorf("%d addresses, %d and %d connections of two; want %d, 2 and 1", len(got), got[crowded], got[other], maxConns-1)
	}
	if c, _ := absent(other, 30, false); !admit(c) || !*youngEnded {
		t.Error("another newcomer is not let in")
	}
	w.drop(old) // that has been out for long
	w.drop(busy[0])
	if c, ended := absent(crowded, 40, true); !admit(c) || *ended {
		t.Error("there was a place, and nobody is let in")
	}
	for conns := w.close(); len(conns) != maxConns; {
		t.Fatalf("%d connections at the end, want %d", len(conns), maxConns)
	}
	if c, _ := absent(crowded, 1, false); admit(c) {
		t.Error("somebody is let in after the end")
	}
}

// TestCrowdOfBusy has nobody who could go.
func TestCrowdOfBusy(t *testing.T) {
	w := newCrowd()
	for i := range maxConns {
		c, _ := absent(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1, true)
		w.add(c, func() {})
	}
	if c, _ := absent(netip.MustParseAddr("10.1.0.0"), 1, false); w.add(c, func() {}) {
		t.Error("somebody is let in, though everybody has something to do")
	}
}
