// Package rpc is ONC RPC version 2 (RFC 5531): a server that answers the calls of several programs on a
// TCP and a UDP port, and the means for calling others.
//
// A connection has one goroutine, which takes records off it, answers them in order, and sends the
// replies of all that had arrived in one go. So a call costs little, and one that would have to wait
// must not be answered there: a handler passes it to Call.Later, and the reply overtakes nobody's.
//
// Nothing that a client sends decides how much memory is taken, or how long anything takes.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

const (
	// maxRecord is the longest call: a WRITE of 1 MiB with what is around it.
	maxRecord = 1<<20 + 64<<10
	// maxStrangerRecord is the longest of a client that is refused whatever it asks for.
	maxStrangerRecord = 4 << 10
	// maxLarge is what all calls together may take that do not fit a connection's buffer.
	maxLarge = 8 << 20
	// maxReplies is what all large replies together may take that are not sent from a file (Call.Room).
	maxReplies = 16 << 20
	// acceptPause is how long to wait before trying again what failed for a passing reason.
	acceptPause = 100 * time.Millisecond
	// maxWaiting is how many calls may wait at a time, of all clients, and maxConnWaiting of one.
	maxWaiting     = 4096
	maxConnWaiting = 512
)

// Variables, as tests have less time.
var (
	// recordTime is how long a call may take to arrive once it has begun.
	recordTime = 30 * time.Second
	// writeTime is how long a client may take to receive replies.
	writeTime = 30 * time.Second
	// closeTime is how long clients have to receive their last replies at Close.
	closeTime = 2 * time.Second
)

// ErrClosing is the cause with which the contexts of Call.Later end when the server closes.
var ErrClosing = errors.New("the server is closing")

var (
	errPanic    = errors.New("the handler panicked")
	errNoResult = errors.New("the handler returned no result")
)

// Service is a program that a server answers for.
type Service struct {
	Program  uint32
	Versions []uint32 // ascending
	Handler  Handler
	// Screens says that the handler itself refuses clients that are not allowed (Call.Allowed).
	Screens bool
}

// Options say what a server answers, and whom.
type Options struct {
	Services []Service
	Allowed  func(netip.Addr) bool
	// Idle is how long a connection may be without a call, also one that waits; 0 is for ever.
	Idle time.Duration
	// Observe is told of each call that was answered. It must not keep the call.
	Observe func(*Call, Status)
	Logger  *slog.Logger
}

// Server is a server that listens.
type Server struct {
	opts    Options
	tcp     *net.TCPListener
	sockets []*socket

	// serving ends when Close begins.
	serving  context.Context //nolint:containedctx // the life of the server
	endServe context.CancelCauseFunc

	closing  sync.Once
	closeErr error

	group   sync.WaitGroup // connections and sockets
	waiting waiters        // calls in Later
	large   *semaphore.Weighted
	replies *semaphore.Weighted

	crowd *crowd
	// strange is for telling of clients that are not allowed, which may connect all the time.
	strange rate.Sometimes

	starting sync.Mutex // held while Serve or Close begins
	closed   bool
}

// Ports are a TCP port and the UDP port of the same number, open, and of a server that is yet to be made.
type Ports struct {
	tcp *net.TCPListener
	udp []*net.UDPConn // one for each family of addresses
}

// OpenPorts opens the ports of an address. Who connects waits until a server serves. The error is the system's, about TCP or UDP.
func OpenPorts(addr string) (*Ports, error) {
	p, err := openPorts(addr)
	// Of a port that the system chose, TCP and UDP may not both be free.
	for range portTries {
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasSuffix(addr, ":0") {
			break
		}
		p, err = openPorts(addr)
	}
	return p, err
}

// portTries is how often to ask the system for another port.
const portTries = 10

func openPorts(addr string) (*Ports, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &Ports{tcp: l.(*net.TCPListener)}
	if p.udp, err = listenUDP(host, strconv.Itoa(p.Addr().Port)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return p, nil
}

// Addr is the address of the TCP port.
func (p *Ports) Addr() *net.TCPAddr { return p.tcp.Addr().(*net.TCPAddr) }

// Close closes the ports. It is for who makes no server of them.
func (p *Ports) Close() error {
	err := p.tcp.Close()
	for _, udp := range p.udp {
		err = errors.Join(err, udp.Close())
	}
	return err
}

// Listen is OpenPorts and New.
func Listen(addr string, opts Options) (*Server, error) {
	ports, err := OpenPorts(addr)
	if err != nil {
		return nil, err
	}
	return New(ports, opts), nil
}

// New returns the server of the ports, which it closes with itself. Nothing is answered before Serve.
func New(ports *Ports, opts Options) *Server {
	s := &Server{
		opts: opts, tcp: ports.tcp, crowd: newCrowd(), strange: rate.Sometimes{First: 10, Interval: time.Minute},
		waiting: waiters{byAddr: make(map[netip.Addr]int)},
		large:   semaphore.NewWeighted(maxLarge), replies: semaphore.NewWeighted(maxReplies),
	}
	s.serving, s.endServe = context.WithCancelCause(context.Background())
	for _, c := range ports.udp {
		s.sockets = append(s.sockets, newSocket(s, c))
	}
	return s
}

// Addr is the address that the server listens on.
func (s *Server) Addr() *net.TCPAddr { return s.tcp.Addr().(*net.TCPAddr) }

// Serve answers calls until Close, and returns nil then.
func (s *Server) Serve() error {
	s.starting.Lock()
	if !s.closed { // and so Close does not wait for the group yet
		for _, k := range s.sockets {
			s.group.Go(func() { _ = k.serve() })
		}
	}
	s.starting.Unlock()
	for {
		tcp, err := s.tcp.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			// Too many open files, most likely: that passes.
			s.opts.Logger.Warn("a connection could not be accepted", "err", err)
			s.pause()
			continue
		}
		c, err := newConn(s, tcp)
		// Close waits for a connection from then on that it is in.
		if err != nil {
			_ = tcp.Close()
			continue
		}
		if !s.crowd.add(c, func() { s.group.Add(1) }) {
			c.end()
			continue
		}
		go func() {
			defer s.group.Done()
			defer s.crowd.drop(c)
			defer c.end()
			if !c.allowed {
				s.strange.Do(func() {
					s.opts.Logger.Warn("a client that is not allowed connected", "client", c.client.String())
				})
				// Time enough to be told so, and not to keep others out.
				defer time.AfterFunc(recordTime, c.end).Stop()
			}
			c.serve()
		}()
	}
}

// pause returns false if the server closes meanwhile.
func (s *Server) pause() bool {
	select {
	case <-time.After(acceptPause):
		return true
	case <-s.serving.Done():
		return false
	}
}

// Close lets the calls that wait be answered, ends the connections, and waits for all of that. Closing
// again does nothing.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Server) close() error {
	s.endServe(ErrClosing)
	err := s.tcp.Close()
	s.starting.Lock()
	s.closed = true
	s.starting.Unlock()
	conns := s.crowd.close()
	for c := range conns {
		// Ends the reading of calls, for good. Replies can still be written.
		_ = c.tcp.CloseRead()
	}
	for _, k := range s.sockets {
		_ = k.udp.SetReadDeadline(time.Unix(1, 0)) // likewise
	}
	// A client that does not receive its replies must not hold up the end.
	late := time.AfterFunc(closeTime, func() {
		for c := range conns {
			c.end()
		}
	})
	defer late.Stop()
	s.group.Wait()
	for _, k := range s.sockets {
		err = errors.Join(err, k.udp.Close())
	}
	return err
}

// Connections returns how many connections there are from each address.
func (s *Server) Connections() map[netip.Addr]int { return s.crowd.count() }

// Waiting returns how many calls wait.
func (s *Server) Waiting() int { return s.waiting.count() }

// admit takes a place for a call that waits, if there is one, here and among those of its link.
func (s *Server) admit(client netip.Addr, of chan struct{}) bool {
	select {
	case of <- struct{}{}:
	default:
		return false
	}
	if !s.waiting.add(client) {
		<-of
		return false
	}
	return true
}

func (s *Server) leave(client netip.Addr, of chan struct{}) {
	s.waiting.drop(client)
	<-of
}

// wait runs the first part of Call.Later, and returns the second: answer, unless wait panics.
func (s *Server) wait(ctx context.Context, call *Call, wait func(context.Context), answer Answer) (then Answer) {
	then = func(_ *Call, b []byte) ([]byte, Status) { return b, SystemError }
	defer s.recovered(call)
	wait(ctx)
	call.Waited = time.Since(call.Began)
	return answer
}

// answer appends the reply to a record. The error is ErrCall for one that there is no reply to.
func (s *Server) answer(call *Call, record, b []byte) ([]byte, Status, error) {
	header, args, err := parseCall(record)
	if errors.Is(err, errVersion) {
		return appendReply(b, header.XID, otherVersion, 0, 0), otherVersion, nil
	}
	if err != nil {
		return b, Dropped, err
	}
	call.Header, call.Args = header, args
	i := slices.IndexFunc(s.opts.Services, func(v Service) bool { return v.Program == header.Program })
	if i < 0 {
		return s.refuse(call, b, ProgramUnavailable)
	}
	service := &s.opts.Services[i]
	switch {
	case !slices.Contains(service.Versions, header.Version):
		low, high := service.Versions[0], service.Versions[len(service.Versions)-1]
		b = appendReply(b, header.XID, ProgramMismatch, low, high)
		s.observe(call, ProgramMismatch)
		return b, ProgramMismatch, nil
	case !header.checkCredential():
		return s.refuse(call, b, BadCredential)
	case header.Proc == 0:
		return s.refuse(call, b, Success) // NULL, which tells nothing
	case !call.Allowed && !service.Screens:
		return s.refuse(call, b, TooWeak)
	}
	b, status := s.finish(call, service.Handler.Serve, b)
	return b, status, nil
}

// refuse answers a call without asking its program.
func (s *Server) refuse(call *Call, b []byte, status Status) ([]byte, Status, error) {
	b = appendReply(b, call.XID, status, 0, 0)
	s.observe(call, status)
	return b, status, nil
}

// finish appends the reply with what serve has to say, or nothing if that is Deferred or Dropped.
func (s *Server) finish(call *Call, serve Answer, b []byte) (reply []byte, status Status) {
	reply, status = s.result(call, serve, appendReply(b, call.XID, Success, 0, 0))
	if status != Success {
		call.abandon(errNoResult)
	}
	switch status {
	case Success:
	case Deferred, Dropped:
		return b, status
	default:
		reply = appendReply(b, call.XID, status, 0, 0) // serve need not have returned what it was given
	}
	s.observe(call, status)
	return reply, status
}

// result is what serve says, or SystemError if it panics.
func (s *Server) result(call *Call, serve Answer, b []byte) (reply []byte, status Status) {
	reply, status = b, SystemError
	defer s.recovered(call)
	return serve(call, b)
}

// recovered keeps the server alive when a handler panics. It has to be deferred.
func (s *Server) recovered(call *Call) {
	if r := recover(); r != nil {
		call.abandon(errPanic)
		s.opts.Logger.Error("a call failed", "program", call.Program, "proc", call.Proc,
			"err", fmt.Sprint(r), "stack", string(debug.Stack()))
	}
}

func (s *Server) observe(call *Call, status Status) {
	if s.opts.Observe != nil {
		s.opts.Observe(call, status)
	}
}
