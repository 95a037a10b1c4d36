package torrents

import "time"

// State is what a torrent is doing.
type State string

// The states of a torrent.
const (
	StateMetadata State = "metadata" // a magnet link whose metadata is not known yet
	StateIdle     State = "idle"     // nobody reads it, so it is not in the swarm
	StateActive   State = "active"   // in the swarm
	StateComplete State = "complete" // all of it is in the cache
	StatePaused   State = "paused"   // the user keeps it out of the swarm
	StateFailed   State = "failed"   // it cannot be used; see Torrent.Reason
)

// Activity is what a torrent does in the swarm.
type Activity struct {
	Peers, Seeds     int   // connected
	DownRate, UpRate int64 // bytes per second
}

// Torrent describes a torrent of the library.
type Torrent struct {
	Infohash Infohash
	Name     string
	Route    string
	State    State
	Reason   string // why it failed, or what it waits for
	Size     int64  // in bytes; 0 while unknown
	Cached   int64  // bytes in the cache, counted in whole pieces
	Files    int
	Added    time.Time
	LastRead time.Time // zero if not since the start
	Resolved bool      // its metadata is known
	Paused   bool
	Pinned   bool // its cache is never evicted
	Activity
}

// look is describe without the reason why it is slow.
func (e *entry) look(route string) Torrent {
	e.mu.Lock()
	rec, s, failure, readError, lastRead := e.rec, e.session, e.failure, e.readError, e.lastRead
	e.mu.Unlock()
	t := Torrent{
		Infohash: e.ih, Name: rec.Name, Route: route, Reason: failure,
		Size: rec.Size, Files: rec.Files, Added: rec.Added, LastRead: lastRead,
		Resolved: rec.resolved(), Paused: rec.Paused, Pinned: rec.Pinned,
	}
	cached := e.cachedPieces(&rec)
	if cached == rec.Pieces {
		t.Cached = rec.Size
	} else {
		t.Cached = min(int64(cached)*rec.PieceLength, rec.Size)
	}
	var m *member
	if s != nil {
		m = s.joined()
	}
	if m != nil {
		t.Activity = m.activity()
	}
	g := rec.geometry()
	switch fits := e.lib.checkFits(&g, e.tally); {
	case failure != "":
		t.State = StateFailed
	case rec.resolved() && fits != nil:
		t.State, t.Reason = StateFailed, fits.Error()
	case rec.Paused && !rec.resolved():
		t.State, t.Reason = StatePaused, "paused, so that nobody looks for the metadata"
	case rec.Paused:
		t.State, t.Reason = StatePaused, "paused, so that only what is in the cache can be read"
	case !rec.resolved():
		t.State, t.Reason = StateMetadata, "looking for the metadata in the swarm"
	case cached == rec.Pieces:
		t.State = StateComplete
	case m != nil:
		t.State = StateActive
	default:
		t.State = StateIdle
	}
	if t.State == StateActive || t.State == StateIdle {
		t.Reason = readError
	}
	return t
}

// cachedPieces returns how many of the pieces there are. Once after the start it reads the torrent's small .pieces file, if it has one.
func (e *entry) cachedPieces(rec *torrentRecord) int {
	n, known := e.tally.Pieces()
	if !known && rec.resolved() {
		g := rec.geometry()
		n, _ = e.lib.cache.Have(e.ih.key(), &g, 0, 0)
	}
	return n
}
