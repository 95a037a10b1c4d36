// Package uplink is how the swarm reaches the network: over whichever interfaces the system chooses, over
// one alone, or through a proxy.
//
// An uplink over one interface is a kill switch: each of its sockets is bound to that interface
// (SO_BINDTODEVICE) before the first packet, so that the kernel sends nothing elsewhere, whatever becomes
// of the routes. While the interface is not there, is down or has no address, there are no sockets.
// Listeners and packet connections stay: they get new sockets when [Uplink.Rebind] is called.
//
// An uplink through a proxy has connections only. Names are resolved by the proxy.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"golang.org/x/net/proxy"
)

// Options say where the network is reached.
type Options struct {
	Interface string     // the only one to use; empty is any
	Proxy     string     // as [ParseProxy] takes it; empty is none
	Host      netip.Addr // of the interface, the only address to use; zero is any
	Port      uint16     // where peers connect to, with an interface; 0 is any
	Logger    *slog.Logger
}

// Check refuses an address, such as 192.0.2.1:80, of a network, such as tcp4, by returning an error. A nil
// Check refuses none.
type Check func(network, address string) error

// DialFunc opens a connection to addr, host:port, and waits for it until ctx ends.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Uplink reaches the network. It is safe for concurrent use.
type Uplink struct {
	device *device             // nil: any interface
	proxy  proxy.ContextDialer // nil: none
}

// New makes an uplink, without sockets until Rebind if it is over one interface. The error is about the
// options.
func New(opts Options) (*Uplink, error) {
	u := &Uplink{}
	if opts.Interface != "" {
		if !canBind {
			return nil, errors.New("connections can be kept to one interface on Linux only")
		}
		u.device = newDevice(opts)
	}
	if opts.Proxy != "" {
		to, err := ParseProxy(opts.Proxy)
		if err != nil {
			return nil, err
		}
		if u.proxy, err = newProxy(to, contextDialer(u.dialer(nil))); err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
	}
	return u, nil
}

// Dialer returns a function that opens connections. Addresses are checked after names are resolved; with a
// proxy, which resolves them, only those are that come as numbers.
func (u *Uplink) Dialer(check Check) DialFunc {
	if u.proxy == nil {
		return u.dialer(check)
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if _, err := netip.ParseAddrPort(addr); err == nil && check != nil {
			if err := check(network, addr); err != nil {
				return nil, err
			}
		}
		return u.proxy.DialContext(ctx, network, addr)
	}
}

// dialer is Dialer without a proxy.
func (u *Uplink) dialer(check Check) DialFunc {
	if u.device != nil {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			return u.device.dial(ctx, network, addr, check)
		}
	}
	d := net.Dialer{Control: checkControl(check)}
	return d.DialContext
}

// ListenPacket opens a socket for packets. With an interface or a proxy it never fails: what is written to a socket
// that cannot be had, as with a proxy, is lost, and nothing can be read from it.
func (u *Uplink) ListenPacket(network, addr string) (net.PacketConn, error) {
	return u.listenPacket(network, addr, false)
}

// ListenPeersPacket is ListenPacket for the socket of peers: with an interface, its port is Options.Port and not
// that of addr.
func (u *Uplink) ListenPeersPacket(network, addr string) (net.PacketConn, error) {
	return u.listenPacket(network, addr, true)
}

func (u *Uplink) listenPacket(network, addr string, peers bool) (net.PacketConn, error) {
	switch {
	case u.proxy != nil:
		return newPacketConn(nil, network, false), nil
	case u.device != nil:
		c := newPacketConn(u.device, network, peers)
		u.device.add(c)
		return c, nil
	}
	return net.ListenPacket(network, addr)
}

// Listen listens for peers on a network, tcp4 or tcp6, at Options.Port. It needs an interface.
func (u *Uplink) Listen(network string) net.Listener {
	l := &listener{device: u.device, network: network, slot: newSlot[*net.TCPListener]()}
	u.device.add(l)
	return l
}

// Resolver looks names up by way of the uplink, as far as there is one interface: name servers on this machine
// are asked directly, and only while the interface can be used.
func (u *Uplink) Resolver() *net.Resolver {
	if u.device == nil {
		return net.DefaultResolver
	}
	return u.device.resolver
}

// Problem says in words why nothing can be sent, and is empty while something can.
func (u *Uplink) Problem() string {
	if u.device == nil {
		return ""
	}
	return u.device.why()
}

// Moved says whether Rebind is due: the interface has come, gone or changed its addresses.
func (u *Uplink) Moved() bool { return u.device != nil && u.device.moved() }

// Rebind ends all connections and sockets, and opens those of listeners and packet connections anew on the
// interface as it is now. It does nothing without an interface.
func (u *Uplink) Rebind() {
	if u.device != nil {
		u.device.rebind()
	}
}

// Close ends all connections and sockets of an interface, for good.
func (u *Uplink) Close() {
	if u.device != nil {
		u.device.close()
	}
}

type contextDialer DialFunc

func (d contextDialer) Dial(network, addr string) (net.Conn, error) {
	return d(context.Background(), network, addr)
}

func (d contextDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return d(ctx, network, addr)
}
