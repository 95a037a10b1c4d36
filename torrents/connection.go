package torrents

import (
	"sync"

	"github.com/anacrolix/torrent"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

// connections is what connected peers said, of which the engine tells nobody: whether they choke us and
// whether they want something (BEP 3). The engine calls it with its lock held.
type connections struct {
	mu sync.Mutex
	of map[*torrent.PeerConn]connection
}

// connection is one peer's. At its begin it chokes us and wants nothing.
type connection struct {
	unchoked   bool // it lets us have data
	interested bool // it wants data from us
}

func (c *connections) added(p *torrent.PeerConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[*torrent.PeerConn]connection)
	}
	c.of[p] = connection{}
}

func (c *connections) closed(p *torrent.PeerConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, p)
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
