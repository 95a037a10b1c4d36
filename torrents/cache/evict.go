package cache

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// run evicts what has to go until the cache is closed.
func (c *Cache) run() {
	retry := time.NewTimer(lookPause)
	defer retry.Stop()
	var measured, complained time.Time
	for {
		select {
		case <-c.stop:
			return
		case <-c.kick:
		case <-retry.C:
		}
		if time.Since(measured) >= lookPause {
			c.measure()
			measured = time.Now()
		}
		pause := lookPause
		for {
			freed, err := c.evict()
			if err != nil && time.Since(complained) >= complainPause {
				complained = time.Now()
				c.log.Error("the cache cannot be evicted", "err", err)
			}
			if freed == 0 || err != nil {
				break
			}
		}
		c.mu.Lock()
		if c.blocked.Load() || c.used > c.room() {
			pause = evictPause
		}
		c.mu.Unlock()
		retry.Reset(pause)
	}
}

// measure notes what the files of open torrents take on disk beyond their pieces: where file systems write down the places of
// many small parts, and the ends of pieces that do not end with a block.
func (c *Cache) measure() {
	c.evicting.Lock() // nobody closes one meanwhile
	defer c.evicting.Unlock()
	c.mu.Lock()
	open := slices.Collect(maps.Values(c.open))
	c.mu.Unlock()
	for _, p := range open {
		p.measure()
	}
}

// measure is Cache.measure of one torrent. It needs c.evicting.
func (p *Pieces) measure() {
	st, err := p.data.Stat()
	if err != nil {
		return
	}
	p.cache.mu.Lock()
	defer p.cache.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	over := allocated(st)
	for i := range p.slots {
		if !p.isEmpty(i) {
			over -= p.cost(i)
		}
	}
	over = max(0, over)
	p.charge(over - p.overhead)
	p.overhead = over
}

// need is what has to be evicted.
type need struct {
	least  int64 // bytes
	enough int64 // bytes, of pieces that nobody wants
	worst  class
	ticket uint32 // of classWaiting, only those with a later one
	any    bool   // whatever their tickets
}

// needed says what has to be evicted now.
func (c *Cache) needed() (n need, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spaceAt = time.Time{} // as it is now
	c.admitAll()
	room := c.room()
	slack := room / slackShare
	switch {
	case c.used > room:
		return need{least: c.used - room, enough: c.used - room + slack, worst: classWaiting, any: true}, true
	case len(c.waitNow) > 0:
		r := c.waitNow[0]
		lack := c.used + r.pieces.cost(r.piece) - room
		r.pieces.mu.Lock()
		ticket := r.pieces.slots[r.piece].ticket
		r.pieces.mu.Unlock()
		return need{least: lack, enough: lack + slack, worst: classWaiting, ticket: ticket}, true
	case len(c.claims) > 0:
		lack := c.used + c.claims[0].bytes - room
		return need{least: lack, enough: lack + slack, worst: classEdge}, true
	case len(c.waitAhead) > 0:
		r := c.waitAhead[0]
		lack := c.used + r.pieces.cost(r.piece) - room
		return need{least: lack, enough: lack + slack, worst: classFree}, true
	}
	return n, false
}

// evict makes room once, if some is needed, and returns how many bytes it has made.
func (c *Cache) evict() (int64, error) {
	c.evicting.Lock()
	defer c.evicting.Unlock()
	n, ok := c.needed()
	if !ok {
		c.stuck = time.Time{}
		return 0, nil
	}
	freed, err := c.evictNeed(n)
	return freed + c.unstick(n, n.least-freed), err
}

// evictNeed makes room, as far as that is possible without taking what tenants use. It needs c.evicting.
func (c *Cache) evictNeed(n need) (int64, error) {
	freed, errs := c.evictClosed(n.enough, false)
	freed += c.freeTenants(n.enough-freed, time.Now().Add(-tenantRest), false)
	if freed >= n.enough {
		return freed, errs
	}
	n.enough -= freed
	n.least -= freed
	more, err := c.evictUsed(n)
	freed += more
	errs = errors.Join(errs, err)
	if more >= n.least || n.worst == classFree {
		return freed, errs
	}
	edges, err := c.evictClosed(n.least-more, true)
	return freed + edges, errors.Join(errs, err)
}

// batch is what is evicted of a torrent at a time.
type batch struct {
	pieces []int // that are doomed
	freed  []int // these, and others of their units, of which nothing is on disk
	why    Reason
}

// evictOpen evicts pieces of open torrents.
func (c *Cache) evictOpen(n need) (int64, error) {
	var freed int64
	batches := make(map[*Pieces]batch)
	for _, v := range c.victims(n) {
		if freed >= n.enough || freed >= n.least && v.class > classFree {
			break
		}
		b := batches[v.pieces]
		freed += v.pieces.doom(v.unit, v.class, &b)
		batches[v.pieces] = b
	}
	var errs error
	for p, b := range batches {
		slices.Sort(b.pieces)
		slices.Sort(b.freed)
		if err := p.dropDoomed(b); err != nil {
			errs = errors.Join(errs, fmt.Errorf("torrent %s: %w", p.key, err))
		}
	}
	return freed, errs
}

// evictWhole evicts open torrents that nobody uses, where the disk cannot free parts of a file.
func (c *Cache) evictWhole(n need) (freed int64, errs error) {
	c.mu.Lock()
	open := make(map[*Pieces]int32, len(c.open))
	for key, p := range c.open {
		if !c.pinned[key] {
			open[p] = 0
		}
	}
	c.mu.Unlock()
	now := c.tick()
	for p := range open {
		open[p] = p.age(now)
	}
	byAge := func(a, b *Pieces) int { return cmp.Compare(open[b], open[a]) }
	for _, p := range slices.SortedFunc(maps.Keys(open), byAge) {
		if freed >= n.enough {
			break
		}
		doomed, bytes := p.doomAll()
		if len(doomed) == 0 {
			continue
		}
		freed += bytes
		if err := p.dropDoomed(batch{pieces: doomed}); err != nil {
			errs = errors.Join(errs, fmt.Errorf("torrent %s: %w", p.key, err))
		}
	}
	return freed, errs
}

// age returns how many ticks ago anything of the torrent was used.
func (p *Pieces) age(now uint32) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := int32(math.MaxInt32)
	for i := range p.slots {
		if s := &p.slots[i]; s.has(hasRoom) {
			age = min(age, int32(now-s.last))
		}
	}
	return age
}

// doomAll makes all the pieces ones that are being evicted, and returns which and how many bytes they are, unless the torrent is used.
func (p *Pieces) doomAll() (doomed []int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed || p.inUse() {
		return nil, 0
	}
	for i := range p.slots {
		if p.slots[i].has(hasRoom) {
			p.leave(i)
			doomed = append(doomed, i)
			bytes += p.cost(i)
		}
	}
	p.emptying = len(doomed) > 0
	return doomed, bytes
}

func (p *Pieces) inUse() bool {
	for i := range p.slots {
		if s := &p.slots[i]; s.readers > 0 || s.wanted() != None {
			return true
		}
	}
	return false
}

// doom makes the pieces of a unit ones that are being evicted, if they still may be, adds them to the batch, and returns how many bytes
// they are. A class of edges is as good as none here.
func (p *Pieces) doom(unit Span, as class, b *batch) (bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.victim(unit, p.cache.tick())
	if p.isClosed || v.bytes == 0 || v.class > max(as, classEdge) || unit != p.unit(unit.First) {
		return 0
	}
	for i := unit.First; i <= unit.Last; i++ {
		b.freed = append(b.freed, i)
		if p.slots[i].has(hasRoom) {
			p.leave(i)
			b.pieces = append(b.pieces, i)
		}
	}
	p.emptying = p.emptying || unit.Len() > 1
	return v.bytes
}

// leave makes a piece one that is being evicted. It needs p.mu.
func (p *Pieces) leave(piece int) {
	s := &p.slots[piece]
	next := leaving
	switch s.state {
	case Present:
		p.present--
	case Suspect:
		p.suspect--
	case Missing:
		if !s.has(partial) {
			next = leavingEmpty
		}
		if p.discard(piece) {
			s.set(torn) // the engine believes that it has some of it
		}
	}
	p.counted()
	s.state = next
}

// drop frees pieces on disk.
func (p *Pieces) drop(b batch) error {
	for _, span := range spans(b.pieces) {
		if err := p.save(span, make([]byte, span.Len())); err != nil {
			return fmt.Errorf("evict: %w", err)
		}
	}
	if p.cache.noHoles.Load() {
		return p.data.Truncate(0) // see doomAll
	}
	return p.punchAll(b.freed, func(int) bool { return false })
}

// settle ends the eviction of a piece. It needs c.mu and p.mu.
func (p *Pieces) settle(piece int, gone bool) {
	s := &p.slots[piece]
	wasThere := s.state == leaving && !s.has(partial)
	if s.has(partial) {
		s.set(torn) // the engine believes that it has some of it
	}
	if s.state == leavingEmpty {
		p.cache.unwritten.Add(-p.cost(piece))
	}
	s.state = Missing
	switch {
	case gone:
		s.clear(hasRoom | partial)
		p.charge(-p.cost(piece))
	case wasThere: // it may be still
		s.state = Suspect
		p.suspect++
		p.counted()
	default:
		s.set(partial | torn) // it takes room still, and is tried again
	}
	p.queue(piece)
	p.change(piece, recheck)
}

// Evict frees pieces that nobody uses or wants, those of the same units along with them, and returns how many bytes that are. It waits
// for the disk.
func (p *Pieces) Evict(span Span) (freed int64, err error) {
	c := p.cache
	c.evicting.Lock()
	defer c.evicting.Unlock()
	b := batch{why: OnRequest}
	switch {
	case !c.noHoles.Load():
		for i := span.First; i <= span.Last; {
			unit := p.unit(i)
			freed += p.doom(unit, classFree, &b)
			i = unit.Last + 1
		}
	case span.Len() == len(p.slots):
		b.pieces, freed = p.doomAll()
	}
	if err := p.dropDoomed(b); err != nil {
		return 0, err
	}
	return freed, nil
}

// dropDoomed frees pieces that are doomed. The lists are sorted. It needs c.evicting.
func (p *Pieces) dropDoomed(b batch) error {
	if len(b.pieces) == 0 {
		return nil
	}
	c := p.cache
	err := p.drop(b)
	c.mu.Lock()
	p.mu.Lock()
	for _, i := range b.pieces {
		if err == nil && p.slots[i].state == leaving {
			c.evictions.add(b.why, 1)
		}
		p.settle(i, err == nil)
	}
	p.emptying = false
	p.mu.Unlock()
	c.mu.Unlock()
	if err == nil {
		err = p.punchShared(b.pieces)
	}
	p.measure()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.admit()
	return err
}

// spans returns the runs in a sorted list of pieces.
func spans(pieces []int) []Span {
	var list []Span
	for _, i := range pieces {
		if n := len(list); n > 0 && list[n-1].Last == i-1 {
			list[n-1].Last = i
		} else {
			list = append(list, Span{i, i})
		}
	}
	return list
}
