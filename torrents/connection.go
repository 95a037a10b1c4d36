package torrents

import (
	"slices"
	"sync"
	"time"

	"github.com/anacrolix/torrent"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

// connections is what connected peers said, of which the engine tells nobody: whether they choke us and
// whether they want something (BEP 3). The engine calls it with its lock held.
type connections struct {
	mu   sync.Mutex
	of   map[*torrent.PeerConn]connection
	lost []lostPeer
}

// connection is one peer's. At its begin it chokes us and wants nothing.
type connection struct {
	unchoked   bool // it lets us have data
	interested bool // it wants data from us
	since      time.Time
}

// lostPeer is one that let us have data until the connection ended.
type lostPeer struct {
	infohash Infohash
	peer     torrent.PeerInfo
	at       time.Time
	offered  bool
}

// redialPause is how long a connection has to have lasted for its peer to be dialed again, and when that is done for the second and last
// time: Transmission turns an address away for a second after it has closed a connection of it.
const redialPause = 1500 * time.Millisecond

func (c *connections) added(p *torrent.PeerConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[*torrent.PeerConn]connection)
	}
	c.of[p] = connection{since: time.Now()}
}

func (c *connections) closed(p *torrent.PeerConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of, now := c.of[p], time.Now()
	delete(c.of, p)
	if !of.unchoked || p.Discovery == torrent.PeerSourceIncoming || now.Sub(of.since) < redialPause {
		return
	}
	// Of torrents that have left, nobody asks for them.
	c.lost = slices.DeleteFunc(c.lost, func(l lostPeer) bool { return now.Sub(l.at) > 2*redialPause })
	ih := Infohash(p.Torrent().InfoHash())
	c.lost = append(c.lost, lostPeer{infohash: ih, peer: torrent.PeerInfo{Addr: p.RemoteAddr, Source: p.Discovery}, at: now})
}

// redial returns the peers of a torrent to connect to again, each at once and once more after a pause: the engine would not, before it
// hears of them anew.
//
// Who has everything closes the connection to whoever has everything as well, as far as he knows. With a cache smaller than the torrent
// that comes to be: every piece was there some time, the peer was told so, and cannot be told that it is gone (BEP 3).
func (c *connections) redial(ih Infohash, now time.Time) (peers []torrent.PeerInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.lost[:0]
	for _, l := range c.lost {
		last := now.Sub(l.at) >= redialPause
		if l.infohash == ih && (!l.offered || last) {
			peers = append(peers, l.peer)
			l.offered = true
		}
		if l.infohash != ih || !last {
			left = append(left, l)
		}
	}
	c.lost = left
	return peers
}

func (c *connections) get(p *torrent.PeerConn) connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[p]
}

// read sees every message, so it has to be quick with those that it is not about.
func (c *connections) read(p *torrent.PeerConn, msg *pp.Message) {
	if msg.Keepalive || msg.Type > pp.NotInterested {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	of, known := c.of[p]
	if !known {
		return // closed meanwhile
	}
	switch msg.Type {
	case pp.Choke, pp.Unchoke:
		of.unchoked = msg.Type == pp.Unchoke
	case pp.Interested, pp.NotInterested:
		of.interested = msg.Type == pp.Interested
	}
	c.of[p] = of
}
