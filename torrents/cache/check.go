package cache

import (
	"context"
	"fmt"
	"io"
)

// Check hashes those of the pieces that an earlier run has left, so that each of them is either present or missing
// afterwards. The error is the cause of ctx, or one of the disk.
func (p *Pieces) Check(ctx context.Context, span Span) error {
	for i := span.First; i <= span.Last; i++ {
		if err := p.check(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pieces) check(ctx context.Context, piece int) error {
	ended := make(chan struct{})
	for {
		other, needed := p.beginCheck(piece, ended)
		if !needed {
			return nil
		}
		if other == nil {
			return p.endCheck(piece, ended)
		}
		select {
		case <-other: // which may have failed
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// beginCheck says whether a piece is to be checked. If somebody else does that already, other is closed when he has ended.
func (p *Pieces) beginCheck(piece int, ended chan struct{}) (other chan struct{}, needed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.slots[piece]
	if s.state != Suspect {
		return nil, false
	}
	if other, ok := p.checking[piece]; ok {
		return other, true
	}
	p.checking[piece] = ended
	s.readers++
	return nil, true
}

func (p *Pieces) endCheck(piece int, ended chan struct{}) error {
	right, err := p.verify(piece, io.NewSectionReader(p.data, int64(piece)*p.PieceLength, p.length(piece)))
	if err == nil && !right {
		err = p.save(Span{piece, piece}, []byte{0})
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.checking, piece)
	close(ended)
	s := &p.slots[piece]
	s.readers--
	switch {
	case err != nil:
		return fmt.Errorf("check the cache: %w", err)
	case right:
		p.suspect--
		last := s.last
		p.becomePresent(piece)
		s.last = last // to check is not to read
	default:
		p.suspect--
		s.state, s.written = Missing, 0
		s.set(partial) // what is there is in the way of nobody, and will be written over
		p.counted()
	}
	p.change(piece, recheck)
	return nil
}

// Distrust makes what is present of the pieces suspect, because the disk did not give it back: who reads it next has it checked, and
// fetched again if it is wrong.
func (p *Pieces) Distrust(span Span) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := span.First; i <= span.Last; i++ {
		if s := &p.slots[i]; s.state == Present {
			s.state = Suspect
			p.present--
			p.suspect++
			p.distrusted = true
			p.change(i, recheck)
		}
	}
	p.counted()
}
