// Package nfsfs exports a tree over NFSv3 (RFC 1813) and MOUNT v3 on one TCP port.
//
// The server reads whole records, bounded, checks the caller's address and the versions, answers
// NULL, and passes the rest to go-nfs through a relay, each call on its own: a READ that waits for
// the swarm holds up no other call of the client. After Options.ReadWait it is answered with
// NFS3ERR_JUKEBOX, upon which a client asks again.
//
// NFSv3 has no authentication worth the name: whoever may connect may read everything.
package nfsfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/willscott/go-nfs"

	"shoal/nfsfs/rpc"
	"shoal/tree"
)

// Options say what is exported, and to whom.
type Options struct {
	Tree     *tree.Tree
	Allow    []netip.Prefix // who may mount and read
	ReadWait time.Duration  // longest wait of a READ
	Logger   *slog.Logger
}

const (
	// maxRecord is the longest call: a WRITE of 1 MiB, to be refused, with what is around it.
	maxRecord = 1<<20 + 64<<10
	// maxRead is the most that one READ gets, whatever it asks for.
	maxRead = 1 << 20
	// recordTime is how long a call may take to arrive once it has begun.
	recordTime = 30 * time.Second
	// writeTime is how long a client may take to receive a reply.
	writeTime = 30 * time.Second
	// closeTime is how long clients have to receive their last replies at Close.
	closeTime = 2 * time.Second
	// acceptPause is how long to wait before accepting again after that failed.
	acceptPause = 100 * time.Millisecond
	// maxConns is how many connections there may be at a time.
	maxConns = 1024
	// maxReads is how many READs may wait at a time, of all clients, and maxConnReads of one. What
	// comes above that is told to come again.
	maxReads     = 512
	maxConnReads = 64
	// maxConnCalls is how many other calls of one connection are worked on at a time.
	maxConnCalls = 32
)

// Server is an export that listens.
type Server struct {
	opts     Options
	listener net.Listener
	relay    *relay

	// serving ends when Close begins.
	serving  context.Context //nolint:containedctx // the life of the server
	endServe context.CancelCauseFunc

	closing  sync.Once
	closeErr error

	group sync.WaitGroup // connections, with the calls of each
	reads chan struct{}  // one for each READ under way

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once Close has begun
}

// Listen opens the port. Nothing is answered before Serve.
func Listen(addr string, opts Options) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for NFS: %w", err)
	}
	s := &Server{opts: opts, listener: l, conns: make(map[net.Conn]struct{}), reads: make(chan struct{}, maxReads)}
	s.serving, s.endServe = context.WithCancelCause(context.Background())
	last := new(atomic.Pointer[listing])
	s.relay = newRelay(func(ctx context.Context) nfs.Handler { return newExport(ctx, opts.Tree, last) })
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers calls until Close, and returns nil then.
func (s *Server) Serve() error {
	for {
		conn, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			// Too many open files, most likely: that passes.
			s.opts.Logger.Warn("an NFS connection could not be accepted", "err", err)
			select {
			case <-time.After(acceptPause):
			case <-s.serving.Done():
			}
			continue
		case !s.add(conn):
			_ = conn.Close()
			continue
		}
		s.group.Go(func() {
			defer s.drop(conn)
			s.serveConn(conn)
		})
	}
}

// errClosing is the cause with which the contexts of calls end at Close.
var errClosing = errors.New("the server is closing")

// Close answers the READs that wait with NFS3ERR_JUKEBOX, ends the connections, and waits for all of
// that. Closing again does nothing.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Server) close() error {
	s.endServe(errClosing)
	err := s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		// Ends the reading of calls, for good. Replies can still be written.
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseRead()
		}
	}
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	// A client that does not receive its replies must not hold up the end.
	late := time.AfterFunc(closeTime, func() {
		for conn := range conns {
			_ = conn.Close()
		}
	})
	defer late.Stop()
	s.group.Wait()
	s.relay.close()
	return err
}

func (s *Server) add(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil || len(s.conns) >= maxConns {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *Server) drop(conn net.Conn) {
	_ = conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// connection is a client's connection.
type connection struct {
	*Server
	conn    net.Conn
	allowed bool
	ctx     context.Context //nolint:containedctx // the life of the connection
	calls   sync.WaitGroup
	reads   chan struct{} // one for each READ under way
	others  chan struct{} // one for each other call under way

	writing sync.Mutex
}

func (s *Server) serveConn(conn net.Conn) {
	ctx, cancel := context.WithCancel(s.serving)
	c := &connection{
		Server: s, conn: conn, allowed: s.allows(conn.RemoteAddr()), ctx: ctx,
		reads: make(chan struct{}, maxConnReads), others: make(chan struct{}, maxConnCalls),
	}
	defer c.calls.Wait()
	defer cancel()
	if !c.allowed {
		s.opts.Logger.Warn("a client that is not allowed connected", "client", conn.RemoteAddr().String())
		// Time enough to be told so, and not to keep others out.
		defer time.AfterFunc(recordTime, func() { _ = conn.Close() }).Stop()
	}
	records := rpc.NewReader(conn, maxRecord, recordTime)
	for {
		record, err := records.Read()
		if err != nil {
			if !errors.Is(err, io.EOF) && s.serving.Err() == nil {
				s.opts.Logger.Debug("connection ended", "client", conn.RemoteAddr().String(), "err", err)
			}
			return
		}
		if err := c.handle(record); err != nil {
			s.opts.Logger.Debug("connection refused", "client", conn.RemoteAddr().String(), "err", err)
			return
		}
	}
}

func (s *Server) allows(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return false
	}
	// Without the zone of a link-local address, which no prefix has.
	ip := ap.Addr().Unmap().WithZone("")
	for _, p := range s.opts.Allow {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// handle answers a call, or starts to. The error ends the connection.
func (c *connection) handle(record []byte) error {
	call, err := rpc.ParseCall(record)
	if errors.Is(err, rpc.ErrVersion) {
		return c.reply(call.Mismatch())
	}
	if err != nil {
		return err
	}
	reply, pass := c.screen(call, record)
	if !pass {
		return c.reply(reply)
	}
	if call.Program == rpc.ProgramNFS && call.Proc == procRead && !c.ready(record[call.Args:]) {
		return c.startRead(call, record)
	}
	return c.startOther(record)
}

// ready says whether the data of a READ is there, so that it does not wait.
func (c *connection) ready(args []byte) bool {
	read := parseRead(args)
	n, err := c.opts.Tree.Resolve(read.handle)
	if err != nil {
		return true // what go-nfs says of it does not wait either
	}
	content, err := n.Content()
	return err != nil || content.Ready(read.offset, read.count)
}

// startOther answers a call that does not wait for the swarm, once there is a place for it.
func (c *connection) startOther(record []byte) error {
	select {
	case c.others <- struct{}{}:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	c.calls.Go(func() {
		reply, err := c.relay.call(c.ctx, record, func() { <-c.others })
		switch {
		case err == nil:
			_ = c.reply(reply) // a connection that cannot be written ends by itself
		case c.ctx.Err() == nil:
			// The client would wait for ever for a reply that does not come.
			c.opts.Logger.Error("go-nfs did not answer a call", "err", err)
			_ = c.conn.Close()
		}
	})
	return nil
}

// startRead answers a READ when the data is there, or with NFS3ERR_JUKEBOX when it takes too long.
func (c *connection) startRead(call rpc.Call, record []byte) error {
	if !c.takeRead() {
		return c.reply(jukebox(call))
	}
	c.calls.Go(func() {
		ctx, cancel := context.WithTimeoutCause(c.ctx, c.opts.ReadWait, errTooLong)
		defer cancel()
		reply, err := c.relay.call(ctx, record, func() { <-c.reads; <-c.Server.reads })
		switch {
		case err == nil:
		case errors.Is(err, errTooLong), errors.Is(err, errClosing):
			reply = jukebox(call)
		default:
			_ = c.conn.Close() // as above, or closed already
			return
		}
		_ = c.reply(reply)
	})
	return nil
}

// takeRead takes a place for a READ, if there is one.
func (c *connection) takeRead() bool {
	select {
	case c.reads <- struct{}{}:
	default:
		return false
	}
	select {
	case c.Server.reads <- struct{}{}:
		return true
	default:
		<-c.reads
		return false
	}
}

var errTooLong = errors.New("the data takes too long")

func (c *connection) reply(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	if err := rpc.WriteRecord(c.conn, b); err != nil {
		// Ends the reading of calls as well.
		_ = c.conn.Close()
		return fmt.Errorf("write a reply: %w", err)
	}
	return nil
}
