package cache

import (
	"errors"
	"fmt"
	"os"
)

// probeHoles finds out whether the file system can free a part of a file.
func (c *Cache) probeHoles() error {
	f, err := os.CreateTemp(c.dir, ".new-*")
	if err != nil {
		return err
	}
	// The file stays empty: the disk may be full.
	if holeErr := punchHole(f, 0, blockSize); holeErr != nil {
		c.noHoles.Store(true)
		c.log.Warn("the disk of the cache cannot free parts of a file: torrents are evicted as a whole, "+
			"and one that is read has to fit the limit", "dir", c.dir, "err", holeErr)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// isEmpty says whether nothing of a piece is on disk, nor is going to be while p.mu is held. It needs p.mu, but while Open runs.
func (p *Pieces) isEmpty(piece int) bool {
	s := &p.slots[piece]
	return s.state == Missing && !s.has(partial)
}

// punchAll frees the data of a sorted list of pieces.
func (p *Pieces) punchAll(pieces []int, isEmpty func(int) bool) error {
	for _, span := range spans(pieces) {
		if err := punchPieces(p.data, &p.Geometry, span, isEmpty); err != nil {
			return err
		}
	}
	return nil
}

// punchPieces frees the blocks that hold nothing but the pieces, and others that isEmpty says have nothing on disk.
func punchPieces(data *os.File, g *Geometry, span Span, isEmpty func(int) bool) error {
	from := int64(span.First) * g.PieceLength
	to := min(int64(span.Last+1)*g.PieceLength, g.Size)
	if !g.shared(from, span, isEmpty) {
		from += blockSize - 1
	}
	if to == g.Size || g.shared(to, span, isEmpty) {
		to += blockSize - 1
	}
	return punchBlocks(data, from/blockSize*blockSize, to/blockSize*blockSize)
}

// shared says whether the block around an offset holds nothing but the pieces, and others that isEmpty says have nothing on disk.
func (g *Geometry) shared(off int64, span Span, isEmpty func(int) bool) bool {
	start := off / blockSize * blockSize
	end := min(start+blockSize, g.Size)
	for i := int(start / g.PieceLength); int64(i)*g.PieceLength < end; i++ {
		if !span.Contains(i) && !isEmpty(i) {
			return false
		}
	}
	return true
}

// punchShared frees the blocks at the ends of pieces that were evicted, which they shared with others, if nothing of those is on
// disk either. Else each piece could leave a block behind.
func (p *Pieces) punchShared(pieces []int) error {
	if p.PieceLength%blockSize == 0 || p.cache.noHoles.Load() {
		return nil
	}
	p.mu.Lock() // nobody begins to write meanwhile
	defer p.mu.Unlock()
	nothing := Span{0, -1}
	for _, span := range spans(pieces) {
		for _, off := range []int64{int64(span.First) * p.PieceLength, min(int64(span.Last+1)*p.PieceLength, p.Size-1)} {
			if !p.shared(off, nothing, p.isEmpty) {
				continue
			}
			start := off / blockSize * blockSize
			if err := punchBlocks(p.data, start, start+blockSize); err != nil {
				return err
			}
		}
	}
	return nil
}

func punchBlocks(data *os.File, from, to int64) error {
	if from >= to {
		return nil
	}
	if err := punchHole(data, from, to-from); err != nil {
		return fmt.Errorf("free a piece: %w", &os.PathError{Op: "fallocate", Path: data.Name(), Err: err})
	}
	return nil
}
