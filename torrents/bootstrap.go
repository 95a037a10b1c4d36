package torrents

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2"
)

const (
	// lookupTime is how long the DNS may take for one name.
	lookupTime = 10 * time.Second
	// lookupPause is how long to wait before asking again while no name is resolved.
	lookupPause = 30 * time.Second
)

// bootstrap finds the well-known nodes through which the DHT is entered. The library would look them up
// whenever it wants them, and wait for the DNS while others wait for it.
type bootstrap struct {
	mu    sync.Mutex
	nodes []dht.Addr
}

var errNotResolved = errors.New("the names of the DHT's first nodes are not resolved yet")

// startingNodes returns the nodes found so far, and errNotResolved if there are none.
func (b *bootstrap) startingNodes() ([]dht.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.nodes) == 0 {
		return nil, errNotResolved
	}
	return b.nodes, nil
}

// run looks the nodes up until it has found some or ctx ends.
func (b *bootstrap) run(ctx context.Context) {
	for {
		nodes := lookUp(ctx, dht.DefaultGlobalBootstrapHostPorts)
		if len(nodes) > 0 {
			b.mu.Lock()
			b.nodes = nodes
			b.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookupPause):
		}
	}
}

func lookUp(ctx context.Context, hostPorts []string) []dht.Addr {
	var nodes []dht.Addr
	for _, hostPort := range hostPorts {
		host, service, err := net.SplitHostPort(hostPort)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, lookupTime)
		ips, ipErr := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		port, portErr := net.DefaultResolver.LookupPort(ctx, "udp", service)
		cancel()
		if errors.Join(ipErr, portErr) != nil {
			continue // the others may do
		}
		for _, ip := range ips {
			addr := netip.AddrPortFrom(ip.Unmap(), uint16(port))
			nodes = append(nodes, dht.NewAddr(net.UDPAddrFromAddrPort(addr)))
		}
	}
	return nodes
}
