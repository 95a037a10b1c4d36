package torrents

import "shoal/torrents/cache"

// PieceState is where a piece is.
type PieceState = cache.Shown

// The states of a piece.
const (
	PieceMissing   = cache.ShownMissing
	PiecePartial   = cache.ShownPartial // wanted, and partly here
	PieceNow       = cache.ShownNow     // a reader waits for it
	PieceAhead     = cache.ShownAhead   // wanted before a reader comes to it
	PieceCached    = cache.ShownPresent // in the cache, verified
	PieceUnchecked = cache.ShownSuspect // in the cache since before a crash, to be checked before it is used
)

// PieceStates returns the states of a torrent's pieces, and their length in bytes, of which the last piece may
// be shorter. Both are empty while the metadata is unknown. It reads a small file if nobody reads the torrent,
// and waits for nobody. The error is ErrNotFound.
func (l *Library) PieceStates(ih Infohash) (states []PieceState, pieceLength int64, err error) {
	e, err := l.entry(ih)
	if err != nil {
		return nil, 0, err
	}
	states, pieceLength = e.pieceStates()
	return states, pieceLength, nil
}

// pieceStates is Library.PieceStates.
func (e *entry) pieceStates() (states []PieceState, pieceLength int64) {
	rec := e.record()
	if !rec.resolved() {
		return nil, 0
	}
	g := rec.geometry()
	return e.lib.cache.Shown(e.ih.key(), &g), rec.PieceLength
}

// waited returns the pieces that readers wait for, in order, and whether one of them has no room in the cache.
func (e *entry) waited() (pieces []int, noRoom bool) {
	s := e.opened()
	if s == nil {
		return nil, false
	}
	return s.pieces.Waited()
}
