package cache

import "os"

// Shown is what there is to see of a piece.
type Shown byte

// What there may be to see.
const (
	ShownMissing Shown = iota
	ShownPartial       // wanted, and partly here
	ShownNow           // somebody waits for it
	ShownAhead         // somebody will read it soon
	ShownPresent       // its hash was checked
	ShownSuspect       // left by an earlier run, and to be checked before it is used
)

// Shown returns what there is to see of each piece of a torrent, open or not. Of one that is not open it reads a small
// file.
func (c *Cache) Shown(key Key, g *Geometry) []Shown {
	c.mu.Lock()
	p, there := c.open[key], c.closed[key] != nil
	c.mu.Unlock()
	switch {
	case p != nil:
		return p.shown()
	case there:
		return c.shownClosed(key, g)
	default:
		return make([]Shown, g.Pieces)
	}
}

// shownClosed is Shown for a torrent that is not open. What cannot be read is not there.
func (c *Cache) shownClosed(key Key, g *Geometry) []Shown {
	list := make([]Shown, g.Pieces)
	b, err := os.ReadFile(c.statesPath(key))
	if err != nil {
		return list
	}
	data, err := os.Stat(c.dataPath(key))
	if err != nil {
		return list
	}
	clean := false
	s, ok := parseStates(b)
	if ok {
		clean = s.isClean(data)
	} else {
		s.states, _ = parseStates1(b, g.Pieces)
	}
	for i, state := range s.states[:min(len(s.states), g.Pieces)] {
		switch {
		case state&savedPresent == 0:
		case clean && state&savedSuspect == 0:
			list[i] = ShownPresent
		default:
			list[i] = ShownSuspect
		}
	}
	return list
}

func (p *Pieces) shown() []Shown {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Shown, len(p.slots))
	for i := range p.slots {
		s := &p.slots[i]
		switch wanted := s.wanted(); {
		case s.state == Present:
			list[i] = ShownPresent
		case s.state == Suspect:
			list[i] = ShownSuspect
		case s.state != Missing || wanted == None:
		case p.begun(i) && s.written > 0:
			list[i] = ShownPartial
		case wanted == Now:
			list[i] = ShownNow
		default:
			list[i] = ShownAhead
		}
	}
	return list
}

// Waited returns the missing pieces that somebody waits for, in order, and whether one of them has no room.
func (p *Pieces) Waited() (pieces []int, noRoom bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.slots {
		s := &p.slots[i]
		if s.now > 0 && s.state == Missing {
			pieces = append(pieces, i)
			noRoom = noRoom || !s.has(hasRoom)
		}
	}
	return pieces, noRoom
}
