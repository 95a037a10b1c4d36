package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// enter waits for a place among the decoders. One that nobody waits for is ended to make one.
func (s *Spool) enter(ctx context.Context, level int) error {
	s.mu.Lock()
	p := &s.places[level]
	if p.open < s.o.Workers {
		p.open++
		s.mu.Unlock()
		return nil
	}
	place := make(chan struct{}, 1)
	p.queue = append(p.queue, place)
	idle := s.oldest(func(e *entry) bool {
		return e.level == level && e.decoding != nil && e.decoding.placed && e.decoding.ctx.Err() == nil && len(e.waiters) == 0
	})
	if idle != nil {
		idle.decoding.cancel()
	}
	s.mu.Unlock()
	select {
	case <-place:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(p.queue, place)
	if i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 { // it came just now
		s.exit(level)
	}
	return ctx.Err()
}

// exit gives a place to who is next.
func (s *Spool) exit(level int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.places[level]
	if len(p.queue) == 0 {
		p.open--
		return
	}
	p.queue[0] <- struct{}{}
	p.queue = p.queue[1:]
}

// oldest returns the member that was used least lately of those that pass.
func (s *Spool) oldest(pass func(*entry) bool) *entry {
	var old *entry
	for _, e := range s.entries {
		if (old == nil || e.lastUse < old.lastUse) && pass(e) {
			old = e
		}
	}
	return old
}

// reserve takes as much of the limit as the whole member needs, for which others that nobody reads are evicted, the one that was used least lately
// first. While there is none it waits.
func (s *Spool) reserve(ctx context.Context, e *entry) error {
	late := time.NewTimer(s.o.Wait)
	defer late.Stop()
	for {
		err := s.tryReserve(ctx, e)
		if !errors.Is(err, errInUse) {
			return err
		}
		select {
		case <-time.After(lookPause):
		case <-late.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errInUse is in the errors about room that is there when others have been read.
var errInUse = errors.New("others are being read")

// lookPause is how often to look whether others are still being read.
const lookPause = 20 * time.Millisecond

func (s *Spool) tryReserve(ctx context.Context, e *entry) error {
	need := fileSize(e.size)
	limit := s.o.Limit()
	_, staying := s.removeStaying()
	s.mu.Lock()
	for !e.reserved {
		if need > limit {
			s.mu.Unlock()
			return fmt.Errorf("%w: it takes %d bytes of a limit of %d", ErrNoRoom, need, limit)
		}
		if s.used <= limit-need {
			s.used += need
			e.reserved = true
			break
		}
		if staying != nil {
			s.mu.Unlock()
			return fmt.Errorf("%w for %d bytes: %w", ErrNoRoom, need, staying)
		}
		victim := s.oldest(func(v *entry) bool { return v != e && v.reserved && v.readers == 0 })
		if victim == nil {
			used := s.used
			s.mu.Unlock()
			return fmt.Errorf("%w for %d bytes: %d of %d are taken, and %w", ErrNoRoom, need, used, limit, errInUse)
		}
		if d := victim.decoding; d != nil {
			d.cancel()
			s.mu.Unlock()
			select {
			case <-d.ended:
			case <-ctx.Done():
				return ctx.Err()
			}
			s.mu.Lock()
			continue
		}
		drop, _ := s.evict(victim)
		s.mu.Unlock()
		if !s.finishEvicting(drop) {
			staying = errStays
		}
		s.mu.Lock()
	}
	s.mu.Unlock()
	return nil
}

const (
	// blockSize is what file systems allocate at a time, in bytes.
	blockSize = 4096
	// takeStep is how much room is taken at a time, in bytes.
	takeStep = 1 << 20
)

// blocks returns what n bytes take on disk.
func blocks(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// occupy takes the room of the first n bytes of the file, before they are written, and some more.
func (d *decoding) occupy(n int64) error {
	e, s := d.e, d.e.s
	s.mu.Lock()
	lack := blocks(n) - e.taken
	s.mu.Unlock()
	if lack <= 0 {
		return nil
	}
	lack = min(max(lack, takeStep), blocks(fileSize(e.size))-e.taken)
	if s.o.Room != nil {
		if err := s.o.Room.Take(d.ctx, lack); d.ctx.Err() != nil && err != nil {
			return d.ctx.Err()
		} else if err != nil {
			return fmt.Errorf("%w for %d more bytes: %w", ErrNoRoom, lack, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.taken += lack
	return nil
}

// dropped is a file that is to be removed, and its room.
type dropped struct {
	path     string
	reserved int64
	taken    int64
}

// evict takes the file from a member that nobody reads. If it is still being decoded, that is ended, and nothing is taken yet. The
// caller holds mu, and calls finishEvicting after it.
func (s *Spool) evict(e *entry) (drop dropped, ended <-chan struct{}) {
	if e.decoding != nil {
		e.decoding.cancel()
		return dropped{}, e.decoding.ended
	}
	drop.path = e.path
	if e.reserved {
		drop.reserved = fileSize(e.size)
	}
	drop.taken = e.taken
	e.dropFile()
	e.reserved, e.taken, e.wanted = false, 0, 0
	e.leave()
	return drop, nil
}

// dropFile notes that the member has no file. It needs mu.
func (e *entry) dropFile() { e.path, e.done, e.finished, e.checked = "", 0, false, nil }

// finishEvicting removes the file, and then gives the room back. It says whether the file is gone.
func (s *Spool) finishEvicting(drop dropped) bool {
	if err := s.remove(drop); err != nil {
		s.o.Log.Warn("decoded member can't be removed, and keeps its room", "error", err)
		s.mu.Lock()
		s.stay = append(s.stay, drop)
		s.mu.Unlock()
		return false
	}
	return true
}

// remove removes a file, and then gives its room back. There may be no file.
func (s *Spool) remove(drop dropped) error {
	if drop.path != "" {
		if err := remove(drop.path); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.used -= drop.reserved
	s.mu.Unlock()
	if s.o.Room != nil && drop.taken > 0 {
		s.o.Room.Give(drop.taken)
	}
	return nil
}

// errStays is in the errors about room that evicting does not make.
var errStays = errors.New("what was evicted can't be removed")

// removeStaying tries again to remove what could not be, and returns how many bytes that frees. As long as something stays, others are better
// left: they would not be removed either, and be lost to those who read them.
func (s *Spool) removeStaying() (freed int64, err error) {
	s.mu.Lock()
	stay := s.stay
	s.stay = nil
	s.mu.Unlock()
	for i, drop := range stay {
		if s.remove(drop) != nil {
			s.mu.Lock()
			s.stay = append(s.stay, stay[i:]...)
			s.mu.Unlock()
			return freed, errStays
		}
		freed += drop.taken
	}
	return freed, nil
}
