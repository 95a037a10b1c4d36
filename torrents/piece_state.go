package torrents

import (
	"os"
	"slices"
)

// PieceState is where a piece is.
type PieceState byte

// The states of a piece.
const (
	PieceMissing   PieceState = 0
	PiecePartial   PieceState = 1 // wanted, and partly here
	PieceNow       PieceState = 2 // a reader waits for it
	PieceAhead     PieceState = 3 // wanted before a reader comes to it
	PieceCached    PieceState = 4 // in the cache, verified
	PieceUnchecked PieceState = 5 // in the cache since before a crash, to be checked before it is used
)

// maxPartial is of how many wanted pieces the engine is asked whether they are partly here.
const maxPartial = 4096

// PieceStates returns the states of a torrent's pieces, and their length in bytes, of which the last piece may
// be shorter. Both are empty while the metadata is unknown. It reads a small file if nobody reads the torrent,
// and waits for nobody. The error is ErrNotFound.
func (l *Library) PieceStates(ih Infohash) (states []PieceState, pieceLength int64, err error) {
	e, err := l.entry(ih)
	if err != nil {
		return nil, 0, err
	}
	e.mu.Lock()
	pieceLength = e.rec.PieceLength
	e.mu.Unlock()
	states = e.cachedStates()
	now, ahead := e.wanted()
	for _, piece := range ahead {
		if states[piece] == PieceMissing {
			states[piece] = PieceAhead
		}
	}
	for _, piece := range now {
		if states[piece] == PieceMissing || states[piece] == PieceAhead {
			states[piece] = PieceNow
		}
	}
	if m := l.swarm.member(ih); m != nil && pieceLength > 0 {
		wanted := slices.Concat(now, ahead)
		for _, piece := range wanted[:min(len(wanted), maxPartial)] {
			if states[piece] != PieceCached && m.t.PieceState(piece).Partial {
				states[piece] = PiecePartial
			}
		}
	}
	return states, pieceLength, nil
}

// cachedStates returns for each piece whether it is missing, cached or unchecked; none while the metadata is
// unknown.
func (e *entry) cachedStates() []PieceState {
	e.mu.Lock()
	s, n := e.session, e.rec.Pieces
	e.mu.Unlock()
	if s != nil {
		return s.pieces.shown()
	}
	states := make([]PieceState, n)
	if n == 0 {
		return states
	}
	for i, saved := range savedStates(e.lib.opts.CacheDir, e.ih, n) {
		states[i] = saved.shown()
	}
	return states
}

// savedStates reads the states of a cache that is not open. One that cannot be read holds nothing.
func savedStates(dir string, ih Infohash, n int) []pieceState {
	f, err := os.Open(piecesPath(dir, ih))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	states, err := readPieceStates(f, n)
	if err != nil {
		return nil
	}
	return states
}

// shown is the state of a piece of a cache that is not open.
func (s pieceState) shown() PieceState {
	switch s {
	case pieceWritten:
		return PieceUnchecked
	case pieceSynced:
		return PieceCached
	default:
		return PieceMissing
	}
}

// shown returns the states of the pieces of an open cache.
func (p *pieces) shown() []PieceState {
	p.mu.Lock()
	defer p.mu.Unlock()
	states := make([]PieceState, len(p.have))
	for i, s := range p.have {
		if s != pieceMissing {
			states[i] = PieceCached
		}
	}
	for i := range p.suspect {
		states[i] = PieceUnchecked
	}
	return states
}

// wanted returns the pieces that readers wait for, and those that are wanted ahead, in order.
func (e *entry) wanted() (now, ahead []int) {
	e.mu.Lock()
	s := e.session
	e.mu.Unlock()
	if s == nil {
		return nil, nil
	}
	return s.demand.wanted()
}

func (d *demand) wanted() (now, ahead []int) {
	d.mu.Lock()
	for piece, w := range d.wants {
		switch w.urgency() {
		case urgencyNow:
			now = append(now, piece)
		case urgencyAhead:
			ahead = append(ahead, piece)
		}
	}
	d.mu.Unlock()
	slices.Sort(now)
	slices.Sort(ahead)
	return now, ahead
}
