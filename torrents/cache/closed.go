package cache

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"os"
	"slices"
	"time"
)

// closedTorrent is what there is of a torrent that is not open.
type closedTorrent struct {
	bytes   int64 // on disk, of both its files
	lastUse time.Time
	have    *bitset   // pieces; nil while nobody has looked
	room    int64     // bytes of all of them; known with have
	edges   int64     // bytes of those of them that are heads and tails; known with have
	retry   time.Time // evicting is not tried before: it failed
}

// note adds a piece that is there.
func (t *closedTorrent) note(piece int, cost int64, isEdge bool) {
	t.have.set(piece)
	t.room += cost
	if isEdge {
		t.edges += cost
	}
}

// Have says, of a torrent, how many pieces there are, and how many of its bytes from byte `from` up to byte `to`
// are in those. It reads a small file the first time.
func (c *Cache) Have(key Key, g *Geometry, from, to int64) (pieces int, bytes int64) {
	c.mu.Lock()
	p, t := c.open[key], c.closed[key]
	seen := t == nil || t.have != nil
	c.mu.Unlock()
	if p != nil {
		return p.have(from, to)
	}
	if !seen {
		c.look(key, t, g)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t = c.closed[key]; t == nil || t.have == nil || t.have.n != g.Pieces {
		return 0, 0
	}
	return t.have.count(), g.bytes(from, to, t.have.has)
}

// look finds out which pieces of a torrent are there that is not open. What cannot be read is not there.
func (c *Cache) look(key Key, t *closedTorrent, g *Geometry) {
	var states []byte
	if b, err := os.ReadFile(c.statesPath(key)); err == nil {
		if s, ok := parseStates(b); ok {
			states = s.states
		} else {
			states, _ = parseStates1(b, g.Pieces)
		}
	}
	found := closedTorrent{have: newBitset(g.Pieces)}
	for i, s := range states[:min(len(states), g.Pieces)] {
		if s&savedPresent != 0 {
			found.note(i, g.cost(i), s&savedEdge != 0)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.have == nil && c.closed[key] == t {
		t.have, t.room, t.edges = found.have, found.room, found.edges
		c.tally(key).pieces.Store(int32(found.have.count()))
	}
}

func (p *Pieces) have(from, to int64) (pieces int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.present + p.suspect, p.bytes(from, to, func(i int) bool {
		return p.slots[i].state == Present || p.slots[i].state == Suspect
	})
}

// bytes returns how many of the bytes are in pieces that are there.
func (g *Geometry) bytes(from, to int64, have func(int) bool) int64 {
	var n int64
	for at := from; at < to; {
		piece := int(at / g.PieceLength)
		end := min(to, int64(piece+1)*g.PieceLength)
		if have(piece) {
			n += end - at
		}
		at = end
	}
	return n
}

// evictClosed evicts pieces of torrents that are not open, the one first that was closed first. Heads and tails of
// files go with edges only, or if those of all torrents take more than their share.
func (c *Cache) evictClosed(enough int64, edges bool) (freed int64, errs error) {
	list, excess := c.closedByAge(edges)
	for _, key := range list {
		if freed >= enough {
			break
		}
		of := max(0, excess)
		if edges {
			of = math.MaxInt64
		}
		if !edges {
			if freed += c.freeTenants(enough-freed, c.closedSince(key), false); freed >= enough {
				break
			}
		}
		n, edgesFreed, err := c.evictFrom(key, enough-freed, of)
		freed += n
		excess -= edgesFreed
		if err != nil { // which is no reason to keep others
			errs = errors.Join(errs, fmt.Errorf("torrent %s: %w", key, err))
			c.mu.Lock()
			if t := c.closed[key]; t != nil {
				t.retry = time.Now().Add(complainPause)
			}
			c.mu.Unlock()
		}
	}
	return freed, errs
}

// closedByAge lists the torrents that are not open and have something to evict, the one closed first in front, and how many
// bytes of heads and tails they have beyond the share of these.
func (c *Cache) closedByAge(edges bool) (list []Key, excess int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	excess = -c.room() / edgeShare
	for _, t := range c.closed {
		excess += t.edges
	}
	now := time.Now()
	for key, t := range c.closed {
		onlyEdges := t.have != nil && t.room == t.edges && t.room > 0
		if !c.pinned[key] && t.bytes > 0 && now.After(t.retry) && (edges || excess > 0 || !onlyEdges) {
			list = append(list, key)
		}
	}
	slices.SortFunc(list, func(a, b Key) int { return c.closed[a].lastUse.Compare(c.closed[b].lastUse) })
	return list, excess
}

// closedSince returns when a torrent was last used; zero if it is not known, or not closed any more.
func (c *Cache) closedSince(key Key) (at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.closed[key]; t != nil {
		at = t.lastUse
	}
	return at
}

// evictFrom evicts pieces of one torrent that is not open, and of heads and tails no more than about ofEdges bytes. It needs
// c.evicting.
func (c *Cache) evictFrom(key Key, enough, ofEdges int64) (freed, edgesFreed int64, err error) {
	f, err := c.openClosed(key)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	had := f.saved.present()
	if f.data == nil || c.noHoles.Load() {
		freed, err = c.evictAll(key, had)
		return freed, 0, err
	}
	before, err := f.data.Stat()
	if err != nil {
		return 0, 0, err
	}
	if before.Size() != f.geometry.Size { // the states are not of this data
		freed, err = c.evictAll(key, had)
		return freed, 0, err
	}
	doomed, left, edgesFreed := f.choose(enough, ofEdges, c.Tally(key).lent.Load())
	if left.have.count() == 0 {
		freed, err = c.evictAll(key, had)
		return freed, edgesFreed, err
	}
	if len(doomed) > 0 {
		isEmpty := func(piece int) bool { return !left.have.has(piece) }
		if err := f.drop(doomed, f.saved.isClean(before), isEmpty); err != nil {
			return 0, 0, err
		}
	}
	c.evictions.add(ForRoom, had-left.have.count())
	left.bytes = f.onDisk()
	return c.closedChanged(key, left), edgesFreed, nil
}

// evictAll evicts all of a torrent that is not open, which had so many pieces, and returns how many bytes it had. It needs c.evicting.
func (c *Cache) evictAll(key Key, pieces int) (freed int64, err error) {
	if freed, err = c.forget(key); err == nil {
		c.evictions.add(ForRoom, pieces)
	}
	return freed, err
}

// choose says which pieces to evict, among them such as are not there, and what is left then. Heads and tails are the last, and go up to
// ofEdges bytes. lent is that of the tally.
func (f *closedFiles) choose(enough, ofEdges int64, lent bool) (doomed []int, left *closedTorrent, edgesFreed int64) {
	g := &f.geometry
	left = &closedTorrent{have: newBitset(g.Pieces)}
	var planned int64
	for _, edges := range []bool{false, true} {
		for i := 0; i < g.Pieces; {
			unit := g.unit(i, lent)
			i = unit.Last + 1
			bytes, isEdge := f.there(unit)
			switch {
			case bytes == 0 || isEdge != edges:
			case planned < enough && (!isEdge || edgesFreed < ofEdges):
				for i := unit.First; i <= unit.Last; i++ {
					doomed = append(doomed, i)
				}
				planned += bytes
				if isEdge {
					edgesFreed += bytes
				}
			default:
				for i := unit.First; i <= unit.Last; i++ {
					if f.saved.states[i]&savedPresent != 0 {
						left.note(i, g.cost(i), isEdge)
					}
				}
			}
		}
	}
	slices.Sort(doomed)
	return doomed, left, edgesFreed
}

// there says what there is of a unit, and whether some of it is of a head or a tail.
func (f *closedFiles) there(unit Span) (bytes int64, isEdge bool) {
	for i := unit.First; i <= unit.Last; i++ {
		if s := f.saved.states[i]; s&savedPresent != 0 {
			bytes += f.geometry.cost(i)
			isEdge = isEdge || s&savedEdge != 0
		}
	}
	return bytes, isEdge
}

// forget removes the files of a torrent that is not open, and returns how many bytes they had.
func (c *Cache) forget(key Key) (freed int64, err error) {
	if err := c.removeFiles(key); err != nil {
		return 0, err
	}
	return c.closedChanged(key, nil), nil
}

// closedChanged notes what is left of a torrent that is not open, and returns how many bytes that is fewer.
func (c *Cache) closedChanged(key Key, now *closedTorrent) (freed int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.closed[key]
	if t == nil {
		return 0
	}
	freed = t.bytes
	if now == nil {
		delete(c.closed, key)
		c.tally(key).pieces.Store(0)
	} else {
		freed -= now.bytes
		t.bytes, t.have, t.room, t.edges = now.bytes, now.have, now.room, now.edges
		c.tally(key).pieces.Store(int32(t.have.count()))
	}
	c.used -= freed
	c.admit()
	return freed
}

// closedFiles are the files of a torrent that is not open, opened for a moment.
type closedFiles struct {
	geometry     Geometry
	data, states *os.File // data is nil if the states cannot be read
	saved        saved
}

func (c *Cache) openClosed(key Key) (*closedFiles, error) {
	f := &closedFiles{}
	var err error
	f.states, err = os.OpenFile(c.statesPath(key), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := readAll(f.states)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	var ok bool
	if f.saved, ok = parseStates(b); !ok {
		return f, nil
	}
	f.geometry = Geometry{PieceLength: f.saved.pieceLength, Pieces: len(f.saved.states), Size: f.saved.size}
	f.data, err = os.OpenFile(c.dataPath(key), os.O_RDWR, 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *closedFiles) close() error {
	var err error
	for _, file := range []*os.File{f.data, f.states} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	return err
}

// drop frees pieces. What was clean stays so.
func (f *closedFiles) drop(doomed []int, clean bool, isEmpty func(int) bool) error {
	states := &statesFile{file: f.states}
	if err := states.soil(&f.geometry); err != nil {
		return err
	}
	for _, span := range spans(doomed) {
		if err := states.save(span.First, make([]byte, span.Len())); err != nil {
			return err
		}
		if err := punchPieces(f.data, &f.geometry, span, isEmpty); err != nil {
			return err
		}
	}
	if !clean {
		return nil
	}
	after, err := f.data.Stat()
	if err != nil {
		return err
	}
	for _, i := range doomed {
		f.saved.states[i] = 0
	}
	return states.finish(&f.geometry, f.saved.states, after)
}

func (f *closedFiles) onDisk() int64 {
	var n int64
	for _, file := range []*os.File{f.data, f.states} {
		if st, err := file.Stat(); err == nil {
			n += allocated(st)
		}
	}
	return n
}

// bitset is a set of pieces.
type bitset struct {
	n     int
	words []uint64
}

func newBitset(n int) *bitset { return &bitset{n, make([]uint64, (n+63)/64)} }

func (b *bitset) set(i int)      { b.words[i/64] |= 1 << (i % 64) }
func (b *bitset) has(i int) bool { return b.words[i/64]&(1<<(i%64)) != 0 }

func (b *bitset) count() int {
	n := 0
	for _, w := range b.words {
		n += bits.OnesCount64(w)
	}
	return n
}
