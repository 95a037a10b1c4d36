package cache

import (
	"io"
	"slices"
	"sync"
)

// Pieces are put together in memory: blocks of 16 KiB come in any order, and are worth nothing on disk before all of them are there. So
// they are hashed where they are, and written once, in few large parts, if they are right. There is a limit to that memory. Whoever
// needs some when there is none writes out what was begun first, which is of a slow download, or is not wanted any more, and goes on
// on the disk.

const (
	// assemblyLimit is how many bytes of all torrents are put together in memory at most: more than the engine asks of a fast peer.
	assemblyLimit = 32 << 20
	// partLength is how much of a piece is written at a time, in bytes.
	partLength = 64 << 10
)

type part [partLength]byte

// zeros is what is on disk where nothing was written.
var zeros part

// partPool has parts with any content.
var partPool = sync.Pool{New: func() any { return new(part) }}

// assembly is a piece that is put together in memory.
type assembly struct {
	pieces *Pieces
	piece  int

	mu    sync.Mutex // held while it is filled, hashed, or written out
	parts []*part    // nil where nothing has come; none at all once it is not in memory any more
}

// fill copies a block to its place. It is not ok if the assembly is not in memory any more.
func (a *assembly) fill(b []byte, off int64) (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.parts == nil {
		return false
	}
	for len(b) > 0 {
		i := off / partLength
		if a.parts[i] == nil {
			a.parts[i] = partPool.Get().(*part)
			clear(a.parts[i][:]) // padding does not come, and is hashed as the zeros that it is
		}
		n := copy(a.parts[i][off%partLength:], b)
		b, off = b[n:], off+int64(n)
	}
	return true
}

// writeTo writes the first n bytes to w. It needs a.mu.
func (a *assembly) writeTo(w io.Writer, n int64) (written int64, err error) {
	for _, part := range a.parts {
		if written == n {
			break
		}
		if part == nil {
			part = &zeros
		}
		m, err := w.Write(part[:min(partLength, n-written)])
		written += int64(m)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// memory returns how many bytes it may take: parts are whole ones.
func (a *assembly) memory() int64 { return a.pieces.memory(a.piece) }

// memory returns how many bytes putting a piece together in memory may take.
func (g *Geometry) memory(piece int) int64 {
	return (g.length(piece) + partLength - 1) / partLength * partLength
}

// free gives the memory back. Nobody uses it any more.
func (a *assembly) free() {
	for _, part := range a.parts {
		if part != nil {
			partPool.Put(part)
		}
	}
	a.parts = nil
	a.pieces.cache.assemblies.remove(a)
}

// assemblies are those of all torrents.
type assemblies struct {
	mu   sync.Mutex
	left int64       // bytes
	list []*assembly // the one begun first in front
}

// add begins an assembly if there is memory for it, and says whether it has.
func (l *assemblies) add(a *assembly) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := a.memory(); n <= l.left {
		l.left -= n
		l.list = append(l.list, a)
		return true
	}
	return false
}

func (l *assemblies) remove(a *assembly) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.list, a); i >= 0 {
		l.list = slices.Delete(l.list, i, i+1)
		l.left += a.memory()
	}
}

// need writes out what was begun first until there are n bytes of memory. It waits for the disk.
func (l *assemblies) need(n int64) {
	if n > assemblyLimit {
		return
	}
	l.mu.Lock()
	left, list := l.left, slices.Clone(l.list)
	l.mu.Unlock()
	for _, a := range list {
		if left >= n {
			return
		}
		if a.spill() {
			left += a.memory()
		}
	}
}

// spill writes it out, unless it is used, and says whether it has.
func (a *assembly) spill() bool {
	if !a.mu.TryLock() {
		return false
	}
	defer a.mu.Unlock()
	p := a.pieces
	p.mu.Lock()
	_, isHashed := p.hashed[a.piece]
	ours := !p.isClosed && p.assemblies[a.piece] == a && !isHashed
	if ours {
		p.slots[a.piece].readers++ // nobody evicts it meanwhile
		p.writing.Add(1)
	}
	p.mu.Unlock()
	if !ours {
		return false
	}
	defer p.writing.Done()
	err := p.writeOut(a)
	p.mu.Lock()
	p.slots[a.piece].readers--
	p.noteError("write", err)
	p.mu.Unlock()
	if isFull(err) {
		p.cache.diskFull()
	}
	return true
}

// place says where a block of a piece that has room, and a reader, goes: nil is the disk. It may wait for that.
func (p *Pieces) place(piece int) *assembly {
	a, decided := p.placed(piece)
	if decided {
		return a
	}
	l := &p.cache.assemblies
	a = &assembly{pieces: p, piece: piece}
	if !l.add(a) {
		l.need(a.memory())
		if !l.add(a) {
			a = nil
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other, decided := p.placedNow(piece); decided { // by somebody else meanwhile
		if a != nil {
			l.remove(a)
		}
		return other
	}
	if a == nil {
		p.toDisk(piece)
		return nil
	}
	a.parts = make([]*part, (p.length(piece)+partLength-1)/partLength)
	p.assemblies[piece] = a
	return a
}

// placed says where blocks of a piece go, if that is decided.
func (p *Pieces) placed(piece int) (a *assembly, decided bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.placedNow(piece)
}

// placedNow is placed for who has p.mu.
func (p *Pieces) placedNow(piece int) (a *assembly, decided bool) {
	a = p.assemblies[piece]
	return a, a != nil || p.slots[piece].has(partial)
}

// toDisk notes that there is going to be data of a piece on the disk. It needs p.mu.
func (p *Pieces) toDisk(piece int) {
	if s := &p.slots[piece]; !s.has(partial) {
		s.set(partial)
		p.cache.unwritten.Add(-p.cost(piece))
	}
}

// writeOut writes an assembly to the disk, where the piece is from then on, whatever has come of it. The piece has a reader. What could not be written makes it torn. It needs a.mu, and does nothing if it was done already.
func (p *Pieces) writeOut(a *assembly) error {
	p.mu.Lock()
	if p.assemblies[a.piece] != a {
		p.mu.Unlock()
		return nil
	}
	p.toDisk(a.piece)
	p.mu.Unlock()

	err := p.states.soil(&p.Geometry)
	length := p.length(a.piece)
	for i, part := range a.parts {
		if off := int64(i) * partLength; err == nil && part != nil {
			_, err = p.data.WriteAt(part[:min(partLength, length-off)], int64(a.piece)*p.PieceLength+off)
		}
	}

	p.mu.Lock()
	delete(p.assemblies, a.piece)
	if err != nil {
		p.slots[a.piece].set(torn)
	}
	p.mu.Unlock()
	a.free()
	return err
}

// discard forgets what is in memory of a piece that nobody uses, and says whether there was any. It needs p.mu.
func (p *Pieces) discard(piece int) bool {
	a := p.assemblies[piece]
	if a == nil {
		return false
	}
	delete(p.assemblies, piece)
	a.free()
	return true
}

// begun says whether there is data of a missing piece, in memory or on the disk. It needs p.mu.
func (p *Pieces) begun(piece int) bool {
	return p.slots[piece].has(partial) || p.assemblies[piece] != nil
}
