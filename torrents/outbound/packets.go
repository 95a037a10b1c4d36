package outbound

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// ListenPacketFunc is the type of net.ListenPacket.
type ListenPacketFunc = func(network, addr string) (net.PacketConn, error)

const (
	// maxDatagram is the longest answer that is read, in bytes; what is longer is cut off.
	maxDatagram = 2 << 10
	// maxWaiting is how many answers wait for one connection to be read.
	maxWaiting = 4
)

// Packets lets any number of connections to UDP trackers (BEP 15) share a socket of IPv4 and one of IPv6,
// which are opened when something is first sent. The engine opens a connection for every tracker it has
// ever heard of, keeps it, and panics when that fails.
type Packets struct {
	guard  Guard
	listen ListenPacketFunc
	done   chan struct{} // closed by Close

	readers sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	sockets map[string]net.PacketConn // by network
	// asked has who waits for answers from an address: who has sent something there last.
	asked map[netip.AddrPort]map[*packetConn]struct{}
}

// Packets makes the sockets with listen, which is as net.ListenPacket.
func (g Guard) Packets(listen ListenPacketFunc) *Packets {
	return &Packets{
		guard: g, listen: listen, done: make(chan struct{}),
		sockets: make(map[string]net.PacketConn),
		asked:   make(map[netip.AddrPort]map[*packetConn]struct{}),
	}
}

// ListenPacket returns a connection on network, "udp4" or "udp6", from any port. It never fails: that the
// network cannot be used is the error of WriteTo, as is an address that the guard refuses. What is received
// is from the address that was written to last.
func (p *Packets) ListenPacket(network, _ string) (net.PacketConn, error) {
	return &packetConn{
		shared: p, network: network, in: make(chan datagram, maxWaiting), done: make(chan struct{}),
	}, nil
}

// Close closes the sockets and all connections, and waits until nothing is read any more.
func (p *Packets) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.done)
	for _, s := range p.sockets {
		_ = s.Close() // nothing is lost
	}
	p.mu.Unlock()
	p.readers.Wait()
	return nil
}

// open returns the socket of a network. It needs p.mu.
func (p *Packets) open(network string) (net.PacketConn, error) {
	if p.closed {
		return nil, net.ErrClosed
	}
	if s, ok := p.sockets[network]; ok {
		return s, nil
	}
	s, err := p.listen(network, ":0")
	if err != nil {
		return nil, err
	}
	p.sockets[network] = s
	p.readers.Go(func() { p.read(network, s) })
	return s, nil
}

// read hands out what arrives at a socket until it is closed. One that fails is opened again by whoever
// sends next.
func (p *Packets) read(network string, s net.PacketConn) {
	b := make([]byte, maxDatagram)
	for {
		n, from, err := s.ReadFrom(b)
		if err != nil {
			p.mu.Lock()
			if p.sockets[network] == s {
				delete(p.sockets, network)
			}
			p.mu.Unlock()
			_ = s.Close() // nothing is lost
			return
		}
		if udp, ok := from.(*net.UDPAddr); ok {
			p.deliver(b[:n], udp)
		}
	}
}

// deliver gives a datagram to those who have asked its sender.
func (p *Packets) deliver(b []byte, from *net.UDPAddr) {
	key := addrPort(from)
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.asked[key]
	if len(waiting) == 0 {
		return
	}
	d := datagram{append([]byte(nil), b...), from}
	for c := range waiting {
		select {
		case c.in <- d:
		default: // it does not read; datagrams may get lost
		}
	}
}

func addrPort(a *net.UDPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// forget lets go of what c asked. It needs p.mu.
func (p *Packets) forget(c *packetConn) {
	if waiting := p.asked[c.last]; waiting != nil {
		delete(waiting, c)
		if len(waiting) == 0 {
			delete(p.asked, c.last)
		}
	}
}

// datagram is shared by those who asked for it, and not changed.
type datagram struct {
	b    []byte
	from net.Addr
}

// packetConn is a connection that shares the sockets.
type packetConn struct {
	shared  *Packets
	network string
	in      chan datagram
	done    chan struct{}
	once    sync.Once

	last netip.AddrPort // where it sent last; needs shared.mu
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-c.in:
		return copy(b, d.b), d.from, nil
	case <-c.done:
	case <-c.shared.done:
	}
	return 0, nil, net.ErrClosed
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("send a datagram to %v: not a UDP address", to)
	}
	key := addrPort(udp)
	if !key.IsValid() {
		key = netip.AddrPortFrom(netip.IPv6Unspecified(), key.Port()) // what no address means
	}
	if err := c.shared.guard.Check(key.Addr()); err != nil {
		return 0, err
	}
	s, err := c.ask(key)
	if err != nil {
		return 0, err
	}
	return s.WriteTo(b, udp)
}

// ask notes where an answer is expected from, and returns the socket.
func (c *packetConn) ask(to netip.AddrPort) (net.PacketConn, error) {
	p := c.shared
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-c.done:
		return nil, net.ErrClosed
	default:
	}
	s, err := p.open(c.network)
	if err != nil {
		return nil, err
	}
	p.forget(c)
	c.last = to
	if p.asked[to] == nil {
		p.asked[to] = make(map[*packetConn]struct{})
	}
	p.asked[to][c] = struct{}{}
	return s, nil
}

func (c *packetConn) Close() error {
	c.once.Do(func() {
		c.shared.mu.Lock()
		defer c.shared.mu.Unlock()
		close(c.done)
		c.shared.forget(c)
	})
	return nil
}

// LocalAddr returns no address: it is not known before something is sent.
func (c *packetConn) LocalAddr() net.Addr { return &net.UDPAddr{} }

// Deadlines are not supported: nobody sets any.
func (c *packetConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *packetConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *packetConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
