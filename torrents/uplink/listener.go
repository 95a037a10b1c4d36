package uplink

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
)

// listener is a net.Listener that outlives its sockets.
type listener struct {
	*slot[*net.TCPListener]

	device  *device
	network string
	local   atomic.Pointer[net.TCPAddr] // of the last socket
}

func (*listener) isPeers() bool { return true }

func (l *listener) open(at state, port uint16) (uint16, error) {
	addr := at.addr(l.network)
	if !addr.IsValid() {
		return port, nil
	}
	// Peers look after their connections by themselves.
	lc := net.ListenConfig{Control: l.device.toDevice, KeepAlive: -1}
	socket, err := lc.Listen(context.Background(), l.network, netip.AddrPortFrom(addr, port).String())
	if err != nil {
		return 0, err
	}
	local := socket.Addr().(*net.TCPAddr)
	l.local.Store(local)
	l.put(socket.(*net.TCPListener))
	return uint16(local.Port), nil
}

// Accept waits for the next connection, and for a socket as long as there is none. The error is
// net.ErrClosed.
func (l *listener) Accept() (accepted net.Conn, err error) {
	err = l.use(func(socket *net.TCPListener) error {
		c, err := socket.AcceptTCP()
		if err != nil {
			return err
		}
		accepted, err = l.device.keep(c, socket.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap())
		return err
	})
	return accepted, err
}

func (l *listener) Addr() net.Addr {
	if local := l.local.Load(); local != nil {
		return local
	}
	none := net.IPv4zero
	if l.network == "tcp6" {
		none = net.IPv6unspecified
	}
	return &net.TCPAddr{IP: none}
}

func (l *listener) Close() error {
	l.device.remove(l)
	l.close()
	return nil
}
