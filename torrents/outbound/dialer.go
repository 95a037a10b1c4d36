package outbound

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// DialContextFunc is the type of net.Dialer.DialContext.
type DialContextFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

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
