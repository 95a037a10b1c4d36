package outbound

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listen returns a listener on loopback, and the channel of what connects to it.
func listen(t *testing.T) (net.Listener, <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 10)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
		for len(conns) > 0 {
			_ = (<-conns).Close()
		}
	})
	return l, conns
}

// dialer is one with the guard.
func dialer(g Guard) *net.Dialer {
	return &net.Dialer{Control: func(network, address string, _ syscall.RawConn) error {
		return g.CheckAddress(network, address)
	}}
}

func TestCheckAddress(t *testing.T) {
	l, conns := listen(t)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	closed := dialer(Guard{})
	for _, host := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1", "0.0.0.0", ""} {
		conn, err := closed.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		if !errors.Is(err, ErrNotPublic) {
			t.Errorf("dialing %q gives %v, want ErrNotPublic", host, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	select {
	case <-conns:
		t.Error("a refused address was connected to")
	case <-time.After(50 * time.Millisecond):
	}
	open := dialer(Guard{AllowPrivate: true})
	conn, err := open.DialContext(t.Context(), "tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatalf("with private addresses allowed: %v", err)
	}
	_ = conn.Close()
}

func TestLimitAnswers(t *testing.T) {
	for sent, want := range map[int]bool{0: true, 99: true, 100: true, 101: false, 100_000: false} {
		l, conns := listen(t)
		dial := LimitAnswers(dialer(Guard{AllowPrivate: true}).DialContext, 100)
		conn, err := dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server := <-conns
		if _, err := server.Write([]byte(strings.Repeat("x", sent))); err != nil {
			t.Fatal(err)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(conn)
		if (err == nil) != want || len(b) != min(sent, 100) || err != nil && !errors.Is(err, ErrTooLarge) {
			t.Errorf("of %d bytes %d are read with the error %v", sent, len(b), err)
		}
		_ = conn.Close()
	}
}
