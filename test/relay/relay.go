//go:build linux

// Package relay emulates a long and narrow link on one machine: TCP connections that go through a
// [Relay] have a rate, a delay and a short queue, as those through a home router have. The kernel's own
// means to do that (netem) is not in every kernel, and wants root.
//
// What it does not do is lose packets: whoever sends more than the queue holds is slowed down by TCP's
// window instead. So the seconds that congestion control takes to find the rate of a real link are not
// in what is measured through it.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// packet is how much is sent on at a time, at most: at 100 Mbit/s, that is 1.3 ms on the wire.
	packet = 16 << 10
	// segment is TCP's on Ethernet. The 64 KiB of loopback do not go with small buffers: a window of
	// one or two of them waits for delayed acknowledgements.
	segment = 1448
	// buffer is what the kernel may keep on each side of the relay, in bytes. It counts twice that, to
	// have room for its own notes. Most of it is empty, as the relay receives what there is room for.
	buffer = 64 << 10
	// connectTime is how long the target may take to accept.
	connectTime = 5 * time.Second
)

// Link is what a relay emulates.
type Link struct {
	Rate  int64         // bytes per second, in each direction, for all connections together
	Delay time.Duration // one way, in each direction
	Queue int           // bytes that may wait for their turn, in each direction
}

// Relay is such a link to one address.
type Relay struct {
	link     Link
	target   string
	listener net.Listener
	stop     context.CancelFunc
	ctx      context.Context //nolint:containedctx // ends with Close; of all connections
	running  sync.WaitGroup

	up, down lane
}

// Start listens on a free port of 127.0.0.1 and passes on what connects to target. The error is that of
// listening.
func Start(link Link, target string) (*Relay, error) {
	if link.Rate <= 0 || link.Delay < 0 || link.Queue < packet {
		return nil, fmt.Errorf("a link needs a rate, and a queue of %d bytes: %+v", packet, link)
	}
	config := net.ListenConfig{Control: prepare}
	l, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{link: link, target: target, listener: l}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.running.Go(r.accept)
	return r, nil
}

// Addr is where to connect, as host:port.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Close ends all connections, and waits for their end.
func (r *Relay) Close() error {
	r.stop()
	err := r.listener.Close()
	r.running.Wait()
	return err
}

// prepare makes the buffers of a socket small. Both have to be set before it is connected.
func prepare(_, _ string, raw syscall.RawConn) error {
	var err error
	failed := raw.Control(func(fd uintptr) {
		err = errors.Join(
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segment),
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, buffer),
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, buffer),
		)
	})
	return errors.Join(failed, err)
}

func (r *Relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.running.Go(func() { r.join(near) })
	}
}

// join connects an accepted connection to the target, until both have ended.
func (r *Relay) join(near net.Conn) {
	defer near.Close()
	dialer := net.Dialer{Timeout: connectTime, Control: prepare}
	far, err := dialer.DialContext(r.ctx, "tcp4", r.target)
	if err != nil {
		return // the client sees the connection closed, as it would without the relay
	}
	defer far.Close()
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	// Whoever waits for data has to notice the end.
	defer context.AfterFunc(ctx, func() {
		_ = near.Close()
		_ = far.Close()
	})()
	var both sync.WaitGroup
	both.Go(func() { r.carry(ctx, stop, far, near, &r.up) })
	both.Go(func() { r.carry(ctx, stop, near, far, &r.down) })
	both.Wait()
}

// parcel is data on its way.
type parcel struct {
	data    []byte
	arrives time.Time
	err     error // how the connection ended, after the data
}

// carry takes what comes from one side to the other, until either ends. stop ends the other direction.
func (r *Relay) carry(ctx context.Context, stop func(), to io.Writer, from io.Reader, l *lane) {
	// As many as the queue and the wire hold: who sends them is held up where nobody takes them.
	wire := make(chan parcel, (r.link.Queue+int(r.link.Delay.Seconds()*float64(r.link.Rate)))/packet+1)
	var sending sync.WaitGroup
	sending.Go(func() {
		for p := range wire {
			if !sleep(ctx, time.Until(p.arrives)) {
				continue
			}
			_, err := to.Write(p.data)
			if err != nil || p.err != nil {
				stop()
			}
		}
	})
	defer sending.Wait()
	defer close(wire)
	for sleep(ctx, l.full(r.link)) {
		b := make([]byte, packet)
		n, err := from.Read(b)
		select {
		case wire <- parcel{b[:n], l.enter(r.link, n), err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// lane is one direction of the link.
type lane struct {
	mu   sync.Mutex
	free time.Time // when all that is in the queue will have been sent
}

// full returns how long it takes until the queue has room for a packet.
func (l *lane) full(link Link) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.free.Add(-link.takes(link.Queue - packet)))
}

// enter puts n bytes at the end of the queue, and returns when they will arrive.
func (l *lane) enter(link Link, n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(link.takes(n))
	return l.free.Add(link.Delay)
}

// takes is how long n bytes take to be sent.
func (l Link) takes(n int) time.Duration {
	return time.Duration(float64(n) / float64(l.Rate) * float64(time.Second))
}

// sleep waits, and says whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
