package nlm

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	hostA = netip.MustParseAddr("192.0.2.1")
	hostB = netip.MustParseAddr("192.0.2.2")
	start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
)

// ownerOf returns the owner of a name such as "a1": process 1 on host A, which calls itself "a".
func ownerOf(name string) owner {
	addr := hostA
	if name[0] == 'b' {
		addr = hostB
	}
	return owner{client{addr, name[:1]}, uint32(name[1] - '0')}
}

func newLock(who string, offset, length uint64, exclusive bool) lock {
	s, ok := newSpan(offset, length)
	if !ok {
		panic("a range beyond 64 bits")
	}
	return lock{owner: ownerOf(who), span: s, exclusive: exclusive, oh: who}
}

// try asks for a lock, and fails the test if the answer is another one.
func try(t *testing.T, tb *table, now time.Time, want status, l lock, block bool) {
	t.Helper()
	if got := tb.lock("file", &request{lock: l}, block, now); got != want {
		t.Errorf("a lock of %s on %d+%d: %d, want %d", l.oh, l.first, l.length(), got, want)
	}
}

// state writes down what there is on the file: "+" for exclusive, "?" for waiting, "!" for granted.
func state(tb *table) string {
	f := tb.file("file")
	var all []string
	add := func(l lock, mark string) {
		last := "end"
		if l.last != math.MaxUint64 {
			last = fmt.Sprint(l.last)
		}
		if l.exclusive {
			mark += "+"
		}
		all = append(all, fmt.Sprintf("%s%s:%d-%s", mark, l.oh, l.first, last))
	}
	held := slices.SortedFunc(slices.Values(f.held), func(a, b lock) int {
		if a.oh != b.oh {
			return strings.Compare(a.oh, b.oh)
		}
		return int(a.first) - int(b.first)
	})
	for _, l := range held {
		add(l, "")
	}
	for _, q := range f.queue {
		mark := "?"
		if q.id != 0 {
			mark = "!"
		}
		add(q.lock, mark)
	}
	return strings.Join(all, " ")
}

func TestOwnRanges(t *testing.T) {
	type step struct {
		op             string // s, x or u: shared, exclusive, unlock
		offset, length uint64
	}
	tests := []struct {
		what  string
		steps []step
		want  string
	}{
		{"one", []step{{"s", 5, 10}}, "a1:5-14"},
		{"to the end", []step{{"s", 5, 0}}, "a1:5-end"},
		{"the same twice", []step{{"s", 5, 10}, {"s", 5, 10}}, "a1:5-14"},
		{"two that overlap", []step{{"s", 5, 10}, {"s", 10, 10}}, "a1:5-19"},
		{"two that adjoin", []step{{"s", 10, 10}, {"s", 0, 10}}, "a1:0-19"},
		{"three made one by the one between", []step{{"s", 0, 5}, {"s", 10, 5}, {"s", 5, 5}}, "a1:0-14"},
		{"two apart", []step{{"s", 0, 5}, {"s", 6, 5}}, "a1:0-4 a1:6-10"},
		{"exclusive within shared", []step{{"s", 0, 30}, {"x", 10, 10}}, "a1:0-9 +a1:10-19 a1:20-29"},
		{"shared over exclusive", []step{{"x", 10, 10}, {"s", 0, 0}}, "a1:0-end"},
		{"exclusive beside shared", []step{{"s", 0, 10}, {"x", 10, 10}}, "a1:0-9 +a1:10-19"},
		{"a hole", []step{{"x", 0, 0}, {"u", 10, 10}}, "+a1:0-9 +a1:20-end"},
		{"the front", []step{{"x", 0, 20}, {"u", 0, 10}}, "+a1:10-19"},
		{"the back", []step{{"x", 0, 20}, {"u", 10, 0}}, "+a1:0-9"},
		{"all", []step{{"x", 3, 4}, {"s", 20, 2}, {"u", 0, 0}}, ""},
		{"nothing", []step{{"x", 3, 4}, {"u", 7, 0}}, "+a1:3-6"},
		{"the last byte", []step{{"x", math.MaxUint64, 1}, {"u", math.MaxUint64, 0}}, ""},
		{"all but the last byte", []step{{"x", 0, math.MaxUint64}}, "+a1:0-18446744073709551614"},
	}
	for _, test := range tests {
		tb := newTable()
		for _, s := range test.steps {
			l := newLock("a1", s.offset, s.length, s.op == "x")
			if s.op != "u" {
				try(t, tb, start, granted, l, false)
			} else if got := tb.unlock("file", &l, start); got != granted {
				t.Errorf("%s: unlock: %d, want %d", test.what, got, granted)
			}
		}
		if got := state(tb); got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
		if tb.entries != len(tb.file("file").held) || (tb.entries == 0) != (len(tb.files) == 0) || (tb.entries == 0) != (len(tb.hosts) == 0) {
			t.Errorf("%s: %d entries, %d files, %d hosts", test.what, tb.entries, len(tb.files), len(tb.hosts))
		}
	}
}

func TestNewSpan(t *testing.T) {
	tests := []struct {
		offset, length, last uint64
		ok                   bool
	}{
		{0, 0, math.MaxUint64, true},
		{7, 1, 7, true},
		{math.MaxUint64, 1, math.MaxUint64, true},
		{math.MaxUint64, 2, 0, false},
		{1, math.MaxUint64, math.MaxUint64, true},
		{2, math.MaxUint64, 0, false},
	}
	for _, test := range tests {
		s, ok := newSpan(test.offset, test.length)
		if ok != test.ok || s.last != test.last {
			t.Errorf("%d+%d: to %d, %v; want %d, %v", test.offset, test.length, s.last, ok, test.last, test.ok)
		}
	}
}

func TestConflicts(t *testing.T) {
	tb := newTable()
	try(t, tb, start, granted, newLock("a1", 0, 10, false), false)
	try(t, tb, start, granted, newLock("a2", 5, 10, false), false)
	try(t, tb, start, denied, newLock("b1", 9, 1, true), false)
	try(t, tb, start, denied, newLock("a1", 0, 10, true), false)
	try(t, tb, start, granted, newLock("a1", 0, 5, true), false)
	try(t, tb, start, granted, newLock("b1", 15, 0, true), false)
	// The same process number on another host, and under another name, is somebody else.
	try(t, tb, start, denied, newLock("a1", 20, 1, false), false)
	try(t, tb, start, denied, newLock("c1", 0, 1, false), false)
	want := newLock("b2", 0, 0, true)
	if l, found := tb.test("file", &want); !found || l.oh != "a1" || l.first != 0 || l.last != 4 || !l.exclusive {
		t.Errorf("test: %+v, %v; want the first holder", l, found)
	}
	want = newLock("b2", 5, 10, false)
	if l, found := tb.test("file", &want); found {
		t.Errorf("test: %+v is in the way of a shared lock", l)
	}
	want = newLock("b2", 0, 0, true)
	if _, found := tb.test("another", &want); found {
		t.Error("a lock is in the way on another file")
	}
}

func TestQueue(t *testing.T) {
	tb := newTable()
	try(t, tb, start, granted, newLock("a1", 0, 10, true), false)
	try(t, tb, start, blocked, newLock("b1", 0, 10, true), true)
	try(t, tb, start, blocked, newLock("b2", 0, 5, false), true)
	try(t, tb, start, blocked, newLock("b3", 2, 5, false), true)
	try(t, tb, start, blocked, newLock("b4", 0, 10, true), true)
	try(t, tb, start, blocked, newLock("b1", 0, 10, true), true) // again
	l := newLock("a1", 0, 10, true)
	tb.unlock("file", &l, start)
	if got, want := state(tb), "!+b1:0-9 ?b2:0-4 ?b3:2-6 ?+b4:0-9"; got != want {
		t.Fatalf("unlocked: %q, want %q", got, want)
	}
	calls := tb.take()
	if len(calls) != 1 || calls[0].oh != "b1" || len(tb.take()) > 0 {
		t.Errorf("%d calls, want one to b1", len(calls))
	}
	// What is granted is as good as held.
	try(t, tb, start, denied, newLock("a1", 0, 1, false), false)
	want := newLock("a1", 0, 1, false)
	if h, found := tb.test("file", &want); !found || h.oh != "b1" {
		t.Errorf("test: %+v, %v; want b1", h, found)
	}
	tb.acknowledge(calls[0].id, hostA, true, start)
	if got := state(tb); got[0] != '!' {
		t.Errorf("another host's answer counts: %q", got)
	}
	tb.acknowledge(calls[0].id, hostB, true, start)
	l = newLock("b1", 0, 10, false)
	try(t, tb, start, granted, l, false) // shared now
	if got, want := state(tb), "b1:0-9 !b2:0-4 !b3:2-6 ?+b4:0-9"; got != want {
		t.Fatalf("downgraded: %q, want %q", got, want)
	}
	// Cancelling is for requests that match exactly, granted or not.
	for _, wrong := range []lock{newLock("b4", 0, 10, false), newLock("b4", 0, 9, true), newLock("b5", 0, 10, true)} {
		if tb.cancel("file", &wrong, start) {
			t.Errorf("%+v is cancelled", wrong)
		}
	}
	for _, right := range []lock{newLock("b2", 0, 5, false), newLock("b4", 0, 10, true)} {
		if !tb.cancel("file", &right, start) {
			t.Errorf("%+v is not cancelled", right)
		}
	}
	// To unlock accepts what was granted.
	l = newLock("b3", 4, 1, false)
	tb.unlock("file", &l, start)
	if got, want := state(tb), "b1:0-9 b3:2-3 b3:5-6"; got != want {
		t.Errorf("unlocked in part: %q, want %q", got, want)
	}
	if tb.waiting != 0 || len(tb.requests) > 0 || len(tb.granted) > 0 {
		t.Errorf("%d wait, of %d owners, %d granted", tb.waiting, len(tb.requests), len(tb.granted))
	}
}

func TestUnlockEndsWait(t *testing.T) {
	tb := newTable()
	try(t, tb, start, granted, newLock("a1", 0, 10, true), false)
	try(t, tb, start, blocked, newLock("b1", 5, 10, true), true)
	l := newLock("b1", 0, 0, false)
	tb.unlock("file", &l, start) // another thread closes the file
	if got, want := state(tb), "+a1:0-9 ?+b1:5-14"; got != want {
		t.Errorf("all unlocked: %q, want %q", got, want)
	}
	l = newLock("b1", 5, 10, false)
	tb.unlock("file", &l, start)
	if got, want := state(tb), "+a1:0-9"; got != want {
		t.Errorf("the same unlocked: %q, want %q", got, want)
	}
}

func TestDenied(t *testing.T) {
	tb := newTable()
	now := start
	try(t, tb, now, granted, newLock("a1", 0, 0, true), false)
	try(t, tb, now, blocked, newLock("b1", 0, 0, true), true)
	try(t, tb, now, blocked, newLock("b2", 0, 0, true), true)
	l := newLock("a1", 0, 0, true)
	tb.unlock("file", &l, now)
	tb.acknowledge(tb.take()[0].id, hostB, false, now)
	if got, want := state(tb), "?+b1:0-end !+b2:0-end"; got != want {
		t.Fatalf("denied by b1: %q, want %q", got, want)
	}
	tb.acknowledge(tb.take()[0].id, hostB, true, now)
	l = newLock("b2", 0, 0, true)
	tb.unlock("file", &l, now)
	if got, want := state(tb), "?+b1:0-end"; got != want {
		t.Fatalf("b2 is done: %q, want %q: b1 sleeps", got, want)
	}
	// It was somebody else who denied it: b1 asks again, and has it at once.
	now = now.Add(30 * time.Second)
	try(t, tb, now, granted, newLock("b1", 0, 0, true), true)
	if got, want := state(tb), "+b1:0-end"; got != want {
		t.Errorf("b1 is awake: %q, want %q", got, want)
	}
	// And b2, which is not there any more, is given up.
	try(t, tb, now, blocked, newLock("b2", 0, 0, true), true)
	l = newLock("b1", 0, 0, true)
	tb.unlock("file", &l, now)
	tb.acknowledge(tb.take()[0].id, hostB, false, now)
	tb.sweep(now.Add(silence - 1))
	if got, want := state(tb), "?+b2:0-end"; got != want {
		t.Errorf("b2 sleeps: %q, want %q", got, want)
	}
	tb.sweep(now.Add(silence))
	if got := state(tb); got != "" {
		t.Errorf("b2 slept for too long: %q, want nothing", got)
	}
}

// Behind address translation, others answer for a client.
func TestPollerKeepsGrant(t *testing.T) {
	tb := newTable()
	now := start
	try(t, tb, now, granted, newLock("a1", 0, 0, true), false)
	for range poller + 1 {
		try(t, tb, now, blocked, newLock("b1", 0, 0, true), true)
		now = now.Add(30 * time.Second)
	}
	try(t, tb, now, blocked, newLock("a2", 0, 0, true), true)
	l := newLock("a1", 0, 0, true)
	tb.unlock("file", &l, now)
	tb.acknowledge(tb.take()[0].id, hostB, false, now)
	if got, want := state(tb), "!+b1:0-end ?+a2:0-end"; got != want {
		t.Fatalf("denied by the router: %q, want %q", got, want)
	}
	for range 61 {
		now = now.Add(time.Second)
		tb.sweep(now)
	}
	if got, want := state(tb), "!+a2:0-end"; got != want {
		t.Errorf("b1 is silent: %q, want %q", got, want)
	}
	if n := len(tb.take()); n != callTries-1+1 {
		t.Errorf("%d calls, want %d more to b1 and one to a2", n, callTries-1)
	}
}

func TestSilence(t *testing.T) {
	tb := newTable()
	try(t, tb, start, granted, newLock("a1", 0, 0, true), false)
	try(t, tb, start, blocked, newLock("b1", 0, 0, true), true)
	// Long after it was heard for the last time, it is still called as often, as it may not be one that
	// asks again; but not for longer than that.
	now := start.Add(time.Hour)
	tb.sweep(now)
	l := newLock("a1", 0, 0, true)
	tb.unlock("file", &l, now)
	end := now.Add(callTries * callEvery)
	for ; now.Before(end); now = now.Add(time.Second) {
		tb.sweep(now)
		if got, want := state(tb), "!+b1:0-end"; got != want {
			t.Fatalf("after %v: %q, want %q", now.Sub(start), got, want)
		}
	}
	tb.sweep(now)
	if got := state(tb); got != "" {
		t.Errorf("after all calls: %q, want nothing", got)
	}
	if n := len(tb.take()); n != callTries {
		t.Errorf("%d calls, want %d", n, callTries)
	}
	// One that used to ask again, and does not any more, does not even get its turn.
	now = start
	try(t, tb, now, granted, newLock("a1", 0, 0, true), false)
	for range poller + 1 {
		try(t, tb, now, blocked, newLock("b1", 0, 0, true), true)
	}
	tb.sweep(now.Add(silence))
	if got, want := state(tb), "+a1:0-end"; got != want {
		t.Errorf("b1 went away: %q, want %q", got, want)
	}
}

func TestDeadlock(t *testing.T) {
	tb := newTable()
	ask := func(want status, file, who string) {
		t.Helper()
		l := newLock(who, 0, 0, true)
		if got := tb.lock(file, &request{lock: l}, true, start); got != want {
			t.Errorf("%s on %s: %d, want %d", who, file, got, want)
		}
	}
	ask(granted, "1", "a1")
	ask(granted, "2", "a2")
	ask(granted, "3", "b1")
	ask(blocked, "2", "a1")
	ask(blocked, "3", "a2")
	ask(deadlock, "1", "b1")
	ask(blocked, "1", "b2") // only waits itself
	ask(deadlock, "2", "b1")
	l := newLock("a2", 0, 0, true)
	if !tb.cancel("3", &l, start) {
		t.Error("a2 does not wait")
	}
	ask(blocked, "1", "b1")
}

func TestFreeHost(t *testing.T) {
	tb := newTable()
	try(t, tb, start, granted, newLock("a1", 0, 10, true), false)
	try(t, tb, start, granted, newLock("a2", 10, 10, true), false)
	try(t, tb, start, blocked, newLock("a3", 0, 10, true), true)
	try(t, tb, start, granted, newLock("c1", 30, 10, true), false) // the same address
	try(t, tb, start, blocked, newLock("b1", 0, 20, true), true)
	if got := tb.share("file", share{client: client{hostA, "a"}, oh: "x", deny: shareAll}); got != granted {
		t.Errorf("share: %d, want %d", got, granted)
	}
	for _, c := range []client{{hostB, "a"}, {hostA, "x"}, {hostA, ""}} {
		if n := tb.freeHost(c.addr, c.name, 0, start); n > 0 {
			t.Errorf("%v: frees %d", c, n)
		}
	}
	if n := tb.freeHost(hostA, "A.example", 0, start); n != 4 {
		t.Errorf("%d entries are gone, want 4", n)
	}
	if got, want := state(tb), "+c1:30-39 !+b1:0-19"; got != want {
		t.Errorf("freed: %q, want %q", got, want)
	}
	if got := tb.share("file", share{client: client{hostB, "b"}, access: shareAll}); got != granted {
		t.Errorf("share: %d, want %d", got, granted)
	}
	tb.freeHost(hostB, "b", 0, start)
	tb.freeHost(hostA, "c", 0, start)
	if tb.entries != 0 || tb.waiting != 0 || len(tb.files) > 0 || len(tb.hosts) > 0 || len(tb.requests) > 0 || len(tb.granted) > 0 {
		t.Errorf("something is left: %+v", tb)
	}
}

// A client that restarted may lock again before it is known here that it restarted.
func TestFreeFormerState(t *testing.T) {
	tb := newTable()
	in := func(state uint32, l lock) lock {
		l.state = state
		return l
	}
	try(t, tb, start, granted, in(5, newLock("a1", 0, 10, true)), false)
	try(t, tb, start, granted, in(5, newLock("a2", 50, 10, true)), false)
	try(t, tb, start, blocked, in(5, newLock("a3", 50, 10, true)), true)
	try(t, tb, start, granted, in(7, newLock("a1", 5, 10, true)), false)
	try(t, tb, start, blocked, in(7, newLock("a4", 50, 10, true)), true)
	if got, want := state(tb), "+a1:0-4 +a1:5-14 +a2:50-59 ?+a3:50-59 ?+a4:50-59"; got != want {
		t.Errorf("before: %q, want %q", got, want)
	}
	tb.freeHost(hostA, "a", 7, start)
	if got, want := state(tb), "+a1:5-14 !+a4:50-59"; got != want {
		t.Errorf("freed: %q, want %q", got, want)
	}
	if err := consistent(tb); err != nil {
		t.Error(err)
	}
}

func TestSameHost(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"tv", "tv", true},
		{"tv", "TV", true},
		{"tv", "tv.lan", true},
		{"TV.lan", "tv", true},
		{"tv.lan", "tv.home.arpa", false},
		{"tv", "tv2", false},
		{"192.0.2.1", "192.0.2.2", false},
		{"", "tv", false},
	}
	for _, test := range tests {
		if got := sameHost(test.a, test.b); got != test.want {
			t.Errorf("%q and %q: %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
