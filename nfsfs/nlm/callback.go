package nlm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

const (
	// maxCallees is how many addresses are called at a time, each by a goroutine, and maxCalls how many
	// calls wait for one of them: 8 MiB if each had the longest arguments. What is beyond is not called:
	// clients ask again, and grants are told again.
	maxCallees = 64
	maxCalls   = 32
	// callTime is how long one call may take, with finding the port.
	callTime = 5 * time.Second
	// answerTime is how long to wait for a reply that says nothing. Not all lock managers send one.
	answerTime = time.Second
)

// route is how a client can be called: where its call came from, and what it spoke.
type route struct {
	addr    netip.Addr
	local   netip.AddrPort // where its call came to: clients take no grant from another address
	version uint32
	// offset and length are the range as the client said it, since it compares them.
	offset, length uint64
	async          bool // it asked with LOCK_MSG, and is told with GRANTED_MSG
}

// message is a call to a client's lock manager.
type message struct {
	route
	proc uint32
	args []byte
	// grant is the number of the grant that is told, and again is set if it was told before. When the
	// client has heard of it otherwise, over is closed: it may be waiting for the same lock once more,
	// and would take the call for an answer to that.
	grant uint64
	again bool
	over  <-chan struct{}
}

// caller calls the lock managers of clients, those of one address in order.
type caller struct {
	ports  *ports
	logger *slog.Logger
	// answered is told what a client says to a grant.
	answered func(grant uint64, addr netip.Addr, s status)
	dial     func(ctx context.Context, network string, local netip.Addr, to netip.AddrPort) (net.Conn, error)

	ctx   context.Context //nolint:containedctx // the life of the caller, which its goroutines share
	stop  context.CancelFunc
	group sync.WaitGroup

	mu     sync.Mutex
	queues map[netip.Addr][]message // of addresses that have a goroutine
	closed bool
}

func newCaller(lookup Lookup, logger *slog.Logger, answered func(uint64, netip.Addr, status)) *caller {
	c := &caller{
		ports: newPorts(lookup), logger: logger, answered: answered, dial: dial,
		queues: make(map[netip.Addr][]message),
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// close ends all calls, and waits for them.
func (c *caller) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.group.Wait()
}

// send queues a call, or drops it if there are too many.
func (c *caller) send(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue, running := c.queues[m.addr]
	switch {
	case c.closed || len(queue) >= maxCalls || !running && len(c.queues) >= maxCallees:
		return
	case !running:
		c.group.Go(func() { c.serve(m.addr) })
	}
	c.queues[m.addr] = append(queue, m)
}

// serve makes the calls to an address until there are none.
func (c *caller) serve(addr netip.Addr) {
	for {
		m, ok := c.next(addr)
		if !ok {
			return
		}
		if err := c.call(m); err != nil {
			c.logger.Debug("a client's lock manager was not reached", "client", addr.String(), "proc", m.proc, "err", err)
		}
	}
}

func (c *caller) next(addr netip.Addr) (message, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue := c.queues[addr]
	if len(queue) == 0 {
		delete(c.queues, addr)
		return message{}, false
	}
	c.queues[addr] = queue[1:]
	return queue[0], true
}

var (
	errSelf = errors.New("the port is our own: the client is behind this machine's address translation")
	errOver = errors.New("the client knows already")
)

// call makes one call.
func (c *caller) call(m message) error {
	ctx, cancel := context.WithTimeout(c.ctx, callTime)
	defer cancel()
	if m.over != nil {
		c.group.Go(func() {
			select {
			case <-m.over:
				cancel()
			case <-ctx.Done():
			}
		})
	}
	if m.again {
		c.ports.forget(m.addr, m.version) // the client may have restarted since
	}
	port, network, err := c.ports.find(ctx, m.addr, m.version)
	if err != nil {
		return err
	}
	to := netip.AddrPortFrom(m.addr, port)
	if to == m.local {
		return errSelf
	}
	select {
	case <-m.over:
		return errOver
	default:
	}
	conn, err := c.dial(ctx, network, m.local.Addr(), to)
	if err != nil {
		return err
	}
	defer conn.Close()
	return c.exchange(ctx, conn, m)
}

// exchange makes a call on conn.
func (c *caller) exchange(ctx context.Context, conn net.Conn, m message) error {
	h := rpc.Header{
		XID: rand.Uint32(), Program: Program, Version: m.version, Proc: m.proc,
		Flavor: rpc.AuthSys, Credential: credential,
	}
	if m.proc == procGranted {
		result, err := rpc.Exchange(ctx, conn, h, m.args)
		if err != nil {
			return err
		}
		_, s, err := decodeResult(result)
		if err != nil {
			return fmt.Errorf("the result of GRANTED: %w", err)
		}
		c.answered(m.grant, m.addr, s)
		return nil
	}
	// All others have no reply (RFC 1813, section 6.5), or an empty one. What gets lost is not sent again
	// until the client asks again.
	if conn.LocalAddr().Network() == "udp" {
		_, err := conn.Write(append(rpc.AppendCall(nil, h), m.args...))
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err := rpc.Exchange(ctx, conn, h, m.args)
	if ctx.Err() != nil {
		return nil // the client had time to take it, and does not answer such calls
	}
	return err
}

// credential is that of AUTH_SYS, the only flavor that lock managers speak (XNFS, chapter 10), of root
// on a machine of no particular name.
var credential = xdr.AppendWords(xdr.AppendOpaque(xdr.AppendUint32(nil, 0), "shoal"), 0, 0, 0)

// dial connects to a client from the address that it knows.
func dial(ctx context.Context, network string, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if local.IsValid() && !local.IsUnspecified() {
		if local.Is6() && local.IsLinkLocalUnicast() && local.Zone() == "" {
			local = local.WithZone(to.Addr().Zone())
		}
		from := netip.AddrPortFrom(local, 0)
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(from)
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(from)
		}
	}
	return d.DialContext(ctx, network, to.String())
}
