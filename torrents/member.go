package torrents

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anacrolix/torrent"

	"shoal/torrents/cache"
)

// member is a torrent in the swarm.
type member struct {
	swarm   *swarm
	ih      Infohash
	t       *torrent.Torrent
	private bool // known to be

	// pieces is where its data is; nil for a magnet. What is wanted of them is told to the engine by a goroutine of its own, as
	// the engine may be busy with any torrent.
	pieces   *cache.Pieces
	unsure   *atomic.Int64 // see pipeline.kick
	progress *progress     // nil for a magnet
	renew    chan struct{} // of capacity 1: see nudge
	stop     chan struct{} // ends telling
	telling  sync.WaitGroup

	broken    chan struct{} // closed when the cache cannot be written
	breakOnce sync.Once
	cause     error // why, once broken is closed

	paused chan struct{} // closed when the user wants it out of the swarm

	mu            sync.Mutex
	left          bool
	suspended     bool               // nothing can be sent
	formerly      []torrent.PeerInfo // who was connected before
	stopAnnounce  []func()           // ends the last search in the DHT
	nextAnnounce  time.Time
	named         []string  // peers that magnet links named
	nextOffer     time.Time // of these, and the fixed peers
	offerPause    time.Duration
	lastSample    time.Time
	received      time.Time // when data came last that was of use
	gained        int64     // useful bytes so far, less those that were wrong: the most there were
	verified      int64     // pieces, as of the last sample
	down, up      float64   // bytes per second
	read, written int64     // useful bytes so far, as of the last sample
	active, seeds int       // connected peers, and those who have everything
	alone         time.Time // since when no peer is connected; zero while one is

	again      bool            // it has been in the swarm before
	overlooked time.Time       // when to look for trackers that were; zero once that is done
	ctx        context.Context //nolint:containedctx // ends when it leaves; of what it does in the background
	cancel     context.CancelFunc
	background sync.WaitGroup

	announces  announces // with the trackers
	announced  time.Time // to the DHT last
	peerRates  peerRates // of those whom somebody looks at
	lastReason reasonAt
}

// breakDown ends the download because the cache cannot be written: the library would fetch the same
// data for ever.
func (m *member) breakDown(err error) {
	m.breakOnce.Do(func() {
		m.cause = err
		close(m.broken)
		m.t.DisallowDataDownload()
		m.swarm.log.Error("the cache cannot be written", "torrent", m.t.InfoHash().HexString(), "err", err)
	})
}

// isBroken says whether the cache could not be written.
func (m *member) isBroken() bool { return isClosed(m.broken) }

// pause is leave for a torrent that is paused: who waits for it is told.
func (m *member) pause() {
	close(m.paused)
	m.leave()
}

// use adds sources. Those that it has already stay as they are.
func (m *member) use(more sources) {
	m.addTrackers(tiers(more.Trackers), false)
	m.addWebSeeds(more.WebSeeds)
	m.mu.Lock()
	m.named = append(m.named, more.Peers...)
	m.nextOffer = time.Time{}
	m.mu.Unlock()
}

// leave takes the torrent out of the swarm and waits until nothing of it is left there.
func (m *member) leave() {
	m.swarm.mu.Lock()
	if m.swarm.members[m.ih] == m {
		delete(m.swarm.members, m.ih)
	}
	if m.announces.any() {
		m.swarm.been[m.ih] = struct{}{}
	}
	m.swarm.mu.Unlock()
	m.mu.Lock()
	again := m.left
	m.left = true
	stops := m.stopAnnounce
	m.stopAnnounce = nil
	m.mu.Unlock()
	if again {
		return
	}
	if m.pieces != nil {
		m.pieces.Fetch(false)
	}
	close(m.stop)
	m.telling.Wait()
	for _, stop := range stops {
		stop()
	}
	m.cancel()
	m.background.Wait()
	m.t.Drop()
}

// nudge makes the wishes of those who wait again. When a peer rejects all that it was asked for,
// anacrolix/torrent v1.62.0 may ask it for nothing more until a wish changes: seen with
// Transmission 3.00, as the only peer.
func (m *member) nudge() {
	select {
	case m.renew <- struct{}{}:
	default:
	}
}

// look samples the rates, finds peers, and gets a torrent going again that receives nothing.
func (m *member) look(now time.Time) {
	stats := m.t.Stats()
	if m.sample(now, &stats) && stats.ActivePeers > 0 {
		m.nudge()
	}
	m.findPeers(now)
	m.announceOverlooked(now)
}

// sample notes the rates since the last one, and says whether nothing came since.
func (m *member) sample(now time.Time, stats *torrent.TorrentStats) (stalled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if took := now.Sub(m.lastSample).Seconds(); took > 0 {
		read, written := stats.BytesReadUsefulData.Int64(), stats.BytesWrittenData.Int64()
		stalled = read == m.read
		if m.gain(read) {
			m.received = now
		}
		m.down += rateWeight * (float64(read-m.read)/took - m.down)
		m.up += rateWeight * (float64(written-m.written)/took - m.up)
		m.read, m.written, m.lastSample = read, written, now
	}
	m.active, m.seeds = stats.ActivePeers, stats.ConnectedSeeders
	switch {
	case m.active > 0:
		m.alone = time.Time{}
	case m.alone.IsZero():
		m.alone = now
	}
	m.peerRates.forget(now)
	return stalled
}

// gain says whether data came since the last sample that was of use: what turns out to be wrong is not, however often it is
// fetched again. read is how many bytes came so far. It needs m.mu.
func (m *member) gain(read int64) bool {
	var verified int64
	if m.progress != nil {
		verified = m.progress.verified.Load()
		read -= m.progress.wasted.Load()
	}
	if verified == m.verified && read <= m.gained {
		return false
	}
	m.verified, m.gained = verified, read
	return true
}

// findPeers offers those who were lost, those who are named and the fixed peers again, and looks for others in the DHT, when it is time.
func (m *member) findPeers(now time.Time) {
	m.t.AddPeers(m.swarm.observer.connections.redial(m.ih, now))
	m.mu.Lock()
	offer := !now.Before(m.nextOffer)
	if offer {
		m.offerPause = min(max(2*m.offerPause, minOffer), maxOffer)
		if m.active > 0 {
			m.offerPause = minOffer
		}
		m.nextOffer = now.Add(m.offerPause + rand.N(m.offerPause/2))
	}
	named := m.named
	announce := !m.private && !now.Before(m.nextAnnounce)
	m.mu.Unlock()
	if offer {
		m.t.AddPeers(peerInfos(named))
		m.t.AddPeers(m.swarm.peers.list())
	}
	if announce {
		m.announce(now)
	}
}

// announce looks for peers in the DHT, and lets others know of us.
func (m *member) announce(now time.Time) {
	var stops []func()
	for _, server := range m.swarm.client.DhtServers() {
		// An error means that the DHT knows no node yet.
		if _, stop, err := m.t.AnnounceToDht(server); err == nil {
			stops = append(stops, stop)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case len(stops) == 0:
		m.nextAnnounce = now.Add(announceRetry)
		return
	case m.active == 0:
		m.nextAnnounce = now.Add(announceAlone)
	default:
		m.nextAnnounce = now.Add(announceEvery)
	}
	m.announced = now
	if m.left {
		m.stopAnnounce = append(m.stopAnnounce, stops...)
		stops = nil
	}
	stops, m.stopAnnounce = m.stopAnnounce, stops
	for _, stop := range stops {
		stop()
	}
}

// lastReceived returns when useful data last came, as of the last sample: it tells a slow swarm from
// a dead one.
func (m *member) lastReceived() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.received
}

// peers returns how many were connected as of the last sample.
func (m *member) peers() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.active
}

// activity returns what the last sample saw.
func (m *member) activity() Activity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Activity{Peers: m.active, Seeds: m.seeds, DownRate: int64(m.down), UpRate: int64(m.up)}
}
