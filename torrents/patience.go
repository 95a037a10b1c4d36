package torrents

import (
	"sync"
	"time"
)

// waitGap is how long nobody may wait for a torrent before the next wait counts as a new one. An NFS
// client that was told to ask again does so after 5 to 10 s, and has waited all the while.
const waitGap = time.Minute

// patience tells when a torrent has received nothing for so long that waiting is of no use. It is
// shared by all who wait for the torrent, one after another or together.
type patience struct {
	after time.Duration // 0 is for ever

	mu    sync.Mutex
	count int       // who wait now
	since time.Time // when this wait began, of whoever
	last  time.Time // when somebody last waited
}

// begin notes that somebody waits. end has to follow.
func (p *patience) begin(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == 0 && now.Sub(p.last) > waitGap {
		p.since = now
	}
	p.count++
}

// end notes that somebody does not wait any more. If that is for lack of patience, who comes later
// begins with a new one.
func (p *patience) end(now time.Time, gaveUp bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count--
	p.last = now
	if gaveUp {
		p.last = time.Time{}
	}
}

// over says whether it is, if the last data came at received.
func (p *patience) over(now, received time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.after > 0 && now.Sub(p.since) >= p.after && now.Sub(received) >= p.after
}

// interval is how often to ask over.
func (p *patience) interval() time.Duration {
	if p.after == 0 {
		return waitGap
	}
	return max(min(p.after/10, time.Second), time.Millisecond)
}
