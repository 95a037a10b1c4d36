package rar

import (
	"errors"
	"fmt"
	"io"
)

// blockSize is what is read at a time, and aligned to: a read of the swarm costs a piece, however little it is of. Pieces
// have 16 KiB or more, nearly always 256 KiB or more.
const blockSize = 64 << 10

// budget is what listing an archive may still cost, over all its volumes.
type budget struct {
	reads   int
	headers int64 // bytes
	blocks  int64
	seen    map[blockID]struct{} // at most as many as blocks once was
}

type blockID struct {
	volume int
	block  int64
}

func newBudget(l Limits) *budget {
	return &budget{
		reads: l.Reads, headers: l.HeaderBytes, blocks: max(1, l.BlockBytes/blockSize),
		seen: make(map[blockID]struct{}),
	}
}

// read takes a read of blocks first to last of a volume from what is left.
func (b *budget) read(volume int, first, last int64) error {
	if b.reads == 0 {
		return fmt.Errorf("%w: at volume %d", ErrBudget, volume)
	}
	b.reads--
	for i := first; i <= last; i++ {
		id := blockID{volume, i}
		if _, ok := b.seen[id]; ok {
			continue
		}
		if b.blocks == 0 {
			return fmt.Errorf("%w: at volume %d", ErrBudget, volume)
		}
		b.blocks--
		b.seen[id] = struct{}{}
	}
	return nil
}

// header takes n bytes of headers from what is left.
func (b *budget) header(n int) error {
	if b.headers -= int64(n); b.headers < 0 {
		return fmt.Errorf("%w: too many bytes of headers", ErrLimit)
	}
	return nil
}

// source reads a volume in blocks, and has the last of them.
type source struct {
	volume int
	r      io.ReaderAt
	size   int64
	budget *budget
	window []byte // what was read last
	at     int64  // where that is
}

// has says whether the n bytes at off are in memory.
func (s *source) has(off int64, n int) bool {
	return off >= s.at && off+int64(n) <= s.at+int64(len(s.window))
}

// bytes returns the n bytes at off, all of which the volume must have; n is at most a few MiB. They are good until the next call.
func (s *source) bytes(off int64, n int) ([]byte, error) {
	if off < 0 || n < 0 || off > s.size || int64(n) > s.size-off {
		return nil, fmt.Errorf("%w: %d bytes at %d go past the end of volume %d", ErrFormat, n, off, s.volume)
	}
	if !s.has(off, n) {
		if err := s.fill(off, n); err != nil {
			return nil, err
		}
	}
	return s.window[off-s.at:][:n], nil
}

// fill reads the blocks with the n bytes at off.
func (s *source) fill(off int64, n int) error {
	first := off / blockSize
	last := max(first, (off+int64(n)-1)/blockSize)
	if err := s.budget.read(s.volume, first, last); err != nil {
		return err
	}
	at := first * blockSize
	length := min((last+1)*blockSize, s.size) - at
	s.window = s.window[:0] // whatever happens, it is not what it was
	if int64(cap(s.window)) < length {
		s.window = make([]byte, 0, length)
	}
	got, err := s.r.ReadAt(s.window[:length], at)
	if int64(got) == length {
		s.window, s.at = s.window[:length], at
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		// The volume is shorter than Open said: whatever that is, it tells nothing about the archive.
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d of volume %d: %w", length, at, s.volume, err)
}
