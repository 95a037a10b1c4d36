package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// chunk is how many bytes are decoded before they are written, unless somebody waits for fewer.
const chunk = 256 << 10

// errIdle ends a decoder whose place others need.
var errIdle = errors.New("nobody waits")

// decoding is a goroutine that decodes a member.
type decoding struct {
	e      *entry
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // has room for one
	ended  chan struct{} // closed at its end
	placed bool          // it has a place among the decoders; belongs to Spool.mu
	idle   *time.Timer   // calls rest
	sums   sums          // of what was decoded
}

// poke has it look at what is wanted.
func (d *decoding) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// demand sees to it that the member is being decoded. The caller holds mu.
func (s *Spool) demand(e *entry) {
	if e.decoding != nil {
		e.decoding.poke()
		return
	}
	if s.closed {
		e.fail(ErrClosed)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	d := &decoding{e: e, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	e.decoding = d
	d.idle = time.AfterFunc(s.o.Idle, d.rest)
	s.wg.Go(d.run)
}

// rest ends the decoder if nobody has read for a while, also one that waits for the swarm. A client whose read took too long comes again,
// and should find more then; one that doesn't has left.
func (d *decoding) rest() {
	e, s := d.e, d.e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.decoding != d {
		return
	}
	left := s.o.Idle - time.Since(e.waited)
	switch {
	case len(e.waiters) > 0:
		d.idle.Reset(s.o.Idle)
	case left > 0:
		d.idle.Reset(left)
	case e.done < e.size:
		d.cancel()
	}
}

// run decodes until all is done, nobody waits, or something fails.
func (d *decoding) run() {
	defer close(d.ended)
	defer d.cancel()
	defer d.idle.Stop()
	err := d.turn()
	s := d.e.s
	permanent := err != nil && d.ctx.Err() == nil && (errors.Is(err, ErrSize) || errors.Is(err, ErrDecoder) || s.o.Permanent(err))
	if permanent {
		s.o.Log.Info("member can't be decoded", "error", err)
	}
	drop := d.end(err, permanent)
	s.finishEvicting(drop)
}

// end tells those who wait how it ended.
func (d *decoding) end(err error, permanent bool) (drop dropped) {
	e, s := d.e, d.e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	doomed := e.doomed
	e.decoding, e.doomed = nil, false
	switch {
	case s.closed:
		e.fail(ErrClosed)
	case permanent:
		e.remember(err)
		e.fail(err)
		drop, _ = s.evict(e)
	case doomed:
		e.fail(fmt.Errorf("%w: others need it", ErrNoRoom))
		drop, _ = s.evict(e)
	case err != nil && d.ctx.Err() == nil && !errors.Is(err, errIdle):
		e.fail(err)
	}
	if len(e.waiters) > 0 { // they came when it was ending, or was ended for another that was in need
		s.demand(e)
		return drop
	}
	e.wanted = 0
	if e.done == 0 && e.reserved { // nothing has come of it
		drop, _ = s.evict(e)
	}
	e.leave()
	return drop
}

// maxRemembered is of how many members that nobody has open it is known why they can't be decoded.
const maxRemembered = 1000

// remember notes why the member can't be decoded, for who opens it again: to find out may have taken long. It needs mu.
func (e *entry) remember(err error) {
	e.err = err
	isOld := func(of *entry) bool { return of != e && of.err != nil && of.handles == 0 }
	n := 0
	for _, of := range e.s.entries {
		if isOld(of) {
			n++
		}
	}
	if n >= maxRemembered {
		old := e.s.oldest(isOld)
		old.err = nil
		old.leave()
	}
}

// Retry forgets why members could not be decoded whose keys are below a folder, as that of Evict.
func (s *Spool) Retry(folder string) {
	prefix := prefixOf(folder)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.err != nil && strings.HasPrefix(e.hash, prefix) {
			e.err = nil
			e.leave()
		}
	}
}

// turn takes a place among the decoders, and room, and decodes.
func (d *decoding) turn() error {
	s := d.e.s
	level := d.e.level
	if err := s.enter(d.ctx, level); err != nil {
		return err
	}
	defer s.exit(level)
	d.e.place(d)
	if err := s.reserve(d.ctx, d.e); err != nil {
		return err
	}
	f, err := d.e.file()
	if err != nil {
		return err
	}
	err = d.decode(f)
	f.Close()
	return err
}

// place notes that the goroutine has a place among the decoders.
func (e *entry) place(d *decoding) {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	d.placed = true
}

// file opens the file that the member is decoded into.
func (e *entry) file() (*os.File, error) {
	s := e.s
	s.mu.Lock()
	path := e.path
	s.mu.Unlock()
	if path != "" {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
	}
	f, err := os.CreateTemp(s.o.Dir, e.hash+"-*"+partSuffix)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.path, e.done = f.Name(), 0
	return f, nil
}

// decode decodes from the start. What is in the file already is not written again.
func (d *decoding) decode(f *os.File) error {
	e, s := d.e, d.e.s
	s.mu.Lock()
	opener, done := e.opener, e.done
	s.mu.Unlock()
	var r io.ReadCloser
	err := guard(func() (err error) {
		r, err = opener(d.ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = guard(r.Close) }() // nobody has a use for what it says
	buf := make([]byte, chunk)
	for skipped := int64(0); skipped < done; {
		n, err := d.read(r, buf[:min(chunk, done-skipped)])
		if err != nil {
			return err
		}
		d.sums.add(buf[:n])
		if skipped += int64(n); n == 0 {
			return fmt.Errorf("%w: %d bytes, not %d", ErrSize, skipped, e.size)
		}
	}
	for done < e.size {
		n, err := d.await()
		if err != nil {
			return err
		}
		got, err := d.read(r, buf[:n])
		if err != nil {
			return err
		}
		if got == 0 {
			return fmt.Errorf("%w: %d bytes, not %d", ErrSize, done, e.size)
		}
		d.sums.add(buf[:got])
		if err := d.occupy(done + int64(got)); err != nil {
			return err
		}
		if err := d.uncut(f, done); err != nil {
			return err
		}
		if _, err := f.WriteAt(buf[:got], done); err != nil {
			return fmt.Errorf("writing what was decoded: %w", err)
		}
		if done += int64(got); done == e.size { // the last bytes are not shown before it is known that they are
			var more [1]byte
			n, err := d.read(r, more[:])
			if err != nil {
				return err
			}
			if n > 0 {
				return fmt.Errorf("%w: more than %d bytes", ErrSize, e.size)
			}
		}
		d.publish(done)
	}
	if err := d.finish(f); err != nil && d.ctx.Err() == nil { // it is of use all the same, in this run
		s.o.Log.Warn("decoded member can't be kept", "error", err)
	}
	return nil
}

// uncut begins anew if somebody has cut the file, of which so much was written: what is written behind its end would leave a hole, and that
// reads as zeros.
func (d *decoding) uncut(f *os.File, done int64) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("writing what was decoded: %w", err)
	}
	if info.Size() >= done {
		return nil
	}
	err = fmt.Errorf("%w: the file ends at %d of %d bytes", errSum, info.Size(), done)
	d.e.discard(f.Name(), err)
	return err
}

// guard calls a decoder, and makes an error of its panic: nobody else would catch it here.
func guard(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", ErrDecoder, v)
		}
	}()
	return do()
}

// read fills p, but for the end of the data. At the end itself it returns 0.
func (d *decoding) read(r io.Reader, p []byte) (int, error) {
	var n int
	err := guard(func() (err error) {
		n, err = io.ReadFull(r, p)
		return err
	})
	if d.ctx.Err() != nil {
		return 0, d.ctx.Err()
	}
	if errors.Is(err, io.EOF) || err != nil && n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// await waits until more is wanted, and says how many bytes to decode next.
func (d *decoding) await() (int64, error) {
	e, s := d.e, d.e.s
	for {
		s.mu.Lock()
		n := min(chunk, e.size-e.done)
		for _, w := range e.waiters {
			n = min(n, w.end-e.done) // it may be long until there is more
		}
		wanted := len(e.waiters) > 0 || e.done < e.wanted+min(s.o.Ahead, e.size-e.wanted)
		left := len(e.waiters) == 0 && len(s.places[e.level].queue) > 0
		s.mu.Unlock()
		switch {
		case d.ctx.Err() != nil:
			return 0, d.ctx.Err()
		case left:
			return 0, errIdle
		case wanted:
			return n, nil
		}
		select {
		case <-d.wake:
		case <-d.ctx.Done():
		}
	}
}

// publish shows the first bytes, up to done, to those who wait for them.
func (d *decoding) publish(done int64) {
	e, s := d.e, d.e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	e.done = done
	keep := e.waiters[:0]
	for _, w := range e.waiters {
		if w.end <= done {
			w.done <- nil
		} else {
			keep = append(keep, w)
		}
	}
	clear(e.waiters[len(keep):])
	e.waiters = keep
}
