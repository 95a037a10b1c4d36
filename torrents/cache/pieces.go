package cache

import (
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"sync"
	"time"
)

// Geometry says how a torrent is cut into pieces.
type Geometry struct {
	PieceLength int64 // in bytes
	Pieces      int
	Size        int64  // of the torrent in its own order, padding included, in bytes
	Edges       []Span // pieces with the head or the tail of a large file
}

// cost returns what a piece takes on disk, in bytes.
func (g *Geometry) cost(piece int) int64 {
	n := g.length(piece)
	blocks := (n + blockSize - 1) / blockSize
	if g.PieceLength%blockSize != 0 {
		blocks++ // it begins and ends within blocks
	}
	return blocks * blockSize
}

func (g *Geometry) length(piece int) int64 {
	return min(g.PieceLength, g.Size-int64(piece)*g.PieceLength)
}

// statesCost is what the file of the states takes on disk.
func (g *Geometry) statesCost() int64 {
	return (int64(headerSize+g.Pieces+trailerSize) + blockSize - 1) / blockSize * blockSize
}

// Least returns how large the limit has to be at least for reading up to n bytes at a time of a torrent, in bytes.
func (g *Geometry) Least(n int64) int64 {
	if g.Pieces == 0 {
		return 0
	}
	pieces := min(int64(g.Pieces), n/g.PieceLength+2)
	return pieces*g.cost(0) + g.statesCost()
}

// Least is Geometry.Least, in this cache. t is nil for a torrent that was not opened yet.
func (c *Cache) Least(g *Geometry, n int64, t *Tally) int64 {
	switch least := g.Least(n); {
	case c.noHoles.Load(): // pieces only ever go together
		return (g.Size+blockSize-1)/blockSize*blockSize + g.statesCost()
	case t != nil && t.lent.Load() && g.PieceLength < groupSize:
		return max(least, min(g.Size, (n/groupSize+2)*groupSize)+g.statesCost())
	default:
		return least
	}
}

// Verify hashes a piece, whose bytes r has, and says whether they are right.
type Verify func(piece int, r io.Reader) (bool, error)

// Pieces is the cache of one torrent, open. It is safe for concurrent use.
type Pieces struct {
	Geometry
	cache  *Cache
	key    Key
	verify Verify
	tally  *Tally
	data   *os.File
	states *statesFile

	charged int64          // bytes counted in Cache.used; guarded by Cache.mu
	writing sync.WaitGroup // who write the files; Close waits for them

	signal chan struct{} // of capacity 1: there are changes

	mu         sync.Mutex
	slots      []slot
	present    int // pieces
	suspect    int
	done       map[int]chan struct{} // closed when the piece is present
	checking   map[int]chan struct{} // closed when the check has ended
	waiters    []waiter
	changes    []int             // pieces whose fetch may have changed, while fetching
	assemblies map[int]*assembly // pieces that are put together in memory
	hashed     map[int]struct{}  // hashed, and not evicted until the engine has said whether they are right
	diskErr    error             // the disk did not take what was right, or did not give back what was to be hashed
	fetching   bool
	isClosed   bool
	emptying   bool  // more of the file is being freed than the pieces that leave: nothing gets room in it
	arrived    int64 // bytes written
	wakeAt     int64 // when there are so many, who takes the changes is woken; 0 is never
	// distrusted says that states that were left as they were would be too good.
	distrusted bool
	overhead   int64 // bytes on disk beyond the room of the pieces
}

var (
	// ErrMissing is returned for a read of a piece that is not there.
	ErrMissing = errors.New("the piece is not in the cache")
	// ErrTorn is returned for hashing a piece of which some was thrown away for lack of room.
	ErrTorn = errors.New("the piece lost its room while it was fetched")
)

// Len returns how many pieces there are.
func (p *Pieces) Len() int { return len(p.slots) }

// Close gives up the wishes of all, and lets go of the files. Reads that are under way fail with os.ErrClosed.
// It waits for the disk.
func (p *Pieces) Close() error {
	c := p.cache
	c.evicting.Lock()
	defer c.evicting.Unlock()
	p.mu.Lock()
	p.isClosed = true
	p.mu.Unlock()
	p.writing.Wait()

	err := p.punchAll(p.giveUp(), func(piece int) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.isEmpty(piece)
	})
	p.mu.Lock()
	t := p.summary()
	p.mu.Unlock()
	if t.have.count() == 0 {
		err = errors.Join(err, p.closeFiles(), c.removeFiles(p.key))
		t.bytes = c.onDisk(p.key)
	} else {
		if err == nil {
			err = p.finish()
		}
		t.bytes = p.onDisk()
		err = errors.Join(err, p.closeFiles())
	}
	t.lastUse = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, p.key)
	c.forgetRequests(p)
	p.charge(-p.charged)
	if t.bytes > 0 {
		c.closed[p.key] = t
		c.used += t.bytes
	}
	c.admit()
	return err
}

// giveUp gives up the pieces that are not complete, and returns those that have data.
func (p *Pieces) giveUp() (drop []int) {
	c := p.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetch(false)
	p.waiters = nil
	for i := range p.assemblies {
		p.discard(i)
	}
	for i := range p.slots {
		s := &p.slots[i]
		if s.state != Missing || !s.has(hasRoom) {
			continue
		}
		if s.has(partial) {
			drop = append(drop, i)
			s.clear(hasRoom | partial)
		} else {
			p.leaveRoom(i)
		}
	}
	drop = slices.DeleteFunc(drop, func(int) bool { return c.noHoles.Load() }) // it stays, and is counted
	return drop
}

// onDisk returns what both files take, in bytes.
func (p *Pieces) onDisk() int64 {
	var n int64
	for _, f := range []*os.File{p.data, p.states.file} {
		if st, err := f.Stat(); err == nil {
			n += allocated(st)
		}
	}
	return n
}

// finish notes that the data was left as the states say.
func (p *Pieces) finish() error {
	p.mu.Lock()
	distrusted := p.distrusted
	p.mu.Unlock()
	if !p.states.dirty() && !distrusted {
		return nil // it says so still
	}
	if err := p.data.Sync(); err != nil {
		return err
	}
	st, err := p.data.Stat()
	if err != nil {
		return err
	}
	p.mu.Lock()
	states := p.savedStates()
	p.mu.Unlock()
	return p.states.finish(&p.Geometry, states, st)
}

// summary needs p.mu.
func (p *Pieces) summary() *closedTorrent {
	t := &closedTorrent{have: newBitset(len(p.slots))}
	for i := range p.slots {
		if s := &p.slots[i]; s.state != Missing {
			t.note(i, p.cost(i), s.has(edge))
		}
	}
	return t
}

// File returns the file with the torrent's bytes in its own order. What is in there of a piece may be used while it is held.
func (p *Pieces) File() *os.File { return p.data }

// Ready says whether all the pieces are present.
func (p *Pieces) Ready(span Span) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready(span)
}

func (p *Pieces) ready(span Span) bool {
	for i := span.First; i <= span.Last; i++ {
		if p.slots[i].state != Present {
			return false
		}
	}
	return true
}

// Hold keeps the pieces from being evicted until Release, if all of them are present.
func (p *Pieces) Hold(span Span) bool {
	tick := p.cache.tick()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosed || !p.ready(span) {
		return false
	}
	for i := span.First; i <= span.Last; i++ {
		s := &p.slots[i]
		if s.readers == math.MaxUint16 {
			for j := span.First; j < i; j++ {
				p.slots[j].readers--
			}
			return false
		}
		s.readers++
		s.last = tick
	}
	return true
}

// Release ends a Hold.
func (p *Pieces) Release(span Span) {
	p.mu.Lock()
	for i := span.First; i <= span.Last; i++ {
		p.slots[i].readers--
	}
	p.mu.Unlock()
	if p.cache.blocked.Load() {
		p.cache.wake()
	}
}

// Done returns a channel that is closed once the piece is present.
func (p *Pieces) Done(piece int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slots[piece].state == Present {
		return closedChannel
	}
	return channelFor(p.done, piece)
}

func channelFor(m map[int]chan struct{}, piece int) chan struct{} {
	c, ok := m[piece]
	if !ok {
		c = make(chan struct{})
		m[piece] = c
	}
	return c
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// State returns what there is of a piece; one that is being evicted is missing.
func (p *Pieces) State(piece int) State {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := &p.slots[piece]; !s.isLeaving() {
		return s.state
	}
	return Missing
}

// Counts returns how many pieces are present, and how many are left to be checked.
func (p *Pieces) Counts() (present, suspect int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.present, p.suspect
}

// Complete says whether every piece is present.
func (p *Pieces) Complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.present == len(p.slots)
}

// becomePresent needs p.mu.
func (p *Pieces) becomePresent(piece int) {
	s := &p.slots[piece]
	s.state = Present
	s.clear(partial | torn)
	s.last = p.cache.tick()
	p.present++
	p.counted()
	if c, ok := p.done[piece]; ok {
		close(c)
		delete(p.done, piece)
	}
}

// counted is called when present or suspect have changed. It needs p.mu.
func (p *Pieces) counted() {
	if !p.isClosed {
		p.tally.pieces.Store(int32(p.present + p.suspect))
	}
}

// save writes the states of some pieces to the disk.
func (p *Pieces) save(span Span, states []byte) error {
	if err := p.states.soil(&p.Geometry); err != nil {
		return err
	}
	if p.states.isWhole() {
		return p.states.save(span.First, states)
	}
	p.mu.Lock()
	all := p.savedStates()
	p.mu.Unlock()
	copy(all[span.First:], states)
	return p.states.rewrite(&p.Geometry, all)
}

// savedStates is what the file of the states has to hold.
func (p *Pieces) savedStates() []byte {
	states := make([]byte, len(p.slots))
	for i := range p.slots {
		s := &p.slots[i]
		switch s.state {
		case Present:
			states[i] = savedPresent
		case Suspect:
			states[i] = savedPresent | savedSuspect
		default:
			continue
		}
		if s.has(edge) {
			states[i] |= savedEdge
		}
	}
	return states
}
