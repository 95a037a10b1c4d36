// Package relay lets go-nfs answer calls that would change something, over connections in memory.
//
// go-nfs answers the calls of a connection one after another, so each call has a connection to a server
// of its own while it is answered. What it sees has been checked before: its decoders take memory for
// whatever length they read.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/willscott/go-nfs"
	"golang.org/x/sync/semaphore"

	"shoal/nfsfs/rpc"
	"shoal/tree"
)

const (
	// maxReply is above any reply to a call that changes something, in bytes.
	maxReply = 64 << 10
	// maxWorkers is how many calls are answered at a time. Others wait.
	maxWorkers = 32
	// callTime is how long go-nfs may take.
	callTime = 30 * time.Second
	// maxRoom is how many bytes all calls may have that wait or are being answered: as many as workers
	// with a WRITE of 1 MiB. minRoom is what a small one counts as, for what it takes beside its bytes.
	maxRoom = 32 << 20
	minRoom = 16 << 10
)

var (
	errBusy   = errors.New("too many calls at a time")
	errClosed = errors.New("the relay is closed")
)

// Relay passes calls on. It is safe for concurrent use.
type Relay struct {
	handler nfs.Handler
	replies replies

	ctx    context.Context //nolint:containedctx // the life of the relay
	cancel context.CancelFunc
	group  sync.WaitGroup // servers and calls

	room    *semaphore.Weighted
	workers chan struct{} // one for each worker with a call
	mu      sync.Mutex    // guards idle, and group against Close
	idle    []*worker     // those without
}

// worker is a go-nfs server with one connection.
type worker struct {
	conn net.Conn // our end
	end  func()   // ends the server; may be called again
}

// New returns a Relay to go-nfs about a tree. Close has to follow.
func New(t *tree.Tree) *Relay {
	// It logs every call that fails, through one package variable.
	quietGoNFS()
	r := &Relay{workers: make(chan struct{}, maxWorkers), room: semaphore.NewWeighted(maxRoom)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.handler = newExport(r.ctx, t)
	return r
}

var quietGoNFS = sync.OnceFunc(func() { nfs.Log.SetLevel(nfs.PanicLevel) })

// Close ends every call, and waits for that.
func (r *Relay) Close() {
	r.cancel()
	r.mu.Lock()
	for _, w := range r.idle {
		w.end()
	}
	r.idle = nil
	r.mu.Unlock()
	r.group.Wait()
}

// Call returns the result of a call. A call that a client sends again, as it missed the reply, is not
// made again: it has the result of the first. Call waits until there is one, or ctx ends; the call goes
// on without it then. It fails at once if too many calls are under way.
func (r *Relay) Call(ctx context.Context, client netip.AddrPort, record []byte) ([]byte, error) {
	size := int64(max(len(record), minRoom))
	if !r.room.TryAcquire(size) {
		return nil, errBusy
	}
	reply, first := r.replies.find(client.Addr(), record, time.Now())
	if first {
		r.begin(reply, record, size)
	} else {
		defer r.room.Release(size)
	}
	select {
	case <-reply.done:
		return reply.result, reply.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// begin makes a call, unless Close has begun. The room that it takes is free again when it ends.
func (r *Relay) begin(reply *reply, record []byte, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		r.room.Release(size)
		reply.err = errClosed
		close(reply.done)
		return
	}
	r.group.Go(func() {
		defer r.room.Release(size)
		defer close(reply.done)
		reply.result, reply.err = r.answer(record)
	})
}

func (r *Relay) answer(record []byte) ([]byte, error) {
	select {
	case r.workers <- struct{}{}:
		defer func() { <-r.workers }()
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
	w := r.take()
	reply, err := w.exchange(r.ctx, record)
	if err != nil {
		w.end()
		return nil, fmt.Errorf("go-nfs: %w", err)
	}
	r.put(w)
	_, result, err := rpc.ParseReply(reply)
	return result, err
}

func (w *worker) exchange(ctx context.Context, record []byte) ([]byte, error) {
	if err := w.conn.SetDeadline(time.Now().Add(callTime)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, w.end)()
	if err := rpc.WriteRecord(w.conn, record); err != nil {
		return nil, err
	}
	return rpc.ReadRecord(w.conn, maxReply)
}

// take returns a worker that has no call.
func (r *Relay) take() *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.idle); n > 0 {
		w := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return w
	}
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	// The error is that of Accept.
	r.group.Go(func() { _ = nfs.Serve(&once{conn: theirs, done: done}, r.handler) })
	return &worker{conn: ours, end: sync.OnceFunc(func() {
		_ = ours.Close()
		close(done)
	})}
}

func (r *Relay) put(w *worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		w.end()
		return
	}
	r.idle = append(r.idle, w)
}

// once is a listener with a single connection.
type once struct {
	conn net.Conn
	done <-chan struct{}
}

func (l *once) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	<-l.done
	return nil, errors.New("the worker has ended")
}

func (l *once) Close() error { return nil }

// Addr is nothing anybody could dial.
func (l *once) Addr() net.Addr { return &net.UnixAddr{Name: "go-nfs", Net: "pipe"} }
