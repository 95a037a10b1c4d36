package outbound

import (
	"context"
	"net"
	"sync"
)

// Group keeps account of connections, so that all can be ended at once: the engine lets an announce that
// waits for its tracker go on after it was closed itself.
type Group struct {
	mu     sync.Mutex
	closed bool
	conns  map[*groupConn]struct{}
	ctx    context.Context //nolint:containedctx // ends with Close, for connections that are being made
	cancel context.CancelFunc
}

// NewGroup returns a group without connections.
func NewGroup() *Group {
	g := &Group{conns: make(map[*groupConn]struct{})}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

// Dial returns dial with the connections that it makes in the group. Once that is closed, the error is
// net.ErrClosed.
func (g *Group) Dial(dial DialContextFunc) DialContextFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stop := context.AfterFunc(g.ctx, func() { cancel(net.ErrClosed) }) //nolint:contextcheck // ends with the group, too
		defer stop()
		conn, err := dial(ctx, network, addr)
		if err != nil {
			if g.ctx.Err() != nil {
				err = net.ErrClosed
			}
			return nil, err
		}
		c := &groupConn{Conn: conn, group: g}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.closed {
			_ = conn.Close() // nothing was sent
			return nil, net.ErrClosed
		}
		g.conns[c] = struct{}{}
		return c, nil
	}
}

// Close ends all connections.
func (g *Group) Close() {
	g.cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for c := range g.conns {
		_ = c.Conn.Close() // whoever uses it is told
	}
	clear(g.conns)
}

type groupConn struct {
	net.Conn
	group *Group
}

func (c *groupConn) Close() error {
	c.group.mu.Lock()
	delete(c.group.conns, c)
	c.group.mu.Unlock()
	return c.Conn.Close()
}
