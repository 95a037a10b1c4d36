package torrents

import (
	"net"
	"net/http"
	"time"

	"github.com/anacrolix/torrent"

	"shoal/torrents/outbound"
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
)

// outgoing are the ways to addresses that torrents and users name, all with the guard before them. Peers go
// another way: one on the local network is welcome.
type outgoing struct {
	dial    outbound.DialContextFunc
	conns   *outbound.Group   // those that dial has made
	packets *outbound.Packets // to UDP trackers
	seeds   *http.Transport   // to web seeds
}

func newOutgoing(opts SwarmOptions) *outgoing {
	guard := outbound.Guard{AllowPrivate: opts.AllowPrivate}
	conns := outbound.NewGroup()
	dial := conns.Dial(guard.Dialer(net.Dialer{}).DialContext)
	return &outgoing{
		dial:    dial,
		conns:   conns,
		packets: guard.Packets(net.ListenPacket),
		seeds: &http.Transport{
			DialContext:            dial,
			TLSHandshakeTimeout:    seedTLSTime,
			ResponseHeaderTimeout:  seedHeaderTime,
			IdleConnTimeout:        seedIdleTime,
			MaxResponseHeaderBytes: seedHeader,
			MaxConnsPerHost:        seedConns,
			DisableCompression:     true, // nothing is gained for what torrents carry
			ForceAttemptHTTP2:      true,
		},
	}
}

// configure makes the engine use these ways.
func (o *outgoing) configure(cfg *torrent.ClientConfig) {
	cfg.WebTransport = o.seeds
	cfg.HTTPDialContext = o.dial // has no effect beside WebTransport; should the engine find another use
	cfg.TrackerDialContext = outbound.LimitAnswers(o.dial, maxAnnounce)
	cfg.TrackerListenPacket = o.packets.ListenPacket
	// Else an answer grows by a factor of a thousand behind the limit.
	cfg.HttpRequestDirector = func(req *http.Request) error {
		req.Header.Set("Accept-Encoding", "identity")
		return nil
	}
}

// close ends what is under way, for good. The engine has to be closed before.
func (o *outgoing) close() error {
	o.conns.Close()
	o.seeds.CloseIdleConnections()
	return o.packets.Close()
}
