package admin

import (
	"encoding/json"
	"errors"
	"strings"

	"shoal/torrents"
)

// torrentsEvent is what has changed of torrents.
type torrentsEvent struct {
	Totals map[torrents.State]int `json:"totals"`
	Rows   []json.RawMessage      `json:"rows"` // torrentJSON
	Gone   []torrents.Infohash    `json:"gone"`
}

// torrentRow is a torrent as it was sent; no data if it is not there.
type torrentRow struct {
	data []byte
	sum  string
}

// seenRow is a torrent as all streams see it in a tick.
func (s *server) seenRow(ih torrents.Infohash) (torrentRow, error) {
	return inTick(&s.ticks, "torrent "+string(ih[:]), func() (torrentRow, error) {
		t, err := s.library.Torrent(ih)
		if errors.Is(err, torrents.ErrNotFound) {
			return torrentRow{sum: "gone"}, nil
		}
		if err != nil {
			return torrentRow{}, err
		}
		data, err := encodeEvent(s.newTorrentJSON(t))
		return torrentRow{data, sumOf(data)}, err
	})
}

// torrentsTopic tells how many torrents are in each state, and of the torrents that the query names.
func (s *server) torrentsTopic(q eventQuery) (topic, error) {
	sent := make(map[torrents.Infohash]string, len(q.ids)) // sums
	return func() (fragment, error) {
		event := torrentsEvent{Totals: s.seenStats().Torrents, Rows: []json.RawMessage{}, Gone: []torrents.Infohash{}}
		totals, err := json.Marshal(event.Totals) // sorted
		if err != nil {
			return fragment{}, err
		}
		var all strings.Builder
		all.Write(totals)
		for _, ih := range q.ids {
			row, err := s.seenRow(ih)
			if err != nil {
				return fragment{}, err
			}
			all.Write(ih[:])
			all.WriteString(row.sum)
			switch {
			case sent[ih] == row.sum:
			case row.data == nil:
				event.Gone = append(event.Gone, ih)
			default:
				event.Rows = append(event.Rows, row.data)
			}
			sent[ih] = row.sum
		}
		data, err := encodeEvent(event)
		return fragment{Name: "torrents", Data: data, sum: sumOf([]byte(all.String()))}, err
	}, nil
}

// piecesEvent is what has changed of the pieces of a torrent.
type piecesEvent struct {
	Infohash    torrents.Infohash `json:"infohash"`
	Gone        bool              `json:"gone"`
	PieceLength int64             `json:"piece_length"` // in bytes
	Pieces      int               `json:"pieces"`
	// Changes are runs of pieces of one state: the first of them, how many, and the state.
	Changes [][3]int `json:"changes"`
}

// pieceMap is where the pieces of a torrent are.
type pieceMap struct {
	states []torrents.PieceState
	length int64 // of a piece, in bytes
	gone   bool
	sum    string
}

// seenPieces are the pieces of a torrent as all streams see them in a tick.
func (s *server) seenPieces(ih torrents.Infohash) (*pieceMap, error) {
	return inTick(&s.ticks, "pieces "+string(ih[:]), func() (*pieceMap, error) {
		states, length, err := s.library.PieceStates(ih)
		m := &pieceMap{states: states, length: length}
		if errors.Is(err, torrents.ErrNotFound) {
			m.gone, err = true, nil
		}
		key := append(make([]byte, 0, len(states)+len(ih)+1), ih[:]...)
		for _, state := range states {
			key = append(key, byte(state))
		}
		if m.gone {
			key = append(key, "gone"...)
		}
		m.sum = sumOf(key)
		return m, err
	})
}

// piecesTopic tells of the pieces of the torrent that the query names.
func (s *server) piecesTopic(q eventQuery) (topic, error) {
	if len(q.ids) != 1 {
		return nil, badRequest("For the topic “pieces”, “ids” has to be one infohash.")
	}
	ih, sent := q.ids[0], &pieceMap{}
	return func() (fragment, error) {
		now, err := s.seenPieces(ih)
		if err != nil {
			return fragment{}, err
		}
		f := fragment{Name: "pieces", sum: now.sum}
		if now.sum == sent.sum {
			return f, nil
		}
		event := piecesEvent{
			Infohash: ih, Gone: now.gone, PieceLength: now.length, Pieces: len(now.states), Changes: changes(sent.states, now.states),
		}
		sent = now
		f.Data, err = encodeEvent(event)
		return f, err
	}, nil
}

// changes are the runs of states in next that are not those in before; all of them, if before has not as many.
func changes(before, next []torrents.PieceState) [][3]int {
	runs := [][3]int{}
	all := len(before) != len(next)
	for i := 0; i < len(next); i++ {
		if !all && before[i] == next[i] {
			continue
		}
		first := i
		for i+1 < len(next) && next[i+1] == next[first] && (all || before[i+1] != next[i+1]) {
			i++
		}
		runs = append(runs, [3]int{first, i + 1 - first, int(next[first])})
	}
	return runs
}
