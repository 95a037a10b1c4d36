package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// maxDatagram is the largest UDP payload.
const maxDatagram = 65507

// socket is a UDP port of one address family. Replies go out from the address that the call came to:
// clients take them from no other, and a machine may have several.
type socket struct {
	server *Server
	udp    *net.UDPConn
	read   func(b []byte) (n int, to net.IP, client net.Addr, err error)
	write  func(b []byte, from net.IP, client net.Addr) error

	ctx      context.Context //nolint:containedctx // the life of the socket, which many calls share
	deferred sync.WaitGroup
	waiting  chan struct{} // one for each call in Later
}

func newSocket(s *Server, udp *net.UDPConn) *socket {
	k := &socket{server: s, udp: udp, ctx: s.serving, waiting: make(chan struct{}, maxConnWaiting)}
	if udp.LocalAddr().(*net.UDPAddr).IP.To4() != nil {
		p := ipv4.NewPacketConn(udp)
		_ = p.SetControlMessage(ipv4.FlagDst, true) // where it cannot be told, the kernel's choice has to do
		k.read = func(b []byte) (int, net.IP, net.Addr, error) {
			n, cm, client, err := p.ReadFrom(b)
			if cm == nil {
				return n, nil, client, err
			}
			return n, cm.Dst, client, err
		}
		k.write = func(b []byte, from net.IP, client net.Addr) error {
			_, err := p.WriteTo(b, &ipv4.ControlMessage{Src: from}, client)
			return err
		}
		return k
	}
	p := ipv6.NewPacketConn(udp)
	_ = p.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true) // as above
	k.read = func(b []byte) (int, net.IP, net.Addr, error) {
		n, cm, client, err := p.ReadFrom(b)
		if cm == nil {
			return n, nil, client, err
		}
		return n, cm.Dst, client, err
	}
	k.write = func(b []byte, from net.IP, client net.Addr) error {
		_, err := p.WriteTo(b, &ipv6.ControlMessage{Src: from}, client)
		return err
	}
	return k
}

// serve answers calls until the socket is closed.
func (k *socket) serve() error {
	defer k.deferred.Wait()
	in, out := make([]byte, maxDatagram), make([]byte, 0, maxDatagram)
	for {
		n, to, client, err := k.read(in)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// Of one datagram, such as a port that a reply did not reach.
			k.server.opts.Logger.Debug("a datagram could not be received", "err", err)
			if !k.server.pause() {
				return nil
			}
			continue
		}
		if b := k.answer(in[:n], out, to, client); len(b) > 0 {
			k.send(b, to, client)
		}
	}
}

// answer returns the reply to a datagram, in out, or nothing.
func (k *socket) answer(in, out []byte, to net.IP, client net.Addr) []byte {
	from := addrPort(client)
	local := addrPort(k.udp.LocalAddr())
	if ip, ok := netip.AddrFromSlice(to); ok {
		local = netip.AddrPortFrom(ip.Unmap(), local.Port())
	}
	call := Call{
		Client: from, Local: local, Allowed: k.server.opts.Allowed(from.Addr()), Began: time.Now(),
		link: &datagram{socket: k, to: to, client: client},
	}
	b, status, err := k.server.answer(&call, in, out)
	if err != nil || status == Deferred || status == Dropped {
		return nil
	}
	return b
}

func (k *socket) send(b []byte, from net.IP, client net.Addr) {
	if from.IsMulticast() || from.Equal(net.IPv4bcast) {
		from = nil // a broadcast is answered from an address of our own
	}
	err := k.write(b, from, client)
	if err != nil && from != nil {
		// A broadcast to one network looks like any other address.
		err = k.write(b, nil, client)
	}
	if err != nil {
		k.server.opts.Logger.Debug("a datagram could not be sent", "client", client.String(), "err", err)
	}
}

// datagram is the link of a call that came in one.
type datagram struct {
	socket *socket
	to     net.IP
	client net.Addr
}

func (g *datagram) stream() bool { return false }

func (g *datagram) reserve(int) bool { return false }

func (g *datagram) later(call *Call, wait func(context.Context), answer Answer) bool {
	k := g.socket
	client := call.Client.Addr()
	if !k.server.admit(client, k.waiting) {
		return false
	}
	own := call.detach()
	k.deferred.Go(func() {
		defer k.server.leave(client, k.waiting)
		ctx, answered := context.WithCancel(k.ctx)
		defer answered()
		answer := k.server.wait(ctx, own, wait, answer)
		if b, _ := k.server.finish(own, answer, nil); len(b) > 0 {
			k.send(b, g.to, g.client)
		}
	})
	return true
}

// listenUDP opens a UDP port, for each address family that addr is of, and this machine has.
func listenUDP(host, port string) ([]*net.UDPConn, error) {
	var conns []*net.UDPConn
	var failed error
	for _, network := range []string{"udp4", "udp6"} {
		addr, err := net.ResolveUDPAddr(network, net.JoinHostPort(host, port))
		if err != nil {
			continue // the host is of the other family
		}
		c, err := net.ListenUDP(network, addr)
		switch {
		case err == nil:
			conns = append(conns, c)
		// A machine without IPv6 has one of them only, and that is enough.
		case errors.Is(err, syscall.EAFNOSUPPORT), errors.Is(err, syscall.EADDRNOTAVAIL):
			failed = errors.Join(failed, err)
		default:
			for _, c := range conns {
				_ = c.Close()
			}
			return nil, err
		}
	}
	if len(conns) == 0 {
		if failed == nil {
			failed = fmt.Errorf("%q is no address of this machine", host)
		}
		return nil, failed
	}
	return conns, nil
}
