package torrents

import (
	"slices"
	"time"

	"github.com/anacrolix/torrent"

	"shoal/torrents/cache"
)

// pipeline tells the engine which pieces to ask peers for: those that somebody waits for at once, and of those that will be read soon
// as many as keep the peers busy. It belongs to one goroutine.
//
// anacrolix/torrent v1.62.0 asks a peer for as much as it is told that is wanted, up to some 16 MiB, takes nothing back when it is not
// wanted any more, and asks for more only when all of it has come. A reader who goes on elsewhere would wait for all that, and a peer
// that is far away would have nothing to do for a round trip each time. So while there is one peer, it is told of as little as the
// measured rate needs, and is made to look again when half of that has come. With more peers their pauses do not fall together, and what
// there is to ask for has to suffice for all of them: they are told everything.
type pipeline struct {
	m *member

	asked map[int]cache.Urgency // what the engine was told, where that is not None
	ahead []int                 // pieces that are wanted ahead and were not told, the first to be asked for in front

	lead     time.Duration // how much time's worth of data to have under way; see probe
	probing  bool          // lead was raised a moment ago
	rates    [10]float64   // measured last, in bytes per second
	measured int           // of rates
	looked   time.Time
	arrived  int64
	before   float64   // the rate before lead was raised
	retry    time.Time // when to raise it again at the earliest
}

const (
	// minUnderWay and maxUnderWay bound how many bytes a single peer is asked for in advance.
	minUnderWay = 1 << 20
	maxUnderWay = 16 << 20
	// firstUnderWay is that while nothing was measured.
	firstUnderWay = 2 << 20
	// A single peer is asked for what comes in minTime, or, where that makes it faster, up to maxTime: on a path with a long round
	// trip less would not keep it busy.
	minTime = 150 * time.Millisecond
	maxTime = 2 * time.Second
	// rateTime is how long a rate is measured for.
	rateTime = 500 * time.Millisecond
	// probePause is how long to wait before trying again whether more under way would make it faster.
	probePause = 15 * time.Second
)

func newPipeline(m *member) *pipeline {
	return &pipeline{m: m, asked: make(map[int]cache.Urgency), lead: minTime}
}

// run goes on until the member leaves.
func (l *pipeline) run() {
	for {
		select {
		case <-l.m.stop:
			return
		case <-l.m.renew:
			for piece, u := range l.asked {
				if u == cache.Now {
					// The engine takes for complete what it was told is right, even if that could not be kept.
					l.m.t.Piece(piece).UpdateCompletion()
					l.set(piece, cache.None)
					l.set(piece, u)
				}
			}
		case <-l.m.pieces.Changed():
			l.step()
		}
	}
}

// step tells the engine what has changed, and of as much more as is to be under way.
func (l *pipeline) step() {
	urgent := -1
	for _, c := range l.m.pieces.Changes() {
		if c.Recheck {
			l.m.t.Piece(c.Piece).UpdateCompletion()
		}
		asked, known := l.asked[c.Piece]
		if known && c.Urgency == asked {
			continue
		}
		if i := slices.Index(l.ahead, c.Piece); i >= 0 {
			l.ahead = slices.Delete(l.ahead, i, i+1)
		}
		switch {
		case c.Urgency == cache.Ahead && !known:
			l.ahead = append(l.ahead, c.Piece)
		case c.Urgency == cache.None && !known:
		default:
			l.set(c.Piece, c.Urgency)
			if !known {
				urgent = c.Piece
			}
		}
	}
	single := l.m.peers() <= 1
	if more := l.fill(single); more >= 0 {
		urgent = more
	}
	if single && urgent >= 0 {
		l.kick(urgent)
	}
}

// fill tells the engine of pieces that are wanted ahead while too little is under way, and returns the last, or -1.
func (l *pipeline) fill(single bool) (last int) {
	last = -1
	target := int64(maxUnderWay)
	if single {
		target = l.target()
	}
	list := make([]int, 0, len(l.asked))
	for piece := range l.asked {
		list = append(list, piece)
	}
	total, left := l.m.pieces.Arrived(list, target/4)
	l.measure(total)
	if single && left > target/2 {
		return last
	}
	for len(l.ahead) > 0 && (left < target || !single) {
		last = l.ahead[0]
		l.ahead = l.ahead[1:]
		l.set(last, cache.Ahead)
		left += l.m.pieces.PieceLength
	}
	return last
}

// target is how many bytes a single peer should be asked for in advance.
func (l *pipeline) target() int64 {
	if l.measured == 0 {
		return firstUnderWay
	}
	return min(max(int64(l.rate()*l.lead.Seconds()), minUnderWay), maxUnderWay)
}

// rate is the best of those measured last: one that was low because too little was under way must not make that still less.
func (l *pipeline) rate() float64 { return slices.Max(l.rates[:]) }

// measure notes the rate now and then. total is how many bytes have come.
func (l *pipeline) measure(total int64) {
	now := time.Now()
	took := now.Sub(l.looked)
	if took < rateTime {
		return
	}
	rate := float64(total-l.arrived) / took.Seconds()
	first := l.looked.IsZero() || took > 4*rateTime // nothing was asked for meanwhile
	l.looked, l.arrived = now, total
	if first {
		l.probing = false
		return
	}
	best := l.rate()
	l.rates[l.measured%len(l.rates)] = rate
	l.measured++
	l.probe(now, rate, best)
}

// probe finds out whether more under way makes a single peer faster, as it does when it is far away.
func (l *pipeline) probe(now time.Time, rate, best float64) {
	switch {
	case l.probing && rate < l.before*1.15:
		l.lead = max(minTime, l.lead/2)
		l.probing, l.retry = false, now.Add(probePause)
	case len(l.ahead) == 0 || now.Before(l.retry) || l.lead >= maxTime:
		l.probing = false // all that is wanted is under way
	default:
		l.probing, l.before = true, max(rate, best)
		l.lead *= 2
	}
}

// kick makes the engine ask peers for more though not everything has come that they were asked for: it does when a piece, of which it
// was unsure whether it is there, is missing.
func (l *pipeline) kick(piece int) {
	if l.m.isBroken() || l.m.pieces.State(piece) != cache.Missing {
		return
	}
	l.m.unsure.Store(int64(piece) + 1)
	l.m.t.Piece(piece).UpdateCompletion()
	l.m.unsure.Store(0)
	l.m.t.Piece(piece).UpdateCompletion()
}

// set tells the engine how much a piece is wanted.
func (l *pipeline) set(piece int, u cache.Urgency) {
	priority := torrent.PiecePriorityNone
	switch u {
	case cache.Ahead:
		priority = torrent.PiecePriorityReadahead
	case cache.Now:
		priority = torrent.PiecePriorityNow
	}
	l.m.t.Piece(piece).SetPriority(priority)
	if u == cache.None {
		delete(l.asked, piece)
	} else {
		l.asked[piece] = u
	}
}
