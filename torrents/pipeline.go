package torrents

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/anacrolix/torrent"

	"shoal/torrents/cache"
)

// pipeline tells the engine which pieces to ask peers for. It belongs to one goroutine.
//
// anacrolix/torrent v1.62.0 asks a peer for as much as it is told that is wanted, up to some 16 MiB, takes nothing back when it is not
// wanted any more, and asks for more only when all of it has come. A reader who goes on elsewhere would wait for all that, and a peer
// that is far away would have nothing to do for a round trip each time. So while there is one peer, it is asked for as little as the
// measured rate needs, and the engine is made to look again when half of that has come. With more peers their pauses do not fall
// together, and what there is to ask for has to suffice for all of them: the engine is told everything. So it is of a peer that sends in
// pulses, as Transmission does.
type pipeline struct {
	m *member

	wanted map[int]wish          // what readers want
	told   map[int]cache.Urgency // of that, what the engine knows
	seq    int

	fresh int  // the piece that the engine was told of last
	first bool // somebody begins to wait there, and the engine should look at once

	// What the engine has, as far as can be told: bytes that it asked for and did not get yet, and how many it will have under way at
	// the most; see kick.
	pending, limit int64

	gaps    [3]time.Duration // the longest times lately in which nothing came of what was under way, the longest first
	came    time.Time        // when something came last, or was asked for after nothing was under way
	started bool             // something has come
	rates   [10]float64      // measured last, in bytes per second
	count   int              // of rates measured
	looked  time.Time
	arrived int64 // bytes, when it was measured last
	seen    int64 // bytes, at the last step
	beat    int64 // bytes, at the last beat
}

// wish is how a piece is wanted.
type wish struct {
	urgency cache.Urgency
	ticket  uint32
	seq     int // which was first, of those that are wanted ahead
}

const (
	// minUnderWay and maxUnderWay bound how many bytes a single peer is asked for in advance.
	minUnderWay = 1 << 20
	maxUnderWay = 16 << 20
	// firstUnderWay is that while nothing was measured.
	firstUnderWay = 2 << 20
	// A single peer is asked for what comes in minTime, or in twice the longest gap: that is a round trip to a peer far away, or
	// half a second to a Transmission, which answers twice a second.
	minTime = 100 * time.Millisecond
	maxGap  = time.Second
	// pulseGap is how long the gaps are at least of a peer that sends in pulses, when they have faded a little.
	pulseGap = 200 * time.Millisecond
	// pulseWake is after how many bytes is looked whether it still does.
	pulseWake = 256 << 10
	// gapFade is what is left of a gap after each rateTime.
	gapFade = 0.8
	// rateTime is how long a rate is measured for.
	rateTime = 500 * time.Millisecond
	// beat is how often is looked whether anything comes at all.
	beat = 500 * time.Millisecond
)

func newPipeline(m *member) *pipeline {
	return &pipeline{m: m, wanted: make(map[int]wish), told: make(map[int]cache.Urgency)}
}

// run goes on until the member leaves.
func (l *pipeline) run() {
	every := time.NewTicker(beat)
	defer every.Stop()
	for {
		select {
		case <-l.m.stop:
			return
		case <-l.m.renew:
			for piece, u := range l.told {
				if u == cache.Now {
					l.tell(piece, cache.None)
					l.tell(piece, u)
				}
			}
		case <-every.C:
			l.look()
		case <-l.m.pieces.Changed():
			l.take()
			l.step()
		}
	}
}

// look tells the engine everything if nothing has come since it was called last: the peer may have none of what it was asked for.
//
// It also finds pieces that the engine takes for complete and that are gone: it notes that a piece is complete some time after it has told
// the cache, which may have evicted it meanwhile.
func (l *pipeline) look() {
	for piece := range l.told {
		if state := l.m.t.PieceState(piece); state.Complete && l.m.pieces.State(piece) != cache.Present {
			l.m.t.Piece(piece).UpdateCompletion()
		}
	}
	total, _ := l.m.pieces.Arrived(maps.Keys(l.told))
	if total == l.beat && len(l.told) < len(l.wanted) {
		l.tellAll()
	}
	l.beat = total
}

// takeBack takes back all that peers were asked for. The engine would not, and they would send it to the last byte.
func (l *pipeline) takeBack() {
	if l.m.isBroken() {
		return
	}
	l.m.t.DisallowDataDownload()
	l.m.t.AllowDataDownload()
	if l.m.isBroken() {
		l.m.t.DisallowDataDownload() // meanwhile
	}
	l.pending = 0
}

// take notes what has changed. When everybody has gone who waited, nothing more is to come.
func (l *pipeline) take() {
	withdrawn := false
	for _, c := range l.m.pieces.Changes() {
		if c.Recheck {
			l.m.t.Piece(c.Piece).UpdateCompletion()
		}
		if c.Urgency == cache.None {
			delete(l.wanted, c.Piece)
		} else {
			l.seq++
			l.wanted[c.Piece] = wish{c.Urgency, c.Ticket, l.seq}
		}
		if u, ok := l.told[c.Piece]; ok && u != c.Urgency {
			l.tell(c.Piece, c.Urgency)
			withdrawn = withdrawn || c.Urgency == cache.None && l.m.pieces.State(c.Piece) == cache.Missing
		}
	}
	if withdrawn && len(l.wanted) == 0 {
		l.takeBack()
	}
}

// step tells the engine of as much more as is to be under way.
func (l *pipeline) step() {
	if l.m.peers() > 1 {
		l.tellAll()
		return
	}
	total, left := l.m.pieces.Arrived(maps.Keys(l.told))
	l.follow(total, left)
	l.measure(total)
	if l.pulses() {
		l.tellAll()
		l.m.pieces.Wake(pulseWake)
		return
	}
	target := l.target()
	if l.tellFirst() {
		l.first = true
		_, left = l.m.pieces.Arrived(maps.Keys(l.told))
	}
	if left <= target/2 {
		for _, piece := range l.untold() {
			if left >= target {
				break
			}
			l.tell(piece, l.wanted[piece].urgency)
			left += l.m.pieces.PieceLength
		}
	}
	l.kick(left, target)
	l.m.pieces.Wake(max(min(left, l.pending)-target/2, minWake))
}

// follow notes what the engine does by itself: when all that it asked for has come, it asks for more, and for up to twice as much as the last time.
func (l *pipeline) follow(total, left int64) {
	now := time.Now()
	if total > l.seen {
		if l.started && l.pending > 0 {
			l.paused(min(now.Sub(l.came), maxGap))
		}
		l.came, l.started = now, true
	}
	l.pending = max(0, l.pending-(total-l.seen))
	l.seen = total
	if l.pending == 0 && left > 0 {
		l.pending = min(max(l.limit, chunk), left)
		l.limit = 2 * l.pending
		l.came = now
	}
}

// paused notes that nothing came for a while.
func (l *pipeline) paused(gap time.Duration) {
	for i := range l.gaps {
		if gap > l.gaps[i] {
			gap, l.gaps[i] = l.gaps[i], gap
		}
	}
}

// minWake is how many bytes have to come at least before it is worth while to look again.
const minWake = 64 << 10

// tellFirst tells the engine where somebody begins to wait: of the first piece of each run of pieces that are waited for, none of which it
// knows. They do not wait for the read-ahead of others.
func (l *pipeline) tellFirst() (told bool) {
	for _, r := range l.runs() {
		if !slices.ContainsFunc(r.pieces, l.knows) {
			l.tell(r.pieces[0], cache.Now)
			told = true
		}
	}
	return told
}

// run is a run of pieces that somebody waits for.
type run struct {
	pieces []int
	ticket uint32 // of who began to wait first
}

// runs lists those that there are, where somebody began to wait first in front.
func (l *pipeline) runs() []run {
	var now []int
	for piece, w := range l.wanted {
		if w.urgency == cache.Now {
			now = append(now, piece)
		}
	}
	slices.Sort(now)
	var list []run
	for i, piece := range now {
		ticket := l.wanted[piece].ticket
		if i == 0 || now[i-1] != piece-1 {
			list = append(list, run{nil, ticket})
		}
		r := &list[len(list)-1]
		r.pieces = append(r.pieces, piece)
		if int32(ticket-r.ticket) < 0 {
			r.ticket = ticket
		}
	}
	slices.SortFunc(list, func(a, b run) int { return cmp.Compare(int32(a.ticket-b.ticket), 0) })
	return list
}

// tellAll tells the engine everything.
func (l *pipeline) tellAll() {
	for _, piece := range l.untold() {
		l.tell(piece, l.wanted[piece].urgency)
	}
}

// untold lists the pieces that the engine does not know to be wanted, the most urgent first.
func (l *pipeline) untold() []int {
	var list, ahead []int
	for _, r := range l.runs() {
		list = append(list, r.pieces...)
	}
	for piece, w := range l.wanted {
		if w.urgency == cache.Ahead {
			ahead = append(ahead, piece)
		}
	}
	slices.SortFunc(ahead, func(a, b int) int { return cmp.Compare(l.wanted[a].seq, l.wanted[b].seq) })
	return slices.DeleteFunc(append(list, ahead...), l.knows)
}

// knows says whether the engine was told that the piece is wanted.
func (l *pipeline) knows(piece int) bool {
	_, told := l.told[piece]
	return told
}

// pulses says whether the peer sends now and then only. There is nothing to be won by asking it for little then, and each time that it has
// less to do than it might, its next pulse is lost.
func (l *pipeline) pulses() bool { return l.gaps[len(l.gaps)-1] >= pulseGap }

// target is how many bytes a single peer should be asked for in advance.
func (l *pipeline) target() int64 {
	if l.count == 0 {
		return firstUnderWay
	}
	// One or two long ones may be by chance.
	lead := max(minTime, 2*l.gaps[len(l.gaps)-1])
	return min(max(int64(l.rate()*lead.Seconds()), minUnderWay), maxUnderWay)
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
	first := took > 4*rateTime // nothing was asked for meanwhile
	l.looked, l.arrived = now, total
	if first {
		return
	}
	l.rates[l.count%len(l.rates)] = rate
	l.count++
	for i := range l.gaps {
		l.gaps[i] = time.Duration(gapFade * float64(l.gaps[i]))
	}
}

// chunk is what the engine asks for at a time, in bytes.
const chunk = 16 << 10

// kick makes the engine ask for more though not everything has come that it asked for, when that does good: it does when a piece, of which it
// was unsure whether it is there, is missing. left is how much of what it was told of is yet to come.
//
// It will then have at most twice as much under way as it asks for by this. So this must not be done when it can ask for little only, or it
// would ask for next to nothing before everything has come.
func (l *pipeline) kick(left, target int64) {
	more := min(l.limit, left) - l.pending
	switch {
	case l.first && more >= min(l.m.pieces.PieceLength, target/4):
	case l.pending > target/2 || more < target*7/16:
		return
	}
	if l.m.isBroken() || l.m.pieces.State(l.fresh) != cache.Missing {
		return
	}
	l.first = false
	l.pending += more
	l.limit = 2 * more
	l.m.unsure.Store(int64(l.fresh) + 1)
	l.m.t.Piece(l.fresh).UpdateCompletion()
	l.m.unsure.Store(0)
	l.m.t.Piece(l.fresh).UpdateCompletion()
}

// tell tells the engine how much a piece is wanted.
func (l *pipeline) tell(piece int, u cache.Urgency) {
	priority := torrent.PiecePriorityNone
	switch u {
	case cache.Ahead:
		priority = torrent.PiecePriorityReadahead
	case cache.Now:
		priority = torrent.PiecePriorityNow
	}
	l.m.t.Piece(piece).SetPriority(priority)
	if u == cache.None {
		delete(l.told, piece)
		return
	}
	l.told[piece] = u
	l.fresh = piece
}
