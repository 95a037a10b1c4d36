package inflate

import (
	"context"
	"errors"
	"fmt"
)

// flight is one decode of a segment, for all who want it at that time.
type flight struct {
	place
	cancel  context.CancelFunc
	done    chan struct{} // closed when the rest is set
	segment *segment      // in use by each who wants it
	err     error
	wanted  int // by how many; guarded by Reader.mu
}

// segmentAt returns the segment of an offset before cut, which the caller uses.
func (r *Reader) segmentAt(ctx context.Context, off int64) (*segment, error) {
	r.mu.Lock()
	if r.isClosed {
		r.mu.Unlock()
		return nil, ErrClosed
	}
	p := r.locate(off)
	if s := r.cache.get(segmentKey{r, p.start}); s != nil {
		r.mu.Unlock()
		return s, nil
	}
	f := r.flights[p.start]
	if f == nil {
		f = r.takeOff(p) //nolint:contextcheck // it is for others as well, and ends when the last one leaves
	}
	f.wanted++
	r.mu.Unlock()

	select {
	case <-f.done:
		return f.segment, f.err
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.wanted--; f.wanted == 0 && r.flights[p.start] == f {
		delete(r.flights, p.start)
		f.cancel()
	}
	select {
	case <-f.done:
		if f.segment != nil {
			f.segment.release()
		}
	default:
	}
	return nil, fmt.Errorf("wait for byte %d of compressed data: %w", off, ctx.Err())
}

// takeOff begins a decode. It needs mu.
func (r *Reader) takeOff(p place) *flight {
	ctx, cancel := context.WithCancel(r.ctx)
	f := &flight{place: p, cancel: cancel, done: make(chan struct{})}
	r.flights[p.start] = f
	r.running.Go(func() {
		defer cancel()
		s, err := r.decode(ctx, p)
		r.land(f, s, err)
	})
	return f
}

// land ends a flight.
func (r *Reader) land(f *flight, s *segment, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.isClosed {
		err = ErrClosed
	}
	f.err = err
	if s != nil {
		r.cache.keep(s)
		r.cache.share(s, f.wanted)
		s.release()
		f.segment = s
	}
	if r.flights[f.start] == f {
		delete(r.flights, f.start)
	}
	close(f.done)
}

// decode decodes a segment, which the caller uses.
func (r *Reader) decode(ctx context.Context, p place) (*segment, error) {
	if err := r.pool.begin(ctx); err != nil {
		return nil, err
	}
	defer r.pool.end()
	turn := turn{pool: r.pool}
	defer turn.giveBack()

	d, err := r.decoderBefore(p)
	if err != nil {
		return nil, err
	}
	d.feed.ctx, d.feed.turn = ctx, &turn
	s := r.cache.newSegment(segmentKey{r, p.start})
	err = d.skipTo(ctx, r.cache, p.start)
	if err == nil {
		err = d.fill(ctx, s, p.end)
	}
	if err != nil {
		s.release()
		d.giveBack()
		return nil, err
	}
	r.stand(d, p)
	return s, nil
}

// decoderBefore returns a decoder that stands at or before the beginning of a segment.
func (r *Reader) decoderBefore(p place) (*decoder, error) {
	r.mu.Lock()
	if d := r.tail; d != nil && d.out > p.from.out && d.out <= p.start {
		r.tail = nil
		r.mu.Unlock()
		return d, nil
	}
	r.mu.Unlock()
	window := p.from.raw
	if window == nil {
		var err error
		if window, err = unpack(p.from.packed); err != nil {
			return nil, err
		}
	}
	return r.borrowDecoder(p.from, window, p.stop), nil
}

// stand keeps a decoder that has decoded a segment if the next one needs it: without a checkpoint there, reading on would begin at the
// last one again and again.
func (r *Reader) stand(d *decoder, p place) {
	r.mu.Lock()
	if !p.atPoint && d.lost == nil && !r.isClosed {
		d, r.tail = r.tail, d
	}
	r.mu.Unlock()
	if d != nil {
		d.giveBack()
	}
}

// skipTo decodes up to an offset and drops what that gives.
func (d *decoder) skipTo(ctx context.Context, cache *Cache, off int64) error {
	if d.out >= off {
		return nil
	}
	s := cache.newSegment(segmentKey{})
	defer s.release()
	space := s.space()
	for d.out < off {
		n, err := d.Read(space[:min(int64(len(space)), off-d.out)])
		cache.inflated.Add(int64(n))
		if err = d.mayGoOn(ctx, off, err); err != nil {
			return err
		}
	}
	return nil
}

// fill decodes into a segment up to an offset.
func (d *decoder) fill(ctx context.Context, s *segment, end int64) error {
	for d.out < end {
		space := s.space()
		n, err := d.Read(space[:min(int64(len(space)), end-d.out)])
		s.length += int64(n)
		s.cache.inflated.Add(int64(n))
		if err = d.mayGoOn(ctx, end, err); err != nil {
			return err
		}
	}
	return nil
}

// mayGoOn returns why a decode that was to come to an offset does not. Package flate hands out the last bytes together with what keeps
// it from decoding more: there is no reason to complain if these were all that was wanted.
func (d *decoder) mayGoOn(ctx context.Context, off int64, err error) error {
	if d.out >= off {
		return nil
	}
	if err == nil {
		return ctx.Err()
	}
	if errors.Is(err, ErrFormat) || d.state == atEnd {
		return fmt.Errorf("%w: decoding again from a checkpoint ended after %d bytes", ErrFormat, d.out)
	}
	return err
}
