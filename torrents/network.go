package torrents

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/anacrolix/torrent"

	"shoal/torrents/uplink"
)

// CheckProxy says in a sentence, without the password, what is wrong with the address of a proxy:
// socks5://[user:password@]host:port or http://….
func CheckProxy(address string) error {
	_, err := uplink.ParseProxy(address)
	return err
}

// newUplink makes the uplink that opts ask for. The error is ErrUplink, or about the address for peers.
func newUplink(opts SwarmOptions, log *slog.Logger) (*uplink.Uplink, error) {
	host, port, err := peerAddress(opts.Addr)
	if err != nil {
		return nil, err
	}
	own, _ := netip.ParseAddr(host)
	if own.IsUnspecified() {
		own = netip.Addr{}
	}
	up, err := uplink.New(uplink.Options{
		Interface: opts.Interface, Proxy: opts.Proxy, Host: own.Unmap(), Port: uint16(port), Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUplink, err)
	}
	return up, nil
}

// keepTo makes the engine use nothing but the uplink for peers. What cannot go that way is off. It changes opts
// to what there is.
func keepTo(up *uplink.Uplink, cfg *torrent.ClientConfig, opts *SwarmOptions, log *slog.Logger) {
	if opts.Interface != "" {
		bindTo(up, cfg, opts)
	}
	if opts.Proxy != "" {
		goThroughProxy(cfg, opts, log)
	}
	if (opts.Interface != "" || opts.Proxy != "") && opts.UPnP {
		log.Warn("ports are not forwarded by UPnP, which cannot be kept to an interface or a proxy")
		cfg.NoDefaultPortForwarding = true
	}
}

func bindTo(up *uplink.Uplink, cfg *torrent.ClientConfig, opts *SwarmOptions) {
	// The engine looks the names of UDP trackers and of peers up by this one.
	net.DefaultResolver = up.Resolver()
	cfg.ListenPacket = up.ListenPeersPacket
	cfg.DisableTCP = true // its own sockets; see attach
	// The engine's would join its groups on the system's interface.
	cfg.LocalServiceDiscovery, opts.LSD = nil, false
}

func goThroughProxy(cfg *torrent.ClientConfig, opts *SwarmOptions, log *slog.Logger) {
	log.Info("the swarm is reached through a proxy: no DHT, uTP, UDP trackers or local discovery, and nobody can connect to us")
	opts.DHT, opts.UTP, opts.LSD = false, false, false
	cfg.NoDHT, cfg.DisableUTP, cfg.DisableTCP = true, true, true
	cfg.LocalServiceDiscovery = nil
	cfg.AcceptPeerConnections = false
}

// attach gives the engine what opens connections to peers, and takes them.
func attach(client *torrent.Client, up *uplink.Uplink, opts *SwarmOptions) {
	for _, l := range client.Listeners() {
		if d, ok := l.(torrent.Dialer); ok {
			client.AddDialer(promptDialer{d})
		}
	}
	switch {
	case !opts.TCP:
	case opts.Proxy != "":
		client.AddDialer(promptDialer{peerDialer{"tcp", up.Dialer(nil)}})
		client.AddListener(nobody{opts.Addr})
	case opts.Interface != "":
		networks := []string{"tcp4"}
		if opts.IPv6 {
			networks = append(networks, "tcp6")
		}
		for _, network := range networks {
			client.AddDialer(promptDialer{peerDialer{network, up.Dialer(nil)}})
			client.AddListener(up.Listen(network))
		}
	}
	up.Rebind()
}

// peerDialer is a dialer as the engine wants it.
type peerDialer struct {
	network string
	dial    uplink.DialFunc
}

func (d peerDialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return d.dial(ctx, d.network, addr)
}

func (d peerDialer) DialerNetwork() string { return d.network }

// nobody is a listener on no port: trackers refuse who does not name one.
type nobody struct{ addr string }

func (nobody) Accept() (net.Conn, error) { return nil, net.ErrClosed }

func (n nobody) Addr() net.Addr {
	_, port, _ := net.SplitHostPort(n.addr)  // parsed before
	number, _ := net.LookupPort("tcp", port) // too
	return &net.TCPAddr{Port: max(number, 1)}
}

// problem says in words why nothing can be sent, and is empty while something can.
func (s *swarm) problem() string { return s.out.uplink.Problem() }

// followUplink takes the members along when the interface has come, gone or changed its address.
func (s *swarm) followUplink() {
	if s.out.uplink.Moved() {
		s.setCutOff(true)
		s.suspend()
		s.out.uplink.Rebind()
	}
	if s.out.uplink.Problem() != "" {
		s.suspend() // who has joined meanwhile, too
		return
	}
	s.setCutOff(false)
	for _, m := range s.list() {
		m.resume()
	}
}

func (s *swarm) setCutOff(cutOff bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutOff = cutOff
}

func (s *swarm) suspend() {
	for _, m := range s.list() {
		m.suspend()
	}
}

// suspend ends all connections, remembers to whom, and allows no others.
func (m *member) suspend() {
	var peers []torrent.PeerInfo
	for _, c := range m.t.PeerConns() {
		peers = append(peers, torrent.PeerInfo{Addr: c.RemoteAddr, Source: c.Discovery})
	}
	m.mu.Lock()
	already := m.suspended
	m.suspended = true
	m.formerly = append(m.formerly, peers...)
	m.mu.Unlock()
	if !already {
		m.t.SetMaxEstablishedConns(0)
	}
}

// resume takes suspend back, connects again, and looks for more peers at once, by trackers as well: the engine would ask
// those that it could not reach only after a while.
func (m *member) resume() {
	m.mu.Lock()
	if !m.suspended {
		m.mu.Unlock()
		return
	}
	peers := m.formerly
	m.suspended, m.formerly = false, nil
	m.nextOffer, m.nextAnnounce = time.Time{}, time.Time{}
	m.mu.Unlock()
	m.t.SetMaxEstablishedConns(m.swarm.opts.MaxPeers)
	m.t.AddPeers(peers)
	m.reannounce(func(string) bool { return true })
}
