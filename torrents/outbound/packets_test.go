package outbound

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// echo answers every datagram with itself.
func echo(t *testing.T) *net.UDPAddr {
	t.Helper()
	s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 4096)
		for {
			n, from, err := s.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := s.WriteTo(b[:n], from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	return s.LocalAddr().(*net.UDPAddr)
}

func newPackets(t *testing.T, g Guard, listen ListenPacketFunc) *Packets {
	t.Helper()
	p := g.Packets(listen)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func mustListen(t *testing.T, p *Packets) net.PacketConn {
	t.Helper()
	c, err := p.ListenPacket("udp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustWrite(t *testing.T, c net.PacketConn, text string, to net.Addr) {
	t.Helper()
	if _, err := c.WriteTo([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

// receive returns what arrives, or nothing if that takes too long.
func receive(t *testing.T, c net.PacketConn, wait time.Duration) string {
	t.Helper()
	timer := time.AfterFunc(wait, func() { _ = c.Close() })
	defer timer.Stop()
	b := make([]byte, 100)
	n, _, err := c.ReadFrom(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

func TestPackets(t *testing.T) {
	var sockets atomic.Int32
	p := newPackets(t, Guard{AllowPrivate: true}, func(network, addr string) (net.PacketConn, error) {
		sockets.Add(1)
		return net.ListenPacket(network, addr)
	})
	one, two := echo(t), echo(t)
	a, b, c := mustListen(t, p), mustListen(t, p), mustListen(t, p)
	if n := sockets.Load(); n != 0 {
		t.Errorf("%d sockets are open before anything is sent, want none", n)
	}
	mustWrite(t, a, "a", one)
	mustWrite(t, b, "b", two)
	if got := receive(t, a, 10*time.Second); got != "a" {
		t.Errorf("a receives %q", got)
	}
	if got := receive(t, b, 10*time.Second); got != "b" {
		t.Errorf("b receives %q", got)
	}
	if n := sockets.Load(); n != 1 {
		t.Errorf("%d sockets are open, want 1 for all", n)
	}
	if got := receive(t, c, 50*time.Millisecond); got != "" {
		t.Errorf("who has sent nothing receives %q", got)
	}
	if _, err := c.WriteTo([]byte("x"), one); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing to a closed connection gives %v, want ErrClosed", err)
	}
}

// TestPacketsStranger: what comes from an address that was not asked is nobody's.
func TestPacketsStranger(t *testing.T) {
	p := newPackets(t, Guard{AllowPrivate: true}, net.ListenPacket)
	c := mustListen(t, p)
	silent, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	mustWrite(t, c, "hello", silent.LocalAddr())
	_, shared, err := silent.ReadFrom(make([]byte, 100))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := net.Dial("udp4", net.JoinHostPort("127.0.0.1", portOf(shared)))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Write([]byte("forged")); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.WriteTo([]byte("true"), shared); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, c, 10*time.Second); got != "true" {
		t.Errorf("it receives %q, want what the one sends that was asked", got)
	}
}

func portOf(a net.Addr) string {
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return ""
	}
	return port
}

func TestPacketsPrivate(t *testing.T) {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	p := newPackets(t, Guard{}, func(string, string) (net.PacketConn, error) {
		t.Error("a socket is opened for a refused address")
		return nil, errors.New("no")
	})
	c := mustListen(t, p)
	port := to.LocalAddr().(*net.UDPAddr).Port
	for _, addr := range []net.Addr{
		to.LocalAddr(), &net.UDPAddr{Port: port}, &net.UDPAddr{IP: net.IPv4zero, Port: port},
		&net.UDPAddr{IP: net.ParseIP("::ffff:127.0.0.1"), Port: port}, &net.UDPAddr{IP: net.IPv4bcast, Port: port},
	} {
		if _, err := c.WriteTo([]byte("x"), addr); !errors.Is(err, ErrNotPublic) {
			t.Errorf("writing to %v gives %v, want ErrNotPublic", addr, err)
		}
	}
}

// TestPacketsReopen: a network that cannot be used is an error of writing, and is tried again.
func TestPacketsReopen(t *testing.T) {
	errDown := errors.New("the network is down")
	var opened []net.PacketConn
	down := true
	p := newPackets(t, Guard{AllowPrivate: true}, func(network, addr string) (net.PacketConn, error) {
		if down {
			return nil, errDown
		}
		s, err := net.ListenPacket(network, addr)
		opened = append(opened, s)
		return s, err
	})
	c, to := mustListen(t, p), echo(t)
	if _, err := c.WriteTo([]byte("x"), to); !errors.Is(err, errDown) {
		t.Errorf("the error is %v, want %v", err, errDown)
	}
	down = false
	mustWrite(t, c, "x", to)
	// The socket ends, as when its interface goes.
	if err := opened[0].Close(); err != nil {
		t.Fatal(err)
	}
	for len(opened) < 2 {
		_, _ = c.WriteTo([]byte("again"), to) // fails until the end is noticed
		time.Sleep(time.Millisecond)
	}
	for {
		got := receive(t, c, 10*time.Second)
		if got == "again" {
			break
		}
		if got == "" {
			t.Fatal("nothing is received after the socket was opened again")
		}
	}
}

func TestPacketsClose(t *testing.T) {
	p := Guard{AllowPrivate: true}.Packets(net.ListenPacket)
	c := mustListen(t, p)
	mustWrite(t, c, "x", echo(t))
	if got := receive(t, c, 10*time.Second); got != "x" {
		t.Errorf("it receives %q", got)
	}
	ended := make(chan error)
	go func() {
		_, _, err := c.ReadFrom(make([]byte, 10))
		ended <- err
	}()
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading ends with %v, want ErrClosed", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("reading does not end")
	}
	if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing gives %v, want ErrClosed", err)
	}
}
