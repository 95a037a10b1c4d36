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
	defer e.mu.Unlock()
	t := Torrent{
		Infohash: e.ih, Name: e.rec.Name, Route: route, Reason: e.failure,
		Size: e.rec.Size, Files: e.rec.Files, Added: e.rec.Added, LastRead: e.lastRead,
		Resolved: e.rec.resolved(), Paused: e.rec.Paused, Pinned: e.rec.Pinned,
	}
	cached := e.cachedPieces()
	if cached == e.rec.Pieces {
		t.Cached = e.rec.Size
	} else {
		t.Cached = min(int64(cached)*e.rec.PieceLength, e.rec.Size)
	}
	var m *member
	if e.session != nil {
		m = e.session.joined()
	}
	if m != nil {
		t.Activity = m.activity()
	}
	g := e.rec.geometry()
	switch fits := e.lib.checkFits(&g); {
	case e.failure != "":
		t.State = StateFailed
	case e.rec.resolved() && fits != nil:
		t.State, t.Reason = StateFailed, fits.Error()
	case e.rec.Paused && !e.rec.resolved():
		t.State, t.Reason = StatePaused, "paused, so that nobody looks for the metadata"
	case e.rec.Paused:
		t.State, t.Reason = StatePaused, "paused, so that only what is in the cache can be read"
	case !e.rec.resolved():
		t.State, t.Reason = StateMetadata, "looking for the metadata in the swarm"
	case cached == e.rec.Pieces:
		t.State = StateComplete
	case m != nil:
		t.State = StateActive
	default:
		t.State = StateIdle
	}
	if t.State == StateActive || t.State == StateIdle {
		t.Reason = e.readError
	}
	return t
}

// cachedPieces needs e.mu. Once after the start it reads the torrent's small .pieces file, if it has one.
func (e *entry) cachedPieces() int {
	n, known := e.tally.Pieces()
	if !known && e.rec.resolved() {
		g := e.rec.geometry()
		n, _ = e.lib.cache.Have(e.ih.key(), &g, 0, 0)
	}
	return n
}
