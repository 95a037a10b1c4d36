package torrents

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/anacrolix/torrent"
)

// lookupAgain is how old what the DNS said of a fixed peer may get.
const lookupAgain = 5 * time.Minute

// fixedPeers are peers tried for every torrent. The engine takes no names, and says nothing of it.
type fixedPeers struct {
	names []string // host:port

	mu    sync.Mutex
	known []torrent.PeerInfo
}

func newFixedPeers(addrs []string) *fixedPeers {
	p := &fixedPeers{}
	for _, addr := range addrs {
		if literal, err := netip.ParseAddrPort(addr); err == nil {
			p.known = append(p.known, peerInfos([]string{literal.String()})...)
		} else {
			p.names = append(p.names, addr)
		}
	}
	return p
}

// list returns the peers whose addresses are known.
func (p *fixedPeers) list() []torrent.PeerInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

// run looks the names up until ctx ends.
func (p *fixedPeers) run(ctx context.Context, names *net.Resolver, log *slog.Logger) {
	literal := p.list()
	for len(p.names) > 0 {
		known, pause := slices.Clip(literal), lookupAgain
		for _, name := range p.names {
			addrs, err := lookUp(ctx, names, name)
			if err != nil {
				log.Debug("a peer's name is not resolved", "peer", name, "err", err)
				pause = lookupPause
			}
			for _, addr := range addrs {
				known = append(known, peerInfos([]string{addr.String()})...)
			}
		}
		p.mu.Lock()
		p.known = known
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
