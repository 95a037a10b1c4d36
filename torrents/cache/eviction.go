package cache

import "sync/atomic"

// Reason is why pieces were evicted.
type Reason int

const (
	// ForRoom is to make room for others, or to get below the limit.
	ForRoom Reason = iota
	// OnRequest is that somebody asked for it (Pieces.Evict).
	OnRequest
	// OnRemoval is that their torrent was removed (Cache.Remove).
	OnRemoval

	reasons
)

// String returns the reason in one word.
func (r Reason) String() string { return [reasons]string{"room", "request", "removed"}[r] }

// evictions counts pieces that had data and were evicted, by reason.
type evictions [reasons]atomic.Int64

// add counts n pieces.
func (e *evictions) add(why Reason, n int) { e[why].Add(int64(n)) }

// Evictions returns how many pieces were evicted since the cache was opened, by reason; each reason is there. A piece that was not
// complete counts as well, as what there was of it has to be fetched again.
func (c *Cache) Evictions() map[Reason]int64 {
	count := make(map[Reason]int64, reasons)
	for why := range reasons {
		count[why] = c.evictions[why].Load()
	}
	return count
}

// present returns how many pieces there are.
func (s *saved) present() (n int) {
	for _, state := range s.states {
		if state&savedPresent != 0 {
			n++
		}
	}
	return n
}

// closedPieces returns how many pieces there are of a torrent that is not open; 0 if that cannot be read.
func (c *Cache) closedPieces(key Key) int {
	c.mu.Lock()
	_, closed := c.closed[key]
	n, ok := c.tally(key).Pieces()
	c.mu.Unlock()
	if ok || !closed {
		return n
	}
	f, err := c.openClosed(key)
	if err != nil {
		return 0 // removing it meets the same error, and tells it
	}
	_ = f.close() // nothing was written
	return f.saved.present()
}
