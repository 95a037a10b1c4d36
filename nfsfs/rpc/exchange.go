package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// maxReply is the longest reply to a call of our own.
const maxReply = 64 << 10

// resend is how long to wait for the reply to a datagram before it is sent again.
const resend = 500 * time.Millisecond

// Exchange makes a call on conn, and returns its result. On a connection of packets it sends the call
// again until there is a reply. It waits until ctx ends, and is the only one to use conn meanwhile.
func Exchange(ctx context.Context, conn net.Conn, h Header, args []byte) ([]byte, error) {
	// SetDeadline ends reads and writes that are under way, too.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	h.XID = rand.Uint32()
	call := append(AppendCall(nil, h), args...)
	receive := receiveRecord
	if _, packets := conn.(net.PacketConn); packets && conn.LocalAddr().Network() != "unix" {
		receive = receiveDatagram
	} else if err := WriteRecord(conn, call); err != nil {
		return nil, fmt.Errorf("call: %w", cmp.Or(context.Cause(ctx), err))
	}
	for {
		reply, err := receive(ctx, conn, call)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no reply: %w", context.Cause(ctx))
		}
		if err != nil {
			return nil, fmt.Errorf("reply: %w", err)
		}
		xid, result, err := ParseReply(reply)
		if xid == h.XID {
			return result, err
		}
		// A reply to an earlier call, which came late.
	}
}

func receiveRecord(_ context.Context, conn net.Conn, _ []byte) ([]byte, error) {
	return ReadRecord(conn, maxReply)
}

func receiveDatagram(ctx context.Context, conn net.Conn, call []byte) ([]byte, error) {
	b := make([]byte, maxReply)
	for {
		if _, err := conn.Write(call); err != nil {
			return nil, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(resend)); err != nil {
			return nil, err
		}
		n, err := conn.Read(b)
		if err == nil {
			return b[:n], nil
		}
		var ne net.Error
		if ctx.Err() != nil || !errors.As(err, &ne) || !ne.Timeout() {
			return nil, err
		}
	}
}
