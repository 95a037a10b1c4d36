package torrents

import (
	"sync"
	"time"
)

// Stats are totals of the whole library. Those of bytes are since it was opened.
type Stats struct {
	Torrents map[State]int // each state is there
	Size     int64         // of all torrents, in bytes
	Cached   int64         // in bytes, counted in whole pieces

	// CacheLimit is how many bytes on disk the cache may take now: its limit, or less where the disk has no room
	// for that.
	CacheLimit int64
	// CacheUsed is how many bytes the cache takes on disk, or is about to: pieces, what belongs to them, and what tenants keep.
	CacheUsed int64
	// Lodged is what tenants keep of that, by their folders.
	Lodged map[string]int64
	// Evicted is how many pieces were evicted since the library was opened, by reason, each of which is there: "room" (for others, or to get
	// below the limit), "request" (Library.Evict) and "removed" (with their torrent).
	Evicted map[string]int64
	// OpenFiles is how many files of the cache are open.
	OpenFiles int

	Members        int   // torrents in the swarm
	Activity             // of all of them; a peer counts for each of its torrents
	Received, Sent int64 // bytes of data, with what was of no use
}

// States lists the states that a torrent may have.
func States() []State {
	return []State{StateMetadata, StateIdle, StateActive, StateComplete, StatePaused, StateFailed}
}

// Stats sums up. It looks at every torrent, and waits for nobody.
func (l *Library) Stats() Stats {
	s := Stats{Torrents: make(map[State]int)}
	s.CacheUsed, s.CacheLimit = l.cache.Use()
	s.Lodged = l.cache.Lodged()
	s.Evicted = make(map[string]int64)
	for why, n := range l.cache.Evictions() {
		s.Evicted[why.String()] = n
	}
	for _, state := range States() {
		s.Torrents[state] = 0
	}
	for _, e := range l.list() {
		t := e.look("")
		s.Torrents[t.State]++
		s.Size += t.Size
		s.Cached += t.Cached
		if e.opened() != nil {
			s.OpenFiles += openFiles
		}
	}
	conns := l.swarm.client.ConnStats()
	s.Received, s.Sent = conns.BytesReadData.Int64(), conns.BytesWrittenData.Int64()
	s.Activity, s.Members = l.swarm.activity()
	return s
}

// Activity is Stats.Activity and Stats.CacheUsed alone, which looks at no torrent that is not in the swarm, and waits for nobody.
func (l *Library) Activity() (a Activity, cacheUsed int64) {
	a, _ = l.swarm.activity()
	cacheUsed, _ = l.cache.Use()
	return a, cacheUsed
}

// openFiles is how many files an open cache of a torrent has.
const openFiles = 2

// activity sums up what the members do, as of the last sample.
func (s *swarm) activity() (sum Activity, members int) {
	list := s.list()
	for _, m := range list {
		a := m.activity()
		sum.Peers += a.Peers
		sum.Seeds += a.Seeds
		sum.DownRate += a.DownRate
		sum.UpRate += a.UpRate
	}
	return sum, len(list)
}

// totals keeps the rate of all downloads for a moment, as each torrent in a list may ask for it.
type totals struct {
	mu   sync.Mutex
	at   time.Time
	down int64 // bytes per second
}

// downRate returns the rate of all downloads, in bytes per second.
func (s *swarm) downRate(now time.Time) int64 {
	s.totals.mu.Lock()
	defer s.totals.mu.Unlock()
	if now.Sub(s.totals.at) >= tick {
		sum, _ := s.activity()
		s.totals.at, s.totals.down = now, sum.DownRate
	}
	return s.totals.down
}

// downLimit is that of all downloads, in bytes per second; 0 is none.
func (s *swarm) downLimit() int64 {
	down, _ := s.limits.get()
	return down
}
