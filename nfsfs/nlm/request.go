package nlm

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	// callTries is how often a client is told of a grant that it does not acknowledge, and callEvery how
	// long after each time that is; it is longer than callTime, so that the calls do not pile up.
	callTries = 4
	callEvery = 6 * time.Second
	// silence is how long a client that is not reached may be silent before its grant is given to others:
	// Linux asks again every 30 seconds, so that it has missed two turns, and is late for the third.
	silence = 90 * time.Second
	// poller is how often a request has to be repeated before its client is known to be one that asks
	// again. Once could be a reply that got lost.
	poller = 2
	// maxSteps is how many waiting requests are looked at to find a circle. A longer one is not found.
	maxSteps = 64
)

// request is a lock that could not be had at once. First it waits. Then it is granted, which the client
// does not know: the server calls it, or it asks again. Until one of both happens, the range is kept for
// it, apart from what its owner holds, so that it can be taken back.
type request struct {
	lock
	file  *file
	route route // how to call the client; the table does not look at it

	heard time.Time // when the client last asked for it
	polls int       // how often it asked again
	// asleep is set when the client said that it is not waiting. Then it has to ask again.
	asleep bool

	id    uint64        // the number of the grant; 0 while it waits
	over  chan struct{} // closed when the grant is, whether accepted or not
	tries int           // how often the client was called
	next  time.Time     // when to call it again
}

// find returns the request of the same owner for the same lock.
func (f *file) find(l *lock) *request {
	for _, q := range f.queue {
		if q.span == l.span && q.exclusive == l.exclusive && q.owner == l.owner {
			return q
		}
	}
	return nil
}

func (t *table) enqueue(q *request) {
	q.file.queue = append(q.file.queue, q)
	t.requests[q.owner] = append(t.requests[q.owner], q)
	t.account(q.file, q.client, 1)
	t.waiting++
	t.hosts[q.addr].waiting++
}

func (t *table) dequeue(q *request) {
	q.file.queue = without(q.file.queue, q)
	if rest := without(t.requests[q.owner], q); len(rest) > 0 {
		t.requests[q.owner] = rest
	} else {
		delete(t.requests, q.owner)
	}
	t.settle(q)
	t.waiting--
	t.hosts[q.addr].waiting--
	t.account(q.file, q.client, -1)
}

func without(requests []*request, q *request) []*request {
	return slices.DeleteFunc(requests, func(o *request) bool { return o == q })
}

// settle ends a grant, if q is granted.
func (t *table) settle(q *request) {
	if q.id == 0 {
		return
	}
	delete(t.granted, q.id)
	q.id = 0
	close(q.over)
}

// again is lock for a request that is there already.
func (t *table) again(q, r *request, now time.Time) status {
	q.heard, q.route, q.state = now, r.route, r.state
	q.polls++
	// A request that is not asleep would have been granted as soon as that was possible.
	if q.id == 0 && (!q.asleep || !q.file.free(&q.lock)) {
		q.asleep = false
		return blocked
	}
	f := q.file
	t.accept(q)
	t.wake(f, now)
	return granted
}

// accept makes a granted request a lock that is held. There is always room: the request had its place.
func (t *table) accept(q *request) {
	t.dequeue(q)
	t.set(q.file, q.lock, true, true)
}

// wake grants what has become possible, in the order in which it was asked for. It has to be called
// whenever there may be less in the way than before.
func (t *table) wake(f *file, now time.Time) {
	for _, q := range f.queue {
		if q.id != 0 || q.asleep || !f.free(&q.lock) {
			continue
		}
		// The number is how acknowledgements name the grant. Others must not guess it.
		for q.id == 0 || t.granted[q.id] != nil {
			q.id = rand.Uint64()
		}
		t.granted[q.id] = q
		q.over = make(chan struct{})
		q.tries = 0
		t.call(q, now)
	}
}

func (t *table) call(q *request, now time.Time) {
	q.tries++
	q.next = now.Add(callEvery)
	t.calls = append(t.calls, q)
}

// take returns the grants that the clients have to be told of now.
func (t *table) take() []*request {
	calls := t.calls
	t.calls = nil
	return calls
}

// cancel ends the wait for l, and returns whether there was one.
func (t *table) cancel(handle string, l *lock, now time.Time) bool {
	f := t.files[handle]
	if f == nil {
		return false
	}
	q := f.find(l)
	if q == nil {
		return false
	}
	t.dequeue(q)
	t.wake(f, now)
	return true
}

// acknowledge is for the answer of a client that was called. addr is where it came from.
//
// A client that is not waiting loses its grant to others, but not its place in the queue: if it asks
// again, it was not that client who answered. A router that translates addresses answers for all that
// are behind it, and knows nothing of their locks. Those who were seen asking again are believed to be
// such clients, and their grants are kept for them.
func (t *table) acknowledge(id uint64, addr netip.Addr, accepted bool, now time.Time) {
	q := t.granted[id]
	if q == nil || q.addr != addr {
		return
	}
	switch {
	case accepted:
		t.accept(q)
	case q.polls >= poller:
		return
	default:
		t.settle(q)
		q.asleep = true
	}
	t.wake(q.file, now)
}

// sweep calls clients again, and takes back what was granted to those who cannot be reached and are
// silent. A request that waits is given up too, if its client used to ask again and does not any more.
func (t *table) sweep(now time.Time) {
	var gone []*request
	for _, requests := range t.requests {
		for _, q := range requests {
			silent := now.Sub(q.heard) >= silence
			switch {
			case q.id == 0 && silent && (q.asleep || q.polls >= poller):
				gone = append(gone, q)
			case q.id == 0 || now.Before(q.next):
			case q.tries < callTries:
				t.call(q, now)
			case silent:
				gone = append(gone, q)
			}
		}
	}
	for _, q := range gone {
		t.dequeue(q)
	}
	for _, q := range gone {
		t.wake(q.file, now)
	}
}

// circular says whether a request would wait for somebody who waits for its own owner.
func (t *table) circular(f *file, r *request) bool {
	seen := make(map[owner]bool)
	var todo []owner
	// blockers notes those who stand in the way of a lock, and returns whether that is r's owner.
	blockers := func(f *file, l *lock) bool {
		for o := range f.conflicts(l) {
			if o.owner == r.owner {
				return true
			}
			if !seen[o.owner] && len(seen) < maxSteps {
				seen[o.owner] = true
				todo = append(todo, o.owner)
			}
		}
		return false
	}
	blockers(f, &r.lock)
	steps := 0
	for len(todo) > 0 {
		o := todo[0]
		todo = todo[1:]
		for _, q := range t.requests[o] {
			if steps++; steps > maxSteps {
				return false
			}
			if q.id == 0 && !q.asleep && blockers(q.file, &q.lock) {
				return true
			}
		}
	}
	return false
}
