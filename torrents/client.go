package torrents

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2"
	alog "github.com/anacrolix/log"
	"github.com/anacrolix/torrent"
	pp "github.com/anacrolix/torrent/peer_protocol"
	"golang.org/x/time/rate"
)

// quietLibrary keeps from stderr what the library logs through its own default logger instead of the
// one it was given, which is local service discovery.
var quietLibrary = sync.OnceFunc(func() { alog.Default = alog.Default.WithDefaultLevel(alog.Debug) })

// clientConfig is the engine's configuration. What differs from its defaults without being a setting
// of ours has the reason beside it.
func clientConfig(opts SwarmOptions, first *bootstrap, out *outgoing, limits rateLimits, log *slog.Logger) (*torrent.ClientConfig, error) {
	cfg := torrent.NewDefaultClientConfig()
	host, port, err := peerAddress(opts.Addr)
	if err != nil {
		return nil, err
	}
	cfg.ListenPort = port
	cfg.ListenHost = func(string) string { return host }
	cfg.DisableIPv6 = !opts.IPv6
	if ip, err := netip.ParseAddr(host); err == nil {
		cfg.DisableIPv6 = cfg.DisableIPv6 || ip.Is4()
		cfg.DisableIPv4 = ip.Is6()
	}
	cfg.NoDHT = !opts.DHT
	// The library's own announcer wakes a goroutine per torrent at every event; see member.findPeers.
	cfg.PeriodicallyAnnounceTorrentsToDht = false
	cfg.DhtStartingNodes = func(string) dht.StartingNodesGetter { return first.startingNodes }
	cfg.DisablePEX = !opts.PEX
	if opts.LSD {
		cfg.LocalServiceDiscovery = &torrent.LocalServiceDiscoveryConfig{Ip6: opts.IPv6}
	}
	cfg.DisableUTP = !opts.UTP
	cfg.DisableTCP = !opts.TCP
	cfg.DialForPeerConns = false // but with its sockets all the same; see attach
	cfg.NoDefaultPortForwarding = !opts.UPnP
	cfg.DisableWebtorrent = true
	cfg.Seed = opts.Seed
	cfg.DisableAggressiveUpload = !opts.Seed
	cfg.DownloadRateLimiter, cfg.UploadRateLimiter = limits.down, limits.up
	opts.Encryption.configure(cfg)
	for _, addr := range opts.AnnounceIPs {
		if addr.Is4() {
			cfg.PublicIp4 = addr.AsSlice()
		} else {
			cfg.PublicIp6 = addr.AsSlice()
		}
	}
	cfg.EstablishedConnsPerTorrent = opts.MaxPeers
	cfg.TotalHalfOpenConns = 200
	// The default of 10 a second makes torrents that are woken together wait for one another.
	cfg.DialRateLimiter = rate.NewLimiter(50, 50)
	cfg.NominalDialTimeout = 8 * time.Second
	// Without it, peers of equal speed send the same chunk twice (18 % with four of them).
	cfg.StealRequestGrace = 500 * time.Millisecond
	// On a public port, slow down addresses that keep asking for what is not here.
	cfg.DisableAcceptRateLimiting = false
	cfg.DropDuplicatePeerIds = true
	cfg.Callbacks.ReadExtendedHandshake = spareRequests
	cfg.DefaultStorage = noStorage{}
	out.configure(cfg)
	cfg.Slogger = slog.New(quiet{log.Handler()})
	return cfg, nil
}

// peerAddress reads SwarmOptions.Addr.
func peerAddress(addr string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err == nil {
		port, err = net.LookupPort("tcp", service)
	}
	if err != nil {
		return "", 0, fmt.Errorf("peer address %q: %w", addr, err)
	}
	return host, port, nil
}

// spareRequests lowers the number of requests that a peer says it takes at a time (BEP 10, "reqq").
// Transmission 3.00 says 512, and loses the last of 512 for ten seconds, while the library waits for
// it: 8 MiB every ten seconds instead of 40 MB/s.
func spareRequests(_ *torrent.PeerConn, handshake *pp.ExtendedHandshakeMessage) {
	handshake.Reqq -= handshake.Reqq / 8
}

// quiet passes on what the library logs at a lower level: most of it is about the trouble of single
// peers, which is no news.
type quiet struct{ slog.Handler }

func (q quiet) lower(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelInfo
	}
	return min(l, slog.LevelDebug)
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, q.lower(l))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = q.lower(r.Level)
	if strings.HasSuffix(r.Message, errNotResolved.Error()) { // so it is at each start
		r.Level = slog.LevelDebug
	}
	if !q.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }
func (q quiet) WithGroup(name string) slog.Handler       { return quiet{q.Handler.WithGroup(name)} }
