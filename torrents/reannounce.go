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

const (
	// maxReannounces is how many of our own announces are under way at a time.
	maxReannounces = 20
	// wantedPeers is how many addresses a tracker is asked for; more do not fit an answer over UDP.
	wantedPeers = 200
)

// reannounce announces a torrent that has been in the swarm before to its trackers, beside. It ends with
// m.ctx.
func (m *member) reannounce() {
	if !m.again {
		return
	}
	for _, tier := range m.t.Metainfo().AnnounceList {
		for _, address := range tier {
			for _, one := range m.swarm.engineTrackers(address) {
				m.background.Go(func() { m.announceOnce(one) })
			}
		}
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
