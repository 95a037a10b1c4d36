package spool

import (
	"context"
	"fmt"
	"slices"
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

// reserve takes the room of the whole member, for which others that nobody reads are evicted, the one that was used least lately
// first.
func (s *Spool) reserve(ctx context.Context, e *entry) error {
	need := e.size + trailerSize
	limit := s.o.Limit()
	s.mu.Lock()
	for !e.reserved {
		if need > limit {
			s.mu.Unlock()
			return fmt.Errorf("%w: it takes %d bytes of a limit of %d", ErrNoRoom, need, limit)
		}
		reason := fmt.Errorf("%d of %d bytes are in use", s.used, limit)
		if s.used <= limit-need {
			s.used += need
			s.mu.Unlock()
			reason = s.take(need)
			s.mu.Lock()
			if reason == nil {
				e.reserved = true
				break
			}
			s.used -= need
		}
		victim := s.oldest(func(v *entry) bool { return v != e && v.reserved && v.readers == 0 })
		if victim == nil {
			s.mu.Unlock()
			return fmt.Errorf("%w for %d bytes: %w", ErrNoRoom, need, reason)
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
		s.finishEvicting(drop, nil)
		s.mu.Lock()
	}
	s.mu.Unlock()
	return nil
}

func (s *Spool) take(n int64) error {
	if s.o.Room == nil {
		return nil
	}
	return s.o.Room.Take(n)
}

// dropped is a file that is to be removed, and its room.
type dropped struct {
	path string
	room int64
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
		drop.room = e.size + trailerSize
	}
	e.path, e.done, e.finished, e.reserved, e.wanted = "", 0, false, false, 0
	e.leave()
	return drop, nil
}

// finishEvicting removes the file, and then gives the room back, or waits until a decoder has ended.
func (s *Spool) finishEvicting(drop dropped, ended <-chan struct{}) {
	if ended != nil {
		<-ended
		return
	}
	if drop.path != "" {
		if err := remove(drop.path); err != nil {
			s.o.Log.Warn("decoded member can't be removed", "error", err)
		}
	}
	s.give(drop.room)
}

// give gives room back.
func (s *Spool) give(n int64) {
	if n == 0 {
		return
	}
	s.mu.Lock()
	s.used -= n
	s.mu.Unlock()
	if s.o.Room != nil {
		s.o.Room.Give(n)
	}
}

// Free evicts members that nobody reads and that are not being decoded, the one that was used least lately first, until n bytes are
// free, and returns how many are.
func (s *Spool) Free(n int64) int64 {
	freed := int64(0)
	for freed < n {
		s.mu.Lock()
		victim := s.oldest(func(e *entry) bool { return e.reserved && e.readers == 0 && e.decoding == nil })
		if victim == nil {
			s.mu.Unlock()
			break
		}
		drop, _ := s.evict(victim)
		s.mu.Unlock()
		s.finishEvicting(drop, nil)
		freed += drop.room
	}
	return freed
}
