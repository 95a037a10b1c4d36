package mdns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	port = 5353

	// hops is so many that no router can have passed a packet on.
	hops = 255

	// sendTime is how long sending may take, which does not wait for anybody.
	sendTime = time.Second

	// maxFailures is how often in a row receiving may fail before the sockets are given up. Some systems report here what
	// became of what was sent.
	maxFailures = 10
)

var (
	group4 = netip.MustParseAddr("224.0.0.251")
	group6 = netip.MustParseAddr("ff02::fb")

	errSockets = errors.New("nothing can be received at UDP port 5353 any more")
)

// sockets are those of a session: one for each version of IP.
type sockets struct {
	links []*link
	v4    *ipv4.PacketConn
	v6    *ipv6.PacketConn

	received chan packet
	done     chan struct{} // closed when nobody receives any more
	readers  sync.WaitGroup
}

// openSockets listens on the links. The port is shared with other programs that let it be shared, as all do that speak multicast DNS.
func openSockets(links []*link) (*sockets, error) {
	s := &sockets{links: links, received: make(chan packet), done: make(chan struct{})}
	err := errors.Join(s.openV4(), s.openV6())
	if s.v4 == nil && s.v6 == nil { // with one of them, the machine can be found
		return nil, fmt.Errorf("listen at UDP port %d: %w", port, err)
	}
	if s.v4 != nil {
		s.readers.Go(s.readV4)
	}
	if s.v6 != nil {
		s.readers.Go(s.readV6)
	}
	go func() {
		s.readers.Wait()
		close(s.received)
	}()
	return s, nil
}

// of returns the links with a version of IP.
func (s *sockets) of(v6 bool) []*link {
	return slices.DeleteFunc(slices.Clone(s.links), func(l *link) bool { return l.ipv6 != v6 })
}

func (s *sockets) openV4() error {
	links := s.of(false)
	if len(links) == 0 {
		return nil
	}
	group := net.UDPAddrFromAddrPort(netip.AddrPortFrom(group4, port))
	c, err := net.ListenUDP("udp4", group) // which makes it a shared port
	if err != nil {
		return err
	}
	p := ipv4.NewPacketConn(c)
	err = errors.Join(p.SetMulticastTTL(hops), p.SetTTL(hops), p.SetMulticastLoopback(true)) // this machine may ask as well
	joined := false
	for _, l := range links {
		joinErr := p.JoinGroup(l.networkInterface(), group)
		joined = joined || joinErr == nil
		err = errors.Join(err, joinErr)
	}
	if !joined {
		return errors.Join(err, c.Close())
	}
	_ = p.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true) // Windows has none
	s.v4 = p
	return nil
}

func (s *sockets) openV6() error {
	links := s.of(true)
	if len(links) == 0 {
		return nil
	}
	group := net.UDPAddrFromAddrPort(netip.AddrPortFrom(group6, port))
	c, err := net.ListenUDP("udp6", group)
	if err != nil {
		return err
	}
	p := ipv6.NewPacketConn(c)
	err = errors.Join(p.SetMulticastHopLimit(hops), p.SetHopLimit(hops), p.SetMulticastLoopback(true))
	joined := false
	for _, l := range links {
		joinErr := p.JoinGroup(l.networkInterface(), group)
		joined = joined || joinErr == nil
		err = errors.Join(err, joinErr)
	}
	if !joined {
		return errors.Join(err, c.Close())
	}
	_ = p.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true)
	s.v6 = p
	return nil
}

// networkInterface is the link as package net has it, as far as x/net needs it.
func (l *link) networkInterface() *net.Interface { return &net.Interface{Index: l.index, Name: l.name} }

func (s *sockets) packets() <-chan packet { return s.received }

// close ends sending and receiving, and waits for the goroutines.
func (s *sockets) close() {
	close(s.done)
	if s.v4 != nil {
		_ = s.v4.Close() // nothing is to be lost in it
	}
	if s.v6 != nil {
		_ = s.v6.Close()
	}
	for range s.received { // until the readers have ended
	}
}

func (s *sockets) send(l *link, to netip.AddrPort, message []byte) error {
	if l.ipv6 {
		if s.v6 == nil {
			return errSockets
		}
		if !to.IsValid() {
			to = netip.AddrPortFrom(group6.WithZone(l.name), port)
		}
		err := errors.Join(s.v6.SetMulticastInterface(l.networkInterface()), s.v6.SetWriteDeadline(time.Now().Add(sendTime)))
		if err == nil {
			_, err = s.v6.WriteTo(message, nil, net.UDPAddrFromAddrPort(to))
		}
		return err
	}
	if s.v4 == nil {
		return errSockets
	}
	if !to.IsValid() {
		to = netip.AddrPortFrom(group4, port)
	}
	err := errors.Join(s.v4.SetMulticastInterface(l.networkInterface()), s.v4.SetWriteDeadline(time.Now().Add(sendTime)))
	if err == nil {
		_, err = s.v4.WriteTo(message, nil, net.UDPAddrFromAddrPort(to))
	}
	return err
}

func (s *sockets) readV4() {
	s.read(func(b []byte) (int, *arrival, net.Addr, error) {
		n, c, from, err := s.v4.ReadFrom(b)
		if c == nil {
			return n, nil, from, err
		}
		return n, &arrival{c.IfIndex, c.Dst}, from, err
	}, false)
}

func (s *sockets) readV6() {
	s.read(func(b []byte) (int, *arrival, net.Addr, error) {
		n, c, from, err := s.v6.ReadFrom(b)
		if c == nil {
			return n, nil, from, err
		}
		return n, &arrival{c.IfIndex, c.Dst}, from, err
	}, true)
}

// arrival is how a packet got here.
type arrival struct {
	index int    // of the interface
	to    net.IP // it was sent to
}

// read receives until the socket is closed, or broken.
func (s *sockets) read(from func([]byte) (int, *arrival, net.Addr, error), v6 bool) {
	b := make([]byte, maxMessage)
	for failures := 0; failures < maxFailures; {
		n, how, sender, err := from(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			failures++
			continue
		}
		failures = 0
		udp, ok := sender.(*net.UDPAddr)
		if !ok {
			continue
		}
		addr := udp.AddrPort()
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		l := s.link(addr.Addr(), how, v6)
		if l == nil {
			continue
		}
		m, err := parseMessage(b[:n])
		if err != nil {
			continue // there is nobody to complain to
		}
		select {
		case s.received <- packet{l, addr, m}:
		case <-s.done:
			return
		}
	}
}

// link returns the link that a packet has come by, or nil if it is none of ours, the sender is not on that link, or it was sent to this
// machine alone: who is elsewhere could have us answer in the name of others.
func (s *sockets) link(from netip.Addr, how *arrival, v6 bool) *link {
	if how != nil && how.to != nil && !how.to.IsMulticast() {
		return nil
	}
	i := slices.IndexFunc(s.links, func(l *link) bool {
		return l.ipv6 == v6 && (how == nil || how.index == l.index) && l.has(from)
	})
	if i < 0 {
		return nil
	}
	return s.links[i]
}
