package archive

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// turn lets one of several decoders at a time have memory: those that may take much of it, which nothing else limits.
type turn struct {
	use   chan struct{}              // has room for one: who does something with the owner's decoder, or becomes the owner
	owner atomic.Pointer[turnReader] // changed only by who has use
	last  time.Time                  // when the owner read last; belongs to use
}

const (
	// turnRest is how long the owner may not have read for another to take its place.
	turnRest = time.Second
	// turnPoll is how often it is looked at.
	turnPoll = 50 * time.Millisecond
)

func newTurn() *turn { return &turn{use: make(chan struct{}, 1)} }

// reader returns what a decoder returns that is opened by a function, which is called when it is its turn, and again, to go on where it
// was, when another one had its turn in between. Its reads wait for their turn no longer than ctx lasts.
func (t *turn) reader(ctx context.Context, open func() (io.ReadCloser, error)) io.ReadCloser {
	return &turnReader{ctx: ctx, turn: t, open: open}
}

// turnReader is a decoder that is only there while it is its turn.
type turnReader struct {
	ctx  context.Context //nolint:containedctx // io.Reader has no place for one
	turn *turn
	open func() (io.ReadCloser, error)
	r    io.ReadCloser // of the owner; belongs to turn.use
	done int64         // bytes that were read
}

func (r *turnReader) Read(p []byte) (n int, err error) {
	if err := r.begin(); err != nil {
		return 0, err
	}
	defer r.turn.leave()
	if r.r == nil {
		if r.r, err = r.open(); err != nil {
			return 0, err
		}
		if _, err := io.CopyN(io.Discard, r.r, r.done); err != nil {
			r.drop()
			return 0, err
		}
	}
	n, err = r.r.Read(p)
	r.done += int64(n)
	return n, err
}

// begin waits for the turn, and becomes the owner.
func (r *turnReader) begin() error {
	t := r.turn
	for {
		select {
		case t.use <- struct{}{}:
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
		owner := t.owner.Load()
		if owner == r {
			return nil
		}
		if owner == nil || time.Since(t.last) >= turnRest {
			if owner != nil {
				owner.drop()
			}
			t.owner.Store(r)
			return nil
		}
		<-t.use
		select {
		case <-time.After(turnPoll):
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
}

// leave ends what begin began. The owner stays that.
func (t *turn) leave() {
	t.last = time.Now()
	<-t.use
}

// drop lets go of the decoder and its memory. It needs turn.use.
func (r *turnReader) drop() {
	if r.r != nil {
		_ = r.r.Close() // nobody has a use for what it says
		r.r = nil
	}
}

// Close lets go of the decoder. It waits for no read of another one: while r is the owner, others only look whether it rests.
func (r *turnReader) Close() error {
	t := r.turn
	for t.owner.Load() == r {
		select {
		case t.use <- struct{}{}:
			if t.owner.Load() == r {
				r.drop()
				t.owner.Store(nil)
			}
			<-t.use
		case <-time.After(turnPoll):
		}
	}
	return nil
}
