//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// despair is how long a READ may be answered with JUKEBOX, though there is a seeder.
	despair = 3 * time.Minute
	// retry is how long a client waits after JUKEBOX, or when nobody serves.
	retry = 200 * time.Millisecond
)

// tally counts what was done.
type tally struct {
	bytes, reads, jukebox, disconnects, torn, refused atomic.Int64
}

// reader is a client that reads one thing after the other.
type reader struct {
	appliance *appliance
	items     []*item
	limiter   *rate.Limiter
	tally     *tally
	random    *rand.Rand
	scratch   []byte // of the original
}

// run reads until ctx ends. The error is what no client should see.
func (r *reader) run(ctx context.Context) error {
	for ctx.Err() == nil {
		it := r.items[r.random.IntN(len(r.items))]
		f := it.files[r.random.IntN(len(it.files))]
		lives, changes := r.appliance.lives.Load(), it.changes.Load()
		err := r.visit(ctx, f)
		var s status
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, errConnection) && (lives%2 != 0 || r.appliance.lives.Load() != lives):
			r.tally.torn.Add(1)
			r.pause(ctx)
		case errors.As(err, &s) && (changes%2 != 0 || it.changes.Load() != changes):
			r.tally.refused.Add(1)
			r.pause(ctx)
		default:
			return fmt.Errorf("%v: %w", f.path, err)
		}
	}
	return nil
}

func (r *reader) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retry):
	}
}

// visit connects, reads in one of the ways that people have, and leaves.
func (r *reader) visit(ctx context.Context, f file) error {
	c, err := dial(ctx, r.appliance.nfs)
	if err != nil {
		return err
	}
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	handle, err := r.find(ctx, c, f)
	if err != nil {
		return fmt.Errorf("look for the file: %w", err)
	}
	v := &visit{reader: r, client: c, file: f, handle: handle}
	switch r.random.IntN(10) {
	case 0, 1, 2, 3: // a player
		return v.stream(ctx, 1<<uint(16+r.random.IntN(5)), 1+r.random.IntN(8), 8<<20+r.random.Int64N(24<<20))
	case 4, 5, 6, 7: // a scanner, a preview
		for range 20 {
			if err := v.stream(ctx, 1<<uint(12+r.random.IntN(6)), 1, 1); err != nil {
				return err
			}
		}
		return nil
	default: // a machine that is switched off
		return v.leave(ctx)
	}
}

// find returns the handle of a file. It waits for an archive that nobody has looked into yet.
func (r *reader) find(ctx context.Context, c *client, f file) ([]byte, error) {
	begin := time.Now()
	for {
		handle, err := c.walk(append([]string{route}, f.path...)...)
		if !errors.Is(err, statusJukebox) || ctx.Err() != nil {
			return handle, err
		}
		r.tally.jukebox.Add(1)
		if took := time.Since(begin); took > despair {
			return nil, fmt.Errorf("it is not listed for %v", took)
		}
		r.pause(ctx)
	}
}

// visit is a file that is being read.
type visit struct {
	*reader
	*client

	file   file
	handle []byte
	asked  map[uint32]span
}

type span struct {
	off   int64
	n     int
	since time.Time // when it was asked for first
}

// stream reads on from a random place, in steps of some size of which several are in flight, until so
// much is read or the file ends.
func (v *visit) stream(ctx context.Context, step, inFlight int, most int64) error {
	next := v.random.Int64N(v.file.size)
	end := min(next+most, v.file.size)
	v.asked = make(map[uint32]span)
	for next < end || len(v.asked) > 0 {
		for next < end && len(v.asked) < inFlight {
			n := int(min(int64(step), v.file.size-next))
			if err := v.limiter.WaitN(ctx, n); err != nil {
				return err
			}
			if err := v.ask(span{next, n, time.Now()}); err != nil {
				return err
			}
			next += int64(n)
		}
		if err := v.take(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) ask(s span) error {
	xid, err := v.sendRead(v.handle, s.off, s.n)
	v.asked[xid] = s
	return err
}

// take receives a reply, and compares what is in it.
func (v *visit) take(ctx context.Context) error {
	xid, d, err := v.receive()
	s, known := v.asked[xid]
	delete(v.asked, xid)
	switch {
	case errors.Is(err, statusJukebox):
		v.tally.jukebox.Add(1)
		if took := time.Since(s.since); took > despair {
			return fmt.Errorf("nothing at %d for %v", s.off, took)
		}
		v.pause(ctx)
		return v.ask(s)
	case err != nil:
		return fmt.Errorf("read %d at %d: %w", s.n, s.off, err)
	case !known:
		return fmt.Errorf("a reply to call %d, which nobody made", xid)
	}
	got, err := readResult(d)
	if err != nil {
		return fmt.Errorf("read %d at %d: %w", s.n, s.off, err)
	}
	want := v.scratch[:s.n]
	if _, err := v.file.original.ReadAt(want, s.off); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("WRONG BYTES: the %d bytes at %d are not those of the file, of which %d were asked for", len(got), s.off, s.n)
	}
	v.tally.reads.Add(1)
	v.tally.bytes.Add(int64(len(got)))
	return nil
}

// leave asks for much, and hangs up before it comes, or while it does.
func (v *visit) leave(ctx context.Context) error {
	for range 1 + v.random.IntN(16) {
		if err := v.limiter.WaitN(ctx, maxRead); err != nil { // much of it is fetched all the same
			return err
		}
		if _, err := v.sendRead(v.handle, v.random.Int64N(v.file.size), maxRead); err != nil {
			return err
		}
	}
	time.Sleep(time.Duration(v.random.Int64N(int64(50 * time.Millisecond))))
	v.tally.disconnects.Add(1)
	return nil
}
