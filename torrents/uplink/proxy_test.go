package uplink

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseProxy(t *testing.T) {
	for address, good := range map[string]bool{
		"socks5://127.0.0.1:1080": true, "socks5://me:se%3Acret@nas:1080": true, "http://[::1]:8080": true, "http://a:1/": true,
		"": false, "127.0.0.1:1080": false, "socks5://nas": false, "https://a:1": false, "socks4://a:1": false, "http://:1": false,
		"http://a:0": false, "http://a:65536": false, "http://a:1/x": false, "http://a:1?x": false, "http://me:secret@a:b": false,
	} {
		u, err := ParseProxy(address)
		if (err == nil) != good || good && u.Port() == "" {
			t.Errorf("ParseProxy(%q) = %v, %v; want success: %t", address, u, err, good)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseProxy(%q) tells the password: %v", address, err)
		}
	}
}

// proxyThat answers every connection with what answer says to the head of its request.
func proxyThat(t testing.TB, answer func(head string, c net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r, head := bufio.NewReader(c), ""
			for !strings.HasSuffix(head, "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					break
				}
				head += line
			}
			answer(head, c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestConnectAnswers(t *testing.T) {
	for answer, want := range map[string]string{ // what can be read of the tunnel; empty is an error
		"HTTP/1.1 200 OK\r\n\r\nhello":                             "hello",
		"HTTP/1.0 200 Connection established\r\nX: y\r\n\r\nhello": "hello",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhello":        "hello",
		"HTTP/1.1 407 Proxy Authentication Required\r\n\r\nhello":  "",
		"HTTP/1.1 204 No Content\r\n\r\nhello":                     "",
		"SSH-2.0-x\r\n":                                            "",
		"":                                                         "",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1<<16):  "",
	} {
		var asked string
		addr := proxyThat(t, func(head string, c net.Conn) {
			asked = head
			_, _ = io.WriteString(c, answer) // whoever has read enough hangs up
		})
		u, err := New(Options{Proxy: "http://me:pass@" + addr})
		if err != nil {
			t.Fatal(err)
		}
		c, err := u.Dialer(nil)(t.Context(), "tcp6", "tracker.example:80")
		got := ""
		if err == nil {
			b, _ := io.ReadAll(c) // until the proxy ends it
			got = string(b)
			c.Close()
		}
		if got != want {
			t.Errorf("with the answer %.60q: %q, %v; want %q", answer, got, err, want)
		}
		if !strings.HasPrefix(asked, "CONNECT tracker.example:80 HTTP/1.1\r\n") ||
			!strings.Contains(asked, "\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n") {
			t.Errorf("the proxy was asked %q", asked)
		}
	}
}

// TestConnectEnds: a proxy that says nothing is waited for as long as the context wants.
func TestConnectEnds(t *testing.T) {
	ended := make(chan struct{})
	addr := proxyThat(t, func(_ string, c net.Conn) {
		_, _ = c.Read(make([]byte, 1)) // until the other side hangs up
		close(ended)
	})
	u, err := New(Options{Proxy: "http://" + addr})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c, err := u.Dialer(nil)(ctx, "tcp", "192.0.2.1:80"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v; want the context's error", c, err)
	}
	<-ended
	if _, err := u.Dialer(nil)(t.Context(), "tcp", "a\r\nX: y:80"); err == nil {
		t.Error("an address of two lines was accepted")
	}
}

// TestCheck: what is checked is the address, with a proxy as far as it is known.
func TestCheck(t *testing.T) {
	refused := errors.New("refused")
	check := func(network, address string) error {
		if strings.HasPrefix(address, "127.0.0.1:") && strings.HasPrefix(network, "tcp") {
			return refused
		}
		return nil
	}
	addr := proxyThat(t, func(_ string, c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") })
	for proxy, want := range map[string]map[string]bool{
		"":               {addr: false, "localhost:" + addr[strings.LastIndex(addr, ":")+1:]: false},
		"http://" + addr: {"127.0.0.1:1": false, "192.0.2.1:1": true, "tracker.example:1": true},
	} {
		u, err := New(Options{Proxy: proxy})
		if err != nil {
			t.Fatal(err)
		}
		for to, good := range want {
			c, err := u.Dialer(check)(t.Context(), "tcp4", to)
			if good != (err == nil) || !good && !errors.Is(err, refused) {
				t.Errorf("with the proxy %q, %s: %v, want success: %t", proxy, to, err, good)
			}
			if err == nil {
				c.Close()
			}
		}
	}
}

// TestPacketsThroughProxy: there is no way, and that is no error.
func TestPacketsThroughProxy(t *testing.T) {
	u, err := New(Options{Proxy: "socks5://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	pc, err := u.ListenPacket("udp4", "192.0.2.1:1") // not ours
	if err != nil {
		t.Fatal(err)
	}
	if n, err := pc.WriteTo([]byte("lost"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}); n != 4 || err != nil {
		t.Errorf("write: %d, %v; want it lost", n, err)
	}
	read := make(chan error, 1)
	go func() {
		_, _, err := pc.ReadFrom(make([]byte, 10))
		read <- err
	}()
	pc.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v, want net.ErrClosed", err)
	}
	pc.Close() // twice is no harm
}
