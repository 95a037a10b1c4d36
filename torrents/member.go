package torrents

import (
	"sync"
	"time"

	"github.com/anacrolix/torrent"
)

// member is a torrent in the swarm.
type member struct {
	swarm   *swarm
	t       *torrent.Torrent
	private bool // known to be

	// nudge makes the wishes of those who wait again. When a peer rejects all that it was asked for,
	// which Transmission does whenever it chokes, anacrolix/torrent v1.62.0 may ask it for nothing
	// more until a wish changes.
	nudge func()

	broken    chan struct{} // closed when the cache cannot be written
	breakOnce sync.Once
	cause     error // why, once broken is closed

	mu            sync.Mutex
	stopAnnounce  []func()
	lastAnnounce  time.Time
	lastPeers     time.Time
	lastSample    time.Time
	received      time.Time // when useful data came last
	down, up      float64   // bytes per second
	read, written int64     // useful bytes so far, as of the last sample
	active, seeds int       // connected peers, and those who have everything
}

// isBroken says whether the cache could not be written.
func (m *member) isBroken() bool { return isClosed(m.broken) }

// leave takes the torrent out of the swarm and waits until nothing of it is left there.
func (m *member) leave() {
	m.swarm.mu.Lock()
	delete(m.swarm.members, m)
	m.swarm.mu.Unlock()
	m.mu.Lock()
	stops := m.stopAnnounce
	m.stopAnnounce = nil
	m.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	m.t.Drop()
}

// look samples the rates, finds peers, and gets a torrent going again that receives nothing.
func (m *member) look(now time.Time) {
	stats := m.t.Stats()
	if m.sample(now, &stats) && stats.ActivePeers > 0 {
		m.nudge()
	}
	m.findPeers(now)
}

// sample notes the rates since the last one, and says whether nothing came since.
func (m *member) sample(now time.Time, stats *torrent.TorrentStats) (stalled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if took := now.Sub(m.lastSample).Seconds(); took > 0 {
		read, written := stats.BytesReadUsefulData.Int64(), stats.BytesWrittenData.Int64()
		if stalled = read == m.read; !stalled {
			m.received = now
		}
		m.down += rateWeight * (float64(read-m.read)/took - m.down)
		m.up += rateWeight * (float64(written-m.written)/took - m.up)
		m.read, m.written, m.lastSample = read, written, now
	}
	m.active, m.seeds = stats.ActivePeers, stats.ConnectedSeeders
	return stalled
}

func (m *member) findPeers(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.lastPeers) >= peersEvery {
		m.lastPeers = now
		m.t.AddPeers(m.swarm.peers)
	}
	every := announceEvery
	if m.active == 0 {
		every = announceAlone
	}
	if !m.private && now.Sub(m.lastAnnounce) >= every {
		m.lastAnnounce = now
		for _, stop := range m.stopAnnounce {
			stop()
		}
		m.stopAnnounce = m.stopAnnounce[:0]
		for _, server := range m.swarm.client.DhtServers() {
			// An error means that the DHT knows no node yet; the next round asks again.
			if _, stop, err := m.t.AnnounceToDht(server); err == nil {
				m.stopAnnounce = append(m.stopAnnounce, stop)
			}
		}
	}
}

// lastReceived returns when useful data last came, as of the last sample: it tells a slow swarm from
// a dead one.
func (m *member) lastReceived() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.received
}

// want sets how urgent a piece is.
func (m *member) want(piece int, u urgency) {
	priority := torrent.PiecePriorityNone
	switch u {
	case urgencyAhead:
		priority = torrent.PiecePriorityReadahead
	case urgencyNow:
		priority = torrent.PiecePriorityNow
	}
	m.t.Piece(piece).SetPriority(priority)
}

// activity returns what the last sample saw.
func (m *member) activity() Activity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Activity{Peers: m.active, Seeds: m.seeds, DownRate: int64(m.down), UpRate: int64(m.up)}
}
