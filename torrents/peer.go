package torrents

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/anacrolix/torrent"
)

// PeerFlag is something that is so with a peer.
type PeerFlag string

// The flags of a peer.
const (
	FlagSeed       PeerFlag = "seed"       // it has everything
	FlagChoking    PeerFlag = "choking"    // it lets us have nothing for now
	FlagInterested PeerFlag = "interested" // it wants something that we have
	FlagWanted     PeerFlag = "wanted"     // it has a piece that a reader waits for
)

// PeerSource is how a peer was found.
type PeerSource string

// How a peer may have been found.
const (
	FoundByTracker PeerSource = "tracker"
	FoundByDHT     PeerSource = "dht"
	FoundByPEX     PeerSource = "pex"
	FoundByLSD     PeerSource = "lsd"
	FoundIncoming  PeerSource = "incoming" // it found us
	FoundFixed     PeerSource = "fixed"    // named in the settings or in the magnet link
	FoundWebSeed   PeerSource = "web seed" // BEP 19; named in the torrent
)

// Peer is a connected peer, or a web seed.
type Peer struct {
	Addr      string // host:port; the host of a web seed
	Client    string // what it says it is, at most 64 bytes; may be empty
	Found     PeerSource
	Transport string // TCP, uTP or HTTP
	Encrypted bool   // at least its handshake is (MSE)
	Flags     []PeerFlag

	Progress float64 // how much of the torrent it says it has, 0 to 1; 0 while that is unknown

	DownRate, UpRate int64 // bytes of data per second
	Received, Sent   int64 // bytes of data since it was connected
}

// maxClient is the longest name of a peer's client that is shown, in bytes.
const maxClient = 64

// Peers lists the connected peers and the web seeds of a torrent, the fastest first; none of one that is not
// in the swarm. Rates are of the time since the last call, if that was not long ago. It asks the engine, and
// waits for nobody else. The error is ErrNotFound.
func (l *Library) Peers(ih Infohash) ([]Peer, error) {
	e, err := l.entry(ih)
	if err != nil {
		return nil, err
	}
	m := l.swarm.member(ih)
	if m == nil {
		return nil, nil
	}
	wanted, _ := e.waited()
	pieces := e.pieceCount()
	conns, seeds := m.t.PeerConns(), m.t.WebseedPeerConns()
	list := make([]Peer, 0, len(conns)+len(seeds))
	now := time.Now()
	for _, c := range conns {
		stats := c.Stats()
		p := Peer{
			Addr: c.RemoteAddr.String(), Client: clientName(c), Found: foundBy(c.Discovery),
			Transport: transport(c.Network), Encrypted: isEncrypted(c.String()),
			Flags: l.swarm.flags(c, pieces, wanted), Progress: shareOf(stats.RemotePieceCount, pieces),
		}
		m.measure(&p, &c.Peer, &stats, now)
		list = append(list, p)
	}
	for _, c := range seeds {
		stats := c.Stats()
		p := Peer{
			Found: FoundWebSeed, Transport: "HTTP", Flags: []PeerFlag{FlagSeed},
			Progress: shareOf(stats.RemotePieceCount, pieces),
		}
		if c.RemoteAddr != nil {
			p.Addr = cleanText(c.RemoteAddr.String(), maxTrackerURL)
		}
		m.measure(&p, c, &stats, now)
		list = append(list, p)
	}
	m.forgetOthers(conns, seeds)
	slices.SortFunc(list, func(a, b Peer) int {
		return cmp.Or(-cmp.Compare(a.DownRate+a.UpRate, b.DownRate+b.UpRate), strings.Compare(a.Addr, b.Addr))
	})
	return list, nil
}

// pieceCount returns how many pieces the torrent has; 0 while that is unknown.
func (e *entry) pieceCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rec.Pieces
}

// clientName is what a peer says it is (BEP 10, "v"), or what its id begins with (BEP 20).
func clientName(c *torrent.PeerConn) string {
	name, _ := c.PeerClientName.Load().(string)
	if name = cleanText(name, maxClient); name != "" {
		return name
	}
	if id := c.PeerID; id[0] == '-' && id[7] == '-' {
		return cleanText(string(id[1:7]), maxClient)
	}
	return ""
}

func foundBy(source torrent.PeerSource) PeerSource {
	switch kindOf(source) {
	case KindTracker:
		return FoundByTracker
	case KindDHT:
		return FoundByDHT
	case KindPEX:
		return FoundByPEX
	case KindLSD:
		return FoundByLSD
	}
	if source == torrent.PeerSourceIncoming {
		return FoundIncoming
	}
	return FoundFixed
}

func transport(network string) string {
	if strings.HasPrefix(network, "udp") {
		return "uTP"
	}
	return "TCP"
}

// isEncrypted reads the flags in what the engine says of a connection, "… [flags=Tr,U,e,v1 id=… v=…]", as it
// tells that nowhere else. E is the whole connection, e the handshake. They stand before all that is of
// the peer's making.
func isEncrypted(connection string) bool {
	_, rest, _ := strings.Cut(connection, "[flags=")
	flags, _, _ := strings.Cut(rest, " ")
	list := strings.Split(flags, ",")
	return slices.Contains(list, "E") || slices.Contains(list, "e")
}

func (s *swarm) flags(c *torrent.PeerConn, pieces int, wanted []int) []PeerFlag {
	flags := []PeerFlag{}
	has := c.PeerPieces()
	said := s.observer.connections.get(c)
	if pieces > 0 && has.GetCardinality() == uint64(pieces) {
		flags = append(flags, FlagSeed)
	}
	if !said.unchoked {
		flags = append(flags, FlagChoking)
	}
	if said.interested {
		flags = append(flags, FlagInterested)
	}
	if slices.ContainsFunc(wanted, has.ContainsInt) {
		flags = append(flags, FlagWanted)
	}
	return flags
}

func shareOf(has, pieces int) float64 {
	if pieces == 0 {
		return 0
	}
	return min(float64(has)/float64(pieces), 1)
}

const (
	// rateWindow is the shortest time over which the rate of a peer is taken.
	rateWindow = time.Second
	// rateMemory is how long the last sample is kept while nobody looks.
	rateMemory = 30 * time.Second
)

// peerRates has the last samples of the peers that somebody looks at.
type peerRates struct {
	looked time.Time
	of     map[*torrent.Peer]peerRate
}

type peerRate struct {
	at             time.Time
	received, sent int64
	down, up       float64 // bytes per second, of the window that ended then
}

// forget drops the samples when nobody has looked for a while.
func (r *peerRates) forget(now time.Time) {
	if r.of != nil && now.Sub(r.looked) > rateMemory {
		r.of = nil
	}
}

// measure fills in what a peer has sent and got, and how fast. At the first look the rates are the engine's.
func (m *member) measure(p *Peer, c *torrent.Peer, stats *torrent.PeerStats, now time.Time) {
	p.Received, p.Sent = stats.BytesReadData.Int64(), stats.BytesWrittenData.Int64()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peerRates.forget(now)
	m.peerRates.looked = now
	if m.peerRates.of == nil {
		m.peerRates.of = make(map[*torrent.Peer]peerRate)
	}
	r, seen := m.peerRates.of[c]
	switch took := now.Sub(r.at); {
	case !seen:
		r = peerRate{now, p.Received, p.Sent, stats.DownloadRate, stats.LastWriteUploadRate}
	case took >= rateWindow:
		down, up := float64(p.Received-r.received)/took.Seconds(), float64(p.Sent-r.sent)/took.Seconds()
		r = peerRate{now, p.Received, p.Sent, down, up}
	}
	m.peerRates.of[c] = r
	p.DownRate, p.UpRate = int64(r.down), int64(r.up)
}

// forgetOthers drops the samples of peers that are gone.
func (m *member) forgetOthers(conns []*torrent.PeerConn, seeds []*torrent.Peer) {
	here := make(map[*torrent.Peer]bool, len(conns)+len(seeds))
	for _, c := range conns {
		here[&c.Peer] = true
	}
	for _, c := range seeds {
		here[c] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.peerRates.of {
		if !here[c] {
			delete(m.peerRates.of, c)
		}
	}
}
