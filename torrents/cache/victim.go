package cache

import (
	"cmp"
	"math"
	"slices"
)

// class says what has to be the case for a piece to be evicted.
type class int

const (
	classFree    class = iota // nobody wants it
	classEdge                 // nobody wants it, and it is a head or a tail within the share of these
	classAhead                // somebody will read it soon
	classWaiting              // somebody waits for it, or for others with it
)

// victim is a unit of pieces that may be evicted.
type victim struct {
	pieces *Pieces
	unit   Span
	bytes  int64
	class  class
	age    int32  // ticks since its last use
	ticket uint32 // the oldest of classWaiting
}

// victims lists what may be evicted, what goes first in front.
func (c *Cache) victims(n need) (list []victim) {
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
	now := c.tick()
	for _, p := range open {
		list = p.victims(list, n, now)
	}
	byAge := func(a, b victim) int { return cmp.Or(cmp.Compare(a.class, b.class), -cmp.Compare(a.age, b.age)) }
	slices.SortFunc(list, byAge)
	// Of heads and tails, those read last are within the share.
	for i := len(list) - 1; i >= 0; i-- {
		if v := &list[i]; v.class == classEdge {
			if share -= v.bytes; share < 0 {
				v.class = classFree
			}
		}
	}
	list = slices.DeleteFunc(list, func(v victim) bool { return v.class > n.worst })
	slices.SortFunc(list, func(a, b victim) int {
		if a.class == classWaiting && b.class == classWaiting {
			return cmp.Compare(0, int32(a.ticket-b.ticket)) // who came last loses first
		}
		return byAge(a, b)
	})
	return list
}

// victims appends those of this torrent.
func (p *Pieces) victims(list []victim, n need, now uint32) []victim {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed {
		return list
	}
	for i := 0; i < len(p.slots); {
		unit := p.unit(i)
		if v := p.victim(unit, now); v.bytes > 0 && (v.class < classWaiting || n.any || older(n.ticket, v.ticket)) {
			list = append(list, v)
		}
		i = unit.Last + 1
	}
	return list
}

// victim returns a unit as what may be evicted: as the least that may be of all its pieces. It has no bytes if there is nothing of it,
// or one of its pieces is in use. It needs p.mu.
func (p *Pieces) victim(unit Span, now uint32) victim {
	v := victim{pieces: p, unit: unit, age: math.MaxInt32}
	for i := unit.First; i <= unit.Last; i++ {
		s := &p.slots[i]
		if s.readers > 0 || s.isLeaving() {
			return victim{}
		}
		if !s.has(hasRoom) {
			continue
		}
		v.bytes += p.cost(i)
		v.age = min(v.age, int32(now-s.last))
		class := classFree
		switch {
		case s.now > 0:
			if v.class != classWaiting || older(s.ticket, v.ticket) {
				v.ticket = s.ticket
			}
			class = classWaiting
		case s.ahead > 0:
			class = classAhead
		case s.has(edge) && s.state != Missing:
			class = classEdge
		}
		v.class = max(v.class, class)
	}
	return v
}

// inUse says whether anybody uses or wants anything of the torrent. It needs p.mu.
