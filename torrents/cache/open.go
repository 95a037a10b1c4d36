package cache

import (
	"errors"
	"fmt"
	"os"
)

// Open opens the cache of a torrent, which must not be open. What does not fit the torrent is begun anew.
func (c *Cache) Open(key Key, g Geometry, verify Verify) (*Pieces, error) {
	p := &Pieces{
		Geometry: g, cache: c, key: key, verify: verify,
		signal:     make(chan struct{}, 1),
		slots:      make([]slot, g.Pieces),
		done:       make(map[int]chan struct{}),
		checking:   make(map[int]chan struct{}),
		hashed:     make(map[int]struct{}),
		assemblies: make(map[int]*assembly),
	}
	for _, e := range g.Edges {
		for i := e.First; i <= e.Last; i++ {
			p.slots[i].set(edge)
		}
	}
	c.evicting.Lock()
	defer c.evicting.Unlock()
	if err := p.openFiles(); err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	if err := p.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the cache: %w", err), p.closeFiles())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.tally = c.tally(key)
	p.counted()
	if t := c.closed[key]; t != nil {
		c.used -= t.bytes
		delete(c.closed, key)
	}
	p.charge(p.roomTaken() + p.statesCost() + p.overhead)
	c.open[key] = p
	if c.used > c.room() {
		c.wake()
	}
	return p, nil
}

func (p *Pieces) openFiles() error {
	data, err := os.OpenFile(p.cache.dataPath(p.key), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	states, err := os.OpenFile(p.cache.statesPath(p.key), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return errors.Join(err, data.Close())
	}
	p.data, p.states = data, &statesFile{file: states}
	return nil
}

func (p *Pieces) closeFiles() error { return errors.Join(p.data.Close(), p.states.file.Close()) }

// load takes over what an earlier run has left.
func (p *Pieces) load() error {
	st, err := p.data.Stat()
	if err != nil {
		return err
	}
	saved, clean, err := p.states.load(&p.Geometry, st)
	if err != nil {
		return err
	}
	lost := false
	for i, s := range saved {
		// A piece that begins past the end of the data was lost with it.
		if s&savedPresent == 0 || int64(i)*p.PieceLength >= st.Size() {
			lost = lost || s&savedPresent != 0
			continue
		}
		p.slots[i].set(hasRoom)
		if clean && s&savedSuspect == 0 {
			p.slots[i].state = Present
			p.present++
		} else {
			p.slots[i].state = Suspect
			p.suspect++
		}
	}
	if saved == nil || lost {
		// On a full disk they are written with the first piece that there is room for.
		if err := p.states.rewrite(&p.Geometry, p.savedStates()); err != nil && !isFull(err) {
			return err
		}
	}
	// Where a file may have holes it gets its size at once, so that the file system never guesses how much is going to be appended.
	if st.Size() != p.Size && !p.cache.noHoles.Load() {
		if err := errors.Join(p.states.soil(&p.Geometry), p.data.Truncate(p.Size)); err != nil {
			return err
		}
	}
	return p.trim()
}

// roomTaken returns how many bytes the pieces have room for. It needs p.mu, but while Open runs.
func (p *Pieces) roomTaken() int64 {
	var n int64
	for i := range p.slots {
		if p.slots[i].has(hasRoom) {
			n += p.cost(i)
		}
	}
	return n
}

// charge counts bytes that the torrent takes on disk, or is going to. It needs c.mu.
func (p *Pieces) charge(bytes int64) {
	p.charged += bytes
	p.cache.used += bytes
}

// trim frees what is on disk and belongs to no piece that is there, as a killed process leaves it.
func (p *Pieces) trim() error {
	room := p.roomTaken()
	st, err := p.data.Stat()
	if err != nil {
		return err
	}
	if allocated(st) > room && !p.cache.noHoles.Load() {
		if err := p.states.soil(&p.Geometry); err != nil { // its trailer has the times of the data
			return err
		}
		for i := 0; i < len(p.slots); i++ {
			first := i
			for i < len(p.slots) && !p.slots[i].has(hasRoom) {
				i++
			}
			if i > first {
				if err := punchPieces(p.data, &p.Geometry, Span{first, i - 1}, p.isEmpty); err != nil {
					return err
				}
			}
		}
		if st, err = p.data.Stat(); err != nil {
			return err
		}
	}
	p.overhead = max(0, allocated(st)-room)
	return nil
}
