package cache

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
)

// WriteAt writes data that is not yet known to be right, at off of a piece. Without room for the piece, or when the disk is
// full, it throws the data away, and Hash fails for the piece until Reset. The error is one of the disk.
func (p *Pieces) WriteAt(piece int, b []byte, off int64) (int, error) {
	p.mu.Lock()
	s := &p.slots[piece]
	if p.isClosed || s.state != Missing || !s.has(hasRoom) {
		if s.state != Present { // the engine has no use for more of what is complete
			s.set(torn)
		}
		p.mu.Unlock()
		return len(b), nil
	}
	if err := p.diskErr; err != nil {
		p.diskErr = nil
		p.mu.Unlock()
		return 0, err
	}
	p.forgetHash(piece)
	p.writing.Add(1)
	defer p.writing.Done()
	s.readers++
	s.last = p.cache.tick()
	p.mu.Unlock()

	n, err := p.put(piece, b, off)

	p.mu.Lock()
	s.readers--
	s.written += uint32(n)
	p.arrived += int64(n)
	if p.wakeAt > 0 && p.arrived >= p.wakeAt {
		p.wakeAt = 0
		p.notify()
	}
	if isFull(err) {
		s.set(torn)
	}
	p.mu.Unlock()
	if isFull(err) {
		p.cache.diskFull()
		return len(b), nil
	}
	if err != nil {
		return n, fmt.Errorf("write the cache: %w", err)
	}
	return n, nil
}

// put puts a block to where the piece is put together.
func (p *Pieces) put(piece int, b []byte, off int64) (int, error) {
	for a := p.place(piece); a != nil; a = p.place(piece) {
		if a.fill(b, off) {
			return len(b), nil
		}
	}
	if err := p.states.soil(&p.Geometry); err != nil {
		return 0, err
	}
	return p.data.WriteAt(b, int64(piece)*p.PieceLength+off)
}

// ReadAt reads from a piece that is present. The error is ErrMissing if it is not, or one of the disk.
func (p *Pieces) ReadAt(piece int, b []byte, off int64) (int, error) {
	span := Span{piece, piece}
	if !p.Hold(span) {
		return 0, ErrMissing
	}
	defer p.Release(span)
	return p.data.ReadAt(b, int64(piece)*p.PieceLength+off)
}

// hashBuffers are used for a moment each.
var hashBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// Hash writes what there is of a piece, right or not, n bytes, to w. The error is ErrTorn if some of it was thrown away, or one
// of the disk, which the next WriteAt returns as well: the engine fetches the piece again whatever Hash returns, and would do so
// for ever. If there is none, the piece is kept until Verified or Reset.
func (p *Pieces) Hash(piece int, w io.Writer, n int64) (written int64, err error) {
	p.mu.Lock()
	s := &p.slots[piece]
	if s.has(torn) || !s.has(hasRoom) || s.isLeaving() {
		p.mu.Unlock()
		return 0, ErrTorn
	}
	if p.isClosed {
		p.mu.Unlock()
		return 0, os.ErrClosed
	}
	p.writing.Add(1) // what is in memory stays there
	defer p.writing.Done()
	s.readers++
	p.forgetHash(piece)
	a := p.assemblies[piece]
	p.mu.Unlock()
	p.cache.workers.do(func() { written, err = p.hash(a, piece, w, n) })

	p.mu.Lock()
	if err == nil && s.has(torn) { // it could not be written out meanwhile
		err = ErrTorn
	}
	if err == nil && p.fetching && !p.isClosed {
		p.hashed[piece] = struct{}{}
		p.mu.Unlock()
		return written, nil
	}
	if !errors.Is(err, ErrTorn) {
		p.noteError("read", err)
	}
	p.mu.Unlock()
	p.Release(Span{piece, piece})
	return written, err
}

// hash is Hash of a piece that was put together in a, if that is in memory still.
func (p *Pieces) hash(a *assembly, piece int, w io.Writer, n int64) (int64, error) {
	if a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.parts != nil {
			return a.writeTo(w, n)
		}
	}
	buffer := hashBuffers.Get().(*[256 << 10]byte)
	defer hashBuffers.Put(buffer)
	r := io.NewSectionReader(p.data, int64(piece)*p.PieceLength, n)
	// Neither has a better way, which io.CopyBuffer would take instead of the buffer.
	written, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buffer[:])
	if err == nil && written < n {
		err = io.ErrUnexpectedEOF
	}
	return written, err
}

// noteError keeps an error of the disk for the next WriteAt. Of a disk that is full others are told. It needs p.mu.
func (p *Pieces) noteError(doing string, err error) {
	if err != nil && !isFull(err) {
		p.diskErr = fmt.Errorf("%s the cache: %w", doing, err)
	}
}

// forgetHash makes a piece one that was not hashed. It needs p.mu.
func (p *Pieces) forgetHash(piece int) {
	if _, ok := p.hashed[piece]; ok {
		delete(p.hashed, piece)
		p.slots[piece].readers--
	}
}

// Verified notes that the data of a piece, as Hash has read it, is right, and says whether the piece is present now. If it was written
// since, or the disk fails, it stays missing; the error is what the next WriteAt returns.
func (p *Pieces) Verified(piece int) bool {
	p.mu.Lock()
	s := &p.slots[piece]
	_, hashed := p.hashed[piece]
	good := hashed && !p.isClosed && s.state == Missing && s.has(hasRoom) && p.begun(piece) && !s.has(torn)
	p.forgetHash(piece)
	if !good {
		if s.state == Missing {
			p.change(piece, recheck)
		}
		p.mu.Unlock()
		return false
	}
	s.readers++ // nobody evicts it meanwhile
	p.writing.Add(1)
	defer p.writing.Done()
	saved := savedPresent
	if s.has(edge) {
		saved |= savedEdge
	}
	a := p.assemblies[piece]
	p.mu.Unlock()

	var err error
	if a != nil {
		p.cache.workers.do(func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			err = p.writeOut(a)
		})
	}
	if err == nil {
		err = p.save(Span{piece, piece}, []byte{saved})
	}

	p.mu.Lock()
	s.readers--
	present := err == nil && !s.has(torn)
	if present {
		p.becomePresent(piece)
		p.change(piece, 0)
	} else {
		s.set(torn)
		p.noteError("write", err)
		p.change(piece, recheck)
	}
	p.mu.Unlock()
	if isFull(err) {
		p.cache.diskFull()
	}
	if present {
		p.cache.admitted()
	}
	return present
}

// Reset notes that the data of a piece is wrong, and is going to be fetched from the beginning.
func (p *Pieces) Reset(piece int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetHash(piece)
	s := &p.slots[piece]
	s.clear(torn)
	s.written = 0
}

// Arrived returns how many bytes were written since the torrent was opened, and how many of the pieces' are yet to come.
func (p *Pieces) Arrived(pieces iter.Seq[int]) (total, left int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range pieces {
		if s := &p.slots[i]; s.state == Missing {
			left += max(0, p.length(i)-int64(s.written))
		}
	}
	return p.arrived, left
}

// Wake lets Changed have something when so many more bytes have been written.
func (p *Pieces) Wake(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeAt = p.arrived + bytes
}

// admitted lets those who wait for room know that there is something new to evict.
func (c *Cache) admitted() {
	if c.blocked.Load() {
		c.wake()
	}
}
