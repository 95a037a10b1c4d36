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
	lookupPause = 10 * time.Second
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
func (b *bootstrap) run(ctx context.Context, names *net.Resolver) {
	for {
		var nodes []dht.Addr
		for _, hostPort := range dht.DefaultGlobalBootstrapHostPorts {
			addrs, _ := lookUp(ctx, names, hostPort) // the others may do
			for _, addr := range addrs {
				nodes = append(nodes, dht.NewAddr(net.UDPAddrFromAddrPort(addr)))
			}
		}
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

// lookUp returns the addresses of host:port.
func lookUp(ctx context.Context, names *net.Resolver, hostPort string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	port, err := names.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, err
	}
	ips, err := names.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		addrs[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return addrs, nil
}
