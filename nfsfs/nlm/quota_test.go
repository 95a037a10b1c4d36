package nlm

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestLimits(t *testing.T) {
	tb := newTable()
	who := func(n int) client {
		return client{netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), "x"}
	}
	ask := func(c client, file, n int, block bool) status {
		l := lock{owner: owner{c, uint32(n)}, span: span{0, 0}, exclusive: block}
		return tb.lock(fmt.Sprint("file", file), &request{lock: l}, block, start)
	}
	for n := range maxFileEntries {
		if got := ask(who(0), 0, n, false); got != granted {
			t.Fatalf("lock %d: %d", n, got)
		}
	}
	if got := ask(who(0), 0, maxFileEntries, false); got != noLocks {
		t.Errorf("one more on a file: %d, want %d", got, noLocks)
	}
	if got := tb.share("file0", share{}); got != noLocks {
		t.Errorf("a share more: %d, want %d", got, noLocks)
	}
	for n := range maxHostEntries - maxFileEntries {
		if got := ask(who(0), 1+n, 0, false); got != granted {
			t.Fatalf("lock on file %d: %d", 1+n, got)
		}
	}
	if got := ask(who(0), 1<<20, 0, false); got != noLocks {
		t.Errorf("one more of a host: %d, want %d", got, noLocks)
	}
	for host := 1; tb.entries < maxEntries; host++ {
		for n := range maxHostEntries {
			if got := ask(who(host), 1+n, 0, false); got != granted {
				t.Fatalf("host %d, lock %d: %d", host, n, got)
			}
		}
	}
	if got := ask(who(1000), 1<<20, 0, false); got != noLocks {
		t.Errorf("one more of all: %d, want %d", got, noLocks)
	}
	for n := range 1000 {
		tb.freeHost(who(n).addr, "x", 0, start)
	}
	if tb.entries != 0 || len(tb.files) > 0 {
		t.Errorf("%d entries on %d files are left", tb.entries, len(tb.files))
	}
}

func TestWaitingLimits(t *testing.T) {
	tb := newTable()
	ask := func(host, file, n int) status {
		c := client{netip.AddrFrom4([4]byte{10, 0, 0, byte(host)}), "x"}
		l := lock{owner: owner{c, uint32(n)}, span: span{0, 0}, exclusive: true}
		return tb.lock(fmt.Sprint("file", file), &request{lock: l}, true, start)
	}
	const files = maxWaiting/maxFileWaiting + 1
	for f := range files {
		if got := ask(0, f, 0); got != granted {
			t.Fatalf("file %d: %d", f, got)
		}
	}
	for f := range files {
		host, want := 1+f*maxFileWaiting/maxHostWaiting, blocked
		if f == files-1 {
			want = noLocks // too many in all
		}
		for n := range maxFileWaiting {
			if got := ask(host, f, 1+n); got != want {
				t.Fatalf("file %d, request %d: %d, want %d", f, n, got, want)
			}
		}
		if got := ask(100, f, 1); got != noLocks {
			t.Fatalf("one more on file %d: %d, want %d", f, got, noLocks)
		}
	}
	tb.freeHost(netip.MustParseAddr("10.0.0.4"), "x", 0, start)
	if got := ask(1, files-1, 1); got != noLocks {
		t.Errorf("one more of a host: %d, want %d", got, noLocks)
	}
	if got := ask(4, files-1, 1); got != blocked {
		t.Errorf("one of another host: %d, want %d", got, blocked)
	}
}
