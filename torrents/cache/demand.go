package cache

import "slices"

// Change is what the engine has to be told about a piece.
type Change struct {
	Piece   int
	Urgency Urgency // to ask for it with from now on
	Ticket  uint32  // of who began to wait for it first, of those who do
	Recheck bool    // whether it is there has changed
}

// Want notes n more (or, if negative, fewer) wishes of urgency u for each of the pieces. Room is made for those that have none.
// ticket orders who waits (Now): a lower one came first. Wishes are withdrawn with the ticket and the span that they were made with.
func (p *Pieces) Want(span Span, u Urgency, n int, ticket uint32) {
	if span.Len() == 0 {
		return
	}
	c := p.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	p.mu.Lock()
	if p.isClosed {
		p.mu.Unlock()
		return
	}
	if u == Now {
		p.noteWaiter(waiter{ticket, span}, n)
	}
	for i := span.First; i <= span.Last; i++ {
		s := &p.slots[i]
		if u == Now {
			s.now = uint16(int(s.now) + n)
			p.renumber(i, n, ticket)
		} else {
			s.ahead = uint16(int(s.ahead) + n)
		}
		p.queue(i)
		if s.wanted() == None && s.state == Missing && s.has(hasRoom) && !p.begun(i) && s.readers == 0 {
			p.leaveRoom(i)
		}
		p.change(i, 0)
	}
	p.mu.Unlock()
	c.admit()
}

// aheadShare is the part of the limit that one who reads may want ahead.
const aheadShare = 8

// MaxAhead returns how much one who reads should want ahead at the most, in bytes: in a small cache, what many want ahead would
// take the room of what others wait for, and be given up before it is read.
func (p *Pieces) MaxAhead() int64 { return max(p.cache.Limit()/aheadShare, p.PieceLength) }

// waiter is somebody who waits for pieces.
type waiter struct {
	ticket uint32
	span   Span
}

// older says whether the ticket was given before the other one. They wrap.
func older(ticket, other uint32) bool { return int32(ticket-other) < 0 }

// noteWaiter adds one who waits, n times, or takes him away. It needs p.mu.
func (p *Pieces) noteWaiter(w waiter, n int) {
	for ; n > 0; n-- {
		p.waiters = append(p.waiters, w)
	}
	for ; n < 0; n++ {
		if i := slices.Index(p.waiters, w); i >= 0 {
			p.waiters = slices.Delete(p.waiters, i, i+1)
		}
	}
}

// renumber gives a piece the oldest ticket of those who wait for it, once one with the ticket has come (n is positive) or gone.
// Were it any other, two could wait for room that each has taken from the other. It needs c.mu and p.mu.
func (p *Pieces) renumber(piece, n int, ticket uint32) {
	s := &p.slots[piece]
	oldest := s.ticket
	switch {
	case n > 0 && (int(s.now) == n || older(ticket, oldest)):
		oldest = ticket
	case n < 0 && s.now > 0 && ticket == oldest:
		found := false
		for _, w := range p.waiters {
			if w.span.Contains(piece) && (!found || older(w.ticket, oldest)) {
				oldest, found = w.ticket, true
			}
		}
	}
	if oldest == s.ticket {
		return
	}
	s.ticket = oldest
	if c := p.cache; s.has(waitsNow) {
		c.waitNow = slices.DeleteFunc(c.waitNow, func(r request) bool { return r.pieces == p && r.piece == piece })
		c.enqueue(p, piece)
	}
}

// enqueue lets a piece wait behind those with older tickets. It needs c.mu and p.mu.
func (c *Cache) enqueue(p *Pieces, piece int) {
	r := request{p, piece, p.slots[piece].ticket}
	at := len(c.waitNow)
	for at > 0 && older(r.ticket, c.waitNow[at-1].ticket) {
		at--
	}
	c.waitNow = slices.Insert(c.waitNow, at, r)
}

// queue puts a piece that is wanted and has no room into the queue for it. It needs c.mu and p.mu.
func (p *Pieces) queue(piece int) {
	c, s := p.cache, &p.slots[piece]
	if p.isClosed || s.state != Missing || s.has(hasRoom) {
		return
	}
	switch u := s.wanted(); {
	case u == Now && !s.has(waitsNow):
		s.set(waitsNow)
		c.enqueue(p, piece)
	case u == Ahead && !s.has(waitsAhead):
		s.set(waitsAhead)
		c.waitAhead = append(c.waitAhead, request{pieces: p, piece: piece})
	}
}

// forgetRequests takes a closed torrent out of the queues, where who is in front may wait for long. It needs c.mu.
func (c *Cache) forgetRequests(p *Pieces) {
	ofIt := func(r request) bool { return r.pieces == p }
	c.waitNow, c.waitAhead = slices.DeleteFunc(c.waitNow, ofIt), slices.DeleteFunc(c.waitAhead, ofIt)
}

// leaveRoom gives back the room of a piece that has no data. It needs c.mu and p.mu.
func (p *Pieces) leaveRoom(piece int) {
	p.slots[piece].clear(hasRoom)
	p.charge(-p.cost(piece))
	p.cache.unwritten.Add(-p.cost(piece))
}

// tryAdmit gives room to a piece that waits in a queue, and says whether it need not wait there any longer. It needs c.mu.
func (p *Pieces) tryAdmit(piece int, queue slotFlags) bool {
	c := p.cache
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.slots[piece]
	if p.isClosed || s.state != Missing || s.has(hasRoom) || s.wanted() == None || queue == waitsNow && s.now == 0 {
		s.clear(queue)
		p.queue(piece) // it may still be wanted ahead, or again once it has been evicted
		return true
	}
	cost := p.cost(piece)
	if p.emptying || c.used+cost > c.room() {
		return false
	}
	s.clear(queue)
	s.set(hasRoom)
	s.written = 0
	s.last = c.tick()
	p.charge(cost)
	c.unwritten.Add(cost)
	p.change(piece, 0)
	return true
}

// change notes that the engine may have to be told of a piece. It needs p.mu.
func (p *Pieces) change(piece int, why slotFlags) {
	if !p.fetching {
		return
	}
	s := &p.slots[piece]
	s.set(why)
	if s.has(changed) {
		return
	}
	s.set(changed)
	p.changes = append(p.changes, piece)
	p.notify()
}

// notify wakes who takes the changes.
func (p *Pieces) notify() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// Fetch begins to note changes for an engine that knows of nothing, or ends it.
func (p *Pieces) Fetch(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetch(on && !p.isClosed)
}

// fetch needs p.mu.
func (p *Pieces) fetch(on bool) {
	p.fetching = on
	p.changes, p.diskErr = nil, nil
	for i := range p.hashed {
		p.forgetHash(i)
	}
	for i := range p.slots {
		p.slots[i].clear(changed | recheck)
		if on { // one that is about to leave may still hash what it believes to have, and blame peers for it
			p.slots[i].clear(torn)
		}
		p.slots[i].written = 0
		if p.slots[i].fetch() != None {
			p.change(i, 0)
		}
	}
}

// Changed returns a channel that has something when there are changes to take, and when Wake says so.
func (p *Pieces) Changed() <-chan struct{} { return p.signal }

// Changes takes the changes: first of pieces that are not wanted any more, then of those that are, the most urgent first.
func (p *Pieces) Changes() []Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Change, 0, len(p.changes))
	for _, u := range []Urgency{None, Now, Ahead} {
		for _, i := range p.changes {
			if s := &p.slots[i]; s.fetch() == u {
				list = append(list, Change{Piece: i, Urgency: u, Ticket: s.ticket, Recheck: s.has(recheck)})
			}
		}
	}
	for _, i := range p.changes {
		p.slots[i].clear(changed | recheck)
	}
	p.changes = p.changes[:0]
	return list
}
