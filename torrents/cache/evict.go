package cache

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// run evicts what has to go until the cache is closed.
func (c *Cache) run() {
	retry := time.NewTimer(lookPause)
	defer retry.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-c.kick:
		case <-retry.C:
			c.measure()
		}
		pause := lookPause
		for {
			freed, err := c.evict()
			if err != nil {
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
		st, err := p.data.Stat()
		if err != nil {
			continue
		}
		c.mu.Lock()
		p.mu.Lock()
		over := allocated(st)
		for i := range p.slots {
			if s := &p.slots[i]; s.state != Missing || s.has(partial) {
				over -= p.cost(i)
			}
		}
		over = max(0, over)
		c.used += over - p.overhead
		p.overhead = over
		p.mu.Unlock()
		c.mu.Unlock()
	}
}

// class says what has to be the case for a piece to be evicted.
type class int

const (
	classFree    class = iota // nobody wants it
	classEdge                 // nobody wants it, and it is a head or a tail within the share of these
	classAhead                // somebody will read it soon
	classWaiting              // somebody waits for it, or for others with it
)

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
	c.admit()
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
		return 0, nil
	}
	freed, err := c.evictClosed(n.enough, false)
	if err != nil || freed >= n.enough {
		return freed, err
	}
	n.enough -= freed
	n.least -= freed
	more, err := c.evictOpen(n)
	freed += more
	if err != nil || more >= n.least || n.worst == classFree {
		return freed, err
	}
	edges, err := c.evictClosed(n.least-more, true)
	return freed + edges, err
}

// victim is a piece that may be evicted.
type victim struct {
	pieces *Pieces
	piece  int
	class  class
	age    uint32 // ticks since its last use
	ticket uint32
}

// evictOpen evicts pieces of open torrents.
func (c *Cache) evictOpen(n need) (int64, error) {
	list := c.victims(n)
	var freed int64
	batches := make(map[*Pieces][]int)
	for i := range list {
		v := &list[i]
		if freed >= n.enough || freed >= n.least && v.class > classFree {
			break
		}
		if v.pieces.doom(v.piece, v.class) {
			batches[v.pieces] = append(batches[v.pieces], v.piece)
			freed += v.pieces.cost(v.piece)
		}
	}
	var errs error
	for p, doomed := range batches {
		slices.Sort(doomed)
		if err := p.dropDoomed(doomed); err != nil {
			errs = errors.Join(errs, fmt.Errorf("torrent %s: %w", p.key, err))
		}
	}
	return freed, errs
}

// victims lists what may be evicted, what goes first in front.
func (c *Cache) victims(n need) []victim {
	c.mu.Lock()
	open := make([]*Pieces, 0, len(c.open))
	for key, p := range c.open {
		if !c.pinned[key] {
			open = append(open, p)
		}
	}
	share := c.room() / edgeShare
	for _, t := range c.closed {
		share -= t.edges
	}
	c.mu.Unlock()
	var list []victim
	now := c.tick()
	for _, p := range open {
		list = p.victims(list, n, now)
	}
	byAge := func(a, b victim) int { return cmp.Or(cmp.Compare(a.class, b.class), -cmp.Compare(a.age, b.age)) }
	slices.SortFunc(list, byAge)
	// Of heads and tails, those read last are within the share.
	for i := len(list) - 1; i >= 0; i-- {
		if v := &list[i]; v.class == classEdge {
			if share -= v.pieces.cost(v.piece); share < 0 {
				v.class = classFree
			}
		}
	}
	list = slices.DeleteFunc(list, func(v victim) bool { return v.class > n.worst })
	slices.SortFunc(list, func(a, b victim) int {
		if a.class == classWaiting && b.class == classWaiting {
			return -cmp.Compare(a.ticket, b.ticket) // who came last loses first
		}
		return byAge(a, b)
	})
	return list
}

// victims appends those of this torrent.
func (p *Pieces) victims(list []victim, n need, now uint32) []victim {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed || p.cache.noHoles.Load() && p.inUse() {
		return list
	}
	for i := range p.slots {
		s := &p.slots[i]
		if !s.has(hasRoom) || s.readers > 0 || s.isLeaving() {
			continue
		}
		v := victim{pieces: p, piece: i, age: now - s.last, ticket: s.ticket}
		switch {
		case s.now > 0:
			if !n.any && int32(s.ticket-n.ticket) <= 0 {
				continue
			}
			v.class = classWaiting
		case s.ahead > 0:
			v.class = classAhead
		case s.has(edge) && s.state != Missing:
			v.class = classEdge
		}
		list = append(list, v)
	}
	return list
}

// inUse says whether anybody uses or wants anything of the torrent. It needs p.mu.
func (p *Pieces) inUse() bool {
	for i := range p.slots {
		if s := &p.slots[i]; s.readers > 0 || s.wanted() != None {
			return true
		}
	}
	return false
}

// doom makes a piece one that is being evicted, if it still may be.
func (p *Pieces) doom(piece int, as class) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.slots[piece]
	switch {
	case p.isClosed, !s.has(hasRoom), s.readers > 0, s.isLeaving():
		return false
	case s.now > 0 && as < classWaiting, s.ahead > 0 && as < classAhead:
		return false
	}
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
	}
	p.counted()
	s.state = next
	return true
}

// drop frees pieces on disk.
func (p *Pieces) drop(pieces []int) error {
	if err := p.states.soil(&p.Geometry); err != nil {
		return fmt.Errorf("evict: %w", err)
	}
	for _, span := range spans(pieces) {
		if err := p.states.save(span.First, make([]byte, span.Len())); err != nil {
			return fmt.Errorf("evict: %w", err)
		}
	}
	return p.punchAll(pieces)
}

// settle ends the eviction of a piece. It needs c.mu and p.mu.
func (p *Pieces) settle(piece int, gone bool) {
	s, c := &p.slots[piece], p.cache
	if s.has(partial) {
		s.set(torn) // the engine believes that it has some of it
	}
	if s.state == leavingEmpty {
		c.unwritten.Add(-p.cost(piece))
	}
	s.state = Missing
	if gone {
		s.clear(hasRoom | partial)
		c.used -= p.cost(piece)
	} else {
		s.set(partial | torn) // it takes room still, and is tried again
	}
	p.queue(piece)
	p.change(piece, recheck)
}

// Evict frees pieces that nobody uses or wants, and returns how many bytes that are. It waits for the disk.
func (p *Pieces) Evict(span Span) (freed int64, err error) {
	c := p.cache
	c.evicting.Lock()
	defer c.evicting.Unlock()
	p.mu.Lock()
	whole := !c.noHoles.Load() || !p.inUse() && span.Len() == len(p.slots)
	p.mu.Unlock()
	if !whole {
		return 0, nil
	}
	var doomed []int
	for i := span.First; i <= span.Last; i++ {
		if p.doom(i, classFree) {
			doomed = append(doomed, i)
			freed += p.cost(i)
		}
	}
	if err := p.dropDoomed(doomed); err != nil {
		return 0, err
	}
	return freed, nil
}

// dropDoomed frees pieces that are doomed. The list is sorted.
func (p *Pieces) dropDoomed(doomed []int) error {
	if len(doomed) == 0 {
		return nil
	}
	err := p.drop(doomed)
	c := p.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	p.mu.Lock()
	for _, i := range doomed {
		p.settle(i, err == nil)
	}
	p.mu.Unlock()
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

// punchAll frees the data of a sorted list of pieces.
func (p *Pieces) punchAll(pieces []int) error {
	if len(pieces) > 0 && p.cache.noHoles.Load() {
		// Nobody uses it: see victims.
		return errors.Join(p.data.Truncate(0), p.data.Truncate(p.Size))
	}
	for _, span := range spans(pieces) {
		if err := p.punch(span); err != nil {
			return err
		}
	}
	return nil
}

// punch frees the blocks that hold nothing but the pieces.
func (p *Pieces) punch(span Span) error { return punchPieces(p.data, &p.Geometry, span) }

func punchPieces(data *os.File, g *Geometry, span Span) error {
	from := int64(span.First) * g.PieceLength
	to := int64(span.Last+1) * g.PieceLength
	from = (from + blockSize - 1) / blockSize * blockSize
	if to >= g.Size {
		to = (g.Size + blockSize - 1) / blockSize * blockSize
	}
	to = to / blockSize * blockSize
	if from >= to {
		return nil
	}
	if err := punchHole(data, from, to-from); err != nil {
		return fmt.Errorf("free a piece: %w", &os.PathError{Op: "fallocate", Path: data.Name(), Err: err})
	}
	return nil
}

// probeHoles finds out whether the file system can free a part of a file.
func (c *Cache) probeHoles() error {
	f, err := os.CreateTemp(c.dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 2*blockSize))
	if err == nil {
		if holeErr := punchHole(f, 0, blockSize); holeErr != nil {
			c.noHoles.Store(true)
			c.log.Warn("the disk of the cache cannot free parts of a file: torrents are evicted as a whole, "+
				"and one that is read has to fit the limit", "dir", c.dir, "err", holeErr)
		}
	}
	if isFull(err) {
		err = nil
	}
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}
