package torrents

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/types/infohash"
	infohash_v2 "github.com/anacrolix/torrent/types/infohash-v2"

	"shoal/torrents/cache"
)

// SwarmOptions are the settings of the BitTorrent client.
type SwarmOptions struct {
	Addr string // host:port for peers, TCP and uTP; port 0 takes a free one

	DHT  bool // BEP 5
	PEX  bool // BEP 11
	LSD  bool // BEP 14
	UTP  bool // BEP 29
	TCP  bool
	IPv6 bool
	UPnP bool // ask the router for a port

	Seed      bool     // upload even when there is nothing to gain by it
	DownLimit int64    // bytes per second; 0 is none
	UpLimit   int64    // bytes per second; 0 is none
	MaxPeers  int      // connections per torrent
	Peers     []string // host:port of peers tried for every torrent

	ExtraTrackers []string // URLs of trackers for every torrent that is not private; see CheckTracker
	Blocklist     string   // path or URL of a list of addresses that peers must not have; see CheckBlocklist
	AllowPrivate  bool     // let trackers, web seeds and URLs be at addresses that are not public

	Interface string // the only one to use, a kill switch; empty is any
	Proxy     string // as CheckProxy takes it, for all that can go through one; empty is none

	Encryption  Encryption   // of connections to peers; empty is EncryptionAllow
	AnnounceIPs []netip.Addr // what trackers and peers are told, at most one of IPv4 and one of IPv6

	roots *x509.CertPool // trusted for trackers and web seeds; nil, but in tests: the system's
}

const (
	// tick is how often rates are sampled, and how long a torrent may receive nothing before its
	// peers are asked again.
	tick = 500 * time.Millisecond
	// The fixed peers are offered again after minOffer, in case one has come back, then after twice
	// that and so on up to maxOffer while none is connected. Each pause is up to a half longer, as
	// Transmission turns an address away for a second after it has closed a connection of it, and so
	// would torrents that ask at the same time.
	minOffer = 2 * time.Second
	maxOffer = 16 * time.Second
	// announceEvery is how often a torrent looks for peers in the DHT, announceAlone how often while
	// it has none, and announceRetry how often while the DHT cannot be entered. Nodes forget an
	// announce after 30 minutes or so.
	announceEvery = 5 * time.Minute
	announceAlone = time.Minute
	announceRetry = 5 * time.Second
	// rateWeight is what the newest sample counts for in a rate.
	rateWeight = 0.2
)

// swarm is the BitTorrent client. Only torrents that somebody reads, and magnets that look for their
// metadata, are members of it.
type swarm struct {
	client *torrent.Client
	limits rateLimits
	opts   SwarmOptions
	out    *outgoing
	peers  *fixedPeers
	// extraTrackers are SwarmOptions.ExtraTrackers as the engine takes them.
	extraTrackers []string

	stop context.CancelFunc
	log  *slog.Logger

	background sync.WaitGroup
	floods     floods

	cfg         *torrent.ClientConfig // of client
	observer    *observer
	totals      totals
	reannounces chan struct{} // one for each of our own announces

	mu      sync.Mutex
	members map[Infohash]*member
	// been has every torrent that was announced to a tracker since the start. The engine does not forget
	// those either.
	been   map[Infohash]struct{}
	cutOff bool // nothing can be sent, so members have no connections
}

// newSwarm starts the client, which goes out by out and closes that. block may be nil.
func newSwarm(opts SwarmOptions, out *outgoing, block *blocked, log *slog.Logger) (*swarm, error) {
	quietLibrary()
	var first bootstrap
	extra, err := extraTrackers(&opts, log)
	if err != nil {
		return nil, err
	}
	limits := newRateLimits(opts.DownLimit, opts.UpLimit)
	cfg, err := clientConfig(opts, &first, out, limits, log)
	if err != nil {
		return nil, err
	}
	keepTo(out.uplink, cfg, &opts, log)
	if block != nil {
		cfg.IPBlocklist = block
	}
	heard := observe(cfg)
	s := &swarm{
		cfg:      cfg,
		observer: heard,
		limits:   limits,
		log:      log,
		opts:     opts,
		cutOff:   out.uplink.Problem() != "",
		members:  make(map[Infohash]*member),
		been:     make(map[Infohash]struct{}),
		peers:    newFixedPeers(opts.Peers),
		out:      out,

		extraTrackers: extra,
		reannounces:   make(chan struct{}, maxReannounces),
	}
	s.floods.guard(cfg)
	client, err := torrent.NewClient(cfg)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
		// Fewer peers find us on a port that nobody forwards. That is no reason to serve nothing.
		cfg.ListenPort = 0
		busy := err
		if client, err = torrent.NewClient(cfg); err == nil {
			log.Warn("the port for peers cannot be used, another one is", "port", client.LocalPort(), "err", busy)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w on %s: %w", ErrListen, opts.Addr, err)
	}
	attach(client, out.uplink, &opts)
	ctx, stop := context.WithCancel(context.Background())
	s.client, s.stop = client, stop
	heard.swarm.Store(s)
	s.background.Go(func() { s.run(ctx) })
	s.background.Go(func() { s.floods.run(ctx) })
	if opts.Proxy == "" {
		s.background.Go(func() { s.peers.run(ctx, out.uplink.Resolver(), log) })
	} else if len(s.peers.names) > 0 {
		log.Warn("peers given by name are left out: the proxy is to look names up, and the engine takes none", "peers", s.peers.names)
	}
	if opts.DHT {
		s.background.Go(func() { first.run(ctx, out.uplink.Resolver()) })
	}
	return s, nil
}

func peerInfos(addrs []string) []torrent.PeerInfo {
	infos := make([]torrent.PeerInfo, len(addrs))
	for i, addr := range addrs {
		// Not Trusted: the engine never bans those, and would fetch wrong data of them for ever.
		infos[i] = torrent.PeerInfo{Addr: torrent.StringAddr(addr), Source: torrent.PeerSourceDirect}
	}
	return infos
}

// close drops every member and ends the client.
func (s *swarm) close() error {
	s.stop()
	s.background.Wait()
	return errors.Join(errors.Join(s.client.Close()...), s.out.close())
}

// run looks after the members until ctx ends.
func (s *swarm) run(ctx context.Context) {
	every := time.NewTicker(tick)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			s.floods.look(now)
			s.followUplink() //nolint:contextcheck // announces end with the torrent's time in the swarm
			for _, m := range s.list() {
				m.look(now) //nolint:contextcheck // the same
			}
		}
	}
}

func (s *swarm) list() []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*member, 0, len(s.members))
	for _, m := range s.members {
		list = append(list, m)
	}
	return list
}

// member returns a torrent's place in the swarm; nil if it has none.
func (s *swarm) member(ih Infohash) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members[ih]
}

// errMember is returned for a torrent that is in the swarm already.
var errMember = errors.New("the torrent is in the swarm already")

// add gives m, of which ih, private and what it needs of the cache are set, its place in the swarm. From then on others use m.
func (s *swarm) add(m *member, opts torrent.AddTorrentOpts) error {
	t, isNew := s.client.AddTorrentOpt(opts)
	if !isNew {
		return errMember
	}
	now := time.Now()
	m.swarm, m.t, m.lastSample, m.alone = s, t, now, now
	m.renew, m.stop = make(chan struct{}, 1), make(chan struct{})
	m.broken, m.paused = make(chan struct{}), make(chan struct{})
	m.ctx, m.cancel = context.WithCancel(context.Background())
	t.SetOnWriteChunkError(m.breakDown)
	s.mu.Lock()
	s.members[m.ih] = m
	_, m.again = s.been[m.ih]
	cutOff := s.cutOff
	s.mu.Unlock()
	if cutOff {
		m.suspend()
	}
	return nil
}

// join makes a torrent a member whose data is in p, with more sources than its metainfo names. It does not wait for peers.
func (s *swarm) join(meta *Metainfo, more sources, p *cache.Pieces) (*member, error) {
	unsure, progress := new(atomic.Int64), &progress{}
	opts := torrent.AddTorrentOpts{
		Storage:     cacheStorage{p, unsure, progress},
		InfoBytes:   meta.raw.InfoBytes,
		PieceLayers: meta.raw.PieceLayers,
	}
	if v1 := infohash.HashBytes(meta.raw.InfoBytes); v1 == infohash.T(meta.Infohash) {
		opts.InfoHash = v1
	} else {
		opts.InfoHashV2.Set(infohash_v2.T(sha256.Sum256(meta.raw.InfoBytes)))
	}
	m := &member{ih: meta.Infohash, private: meta.Private, pieces: p, unsure: unsure, progress: progress}
	if err := s.add(m, opts); err != nil {
		return nil, err
	}
	select {
	case <-m.t.GotInfo():
	default:
		m.leave()
		return nil, errors.New("the torrent engine refuses the torrent's info dictionary")
	}
	p.Fetch(true)
	m.telling.Go(newPipeline(m).run)
	m.addTrackers(meta.trackers(), !meta.Private)
	m.addWebSeeds(meta.raw.UrlList[:min(len(meta.raw.UrlList), maxWebSeeds)])
	m.use(more)
	m.announceAgain()
	m.look(time.Now())
	return m, nil
}

// resolve asks the swarm for the metadata of a magnet link (BEP 9) until ctx ends, and returns a
// .torrent file.
func (s *swarm) resolve(ctx context.Context, link magnetLink) ([]byte, error) {
	opts := torrent.AddTorrentOpts{DeferStorageOpen: true}
	if link.v2 != nil {
		opts.InfoHashV2.Set(infohash_v2.T(*link.v2))
	}
	if link.v2 == nil || Infohash(link.v2[:len(link.infohash)]) != link.infohash {
		opts.InfoHash = infohash.T(link.infohash)
	}
	m := &member{ih: link.infohash}
	if err := s.add(m, opts); err != nil {
		return nil, err
	}
	defer m.leave()
	// A link to a private torrent has to name a tracker, so that one without is to none.
	m.addTrackers(tiers(link.trackers), len(link.trackers) == 0)
	m.announceAgain() //nolint:contextcheck // it ends when the magnet leaves, which is when ctx has
	m.use(sources{Peers: link.peers})
	m.look(time.Now()) //nolint:contextcheck // the same
	select {
	case <-m.t.GotInfo():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	got := m.t.Metainfo()
	return encodeMetainfo(link, got.InfoBytes, got.PieceLayers)
}
