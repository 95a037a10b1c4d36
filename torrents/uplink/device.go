package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
)

// state is what matters of an interface.
type state struct {
	index  int
	v4, v6 netip.Addr // to send from; zero if there is none
}

// addr returns the address for a network such as tcp4 or udp6, zero if there is none.
func (s state) addr(network string) netip.Addr {
	if strings.HasSuffix(network, "6") {
		return s.v6
	}
	return s.v4
}

// socket is what gets new sockets from a device.
type socket interface {
	isPeers() bool // it shares its port with others that are
	// open opens a socket at a port, any if that is 0, and returns the port. Without an address for it,
	// it does nothing.
	open(at state, port uint16) (uint16, error)
	drop()
	Close() error
}

// device is an interface.
type device struct {
	name     string
	host     netip.Addr
	log      *slog.Logger
	resolver *net.Resolver

	mu      sync.Mutex // over opening and closing sockets, which does not wait
	at      state      // what sockets are bound to; zero while there are none
	problem error      // why there are none
	port    uint16     // of peers, 0 until there is one
	sockets map[socket]struct{}
	conns   map[*conn]struct{}
	closed  bool
}

func newDevice(opts Options) *device {
	d := &device{
		name: opts.Interface, host: opts.Host, port: opts.Port, log: opts.Logger,
		sockets: make(map[socket]struct{}), conns: make(map[*conn]struct{}),
	}
	d.problem = d.trouble("is not there")
	d.resolver = &net.Resolver{PreferGo: true, Dial: d.dialServer}
	return d
}

func (d *device) trouble(format string, args ...any) error {
	return fmt.Errorf("the interface %s %s: nothing is sent", d.name, fmt.Sprintf(format, args...))
}

func (d *device) why() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.problem == nil {
		return ""
	}
	return d.problem.Error()
}

// look returns what the interface is like now.
func (d *device) look() (state, error) {
	ifi, err := net.InterfaceByName(d.name)
	if err != nil {
		return state{}, d.trouble("is not there")
	}
	if ifi.Flags&net.FlagUp == 0 {
		return state{}, d.trouble("is down")
	}
	addrs, err := addresses(ifi.Index)
	if err != nil {
		return state{}, d.trouble("cannot be looked at (%v)", err)
	}
	s := state{index: ifi.Index}
	for _, addr := range addrs {
		switch {
		case d.host.IsValid() && addr != d.host:
		case addr.Is4() && !s.v4.IsValid():
			s.v4 = addr
		case addr.Is6() && !s.v6.IsValid():
			s.v6 = addr
		}
	}
	switch {
	case s.v4.IsValid() || s.v6.IsValid():
		return s, nil
	case d.host.IsValid():
		return state{}, d.trouble("does not have the address %v", d.host)
	default:
		return state{}, d.trouble("has no address")
	}
}

func (d *device) moved() bool {
	now, err := d.look()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		return d.problem == nil || d.problem.Error() != err.Error()
	}
	return now != d.at
}

func (d *device) rebind() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.disconnect()
	now, err := d.look()
	if err == nil {
		err = d.connect(now)
	}
	was := d.problem
	d.problem = err
	switch {
	case err == nil:
		d.log.Info("the swarm is reached over the interface", "interface", d.name, "ipv4", d.at.v4, "ipv6", d.at.v6, "port", d.port)
	case was == nil || was.Error() != err.Error():
		d.log.Warn("the swarm cannot be reached", "err", err)
	}
}

// disconnect closes all sockets and connections. It needs d.mu.
func (d *device) disconnect() {
	d.at = state{}
	for s := range d.sockets {
		s.drop()
	}
	for c := range d.conns {
		c.TCPConn.Close()
	}
	clear(d.conns)
}

// portTries bounds the search for a port that is free for TCP and UDP.
const portTries = 20

// connect opens all sockets. It needs d.mu.
func (d *device) connect(now state) error {
	port, err := d.openPeers(now, d.port)
	if busy := err; errors.Is(busy, syscall.EADDRINUSE) || errors.Is(busy, syscall.EACCES) {
		for try := 0; err != nil && try < portTries; try++ {
			port, err = d.openPeers(now, 0)
		}
		if err == nil && d.port != 0 {
			d.log.Warn("the port for peers cannot be used, another one is", "port", port, "err", busy)
		}
	}
	if err != nil {
		return d.trouble("cannot be bound to (%v)", err)
	}
	d.port, d.at = port, now
	for s := range d.sockets {
		if !s.isPeers() {
			d.open(s)
		}
	}
	return nil
}

// openPeers opens the sockets for peers at one port, any that is free if it is 0. It needs d.mu.
func (d *device) openPeers(now state, port uint16) (uint16, error) {
	for s := range d.sockets {
		if !s.isPeers() {
			continue
		}
		got, err := s.open(now, port)
		if err != nil {
			for s := range d.sockets {
				s.drop()
			}
			return 0, err
		}
		port = got
	}
	return port, nil
}

// open opens a socket of its own port. It needs d.mu.
func (d *device) open(s socket) {
	if _, err := s.open(d.at, 0); err != nil {
		d.log.Debug("no socket", "interface", d.name, "err", err) // what is written to it is lost
	}
}

// add lets a socket come and go with the interface. One for peers gets its first in the next rebind.
func (d *device) add(s socket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sockets[s] = struct{}{}
	if d.problem == nil && !s.isPeers() {
		d.open(s)
	}
}

func (d *device) remove(s socket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sockets, s)
}

func (d *device) close() {
	d.mu.Lock()
	d.closed = true
	d.problem = net.ErrClosed
	d.disconnect()
	sockets := d.sockets
	d.sockets = make(map[socket]struct{})
	d.mu.Unlock()
	for s := range sockets {
		// Whoever has the packets of peers closes that when it is done, and is not to read an error before.
		if _, listens := s.(*listener); listens || !s.isPeers() {
			s.Close()
		}
	}
}

// current returns what to bind to. The error says why nothing can be sent.
func (d *device) current() (state, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at, d.problem
}

// conn is a connection that ends with the interface.
type conn struct {
	*net.TCPConn
	device *device
}

func (c *conn) Close() error {
	c.device.mu.Lock()
	delete(c.device.conns, c)
	c.device.mu.Unlock()
	return c.TCPConn.Close()
}

// The engine panics when a deadline cannot be set, as on a connection that we have ended. Whoever reads or
// writes next learns of that.

func (c *conn) SetDeadline(t time.Time) error { return unlessClosed(c.TCPConn.SetDeadline(t)) }

func (c *conn) SetReadDeadline(t time.Time) error { return unlessClosed(c.TCPConn.SetReadDeadline(t)) }

func (c *conn) SetWriteDeadline(t time.Time) error {
	return unlessClosed(c.TCPConn.SetWriteDeadline(t))
}

func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// keep makes c end with the interface. The error, which closes c, is that it has ended already.
func (d *device) keep(c *net.TCPConn, from netip.Addr) (net.Conn, error) {
	kept := &conn{c, d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.problem != nil || from != d.at.v4 && from != d.at.v6 {
		c.Close()
		return nil, net.ErrClosed
	}
	d.conns[kept] = struct{}{}
	return kept, nil
}

// dial connects from the interface's address, or not at all.
func (d *device) dial(ctx context.Context, network, addr string, check Check) (net.Conn, error) {
	at, err := d.current()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Resolver: d.resolver, Control: d.control(at, check)}
	c, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, nil
	}
	return d.keep(tcp, tcp.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
}

// dialServer connects to a name server.
func (d *device) dialServer(ctx context.Context, network, addr string) (net.Conn, error) {
	server, err := netip.ParseAddrPort(addr)
	if err == nil && server.Addr().Unmap().IsLoopback() {
		if _, err := d.current(); err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return d.dial(ctx, network, addr, nil)
}

type controlFunc func(network, address string, c syscall.RawConn) error

func checkControl(check Check) controlFunc {
	if check == nil {
		return nil
	}
	return func(network, address string, _ syscall.RawConn) error { return check(network, address) }
}

// control binds what is about to connect to the interface and its address.
func (d *device) control(at state, check Check) controlFunc {
	return func(network, address string, c syscall.RawConn) error {
		if check != nil {
			if err := check(network, address); err != nil {
				return err
			}
		}
		from := at.addr(network)
		if !from.IsValid() {
			return fmt.Errorf("the interface %s has no address for %s", d.name, network)
		}
		if err := d.toDevice(network, address, c); err != nil {
			return err
		}
		return rawControl(c, func(fd uintptr) error { return bindFrom(fd, from) })
	}
}

// toDevice binds a socket to the interface.
func (d *device) toDevice(_, _ string, c syscall.RawConn) error {
	return rawControl(c, func(fd uintptr) error { return bindToDevice(fd, d.name) })
}

func rawControl(c syscall.RawConn, f func(fd uintptr) error) (err error) {
	return errors.Join(c.Control(func(fd uintptr) { err = f(fd) }), err)
}
