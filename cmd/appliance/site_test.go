package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// serveSite serves a handler as the appliance does, with what change makes of the server, and returns its address.
func serveSite(t *testing.T, handler http.HandlerFunc, proxies []netip.Prefix, change func(*http.Server)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	site := newSite(handler, proxies, func(netip.Addr) {}, slog.New(slog.DiscardHandler))
	change(site)
	served := make(chan error, 1)
	go func() { served <- site.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := site.Shutdown(ctx); err != nil { // waits for connections whose requests were refused
			t.Errorf("shut down: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

func dialSite(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// askSite sends a request and returns the status of the answer, or 0 if it is hung up on.
func askSite(t *testing.T, conn net.Conn, request string) int {
	t.Helper()
	_, _ = io.WriteString(conn, request) // it may have hung up
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	if answer.ProtoMajor != 1 {
		t.Errorf("%.20q is answered by %s", request, answer.Proto)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// TestCVE_2026_32136_Server: AdGuard Home's login was passed by over HTTP/2 in clear. The server has no such thing, and answers nothing before
// its handler does, which asks for the login.
func TestCVE_2026_32136_Server(t *testing.T) {
	addr := serveSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 && r.Method != "PRI" { // which the site has no page for
			t.Errorf("%s %s came over %s", r.Method, r.URL, r.Proto)
		}
		w.WriteHeader(http.StatusUnauthorized)
	}, nil, func(*http.Server) {})
	for what, c := range map[string]struct {
		request string
		want    int
	}{
		"an upgrade":         {"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", 401},
		"prior knowledge":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 401},
		"OPTIONS *":          {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 401},
		"1 MiB of headers":   {"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", 431},
		"many headers":       {"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 1<<15) + "\r\n", 431},
		"no Host":            {"GET / HTTP/1.1\r\n\r\n", 400},
		"two lengths":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		"a proxy's request":  {"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 401},
		"a length, in parts": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501},
	} {
		if got := askSite(t, dialSite(t, addr), c.request); got != c.want {
			t.Errorf("%s is answered %d, want %d", what, got, c.want)
		}
	}
}

// TestSlowReaders: whoever asks and does not take the answer keeps no goroutine for ever, and whoever sends nothing keeps no connection.
func TestSlowReaders(t *testing.T) {
	ended := make(chan error, 1)
	addr := serveSite(t, func(w http.ResponseWriter, _ *http.Request) {
		b := make([]byte, 1<<20)
		for {
			if _, err := w.Write(b); err != nil {
				ended <- err
				return
			}
		}
	}, nil, func(s *http.Server) {
		if s.WriteTimeout <= 0 || s.WriteTimeout > time.Hour || s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.IdleTimeout <= 0 {
			t.Errorf("the server has the times %v, %v, %v, %v", s.WriteTimeout, s.ReadHeaderTimeout, s.ReadTimeout, s.IdleTimeout)
		}
		s.WriteTimeout, s.ReadHeaderTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	conn := dialSite(t, addr)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the answer to who takes none of it ends with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the answer to who takes none of it does not end")
	}
	silent := dialSite(t, addr)
	if got := askSite(t, silent, "GET / HT"); got == http.StatusOK {
		t.Errorf("half a request is answered %d", got)
	}
}

// TestTooManyConnections: one client has not all the connections, unless it is a reverse proxy; and those that are too many are hung up on.
func TestTooManyConnections(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	request := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	addr := serveSite(t, handler, nil, func(*http.Server) {})
	var open []net.Conn
	for range maxHTTPConnsOfClient {
		conn := dialSite(t, addr)
		if got := askSite(t, conn, request); got != http.StatusOK {
			t.Fatalf("connection %d is answered %d", len(open)+1, got)
		}
		open = append(open, conn)
	}
	if got := askSite(t, dialSite(t, addr), request); got != 0 {
		t.Errorf("one connection more is answered %d, want it hung up on", got)
	}
	for _, conn := range open[:2] {
		_ = conn.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); askSite(t, dialSite(t, addr), request) != http.StatusOK; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("after others have ended, no connection is answered")
		}
	}
	addr = serveSite(t, handler, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, func(*http.Server) {})
	for i := range maxHTTPConnsOfClient + 5 {
		if got := askSite(t, dialSite(t, addr), request); got != http.StatusOK {
			t.Fatalf("connection %d of a proxy is answered %d", i+1, got)
		}
	}
}

// TestConnectionsInAll: all clients together have a limit, and nothing is kept of those that are gone.
func TestConnectionsInAll(t *testing.T) {
	var seen []netip.Addr
	conns := &httpConns{of: make(map[netip.Prefix]int), saw: func(addr netip.Addr) { seen = append(seen, addr) }}
	var list []*fakeConn
	for i := range maxHTTPConns + 10 {
		// A machine has a whole /64.
		c := &fakeConn{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0, byte(i >> 8), byte(i), 15: byte(i)}), 1))}
		conns.changed(c, http.StateNew)
		conns.changed(c, http.StateActive)
		list = append(list, c)
		if c.closed != (i >= maxHTTPConns) {
			t.Errorf("connection %d is hung up on: %t", i, c.closed)
		}
	}
	if first := netip.MustParseAddr("2001::"); len(seen) != len(list) || seen[0] != first {
		t.Errorf("%d addresses were told of, the first is %v; want %d, and %v", len(seen), seen[0], len(list), first)
	}
	for _, c := range list {
		conns.changed(c, http.StateClosed)
	}
	if conns.all != 0 || len(conns.of) != 0 {
		t.Errorf("%d connections of %d clients are counted when all are gone", conns.all, len(conns.of))
	}
	for i := range maxHTTPConnsOfClient + 1 {
		c := &fakeConn{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 15: byte(i)}), 1))}
		if conns.changed(c, http.StateNew); c.closed != (i >= maxHTTPConnsOfClient) {
			t.Errorf("connection %d of a machine is hung up on: %t", i, c.closed)
		}
	}
}

// fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn

	addr   net.Addr
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return c.addr }
func (c *fakeConn) Close() error         { c.closed = true; return nil }
