package inflate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// pass is a goroutine that decodes on from where others ended, as long as somebody waits for what it comes to.
type pass struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
}

// frontier is how far the first pass has come, and what it needs to go on.
type frontier struct {
	reader  *Reader
	decoder *decoder
	segment *segment // which is being filled, from Reader.cut on
	last    int64    // offset of the last checkpoint in the uncompressed data
	next    *point   // which ends the segment once that is decoded up to there
	traced  int64    // offset in the compressed data behind all that may refer to the window of the last checkpoint
}

// begin begins a pass. It needs mu.
func (r *Reader) begin() {
	ctx, cancel := context.WithCancel(r.ctx)
	p, before := &pass{cancel: cancel, done: make(chan struct{})}, r.last
	r.pass, r.last = p, p
	r.running.Go(func() {
		defer close(p.done)
		defer cancel()
		if before != nil {
			<-before.done // it was cancelled
		}
		err := r.run(ctx, p)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.pass != p {
			return
		}
		r.pass = nil
		if r.isClosed {
			err = ErrClosed
		}
		for w := range r.waiting {
			r.wake(w, err)
		}
	})
}

// run decodes until nobody waits any more. Without an error that is so.
func (r *Reader) run(ctx context.Context, p *pass) error {
	if err := r.pool.begin(ctx); err != nil {
		return err
	}
	defer r.pool.end()
	turn := turn{pool: r.pool}
	defer turn.giveBack()

	f, err := r.frontier()
	if err != nil {
		return err
	}
	f.decoder.feed.ctx, f.decoder.feed.turn = ctx, &turn
	err = f.decoder.skipTo(ctx, r.cache, f.segment.key.start)
	for err == nil {
		err = f.decode(ctx)
		if err == io.EOF || errors.Is(err, ErrFormat) { //nolint:errorlint // its own
			f.finish(err)
			return nil
		}
		if err == nil {
			f.publish(ctx)
			if !r.isWanted(p) {
				break
			}
		}
	}
	turn.giveBack()
	r.keep(f)
	return err
}

// isWanted says whether somebody waits for what a pass comes to. If not, it is no longer the one that goes on.
func (r *Reader) isWanted(p *pass) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pass == p && len(r.waiting) == 0 {
		r.pass = nil
	}
	return r.pass == p
}

// frontier returns where a pass goes on.
func (r *Reader) frontier() (*frontier, error) {
	r.mu.Lock()
	f, from, cut := r.resting, r.points[len(r.points)-1], r.cut
	if f != nil {
		r.resting = nil
		r.rest.Stop()
	}
	r.mu.Unlock()
	if f != nil {
		return f, nil
	}
	window := from.raw
	if window == nil {
		var err error
		if window, err = unpack(from.packed); err != nil {
			return nil, err
		}
	}
	f = &frontier{reader: r, decoder: newDecoder(), last: from.out, segment: r.cache.newSegment(segmentKey{r, cut})}
	f.decoder.reset(r, from, window, r.compressed)
	f.decoder.onPoint = f.note
	return f, nil
}

// keep has a frontier rest, for a while, so that the next pass goes on there.
func (r *Reader) keep(f *frontier) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed || f.decoder.lost != nil || r.cache.isFull() {
		f.segment.release()
		return
	}
	r.resting = f
	r.rest = time.AfterFunc(r.idle, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.resting == f {
			r.giveUpRest()
		}
	})
}

// giveUpRest drops the frontier that rests. It needs mu.
func (r *Reader) giveUpRest() {
	if r.resting != nil {
		r.rest.Stop()
		r.resting.segment.release()
		r.resting = nil
	}
}

// note is told about places where decoding could begin.
func (f *frontier) note(p point, window []byte) {
	wanted := f.reader.spacing
	if f.reader.size == UnknownSize {
		wanted = min(max(wanted, spacing(p.out)), f.reader.longest/2)
	}
	if f.next != nil || p.out <= f.segment.key.start || p.out-f.last < wanted || p.out == f.reader.size {
		return
	}
	p.raw = bytes.Clone(window)
	f.next = &p
}

// cut returns where the segment ends, if it is decoded up to there.
func (f *frontier) cut() (end int64, ok bool) {
	switch {
	case f.next != nil && f.next.out <= f.segment.end():
		return f.next.out, true
	case f.segment.length == f.reader.longest:
		return f.segment.end(), true
	}
	return 0, false
}

// decode decodes until the segment is to be cut. At the end of the data it is io.EOF, or an ErrFormat if that is not where it was said
// to be, and the segment ends there.
func (f *frontier) decode(ctx context.Context) error {
	d, size := f.decoder, f.reader.size
	for {
		if _, ok := f.cut(); ok {
			return nil
		}
		if f.traced == 0 && f.segment.length >= windowLength {
			f.traced = d.consumed()
		}
		if d.out == size {
			return f.checkEnd()
		}
		space := f.segment.space()
		if size != UnknownSize {
			space = space[:min(int64(len(space)), size-d.out)]
		}
		n, err := d.Read(space)
		f.segment.length += int64(n)
		f.reader.cache.inflated.Add(int64(n))
		if _, ok := f.cut(); ok {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == io.EOF && size != UnknownSize { //nolint:errorlint // the decoder returns it as it is
			err = damaged(d.out, "it ends there, though more was announced")
		}
		if err != nil {
			return err
		}
	}
}

// checkEnd is decode where all the data is that was announced.
func (f *frontier) checkEnd() error {
	var more [1]byte
	switch n, err := f.decoder.Read(more[:]); {
	case n > 0:
		return damaged(f.segment.end(), "it goes on, though no more was announced")
	case errors.Is(err, ErrFormat):
		return err
	}
	return io.EOF // or the Source has no more for now, which nobody needs
}

// finish ends the first pass at the end of the data, or where it is damaged.
func (f *frontier) finish(err error) {
	r, s := f.reader, f.segment
	s.trim()
	if s.length > 0 {
		r.cache.keep(s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = s.end()
	if errors.Is(err, ErrFormat) {
		r.damage = err
	} else {
		r.isWhole, r.wrong = true, f.decoder.wrong
	}
	s.release()
	for w := range r.waiting {
		switch {
		case w.off < r.cut:
			r.wake(w, nil)
		default:
			r.wake(w, err)
		}
	}
	if p := &r.points[len(r.points)-1]; p.raw != nil {
		p.packed, p.raw = pack(p.raw), nil
	}
	r.charge()
}

// publish cuts the segment that is complete, lets those have it who wait for it, and begins the next one.
func (f *frontier) publish(ctx context.Context) {
	r, s := f.reader, f.segment
	end, _ := f.cut()
	f.segment = s.cut(end)
	r.cache.keep(s)

	r.mu.Lock()
	r.cut = end
	first := len(r.points) - 1
	from := r.points[first]
	if f.next != nil && f.next.out == end {
		r.points = append(r.points, *f.next)
		f.next, f.last = nil, end
	}
	for w := range r.waiting {
		if w.off < end {
			r.wake(w, nil)
		}
	}
	r.mu.Unlock()
	s.release()

	if from.raw != nil {
		f.pack(ctx, first, from, end)
	}
	f.traced = 0
	r.mu.Lock()
	defer r.mu.Unlock()
	r.charge()
}

// pack has the window of a checkpoint made small, behind which all was decoded up to end: meanwhile, unless that is still being done for an
// earlier one.
func (f *frontier) pack(ctx context.Context, number int, from point, end int64) {
	r, length := f.reader, f.traced-from.in/8
	select {
	case r.packing <- struct{}{}:
		r.running.Go(func() { // the pass may end, and the window is of use
			defer func() { <-r.packing }()
			t := turn{pool: r.pool}
			defer t.giveBack()
			r.pack(r.ctx, &t, number, from, length, end)
		})
	default:
		r.pack(ctx, f.decoder.feed.turn, number, from, length, end)
	}
}

// pack makes the window of the checkpoint of a number small. What goes on behind that begins with length compressed bytes.
func (r *Reader) pack(ctx context.Context, t *turn, number int, from point, length, end int64) {
	window := from.raw
	if length > 0 && length <= chunkLength {
		buffer := chunks.get()
		defer chunks.put(buffer)
		t.giveBack()
		n := r.tryRead(ctx, buffer[:length], from.in/8) // what is missing makes the window larger, nothing else
		if t.take(ctx) != nil {
			return // it stays as it is
		}
		if small, ok := sparse(window, buffer[:n], uint8(from.in%8), int(min(windowLength, end-from.out))); ok {
			window = small
		}
	}
	packed := pack(window)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.points[number].packed, r.points[number].raw = packed, nil
}

// tryRead reads what can be read. A source that panics, beside every reader, ends nothing.
func (r *Reader) tryRead(ctx context.Context, p []byte, off int64) (n int) {
	defer func() { _ = recover() }()
	n, _ = r.source.ReadAt(ctx, p, off)
	return n
}
