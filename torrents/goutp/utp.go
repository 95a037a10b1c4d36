// Package utp gives anacrolix/torrent the uTP sockets (BEP 29) that it wants from the module
// github.com/anacrolix/go-utp.
//
// anacrolix/torrent v1.62.0 pins a version of that module which the Go module proxy does not serve.
// The go.mod of Shoal therefore replaces it with this package, which offers the same few names over
// the older, pure-Go github.com/anacrolix/utp. Delete it, with the replace line, as soon as the
// original can be had.
package utp

import (
	"context"
	"log/slog"
	"net"

	"github.com/anacrolix/utp"
)

// Default names the implementation, for log lines of the caller.
const Default = "anacrolix/utp"

// FirewallCallback says whether to block a connection from addr. This implementation cannot ask it
// before it answers; anacrolix/torrent checks each accepted connection again by itself.
type FirewallCallback func(addr net.Addr) (block bool)

// Option changes how a Socket is made. There is nothing to change here.
type Option func()

// WithLogger is accepted for the caller's sake; github.com/anacrolix/utp does not log.
func WithLogger(*slog.Logger) Option { return func() {} }

// Socket is a UDP socket that carries uTP connections beside ordinary packets (those of the DHT).
type Socket interface {
	net.PacketConn
	Accept() (net.Conn, error)
	Addr() net.Addr
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	SetFirewallCallback(FirewallCallback)
}

// NewSocket opens a UDP socket on addr.
func NewSocket(network, addr string, _ ...Option) (Socket, error) {
	s, err := utp.NewSocket(network, addr)
	if err != nil {
		return nil, err
	}
	return socket{s}, nil
}

// NewSocketFromPacketConn carries uTP over pc and closes it in the end.
func NewSocketFromPacketConn(pc net.PacketConn, _ ...Option) (Socket, error) {
	s, err := utp.NewSocketFromPacketConn(pc)
	if err != nil {
		return nil, err
	}
	return socket{s}, nil
}

type socket struct{ *utp.Socket }

func (socket) SetFirewallCallback(FirewallCallback) {}
