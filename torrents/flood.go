package torrents

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/iplist"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

const (
	// maxOwed bounds, in bytes, the replies that a peer lets pile up here by asking without reading. The engine
	// keeps them without a limit: 48 bytes of a peer can ask for 256 KiB of hashes (BEP 52).
	maxOwed = 1 << 20
	// maxOdd is how many messages of a connection are listened to, of each kind that an honest peer sends a few of, while
	// each makes the engine start, keep or search something.
	maxOdd = 256
	// Whoever sends so many messages within a tick, of a kind that goes with data or any other, sends nothing else: the
	// engine reads each with its one lock held. At 1 GB/s there are 33,000 requests in a tick.
	maxBusy, maxIdle = 50_000, 2_000
	// haveWeight is for how many requests a HAVE counts: there is one for each piece, and not for each block of one.
	haveWeight = 5
	// His address is turned away for so long, and so many addresses are remembered.
	shunTime   = 10 * time.Minute
	maxShunned = 10_000
	// maxHandshakes is that of extended handshakes (BEP 10), each of which costs the engine a timer for good.
	maxHandshakes = 8

	rejectSize        = 17
	hashSize          = 32
	hashesSize        = 64
	metadataPieceSize = 16 << 10
)

// floods keeps peers from filling the memory with messages. What is too much of a connection is overheard, as if it had not been
// sent. v1.62.0 of the engine bounds what it takes from the network, but not what it is made to answer.
type floods struct {
	away chan *torrent.PeerConn // to be closed

	mu      sync.Mutex
	of      map[*torrent.PeerConn]*flood
	shunned map[netip.Addr]time.Time // until when
}

// flood is what came over one connection.
type flood struct {
	owed       int64 // bytes of replies that may not be sent yet
	written    int64 // bytes sent, as of the last look
	busy, idle int   // messages in this tick
	away       bool  // it is turned away
	kinds      [256]uint16
	handshakes int
	metadata   map[int]bool // pieces of the metadata that it has asked for
}

// guard makes an engine of this configuration tell floods of all messages.
func (f *floods) guard(cfg *torrent.ClientConfig) {
	f.of, f.shunned = make(map[*torrent.PeerConn]*flood), make(map[netip.Addr]time.Time)
	f.away = make(chan *torrent.PeerConn, 16)
	cfg.IPBlocklist = shunning{f, cfg.IPBlocklist}
	cfg.Callbacks.PeerConnAdded = append(cfg.Callbacks.PeerConnAdded, f.added)
	read, closed := cfg.Callbacks.ReadMessage, cfg.Callbacks.PeerConnClosed
	cfg.Callbacks.ReadMessage = func(c *torrent.PeerConn, msg *pp.Message) {
		f.read(c, msg)
		if read != nil {
			read(c, msg)
		}
	}
	cfg.Callbacks.PeerConnClosed = func(c *torrent.PeerConn) {
		f.closed(c)
		if closed != nil {
			closed(c)
		}
	}
}

func (f *floods) added(c *torrent.PeerConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of[c] = &flood{}
}

func (f *floods) closed(c *torrent.PeerConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, c)
}

// read sees every message, with the engine's lock held or not. It turns what is too much into what means nothing.
func (f *floods) read(c *torrent.PeerConn, msg *pp.Message) {
	if !msg.Keepalive && msg.Type == pp.Piece {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.of[c]
	if of == nil {
		return
	}
	if of.away { // and is being closed
		msg.Keepalive = true
		return
	}
	switch {
	case msg.Keepalive:
		of.idle++
	case msg.Type == pp.Request, msg.Type == pp.Cancel, msg.Type == pp.Reject:
		of.busy++
	case msg.Type == pp.Have:
		of.busy += haveWeight
	default:
		of.idle++
	}
	if of.busy > maxBusy || of.idle > maxIdle {
		select {
		case f.away <- c:
			f.shun(c.RemoteAddr)
			of.away = true
		default: // with the next message
		}
		msg.Keepalive = true
		return
	}
	if !msg.Keepalive && of.tooMuch(c, msg) {
		msg.Keepalive = true
	}
}

// shun turns an address away for a while. It needs f.mu.
func (f *floods) shun(addr torrent.PeerRemoteAddr) {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil || len(f.shunned) >= maxShunned {
		return
	}
	f.shunned[at.Addr().Unmap()] = time.Now().Add(shunTime)
}

// run closes the connections of those who are turned away, until ctx ends.
func (f *floods) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-f.away:
			_ = c.Close() // it cannot fail
		}
	}
}

// shunning is a blocklist, and who is shunned.
type shunning struct {
	floods *floods
	list   iplist.Ranger // may be nil
}

func (s shunning) Lookup(ip net.IP) (r iplist.Range, ok bool) {
	if addr, valid := netip.AddrFromSlice(ip); valid {
		s.floods.mu.Lock()
		until, known := s.floods.shunned[addr.Unmap()]
		s.floods.mu.Unlock()
		if known && time.Now().Before(until) {
			return iplist.Range{First: ip, Last: ip, Description: "sent a flood of messages"}, true
		}
	}
	if s.list == nil {
		return r, false
	}
	return s.list.Lookup(ip)
}

func (s shunning) NumRanges() int {
	if s.list == nil {
		return 0
	}
	return s.list.NumRanges()
}

func (of *flood) tooMuch(c *torrent.PeerConn, msg *pp.Message) bool {
	switch msg.Type {
	case pp.Request:
		return of.owe(rejectSize)
	case pp.HashRequest:
		return of.owe(hashesSize + hashSize*min(int64(msg.Length), maxOwed))
	case pp.HaveNone:
		// Who has said what he has cannot have nothing (BEP 6). The engine would go on taking him for one who has all, count beside that what
		// he says he has, and panic over these counts when the torrent leaves.
		if of.kinds[pp.HaveAll]+of.kinds[pp.Bitfield] > 0 {
			return true
		}
		of.kinds[msg.Type]++
		return of.kinds[msg.Type] > maxOdd
	case pp.Port, pp.Suggest, pp.AllowedFast, pp.Bitfield, pp.HaveAll:
		if of.kinds[msg.Type] >= maxOdd {
			return true
		}
		of.kinds[msg.Type]++
	case pp.Extended:
		if msg.ExtendedID == pp.HandshakeExtendedID {
			of.handshakes++
			return of.handshakes > maxHandshakes
		}
		name, _, err := c.LocalLtepProtocolMap.LookupId(msg.ExtendedID)
		if err == nil && name == pp.ExtensionNameMetadata {
			return of.metadataTooMuch(msg.ExtendedPayload)
		}
	}
	return false
}

// metadataTooMuch is about a message of BEP 9. Each piece may be asked for once however large all of them are, as some clients
// ask for all at the same time.
func (of *flood) metadataTooMuch(payload []byte) bool {
	var m pp.ExtendedMetadataRequestMsg
	_ = bencode.Unmarshal(payload, &m) // what cannot be read is the engine's to refuse; data follows what can
	if m.Type != pp.RequestMetadataExtensionMsgType {
		return false
	}
	if piece := m.Piece; 0 <= piece && piece < MaxMetainfo/metadataPieceSize && !of.metadata[piece] {
		if of.metadata == nil {
			of.metadata = make(map[int]bool)
		}
		of.metadata[piece] = true
		return false
	}
	return of.owe(metadataPieceSize)
}

// owe notes a reply, and says whether too much would be owed with it.
func (of *flood) owe(bytes int64) bool {
	if of.owed+bytes > maxOwed {
		return true
	}
	of.owed += bytes
	return false
}

// look takes off what has been sent since the last time, and begins a new tick.
func (f *floods) look(now time.Time) {
	f.mu.Lock()
	owing := make([]*torrent.PeerConn, 0, len(f.of))
	for c, of := range f.of {
		of.busy, of.idle = 0, 0
		if of.owed > 0 {
			owing = append(owing, c)
		}
	}
	for addr, until := range f.shunned {
		if now.After(until) {
			delete(f.shunned, addr)
		}
	}
	f.mu.Unlock()
	for _, c := range owing {
		stats := c.Stats() // which takes the engine's lock
		written := stats.BytesWritten.Int64()
		f.mu.Lock()
		if of := f.of[c]; of != nil {
			of.owed = max(0, of.owed-(written-of.written))
			of.written = written
		}
		f.mu.Unlock()
	}
}
