package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// A request has to arrive within these: an upload may be large and the client slow.
	httpHeaderTime = 10 * time.Second
	httpBodyTime   = 5 * time.Minute
	httpIdleTime   = 2 * time.Minute
	maxHTTPHeader  = 64 << 10

	// httpAnswerTime is in how long a request has to arrive and its answer to be taken. Files and streams have times of their own.
	httpAnswerTime = 15 * time.Minute

	// maxHTTPConns and maxHTTPConnsOfClient are how many connections there may be: each has a file descriptor, of which NFS clients and
	// the cache need some. A client is an address, or in IPv6 all that a machine can give itself.
	maxHTTPConns         = 1024
	maxHTTPConnsOfClient = 128
)

// newSite is the HTTP server of a handler. saw is told of the address that each connection comes from.
func newSite(handler http.Handler, proxies []netip.Prefix, saw func(netip.Addr), log *slog.Logger) *http.Server {
	conns := &httpConns{proxies: proxies, saw: saw, of: make(map[netip.Prefix]int)}
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: httpHeaderTime,
		ReadTimeout:       httpBodyTime,
		WriteTimeout:      httpAnswerTime,
		IdleTimeout:       httpIdleTime,
		MaxHeaderBytes:    maxHTTPHeader,
		ConnState:         conns.changed,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true, // it would answer without the site's headers, and without a login
	}
}

// httpConns counts the connections, and hangs up on those that are too many.
type httpConns struct {
	proxies []netip.Prefix // who ask for many clients
	saw     func(netip.Addr)

	mu  sync.Mutex // held for moments
	all int
	of  map[netip.Prefix]int // by client
}

// changed is told of the states of a connection (http.Server.ConnState).
func (c *httpConns) changed(conn net.Conn, state http.ConnState) {
	change := 0
	switch state {
	case http.StateNew:
		change = 1
	case http.StateClosed, http.StateHijacked:
		change = -1
	default:
		return
	}
	client, addr := httpClient(conn.RemoteAddr())
	if state == http.StateNew && addr.IsValid() {
		c.saw(addr)
	}
	c.mu.Lock()
	c.all += change
	if c.of[client] += change; c.of[client] == 0 {
		delete(c.of, client)
	}
	isProxy := slices.ContainsFunc(c.proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
	tooMany := c.all > maxHTTPConns || c.of[client] > maxHTTPConnsOfClient && !isProxy
	c.mu.Unlock()
	if tooMany && state == http.StateNew {
		_ = conn.Close() // whose client sees that there is nothing; the state becomes closed
	}
}

// httpClient is whom a connection counts for, and its address; nobody's if it is not one over TCP.
func httpClient(remote net.Addr) (netip.Prefix, netip.Addr) {
	at, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return netip.Prefix{}, netip.Addr{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	client, _ := addr.Prefix(bits) // the bits fit
	return client, addr
}
