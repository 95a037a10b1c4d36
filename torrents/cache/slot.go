package cache

// State is what there is of a piece.
type State uint8

// The states of a piece.
const (
	Missing      State = iota
	Present            // its hash was checked
	Suspect            // left by an earlier run, and to be checked before it is used
	leaving            // being evicted: not to be read any more, and its room not yet free
	leavingEmpty       // likewise, and nothing was written to it
)

// Urgency is how much a piece is wanted.
type Urgency uint8

// The urgencies, from the least.
const (
	None  Urgency = iota
	Ahead         // somebody will read it soon
	Now           // somebody waits for it
)

type slotFlags uint8

const (
	hasRoom    slotFlags = 1 << iota // its size is counted in Cache.used
	partial                          // data was written to the disk that is not known to be right; only with hasRoom
	torn                             // some of what was written has been thrown away
	edge                             // head or tail of a large file
	waitsNow                         // in Cache.waitNow
	waitsAhead                       // in Cache.waitAhead
	changed                          // in Pieces.changes
	recheck                          // the engine has to ask again whether it is there
)

// slot is what is known of a piece. There may be a million in a torrent.
type slot struct {
	state   State
	flags   slotFlags
	readers uint16 // who use its data, or write it
	now     uint16 // who wait for it
	ahead   uint16 // who will read it soon
	last    uint32 // tick of the last use
	ticket  uint32 // of who began to wait for it first, of those who do
	written uint32 // bytes that were written to it since it got its room, or since Reset
}

// isLeaving says whether the piece is being evicted.
func (s *slot) isLeaving() bool { return s.state == leaving || s.state == leavingEmpty }

func (s *slot) has(f slotFlags) bool { return s.flags&f != 0 }
func (s *slot) set(f slotFlags)      { s.flags |= f }
func (s *slot) clear(f slotFlags)    { s.flags &^= f }

// wanted says how much, by who wants it.
func (s *slot) wanted() Urgency {
	switch {
	case s.now > 0:
		return Now
	case s.ahead > 0:
		return Ahead
	default:
		return None
	}
}

// fetch says how much the piece should be asked for.
func (s *slot) fetch() Urgency {
	if s.state != Missing || !s.has(hasRoom) {
		return None
	}
	return s.wanted()
}

// Span is a run of pieces, First to Last; empty if Last is before First.
type Span struct{ First, Last int }

// Contains says whether the piece is in the span.
func (s Span) Contains(piece int) bool { return s.First <= piece && piece <= s.Last }

// Len returns how many pieces there are.
func (s Span) Len() int { return max(0, s.Last-s.First+1) }
