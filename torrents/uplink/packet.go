package uplink

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// packetConn is a net.PacketConn that outlives its sockets. While it has none, what is written is lost, as
// it might be on the way.
type packetConn struct {
	*slot[*net.UDPConn]

	device  *device // nil: there never is a socket
	network string
	peers   bool
	local   atomic.Pointer[net.UDPAddr] // of the last socket
}

func newPacketConn(d *device, network string, peers bool) *packetConn {
	c := &packetConn{slot: newSlot[*net.UDPConn](), device: d, network: network, peers: peers}
	none := net.IPv4zero
	if network == "udp6" {
		none = net.IPv6unspecified
	}
	c.local.Store(&net.UDPAddr{IP: none})
	return c
}

// isPeers, open and drop make it a socket of a device.
func (c *packetConn) isPeers() bool { return c.peers }

func (c *packetConn) open(at state, port uint16) (uint16, error) {
	addr := at.addr(c.network)
	if !addr.IsValid() {
		return port, nil
	}
	lc := net.ListenConfig{Control: c.device.toDevice}
	pc, err := lc.ListenPacket(context.Background(), c.network, netip.AddrPortFrom(addr, port).String())
	if err != nil {
		return 0, err
	}
	local := pc.LocalAddr().(*net.UDPAddr)
	c.local.Store(local)
	c.put(pc.(*net.UDPConn))
	return uint16(local.Port), nil
}

func (c *packetConn) ReadFrom(b []byte) (n int, addr net.Addr, err error) {
	err = c.use(func(pc *net.UDPConn) (err error) {
		n, addr, err = pc.ReadFrom(b)
		return err
	})
	return n, addr, err
}

func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	pc, filled, _, err := c.get()
	if err != nil {
		return 0, err
	}
	if !filled {
		return len(b), nil
	}
	return pc.WriteTo(b, addr)
}

func (c *packetConn) LocalAddr() net.Addr { return c.local.Load() }

func (c *packetConn) Close() error {
	if c.device != nil {
		c.device.remove(c)
	}
	c.close()
	return nil
}

func (*packetConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (*packetConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (*packetConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
