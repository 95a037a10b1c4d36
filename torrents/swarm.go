package torrents

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	alog "github.com/anacrolix/log"
	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	pp "github.com/anacrolix/torrent/peer_protocol"
	"github.com/anacrolix/torrent/storage"
	"github.com/anacrolix/torrent/types/infohash"
	infohash_v2 "github.com/anacrolix/torrent/types/infohash-v2"
	"golang.org/x/time/rate"
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
}

const (
	// tick is how often rates are sampled, and how long a torrent may receive nothing before its
	// peers are asked again.
	tick = 500 * time.Millisecond
	// peersEvery is how often the fixed peers are offered again, in case one has come back.
	peersEvery = 5 * time.Second
	// announceEvery is how often a torrent looks for peers in the DHT, and announceAlone how often
	// while it has none. Nodes forget an announce after 30 minutes or so.
	announceEvery = 5 * time.Minute
	announceAlone = time.Minute
	// rateWeight is what the newest sample counts for in a rate.
	rateWeight = 0.2
)

// swarm is the BitTorrent client. Only torrents that somebody reads, and magnets that look for their
// metadata, are members of it.
type swarm struct {
	client *torrent.Client
	opts   SwarmOptions
	peers  []torrent.PeerInfo
	stop   context.CancelFunc
	ticker sync.WaitGroup

	mu      sync.Mutex
	members map[*member]struct{}
}

func newSwarm(opts SwarmOptions, log *slog.Logger) (*swarm, error) {
	quietLibrary()
	cfg, err := clientConfig(opts, log)
	if err != nil {
		return nil, err
	}
	client, err := torrent.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("listen for peers on %s: %w", opts.Addr, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &swarm{
		client:  client,
		opts:    opts,
		stop:    stop,
		members: make(map[*member]struct{}),
		peers:   peerInfos(opts.Peers),
	}
	s.ticker.Go(func() { s.run(ctx) })
	return s, nil
}

// quietLibrary keeps from stderr what the library logs through its own default logger instead of the
// one it was given, which is local service discovery.
var quietLibrary = sync.OnceFunc(func() { alog.Default = alog.Default.WithDefaultLevel(alog.Debug) })

func peerInfos(addrs []string) []torrent.PeerInfo {
	infos := make([]torrent.PeerInfo, len(addrs))
	for i, addr := range addrs {
		infos[i] = torrent.PeerInfo{Addr: torrent.StringAddr(addr), Source: torrent.PeerSourceDirect, Trusted: true}
	}
	return infos
}

func clientConfig(opts SwarmOptions, log *slog.Logger) (*torrent.ClientConfig, error) {
	cfg := torrent.NewDefaultClientConfig()
	host, port, err := net.SplitHostPort(opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("peer address %q: %w", opts.Addr, err)
	}
	if cfg.ListenPort, err = net.LookupPort("tcp", port); err != nil {
		return nil, fmt.Errorf("peer address %q: %w", opts.Addr, err)
	}
	cfg.ListenHost = func(string) string { return host }
	cfg.DisableIPv6 = !opts.IPv6
	if ip, err := netip.ParseAddr(host); err == nil {
		cfg.DisableIPv6 = cfg.DisableIPv6 || ip.Is4()
		cfg.DisableIPv4 = ip.Is6()
	}
	cfg.NoDHT = !opts.DHT
	// The library's own announcer wakes a goroutine per torrent at every event; see swarm.run.
	cfg.PeriodicallyAnnounceTorrentsToDht = false
	cfg.DisablePEX = !opts.PEX
	if opts.LSD {
		cfg.LocalServiceDiscovery = &torrent.LocalServiceDiscoveryConfig{Ip6: opts.IPv6}
	}
	cfg.DisableUTP = !opts.UTP
	cfg.DisableTCP = !opts.TCP
	cfg.NoDefaultPortForwarding = !opts.UPnP
	cfg.DisableWebtorrent = true
	cfg.Seed = opts.Seed
	cfg.DisableAggressiveUpload = !opts.Seed
	// Always with limiters, so that a limit can be set while it runs.
	cfg.DownloadRateLimiter = newLimiter(opts.DownLimit)
	cfg.UploadRateLimiter = newLimiter(opts.UpLimit)
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
	cfg.Slogger = slog.New(quiet{log.Handler()})
	return cfg, nil
}

// spareRequests lowers the number of requests that a peer says it takes at a time (BEP 10, "reqq").
// Transmission 3.00 says 512, and loses the last of 512 for ten seconds, while the library waits for
// it: 8 MiB every ten seconds instead of 40 MB/s.
func spareRequests(_ *torrent.PeerConn, handshake *pp.ExtendedHandshakeMessage) {
	handshake.Reqq -= handshake.Reqq / 8
}

// limiterBurst is above the largest piece of data that the library passes in one go (1 MiB).
const limiterBurst = 1 << 20

func newLimiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond == 0 {
		return rate.NewLimiter(rate.Inf, limiterBurst)
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), limiterBurst)
}

// close drops every member and ends the client.
func (s *swarm) close() error {
	s.stop()
	s.ticker.Wait()
	return errors.Join(s.client.Close()...)
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
			for _, m := range s.list() {
				m.look(now)
			}
		}
	}
}

func (s *swarm) list() []*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*member, 0, len(s.members))
	for m := range s.members {
		list = append(list, m)
	}
	return list
}

// member is a torrent in the swarm.
type member struct {
	swarm   *swarm
	t       *torrent.Torrent
	private bool // known to be

	// nudge makes the wishes of those who wait again. When a peer rejects all that it was asked for,
	// which Transmission does whenever it chokes, anacrolix/torrent v1.62.0 may ask it for nothing
	// more until a wish changes.
	nudge func()

	broken    chan struct{} // closed when the cache cannot be written
	breakOnce sync.Once
	cause     error // why, once broken is closed

	mu            sync.Mutex
	stopAnnounce  []func()
	lastAnnounce  time.Time
	lastPeers     time.Time
	lastSample    time.Time
	down, up      float64 // bytes per second
	read, written int64   // useful bytes so far, as of the last sample
	active, seeds int     // connected peers, and those who have everything
}

func (s *swarm) add(opts torrent.AddTorrentOpts, private bool, nudge func()) (*member, error) {
	t, isNew := s.client.AddTorrentOpt(opts)
	if !isNew {
		return nil, errors.New("the torrent is in the swarm already")
	}
	m := &member{swarm: s, t: t, private: private, nudge: nudge, broken: make(chan struct{}), lastSample: time.Now()}
	t.SetOnWriteChunkError(func(err error) {
		m.breakOnce.Do(func() { m.cause = err; close(m.broken) })
	})
	s.mu.Lock()
	s.members[m] = struct{}{}
	s.mu.Unlock()
	return m, nil
}

// join makes a torrent a member whose data is in p. It does not wait for peers. nudge is called when
// nothing comes, and has to make the wishes for pieces again.
func (s *swarm) join(meta *Metainfo, p *pieces, nudge func()) (*member, error) {
	opts := torrent.AddTorrentOpts{
		Storage:     cacheStorage{p},
		InfoBytes:   meta.raw.InfoBytes,
		PieceLayers: meta.raw.PieceLayers,
	}
	if v1 := infohash.HashBytes(meta.raw.InfoBytes); v1 == infohash.T(meta.Infohash) {
		opts.InfoHash = v1
	} else {
		opts.InfoHashV2.Set(infohash_v2.T(sha256.Sum256(meta.raw.InfoBytes)))
	}
	m, err := s.add(opts, meta.Private, nudge)
	if err != nil {
		return nil, err
	}
	if m.t.Info() == nil {
		m.leave()
		return nil, errors.New("the torrent engine refuses the torrent's info dictionary")
	}
	m.t.AddTrackers(meta.trackers())
	m.t.AddWebSeeds(meta.raw.UrlList[:min(len(meta.raw.UrlList), maxWebSeeds)])
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
	m, err := s.add(opts, false, func() {})
	if err != nil {
		return nil, err
	}
	defer m.leave()
	m.t.AddTrackers(tiers(link.trackers))
	m.t.AddPeers(peerInfos(link.peers))
	m.look(time.Now())
	select {
	case <-m.t.GotInfo():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	got := m.t.Metainfo()
	return encodeMetainfo(link, got.InfoBytes, got.PieceLayers)
}

// leave takes the torrent out of the swarm and waits until nothing of it is left there.
func (m *member) leave() {
	m.swarm.mu.Lock()
	delete(m.swarm.members, m)
	m.swarm.mu.Unlock()
	m.mu.Lock()
	stops := m.stopAnnounce
	m.stopAnnounce = nil
	m.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	m.t.Drop()
}

// look samples the rates, finds peers, and gets a torrent going again that receives nothing.
func (m *member) look(now time.Time) {
	stats := m.t.Stats()
	if m.sample(now, &stats) && stats.ActivePeers > 0 {
		m.nudge()
	}
	m.findPeers(now)
}

// sample notes the rates since the last one, and says whether nothing came since.
func (m *member) sample(now time.Time, stats *torrent.TorrentStats) (stalled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if took := now.Sub(m.lastSample).Seconds(); took > 0 {
		read, written := stats.BytesReadUsefulData.Int64(), stats.BytesWrittenData.Int64()
		stalled = read == m.read
		m.down += rateWeight * (float64(read-m.read)/took - m.down)
		m.up += rateWeight * (float64(written-m.written)/took - m.up)
		m.read, m.written, m.lastSample = read, written, now
	}
	m.active, m.seeds = stats.ActivePeers, stats.ConnectedSeeders
	return stalled
}

func (m *member) findPeers(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.lastPeers) >= peersEvery {
		m.lastPeers = now
		m.t.AddPeers(m.swarm.peers)
	}
	every := announceEvery
	if m.active == 0 {
		every = announceAlone
	}
	if !m.private && now.Sub(m.lastAnnounce) >= every {
		m.lastAnnounce = now
		for _, stop := range m.stopAnnounce {
			stop()
		}
		m.stopAnnounce = m.stopAnnounce[:0]
		for _, server := range m.swarm.client.DhtServers() {
			// An error means that the DHT knows no node yet; the next round asks again.
			if _, stop, err := m.t.AnnounceToDht(server); err == nil {
				m.stopAnnounce = append(m.stopAnnounce, stop)
			}
		}
	}
}

// received returns how many useful bytes came so far: whether it moves tells a slow swarm from a
// dead one.
func (m *member) received() int64 {
	stats := m.t.Stats()
	return stats.BytesReadUsefulData.Int64()
}

// want sets how urgent a piece is.
func (m *member) want(piece int, u urgency) {
	priority := torrent.PiecePriorityNone
	switch u {
	case urgencyAhead:
		priority = torrent.PiecePriorityReadahead
	case urgencyNow:
		priority = torrent.PiecePriorityNow
	}
	m.t.Piece(piece).SetPriority(priority)
}

// activity returns what the last sample saw.
func (m *member) activity() Activity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Activity{Peers: m.active, Seeds: m.seeds, DownRate: int64(m.down), UpRate: int64(m.up)}
}

// noStorage is for torrents without one of their own: magnets, which store nothing.
type noStorage struct{}

func (noStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, errors.New("a magnet has no storage")
}

// cacheStorage lets the client keep a torrent in its pieces.
type cacheStorage struct{ p *pieces }

func (s cacheStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl { return cachePiece{s.p, p.Index()} },
		Close: func() error { return nil }, // the torrent's owner closes the pieces, not the client
	}, nil
}

type cachePiece struct {
	p     *pieces
	index int
}

func (c cachePiece) ReadAt(b []byte, off int64) (int, error) {
	return c.p.data.ReadAt(b, int64(c.index)*c.p.length+off)
}

func (c cachePiece) WriteAt(b []byte, off int64) (int, error) {
	return c.p.data.WriteAt(b, int64(c.index)*c.p.length+off)
}

func (c cachePiece) MarkComplete() error    { return c.p.setVerified(c.index) }
func (c cachePiece) MarkNotComplete() error { return c.p.setMissing(c.index) }

func (c cachePiece) Completion() storage.Completion {
	verified, known := c.p.state(c.index)
	return storage.Completion{Ok: known, Complete: verified}
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
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }
func (q quiet) WithGroup(name string) slog.Handler       { return quiet{q.Handler.WithGroup(name)} }
