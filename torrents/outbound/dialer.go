package outbound

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// DialContextFunc is the type of net.Dialer.DialContext.
type DialContextFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// connectTime bounds making a connection, the name's resolution included.
const connectTime = 10 * time.Second

// Dialer returns base with the guard before it: the address is checked when it is about to be connected to,
// and then base's own Control or ControlContext is called. If base has no Timeout, connecting takes 10 s at
// most.
func (g Guard) Dialer(base net.Dialer) *net.Dialer {
	control, controlContext := base.Control, base.ControlContext
	base.Control = nil
	base.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		if err := g.CheckAddress(network, address); err != nil {
			return err
		}
		switch {
		case controlContext != nil:
			return controlContext(ctx, network, address, c)
		case control != nil:
			return control(network, address, c)
		}
		return nil
	}
	if base.Timeout == 0 {
		base.Timeout = connectTime
	}
	return &base
}

// CheckAddress is Check for an address with a port, as net.Dialer's Control has it. One without an IP address
// means this machine.
func (g Guard) CheckAddress(_, address string) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil && !g.AllowPrivate {
		return fmt.Errorf("%s is %w", address, ErrNotPublic)
	}
	return g.Check(addr.Addr())
}

// LimitAnswers returns dial with a limit on the bytes that are received on each connection. It is for
// connections that carry one answer each.
func LimitAnswers(dial DialContextFunc, limit int64) DialContextFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &limitedConn{Conn: conn, limit: limit, left: limit}, nil
	}
}

// limitedConn ends with an error when limit bytes were read from it. One goroutine reads it at a time, as
// an http.Transport does.
type limitedConn struct {
	net.Conn
	limit, left int64
}

func (c *limitedConn) Read(b []byte) (int, error) {
	if c.left == 0 {
		n, err := c.Conn.Read(make([]byte, 1))
		if n > 0 {
			err = fmt.Errorf("the answer is longer than %d bytes: %w", c.limit, ErrTooLarge)
		}
		return 0, err
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}
