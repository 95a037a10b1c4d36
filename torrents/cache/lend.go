package cache

import "time"

// Who sends a part of the file with sendfile(2) gives away the pages of the kernel's cache themselves, which are on their way, or in
// the queue of who receives them, long after Release. Freeing whole pages only takes them out of the kernel's cache; but the kernel
// keeps pages in groups (large folios), and what it frees of a group it fills with zeros, for the client as well. So:
//
//   - Pieces that are whole groups, however large these are, may be lent at all times.
//   - Others are not evicted for lendTime after they were used, and not lent at all while the cache turns over so fast that this is in
//     the way, or is so small that it soon would be. Then what is read is copied.
const (
	// groupSize is the size, and alignment, of the largest group of pages, 2 MiB; with larger pages than 4 KiB groups may be larger.
	groupSize = 2 << 20
	// lendTime is how long what was sent may be on its way.
	lendTime = 5 * time.Second
	// lendRoom is how large a cache is at least that lends.
	lendRoom = 256 << 20
	// tightTime is how long not to lend after it was in the way.
	tightTime = time.Minute
)

// Lend says whether pages of the file may be given away that hold pieces which are being held.
func (p *Pieces) Lend() bool {
	if p.PieceLength%groupSize == 0 && pageSize == blockSize {
		return true
	}
	c := p.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.tightUntil) || c.room() < c.lendRoom {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lent, p.lentAt = true, c.tick()
	return true
}

// ReleaseLent ends a Hold after Lend: from now on pages of the pieces may be on their way.
func (p *Pieces) ReleaseLent(span Span) {
	now := p.cache.tick()
	p.mu.Lock()
	p.lentAt = now
	for i := span.First; i <= span.Last; i++ {
		p.slots[i].last = now
	}
	p.mu.Unlock()
	p.Release(span)
}

// isLent says whether a piece may be on its way to somebody. It needs p.mu.
func (p *Pieces) isLent(s *slot, now uint32) bool {
	const ticks = int32(lendTime / tickTime)
	return p.lent && int32(now-p.lentAt) < ticks && int32(now-s.last) < ticks
}

// tighten ends lending for a while, as it is in the way.
func (c *Cache) tighten() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tightUntil = time.Now().Add(tightTime)
}
