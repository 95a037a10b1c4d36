package torrents

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/tracker"
	trackerhttp "github.com/anacrolix/torrent/tracker/http"
	"github.com/anacrolix/torrent/types/infohash"
)

// A torrent leaves the swarm when nobody reads it, and a magnet when its turn is over. When it comes back,
// anacrolix/torrent v1.62.0 takes the announce with which it left for its last one, and asks the tracker only
// when the interval of that has passed: half an hour without a peer. So we announce it ourselves then.
//
// The timer of its one announcer for all torrents (mytimer) loses what comes while it fires, as the trackers of a
// torrent that was added a moment before may: these are not asked until another torrent comes or goes, unless
// we do.

const (
	// maxReannounces is how many of our own announces are under way at a time.
	maxReannounces = 20
	// overlookedAfter is how long the engine has for the first announce of a torrent that has no peers.
	overlookedAfter = 5 * time.Second
	// wantedPeers is how many addresses a tracker is asked for; more do not fit an answer over UDP.
	wantedPeers = 200
)

// announceAgain announces a torrent that has been in the swarm before to its trackers, beside.
func (m *member) announceAgain() {
	if m.again {
		m.reannounce(func(string) bool { return true })
	}
}

// announceOverlooked announces the torrent to those of its trackers that the engine has not asked in time, if
// it has no peers.
func (m *member) announceOverlooked(now time.Time) {
	m.mu.Lock()
	due := !m.overlooked.IsZero() && now.After(m.overlooked)
	if due {
		m.overlooked = time.Time{}
	}
	due = due && m.active == 0
	m.mu.Unlock()
	if due {
		m.reannounce(func(address string) bool {
			_, asked := m.announces.get(address)
			return !asked
		})
	}
}

// reannounce announces the torrent to those of its trackers that which picks, by the addresses that the engine
// has for them, beside. It ends with m.ctx.
func (m *member) reannounce(which func(address string) bool) {
	var picked []string
	for _, tier := range m.t.Metainfo().AnnounceList {
		for _, address := range tier {
			for _, one := range m.swarm.engineTrackers(address) {
				if which(one) {
					picked = append(picked, one)
				}
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return // whoever waits for background must not miss one
	}
	for _, address := range picked {
		m.background.Go(func() { m.announceOnce(address) })
	}
}

// engineTrackers are the addresses that the engine makes of a tracker's: one for each version of IP, over UDP.
func (s *swarm) engineTrackers(address string) []string {
	rest, isUDP := strings.CutPrefix(address, "udp://")
	if !isUDP {
		return []string{address}
	}
	var list []string
	if !s.cfg.DisableIPv4 {
		list = append(list, "udp4://"+rest)
	}
	if !s.cfg.DisableIPv6 {
		list = append(list, "udp6://"+rest)
	}
	return list
}

// announceOnce announces the torrent to a tracker when it is its turn, and tells the engine of the peers.
func (m *member) announceOnce(address string) {
	select {
	case m.swarm.reannounces <- struct{}{}:
		defer func() { <-m.swarm.reannounces }()
	case <-m.ctx.Done():
		return
	}
	m.announces.change(address, (*announce).begin)
	ctx, cancel := context.WithTimeout(m.ctx, tracker.DefaultTrackerAnnounceTimeout)
	defer cancel()
	answer, err := m.swarm.askTracker(ctx, address, m.announceRequest())
	m.announces.change(address, func(a *announce) { a.end(time.Now(), answer, err) })
	peers := make([]torrent.PeerInfo, 0, len(answer.Peers))
	for _, p := range answer.Peers {
		addr := &net.TCPAddr{IP: p.IP, Port: p.Port}
		peers = append(peers, torrent.PeerInfo{Addr: addr, Source: torrent.PeerSourceTracker})
	}
	m.t.AddPeers(peers)
}

// announceRequest is what the engine would say.
func (m *member) announceRequest() tracker.AnnounceRequest {
	id := m.swarm.client.PeerID()
	stats := m.t.Stats()
	left := int64(-1) // unknown
	if m.t.Info() != nil {
		left = m.t.BytesMissing()
	}
	key := int32(id[16])<<24 | int32(id[17])<<16 | int32(id[18])<<8 | int32(id[19])
	return tracker.AnnounceRequest{
		InfoHash: infohash.T(m.ih), PeerId: id, Key: key, Port: uint16(m.swarm.client.LocalPort()),
		Event: tracker.Started, NumWant: wantedPeers, Left: left,
		Uploaded: stats.BytesWrittenData.Int64(), Downloaded: stats.BytesReadUsefulData.Int64(),
	}
}

// askTracker announces once, by the same ways as the engine.
func (s *swarm) askTracker(ctx context.Context, address string, req tracker.AnnounceRequest) (tracker.AnnounceResponse, error) {
	u, err := url.Parse(address)
	if err != nil {
		return tracker.AnnounceResponse{}, err
	}
	client, err := tracker.NewClient(address, tracker.NewClientOpts{
		Http: trackerhttp.NewClientOpts{
			Proxy: s.cfg.HTTPProxy, DialContext: s.cfg.TrackerDialContext, ServerName: u.Hostname(),
		},
		UdpNetwork: u.Scheme, Slogger: s.cfg.Slogger, ListenPacket: s.cfg.TrackerListenPacket,
	})
	if err != nil {
		return tracker.AnnounceResponse{}, err
	}
	defer func() { _ = client.Close() }()
	return client.Announce(ctx, req, tracker.AnnounceOpt{
		UserAgent: s.cfg.HTTPUserAgent, ClientIp4: s.cfg.PublicIp4, ClientIp6: s.cfg.PublicIp6,
		HttpRequestDirector: s.cfg.HttpRequestDirector,
	})
}
