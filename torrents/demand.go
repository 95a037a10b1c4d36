package torrents

import "sync"

// urgency is how much a piece is wanted.
type urgency int

const (
	urgencyNone urgency = iota
	urgencyAhead
	urgencyNow
)

// demand counts who wants which piece of a torrent, so that one reader's loss of interest does not
// take a piece away from another.
type demand struct {
	// apply is told when the urgency of a piece changes. It is called under mu, so that changes
	// arrive in order.
	apply func(piece int, u urgency)

	mu    sync.Mutex
	wants map[int]want
}

type want struct{ now, ahead int }

func (w want) urgency() urgency {
	switch {
	case w.now > 0:
		return urgencyNow
	case w.ahead > 0:
		return urgencyAhead
	default:
		return urgencyNone
	}
}

// add counts one more (n = 1) or one less (n = -1) wish of urgency u for a piece.
func (d *demand) add(piece int, u urgency, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.wants[piece]
	before := w.urgency()
	if u == urgencyNow {
		w.now += n
	} else {
		w.ahead += n
	}
	if w == (want{}) {
		delete(d.wants, piece)
	} else {
		if d.wants == nil {
			d.wants = make(map[int]want)
		}
		d.wants[piece] = w
	}
	if after := w.urgency(); after != before {
		d.apply(piece, after)
	}
}

const (
	// Reads this close to the last one belong to the same stream: an NFS client sends up to 16
	// reads of 1 MiB at a time, in any order.
	streamWindow = 16 << 20
	// A stream reads ahead only after this much: scanners and seeks cost no more than they touch.
	streamProven = 256 << 10
	// The read-ahead grows to this, or to four pieces if that is more. Less makes streams slow on
	// long links, more makes seeks slow.
	maxReadAhead = 16 << 20
)

// stream follows the reads of one file and says how far to read ahead.
type stream struct {
	end    int64 // of the furthest read
	proven int64 // bytes read in sequence since the last seek
	window int64 // how far to read ahead, in bytes
}

// advance takes a read of n bytes at off, and returns the read-ahead that follows it, in bytes.
func (s *stream) advance(off, n, pieceLength int64) int64 {
	if off < s.end-streamWindow || off > s.end+streamWindow {
		*s = stream{end: off}
	}
	s.proven += n
	s.end = max(s.end, off+n)
	switch {
	case s.proven < streamProven:
		s.window = 0
	case s.window == 0:
		s.window = pieceLength
	default:
		s.window = min(s.window+2*n, max(maxReadAhead, 4*pieceLength))
	}
	return s.window
}

// span is a run of pieces, first to last; empty if last is before first.
type span struct{ first, last int }

func (s span) contains(piece int) bool { return s.first <= piece && piece <= s.last }

// nudge withdraws the most urgent wishes and makes them again.
func (d *demand) nudge() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for piece, w := range d.wants {
		if w.urgency() == urgencyNow {
			d.apply(piece, urgencyNone)
			d.apply(piece, urgencyNow)
		}
	}
}

// reapply tells apply of every wish again, for a swarm that has forgotten them.
func (d *demand) reapply() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for piece, w := range d.wants {
		d.apply(piece, w.urgency())
	}
}
