package torrents

import (
	"math"
)

// Availability is how often the pieces of a torrent are among the connected peers.
type Availability struct {
	Min     int     // of the rarest piece
	Mean    float64 // of all pieces
	Missing int     // pieces that no peer has, nor the cache
}

// Availability counts the pieces of the connected peers; web seeds have all of them. It is false for a torrent
// that is not in the swarm, or whose metadata is unknown. The error is ErrNotFound.
func (l *Library) Availability(ih Infohash) (Availability, bool, error) {
	e, err := l.entry(ih)
	if err != nil {
		return Availability{}, false, err
	}
	m, pieces := l.swarm.member(ih), e.pieceCount()
	if m == nil || pieces == 0 {
		return Availability{}, false, nil
	}
	seeds := len(m.t.WebseedPeerConns())
	counts := make([]uint16, pieces)
	for _, c := range m.t.PeerConns() {
		has := c.PeerPieces()
		if has.GetCardinality() == uint64(pieces) {
			seeds++
			continue
		}
		has.Iterate(func(piece uint32) bool {
			if int(piece) < pieces && counts[piece] < math.MaxUint16 {
				counts[piece]++
			}
			return true
		})
	}
	states, _ := e.pieceStates()
	return sumAvailability(counts, seeds, states), true, nil
}

// sumAvailability takes how many peers have each piece, beside those seeds that have all, and the states of
// the pieces in the cache.
func sumAvailability(counts []uint16, seeds int, cached []PieceState) Availability {
	a := Availability{Min: math.MaxInt}
	sum := 0
	for piece, n := range counts {
		n := int(n) + seeds
		a.Min = min(a.Min, n)
		sum += n
		if n == 0 && (piece >= len(cached) || cached[piece] != PieceCached) {
			a.Missing++
		}
	}
	a.Mean = float64(sum) / float64(len(counts))
	return a
}
