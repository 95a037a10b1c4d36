package nfs3

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

const (
	// maxTransfer is the most that one READ gets, whatever it asks for, and what clients are told to
	// ask for.
	maxTransfer = 1 << 20
	// maxPacket is the same for a reply in one datagram.
	maxPacket = 32 << 10
	// smallRead is what a READ gets when there is no room for more.
	smallRead = 16 << 10
	// minTail is from where on the kernel sends data by itself. Below, a copy costs less than two more
	// system calls, and many replies can be sent with one.
	minTail = 64<<10 + 1
)

var errTooLong = errors.New("the data takes too long")

// noWait is for reads of what should be there.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// reading is a READ.
type reading struct {
	node    tree.Node
	content tree.Content
	offset  int64
	count   int // of bytes that the file has there
	eof     bool
}

func (s *Server) read(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	handle := d.Opaque(maxHandle)
	offset, count := d.Uint64(), d.Uint32()
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	n, err := s.opts.Tree.Resolve(handle)
	if err != nil {
		return refuse(call, reply, status(err), 1)
	}
	content, err := n.Content()
	if err != nil {
		return appendPostOp(begin(call, reply, status(err)), n), rpc.Success
	}
	r := reading{node: n, content: content}
	r.clip(offset, count, n.Attr().Size, call.Stream())
	if r.count == 0 || content.Ready(r.offset, r.count) {
		return s.data(call, &r, reply)
	}
	return s.later(call, &r, reply)
}

// clip limits a READ to what the file has, and to what is sent at a time.
func (r *reading) clip(offset uint64, count uint32, size int64, stream bool) {
	limit := uint32(maxTransfer)
	if !stream {
		limit = maxPacket
	}
	// An offset that is negative in 64 bits is past the end of any file all the same.
	r.offset = int64(min(offset, math.MaxInt64))
	r.count = int(min(int64(min(count, limit)), max(0, size-r.offset)))
	r.eof = r.offset >= size || r.offset+int64(r.count) == size
}

// later answers a READ when its data is there.
func (s *Server) later(call *rpc.Call, r *reading, reply []byte) ([]byte, rpc.Status) {
	own, client := *r, call.Client.Addr()
	var err error
	reader := tree.Reader(client.String())
	wait := func(untilAnswered context.Context) {
		defer s.opts.Wait(client, own.node)()
		ctx, cancel := context.WithTimeoutCause(untilAnswered, s.opts.ReadWait, errTooLong)
		defer cancel()
		var release func()
		release, err = own.content.Await(tree.WithReader(ctx, reader), own.offset, own.count)
		if err == nil {
			context.AfterFunc(untilAnswered, release)
		} else if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if call.Later(wait, func(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
		switch {
		case err == nil:
			return s.data(call, &own, reply)
		case errors.Is(err, errTooLong), errors.Is(err, rpc.ErrClosing):
			return appendPostOp(begin(call, reply, statusJukebox), own.node), rpc.Success
		}
		return s.failed(call, &own, status(err), reply)
	}) {
		return reply, rpc.Deferred
	}
	// Enough are waiting.
	return appendPostOp(begin(call, reply, statusJukebox), r.node), rpc.Success
}

// begin begins the answer to a READ that gets something, as far as the data.
func (r *reading) begin(call *rpc.Call, reply []byte) []byte {
	reply = appendPostOp(begin(call, reply, statusOK), r.node)
	reply = xdr.AppendUint32(reply, uint32(r.count))
	reply = xdr.AppendBool(reply, r.eof)
	return xdr.AppendUint32(reply, uint32(r.count))
}

// data answers a READ with data that is there.
func (s *Server) data(call *rpc.Call, r *reading, reply []byte) ([]byte, rpc.Status) {
	if r.count == 0 {
		return r.begin(call, reply), rpc.Success
	}
	if filed, ok := r.content.(tree.Filed); ok && r.count >= minTail && call.Stream() {
		if file, at, done, ok := filed.Extent(r.offset, r.count); ok {
			call.Tail(file, at, r.count, done)
			s.opts.Read(call, r.node, r.offset, r.count)
			return r.begin(call, reply), rpc.Success
		}
	}
	if r.count > smallRead && call.Stream() && !call.Room(r.count) {
		r.count, r.eof = smallRead, false // the client asks for the rest
	}
	start := len(reply)
	reply = r.begin(call, reply)
	body := len(reply)
	reply = slices.Grow(reply, xdr.Padded(r.count))[:body+xdr.Padded(r.count)]
	clear(reply[body+r.count:])
	n, err := r.content.ReadAt(noWait, reply[body:body+r.count], r.offset)
	if n == r.count && (err == nil || errors.Is(err, io.EOF)) {
		s.opts.Read(call, r.node, r.offset, r.count)
		return reply, rpc.Success
	}
	failure := status(err)
	if errors.Is(err, context.Canceled) {
		failure = statusJukebox // it was there a moment ago
	}
	return s.failed(call, r, failure, reply[:start])
}

// failed answers a READ that met an error. If the torrent is gone by now, the error comes from that.
func (s *Server) failed(call *rpc.Call, r *reading, failure uint32, reply []byte) ([]byte, rpc.Status) {
	handle := r.node.Handle()
	if _, err := s.opts.Tree.Resolve(handle[:]); err != nil {
		return refuse(call, reply, status(err), 1)
	}
	return appendPostOp(begin(call, reply, failure), r.node), rpc.Success
}
