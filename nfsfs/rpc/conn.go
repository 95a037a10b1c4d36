package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"shoal/nfsfs/xdr"
)

const (
	// flushSize is how many bytes of replies are gathered before they are sent, while there are more
	// calls to answer.
	flushSize = 32 << 10
	// keptOut is the largest buffer for replies that is used again.
	keptOut = 2 << 20
)

// errGone is the cause with which the context of a connection ends when the client has hung up.
var errGone = errors.New("the client is gone")

// outs are buffers for replies. A connection has one only while it sends.
var outs = sync.Pool{New: func() any { return new([]byte) }}

// conn is a client's connection. Its own goroutine answers calls as they come, in batches; what has to
// wait is answered by a goroutine of the call's own, when it has its turn.
type conn struct {
	server  *Server
	tcp     *net.TCPConn
	client  netip.AddrPort
	local   netip.AddrPort
	allowed bool
	calls   *reader

	// ctx ends when the client has hung up, or Close begins.
	ctx    context.Context //nolint:containedctx // the life of the connection, which many calls share
	cancel context.CancelCauseFunc
	gone   chan struct{} // closed when there is nobody to reply to
	end    func()        // closes gone and the connection, and ends ctx

	deferred sync.WaitGroup
	waiting  chan struct{} // one for each call in Later
	active   atomic.Int64  // when something was last sent, in nanoseconds of Unix time

	// turn has room for one: for whoever sends. No lock, as waiting for it ends with gone.
	turn chan struct{}
	// What follows is of whoever has the turn.
	out      *[]byte
	deadline time.Time // by which what is being sent has to be received
	room     int64     // of Server.replies
}

func newConn(s *Server, tcp *net.TCPConn) (*conn, error) {
	arrival, err := newArrival(tcp)
	if err != nil {
		return nil, err
	}
	c := &conn{
		server: s, tcp: tcp,
		client: addrPort(tcp.RemoteAddr()), local: addrPort(tcp.LocalAddr()),
		gone: make(chan struct{}), turn: make(chan struct{}, 1), waiting: make(chan struct{}, maxConnWaiting),
	}
	c.active.Store(time.Now().UnixNano())
	c.allowed = s.opts.Allowed(c.client.Addr())
	limit := maxRecord
	if !c.allowed {
		limit = maxStrangerRecord
	}
	c.calls = newReader(tcp, readerOptions{
		limit: limit, wait: recordTime, idle: s.opts.Idle, large: s.large,
		busy: func() bool { return len(c.waiting) > 0 }, arrival: arrival,
	})
	c.ctx, c.cancel = context.WithCancelCause(s.serving)
	c.end = sync.OnceFunc(func() {
		close(c.gone)
		c.cancel(errGone)
		_ = tcp.Close()
	})
	return c, nil
}

// serve answers calls until the connection ends.
func (c *conn) serve() {
	// In this order: nobody waits any more, nothing is being sent, and all is said.
	defer c.deferred.Wait()
	defer c.cancel(errGone)
	defer c.calls.free()
	err := c.answerAll()
	if err != nil && !errors.Is(err, io.EOF) {
		c.server.opts.Logger.Debug("a connection ended", "client", c.client.String(), "err", err)
	}
	// When the server closes, those who wait get their last replies.
	if c.server.serving.Err() == nil {
		c.end()
	}
}

// answerAll answers calls until there is an error, in reading, writing, or in what the client sends.
func (c *conn) answerAll() error {
	var call Call
	var began time.Time // of a batch: the clock takes as long as the rest of a small call
	mine := false       // the turn
	defer func() {
		if mine {
			_ = c.flush() // what came before the error is answered
			c.yield()
		}
	}()
	for {
		err := c.calls.next(c.ctx, func(record []byte) error {
			if !mine && !c.take() {
				return errGone
			}
			if !mine {
				began = time.Now()
			}
			mine = true
			call = Call{Client: c.client, Local: c.local, Allowed: c.allowed, Began: began, link: c}
			return c.append(&call, func(b []byte) ([]byte, Status, error) { return c.server.answer(&call, record, b) })
		})
		if err != nil {
			return err
		}
		if mine && (!c.calls.ready() || len(*c.out) >= flushSize) {
			if err := c.flush(); err != nil {
				return err
			}
			c.yield()
			mine = false
			if c.ctx.Err() != nil {
				return context.Cause(c.ctx) // a client that goes on calling must not hold up Close
			}
		}
	}
}

// take waits for the turn to send. It returns false if there is nobody to send to.
func (c *conn) take() bool {
	select {
	case c.turn <- struct{}{}:
		c.out = outs.Get().(*[]byte)
		return true
	case <-c.gone:
		return false
	}
}

func (c *conn) yield() {
	if cap(*c.out) <= keptOut {
		*c.out = (*c.out)[:0]
		outs.Put(c.out)
	}
	c.out = nil
	c.release()
	<-c.turn
}

// append appends a reply, if answer makes one, and sends the tail of it. It needs the turn. When sending
// fails it ends the connection, as what anybody sent next would be taken for the rest.
func (c *conn) append(call *Call, answer func([]byte) ([]byte, Status, error)) error {
	start, had := len(*c.out), c.room
	b, status, err := answer(append(*c.out, 0, 0, 0, 0))
	// Of what was reserved, the reply may need little.
	if over := c.room - max(had, had+int64(len(b)-start)); over > 0 {
		c.server.replies.Release(over)
		c.room -= over
	}
	if err != nil || status == Deferred || status == Dropped {
		*c.out = b[:start]
		return err
	}
	length := len(b) - start - markSize
	t := call.tail
	total := length + xdr.Padded(t.length)
	binary.BigEndian.PutUint32(b[start:], uint32(total)|lastFragment)
	*c.out = b
	if t.done == nil {
		return nil
	}
	if t.length == 0 {
		t.done(nil)
		return nil
	}
	err = c.extend()
	if err == nil {
		err = sendFile(c.tcp, b, t.file, t.offset, t.length, c.extend)
	}
	t.done(err)
	if err != nil {
		c.end()
		return fmt.Errorf("send a file: %w", err)
	}
	c.release()
	*c.out = append(b[:0], make([]byte, xdr.Padded(t.length)-t.length)...)
	return nil
}

// flush sends what was appended. It needs the turn. When sending fails it ends the connection.
func (c *conn) flush() error {
	if len(*c.out) == 0 {
		return nil
	}
	err := c.extend()
	if err == nil {
		_, err = c.tcp.Write(*c.out)
	}
	if err != nil {
		c.end() // of the reading of calls, too
		return fmt.Errorf("write replies: %w", err)
	}
	*c.out = (*c.out)[:0]
	c.release()
	return nil
}

// release gives back what reserve took. It needs the turn.
func (c *conn) release() {
	c.server.replies.Release(c.room)
	c.room = 0
}

// extend gives the client its time to receive what is sent next.
func (c *conn) extend() error {
	now := time.Now()
	c.active.Store(now.UnixNano())
	if c.deadline.Sub(now) > writeTime/2 {
		return nil // a little less is long enough, and not to set it is quicker
	}
	c.deadline = now.Add(writeTime)
	return c.tcp.SetWriteDeadline(c.deadline)
}

func (c *conn) stream() bool { return true }

func (c *conn) reserve(n int) bool {
	if !c.server.replies.TryAcquire(int64(n)) {
		return false
	}
	c.room += int64(n)
	return true
}

func (c *conn) later(call *Call, wait func(context.Context), answer Answer) bool {
	if !c.server.admit(c.client.Addr(), c.waiting) {
		return false
	}
	own := call.detach()
	c.deferred.Go(func() {
		defer c.server.leave(c.client.Addr(), c.waiting)
		ctx, answered := context.WithCancel(c.ctx)
		defer answered()
		answer := c.server.wait(ctx, own, wait, answer)
		if errors.Is(context.Cause(c.ctx), errGone) || !c.take() {
			return
		}
		err := c.append(own, func(b []byte) ([]byte, Status, error) {
			b, status := c.server.finish(own, answer, b)
			return b, status, nil
		})
		if err == nil {
			_ = c.flush()
		}
		c.yield()
	})
	return true
}

func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
