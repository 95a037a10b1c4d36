package torrents

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/anacrolix/torrent"

	"shoal/torrents/outbound"
	"shoal/torrents/uplink"
)

const (
	// maxAnnounce bounds what a tracker may send over HTTP, in bytes with the header: 1,000 peers in the
	// longest form are less. The engine keeps an answer that it cannot read, escaped, in an error.
	maxAnnounce = 128 << 10

	// A web seed has these times for a handshake and for an answer's header; the engine gives up 30 s
	// after the last byte.
	seedTLSTime    = 10 * time.Second
	seedHeaderTime = 30 * time.Second
	seedIdleTime   = 90 * time.Second // until an unused connection is closed
	seedHeader     = 64 << 10         // bytes of an answer's header
	seedConns      = 10               // to one host

	// connectTime bounds making a connection, the name's resolution and a proxy's part included.
	connectTime = 20 * time.Second
)

// outgoing are the ways to addresses that torrents and users name, all with the guard before them. Peers go
// another way: one on the local network is welcome.
type outgoing struct {
	uplink  *uplink.Uplink // of peers, too
	dial    outbound.DialContextFunc
	conns   *outbound.Group   // those that dial has made
	packets *outbound.Packets // to UDP trackers
	seeds   *http.Transport   // to web seeds

	announces *outbound.Verifier // of trackers' certificates, which the engine takes as they are
}

// newOutgoing opens no socket yet. The error is that of newUplink.
func newOutgoing(opts SwarmOptions, log *slog.Logger) (*outgoing, error) {
	up, err := newUplink(opts, log)
	if err != nil {
		return nil, err
	}
	guard := outbound.Guard{AllowPrivate: opts.AllowPrivate}
	conns := outbound.NewGroup()
	guarded := up.Dialer(guard.CheckAddress)
	dial := conns.Dial(func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTime)
		defer cancel()
		return guarded(ctx, network, addr)
	})
	return &outgoing{
		uplink:  up,
		dial:    dial,
		conns:   conns,
		packets: guard.Packets(up.ListenPacket),
		seeds: &http.Transport{
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: opts.roots},
			TLSHandshakeTimeout:    seedTLSTime,
			ResponseHeaderTimeout:  seedHeaderTime,
			IdleConnTimeout:        seedIdleTime,
			MaxResponseHeaderBytes: seedHeader,
			MaxConnsPerHost:        seedConns,
			DisableCompression:     true, // nothing is gained for what torrents carry
			ForceAttemptHTTP2:      true,
		},
		announces: &outbound.Verifier{Roots: opts.roots},
	}, nil
}

// configure makes the engine use these ways.
func (o *outgoing) configure(cfg *torrent.ClientConfig) {
	cfg.WebTransport = o.seeds
	cfg.HTTPDialContext = o.dial // has no effect beside WebTransport; should the engine find another use
	cfg.TrackerDialContext = o.announces.Dial(outbound.LimitAnswers(o.dial, maxAnnounce))
	cfg.TrackerListenPacket = o.packets.ListenPacket
	cfg.HttpRequestDirector = func(req *http.Request) error {
		// Else an answer grows by a factor of a thousand behind the limit.
		req.Header.Set("Accept-Encoding", "identity")
		o.announces.Request(req)
		return nil
	}
}

// close ends what is under way, for good. The engine has to be closed before.
func (o *outgoing) close() error {
	o.conns.Close()
	o.seeds.CloseIdleConnections()
	err := o.packets.Close()
	o.uplink.Close()
	return err
}
