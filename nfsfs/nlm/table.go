package nlm

import (
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// table holds the locks of all files. It knows nothing of messages, waits for nothing, and is told what
// time it is. It is for one goroutine at a time.
type table struct {
	files map[string]*file
	hosts map[netip.Addr]*host
	// requests are those that wait or whose grant has not been acknowledged, by owner.
	requests map[owner][]*request
	// granted are those among them that are granted, by the number of the grant.
	granted map[uint64]*request
	// calls are grants that the clients have to be told of now, until take.
	calls []*request

	entries int // see account
	waiting int // requests
}

func newTable() *table {
	return &table{
		files: make(map[string]*file), hosts: make(map[netip.Addr]*host),
		requests: make(map[owner][]*request), granted: make(map[uint64]*request),
	}
}

// owner is who holds a lock: a process of a client. The owner handle that calls have beside the process
// number is not compared, as in the servers of Linux and FreeBSD: it says the same, or names the client's
// lock manager, and a client that changed it could never unlock.
type owner struct {
	client
	svid uint32
}

// lock is a range that somebody holds, or wants.
type lock struct {
	owner
	span
	exclusive bool
	oh        string // the owner handle, for telling others who holds the lock
	state     uint32 // of the client's status monitor when it asked; another number after each restart
}

// conflicts says whether two locks cannot be held at a time.
func (l *lock) conflicts(o *lock) bool {
	return l.overlaps(o.span) && (l.exclusive || o.exclusive) && l.owner != o.owner
}

// file is what there is on a file. Ranges that one owner holds do not overlap, and adjoin only if they
// could not be one: exclusive and shared, or from before a restart and after it.
type file struct {
	handle  string
	held    []lock
	queue   []*request // in the order in which they came
	shares  []share
	entries int // see account
}

// file returns that of a handle. It is in the table only if there is anything on it.
func (t *table) file(handle string) *file {
	if f := t.files[handle]; f != nil {
		return f
	}
	return &file{handle: handle}
}

// conflicts are the locks that keep l from being held. Those that were granted and not acknowledged yet
// count as held: the client may know of them.
func (f *file) conflicts(l *lock) iter.Seq[*lock] {
	return func(yield func(*lock) bool) {
		for i := range f.held {
			if o := &f.held[i]; o.conflicts(l) && !yield(o) {
				return
			}
		}
		for _, q := range f.queue {
			if q.id != 0 && q.conflicts(l) && !yield(&q.lock) {
				return
			}
		}
	}
}

// free says whether nothing keeps l from being held.
func (f *file) free(l *lock) bool {
	for range f.conflicts(l) {
		return false
	}
	return true
}

// test returns the first lock of the file, by its offset, that keeps l from being held.
func (t *table) test(handle string, l *lock) (holder lock, found bool) {
	for o := range t.file(handle).conflicts(l) {
		if !found || o.first < holder.first {
			holder, found = *o, true
		}
	}
	return holder, found
}

// set makes l the only lock that its owner has on the range, or, if locked is false, leaves the owner
// without one. It returns false and changes nothing if there is no room for the pieces, unless forced.
func (t *table) set(f *file, l lock, locked, forced bool) bool {
	// What is left from before a restart of the client must not become part of what is newer.
	alike := func(o *lock) bool { return locked && o.exclusive == l.exclusive && o.state == l.state }
	touched := func(o *lock) bool {
		return (o.overlaps(l.span) || o.adjoins(l.span) && alike(o)) && o.owner == l.owner
	}
	merged := l
	var pieces []lock
	var left []span
	old := 0
	for i := range f.held {
		o := &f.held[i]
		if !touched(o) {
			continue
		}
		old++
		if alike(o) {
			merged.span = merged.union(o.span)
			continue
		}
		left = o.without(l.span, left[:0])
		for _, s := range left {
			piece := *o
			piece.span = s
			pieces = append(pieces, piece)
		}
	}
	if locked {
		pieces = append(pieces, merged)
	}
	n := len(pieces) - old
	if n > 0 && !forced && !t.room(f, l.addr, n) {
		return false
	}
	if old > 0 {
		f.held = slices.DeleteFunc(f.held, func(o lock) bool { return touched(&o) })
	}
	f.held = append(f.held, pieces...)
	t.account(f, l.client, n)
	return true
}

// lock asks for r. If that is not possible now, and block is true, r waits in the queue. To ask again
// for what is waited for keeps the place in the queue, and accepts it if it was granted meanwhile.
//
// Only what is held stands in the way of a new request, not those who wait for it already. To queue
// behind them would be fairer to who wants a range alone that others share all the time; but those who
// share it could then wait for one that waits for a lock of theirs, a circle that locks alone do not make.
func (t *table) lock(handle string, r *request, block bool, now time.Time) status {
	f := t.file(handle)
	if q := f.find(&r.lock); q != nil && (block || q.id != 0) {
		return t.again(q, r, now)
	}
	switch {
	case f.free(&r.lock):
		if !t.set(f, r.lock, true, false) {
			return noLocks
		}
		t.wake(f, now) // an exclusive lock that became a shared one lets others in
		return granted
	case !block:
		return denied
	case t.circular(f, r):
		return deadlock
	case !t.roomToWait(f, r.addr):
		return noLocks
	}
	r.file, r.heard = f, now
	t.enqueue(r)
	return blocked
}

// unlock takes a range from an owner. What is partly in the range is split; what waits for exactly that
// range does not wait any more, and what was granted there counts as accepted before.
func (t *table) unlock(handle string, l *lock, now time.Time) status {
	f := t.files[handle]
	if f == nil {
		return granted
	}
	for _, q := range slices.Clone(f.queue) {
		switch {
		case q.owner != l.owner:
		case q.id != 0 && q.overlaps(l.span):
			t.accept(q)
		case q.id == 0 && q.span == l.span:
			t.dequeue(q)
		}
	}
	if !t.set(f, *l, false, false) {
		return noLocks
	}
	t.wake(f, now)
	return granted
}

// freeHost takes everything from a client that has the address and, as far as it can be told, the name;
// but not what it asked for in the given state, unless that is 0. It returns how many entries are gone.
func (t *table) freeHost(addr netip.Addr, name string, state uint32, now time.Time) int {
	h := t.hosts[addr]
	if h == nil {
		return 0
	}
	before := t.entries
	for n, files := range h.clients {
		if !sameHost(n, name) {
			continue
		}
		for f := range files {
			t.freeFile(f, client{addr, n}, state, now)
		}
	}
	return before - t.entries
}

func (t *table) freeFile(f *file, c client, state uint32, now time.Time) {
	old := func(l *lock) bool { return l.client == c && (state == 0 || l.state != state) }
	for _, q := range slices.Clone(f.queue) {
		if old(&q.lock) {
			t.dequeue(q)
		}
	}
	before := len(f.held) + len(f.shares)
	f.held = slices.DeleteFunc(f.held, func(l lock) bool { return old(&l) })
	f.shares = slices.DeleteFunc(f.shares, func(s share) bool { return s.client == c })
	t.account(f, c, len(f.held)+len(f.shares)-before)
	t.wake(f, now)
}

// sameHost compares names as hosts give them: a lock manager says how the host calls itself, and its
// status monitor may add the domain.
func sameHost(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	shortA, domainA, _ := strings.Cut(a, ".")
	shortB, domainB, _ := strings.Cut(b, ".")
	return (domainA == "" || domainB == "") && strings.EqualFold(shortA, shortB)
}
