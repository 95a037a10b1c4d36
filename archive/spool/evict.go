package spool

import (
	"strings"
	"time"
)

// Free evicts members that were last used before a time, the one that was used least lately first, until n bytes on disk are free, and
// returns how many are. One that is read or being decoded goes only if force says so: its file is removed once the decoder has ended, and
// those who wait for it get ErrNoRoom. It waits for the disk.
func (s *Spool) Free(n int64, before time.Time, force bool) int64 {
	return s.evictAll(n, func(e *entry) bool { return e.usedAt.Before(before) && (force || e.isIdle()) })
}

// Evict evicts the members whose keys are below a folder, which has one or two elements: "a/b" is that of the key "a/b/c". It does so in
// the way of Free, but ends also decoders of what nobody has open, and does what Retry does.
func (s *Spool) Evict(folder string, force bool) int64 {
	s.Retry(folder)
	prefix := prefixOf(folder)
	return s.evictAll(maxSize, func(e *entry) bool { return strings.HasPrefix(e.hash, prefix) && (force || e.isLeft()) })
}

// Keep evicts the members whose keys begin with none of the elements, and are not in use.
func (s *Spool) Keep(elements []string) int64 {
	known := make(map[string]bool, len(elements))
	for _, element := range elements {
		known[prefixOf(element)] = true
	}
	return s.evictAll(maxSize, func(e *entry) bool { return !known[e.hash[:groupDigits]] && e.isLeft() })
}

// isIdle says whether nobody reads the member, and it is not being decoded. It needs mu.
func (e *entry) isIdle() bool { return e.readers == 0 && e.decoding == nil }

// isLeft says likewise, or that nobody has the member open, though a decoder may stay for who comes again. It needs mu.
func (e *entry) isLeft() bool { return e.isIdle() || e.readers == 0 && e.handles == 0 }

// evictAll evicts members that pass until n bytes on disk are free, and returns how many are, or will be soon; with maxSize all of them. Once
// a file can't be removed, it leaves the others: they would not make room either, and be lost to those who read them. All means all.
func (s *Spool) evictAll(n int64, pass func(*entry) bool) (freed int64) {
	freed, err := s.removeStaying()
	for (err == nil || n == maxSize) && freed < n {
		s.mu.Lock()
		victim := s.oldest(func(e *entry) bool { return e.reserved && !e.doomed && pass(e) })
		if victim == nil {
			s.mu.Unlock()
			break
		}
		if victim.decoding != nil {
			freed += victim.taken
			victim.doomed = true
			victim.decoding.cancel()
			s.mu.Unlock()
			continue
		}
		drop, _ := s.evict(victim)
		s.mu.Unlock()
		if !s.finishEvicting(drop) {
			err = errStays
			continue
		}
		freed += drop.taken
	}
	return freed
}

// trim evicts members beyond the limit, as it may have become lower since they were decoded.
func (s *Spool) trim() {
	limit := s.o.Limit()
	s.mu.Lock()
	over := s.used > limit
	s.mu.Unlock()
	for over && s.evictAll(1, (*entry).isIdle) > 0 {
		s.mu.Lock()
		over = s.used > limit && s.oldest(func(e *entry) bool { return e.reserved && e.isIdle() }) != nil
		s.mu.Unlock()
	}
}
