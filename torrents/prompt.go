package torrents

import (
	"context"
	"net"
	"syscall"

	"github.com/anacrolix/torrent"
)

// promptDialer dials connections that acknowledge at once what they have read.
//
// The end of a block of 16 KiB is no full packet. Peers with Nagle's algorithm on, as libtorrent 2.0 has it, keep it back until what went
// before is acknowledged, which the system puts off for some 40 ms (RFC 9293, 3.7.4 and 3.8.6.3): with each piece that somebody waits for.
type promptDialer struct{ torrent.Dialer }

func (d promptDialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := d.Dialer.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			return promptConn{c, raw}, nil
		}
	}
	return c, nil // as of uTP, which is prompt
}

type promptConn struct {
	net.Conn
	raw syscall.RawConn
}

func (c promptConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && n < len(b) { // there is no more for now
		acknowledge(c.raw)
	}
	return n, err
}
