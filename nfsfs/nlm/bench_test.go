package nlm

import "testing"

// The most that one call can cost: a file with as many locks as there may be, and as many requests as may
// wait for it, which overlap with all of them and wait for the one that is found last.
func BenchmarkFullFile(b *testing.B) {
	tb := newTable()
	const held = maxFileEntries - maxFileWaiting - 1
	l := newLock("a1", 0, 10, false)
	for l.svid = range uint32(held - 1) {
		tb.lock("file", &request{lock: l}, false, start)
	}
	last := newLock("a1", 10, 10, true)
	last.svid = held
	tb.lock("file", &request{lock: last}, false, start)
	wanted := newLock("b1", 5, 10, false)
	for wanted.svid = range uint32(maxFileWaiting) {
		tb.lock("file", &request{lock: wanted}, true, start)
	}
	for b.Loop() {
		if got := tb.lock("file", &request{lock: l}, false, start); got != granted {
			b.Fatal(got)
		}
		l.exclusive = false
		tb.unlock("file", &l, start)
		if tb.waiting != maxFileWaiting {
			b.Fatal("nobody waits")
		}
	}
}
