package nfsfs

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/willscott/go-nfs"

	"shoal/nfsfs/rpc"
)

// relay lets go-nfs answer calls, each call on an in-memory connection and a server of its own: go-nfs
// answers the calls of a connection one after another, so that a READ which waits for the swarm
// would hold up all that came after it, and its file systems know no context, so that the READ could
// not be given up.
type relay struct {
	handler func(context.Context) nfs.Handler
	served  sync.WaitGroup // servers and calls

	mu      sync.Mutex
	closed  bool
	workers map[*worker]struct{}
	idle    []*worker // those of them without a call
}

// worker is a go-nfs server with one connection.
type worker struct {
	conn   net.Conn        // our end
	ctx    context.Context //nolint:containedctx // of what its file system waits for
	cancel context.CancelFunc
}

const (
	// maxReply is above the largest reply: a READ of maxRead bytes, or a page of a folder.
	maxReply = 4 << 20
	// maxIdle is how many workers are kept for later calls.
	maxIdle = 64
)

// newRelay returns a relay to servers with the handler that handler makes for the context of their
// reads.
func newRelay(handler func(context.Context) nfs.Handler) *relay {
	// It logs every call that fails, through one package variable.
	quietGoNFS()
	return &relay{handler: handler, workers: make(map[*worker]struct{})}
}

var quietGoNFS = sync.OnceFunc(func() { nfs.Log.SetLevel(nfs.PanicLevel) })

// close ends every call, and waits for that.
func (r *relay) close() {
	r.mu.Lock()
	r.closed = true
	for w := range r.workers {
		w.cancel()
		_ = w.conn.Close()
	}
	r.mu.Unlock()
	r.served.Wait()
}

// call returns the reply to a call. If ctx ends before, what the call waits for is given up, and its
// answer thrown away. done is called when go-nfs is finished with the call, in either case. The error
// is the cause of ctx, or one of the connection.
func (r *relay) call(ctx context.Context, record []byte, done func()) ([]byte, error) {
	w, err := r.take()
	if err != nil {
		done()
		return nil, err
	}
	type answer struct {
		reply []byte
		err   error
	}
	// Unbuffered: either the caller takes the answer, or it has given up the call, and the worker with
	// it. A worker that others may have by now must not be given up.
	got := make(chan answer)
	r.served.Go(func() {
		defer done()
		reply, err := w.exchange(record)
		select {
		case got <- answer{reply, err}:
		case <-w.ctx.Done():
		}
		r.put(w, err)
	})
	select {
	case a := <-got:
		return a.reply, a.err
	case <-ctx.Done():
		w.cancel()
		return nil, context.Cause(ctx)
	}
}

func (w *worker) exchange(record []byte) ([]byte, error) {
	if err := rpc.WriteRecord(w.conn, record); err != nil {
		return nil, err
	}
	return rpc.ReadRecord(w.conn, maxReply)
}

// take returns a worker that has no call.
func (r *relay) take() (*worker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, net.ErrClosed
	}
	if n := len(r.idle); n > 0 {
		w := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return w, nil
	}
	ours, theirs := net.Pipe()
	w := &worker{conn: ours}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	r.workers[w] = struct{}{}
	handler := r.handler(w.ctx)
	// Ends with the context. Its error is that of Accept.
	r.served.Go(func() { _ = nfs.Serve(&once{conn: theirs, done: w.ctx.Done()}, handler) })
	return w, nil
}

// put gives a worker back after a call that ended with err.
func (r *relay) put(w *worker, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && w.ctx.Err() == nil && !r.closed && len(r.idle) < maxIdle {
		r.idle = append(r.idle, w)
		return
	}
	w.cancel()
	_ = w.conn.Close()
	delete(r.workers, w)
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
	return nil, errors.New("the call was given up")
}

func (l *once) Close() error { return nil }

// Addr is nothing anybody could dial.
func (l *once) Addr() net.Addr { return &net.UnixAddr{Name: "go-nfs", Net: "pipe"} }
