package nfsfs

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestStalled has two READs of one reader wait, and one of another.
func TestStalled(t *testing.T) {
	tr := testTree(t, newStuck())
	node := must(t, tr, "films", "a torrent", "stuck.bin")
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	synctest.Test(t, func(t *testing.T) {
		w := &newLedger().waits
		check := func(what string, want int) {
			t.Helper()
			if got := w.stalled(time.Now()); got != want {
				t.Errorf("%s %d readers are stalled, want %d", what, got, want)
			}
		}
		check("at first", 0)
		first, again := w.begin(one, node), w.begin(one, node)
		time.Sleep(stallTime - time.Second)
		other := w.begin(two, node)
		check("before it is long", 0)
		time.Sleep(time.Second)
		check("when one waits for long", 1)
		first()
		check("while another READ of it waits", 1)
		time.Sleep(stallTime)
		check("when both wait for long", 2)
		again()
		other()
		check("when all have ended", 0)
	})
}

// TestReadsThatWaitAreNoted ends one by the time limit.
func TestReadsThatWaitAreNoted(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	opts := options(t, tr)
	opts.ReadWait = 50 * time.Millisecond
	s := start(t, opts)
	w := dial(t, s)
	w.send(100003, 3, procRead, encodeRead(handleOf(t, tr, "films", "a torrent", "stuck.bin"), 0, 10))
	<-never.reads
	if got := s.ledger.waits.stalled(time.Now().Add(time.Hour)); got != 1 {
		t.Errorf("an hour later %d readers are stalled, want 1", got)
	}
	w.receive()
	if got := s.ledger.waits.stalled(time.Now().Add(time.Hour)); got != 0 {
		t.Errorf("after the answer %d readers are stalled, want none", got)
	}
}
