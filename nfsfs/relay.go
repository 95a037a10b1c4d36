package nfsfs

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/willscott/go-nfs"

	"shoal/nfsfs/rpc"
)

// relay lets go-nfs answer calls over in-memory connections, one call at a time on each: go-nfs
// answers the calls of a connection one after another, so that a READ which waits for the swarm
// would hold up all that came after it.
type relay struct {
	accept chan net.Conn
	closed chan struct{}
	served sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // our ends
	idle  []net.Conn            // those of them without a call
}

// maxReply is above the largest reply: a READ of maxRead bytes, or a page of a folder.
const maxReply = 4 << 20

func newRelay(handler nfs.Handler) *relay {
	// It logs every call that fails, through one package variable.
	quietGoNFS()
	r := &relay{
		accept: make(chan net.Conn),
		closed: make(chan struct{}),
		conns:  make(map[net.Conn]struct{}),
	}
	r.served.Go(func() { _ = nfs.Serve(relayListener{r}, handler) }) // ends when the listener does
	return r
}

var quietGoNFS = sync.OnceFunc(func() { nfs.Log.SetLevel(nfs.PanicLevel) })

// close ends go-nfs and every call, and waits for them.
func (r *relay) close() {
	r.mu.Lock()
	close(r.closed)
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.served.Wait()
}

// relayListener is the listener of go-nfs.
type relayListener struct{ *relay }

func (l relayListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l relayListener) Close() error { return nil }

// Addr is nothing anybody could dial.
func (l relayListener) Addr() net.Addr { return &net.UnixAddr{Name: "go-nfs", Net: "pipe"} }

// call returns the reply to a call. If ctx ends before the answer comes, that is thrown away when it
// does. done is called when go-nfs is finished with the call, in either case. The error is the cause
// of ctx, or one of the connection.
func (r *relay) call(ctx context.Context, record []byte, done func()) ([]byte, error) {
	type answer struct {
		reply []byte
		err   error
	}
	got := make(chan answer, 1)
	r.served.Go(func() {
		defer done()
		reply, err := r.exchange(record)
		got <- answer{reply, err}
	})
	select {
	case a := <-got:
		return a.reply, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r *relay) exchange(record []byte) ([]byte, error) {
	c, err := r.take()
	if err != nil {
		return nil, err
	}
	err = rpc.WriteRecord(c, record)
	var reply []byte
	if err == nil {
		reply, err = rpc.ReadRecord(c, maxReply)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.conns, c)
		return nil, errors.Join(err, c.Close())
	}
	r.idle = append(r.idle, c)
	return reply, nil
}

// take returns a connection that has no call.
func (r *relay) take() (net.Conn, error) {
	r.mu.Lock()
	if n := len(r.idle); n > 0 {
		c := r.idle[n-1]
		r.idle = r.idle[:n-1]
		r.mu.Unlock()
		return c, nil
	}
	ours, theirs := net.Pipe()
	r.conns[ours] = struct{}{}
	r.mu.Unlock()
	select {
	case r.accept <- theirs:
		return ours, nil
	case <-r.closed:
		return nil, errors.Join(net.ErrClosed, ours.Close())
	}
}
