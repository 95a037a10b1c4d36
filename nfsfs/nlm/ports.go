package nlm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxPorts is how many ports are remembered; when there are more, all are looked up anew.
	maxPorts = 256
	// keepPort is for how long one is remembered, and keepNone that there is none.
	keepPort = 30 * time.Second
	keepNone = 10 * time.Second
	// lookupTime is for one of two lookups. It leaves some of callTime for the call.
	lookupTime = 1500 * time.Millisecond
)

// Lookup asks the portmapper at addr for the port of a program. The network is "udp" or "tcp". A port
// of 0 means that the program is not registered there. It has to return when ctx ends.
type Lookup func(ctx context.Context, addr netip.Addr, program, version uint32, network string) (uint16, error)

var errNoPort = errors.New("not registered with the portmapper")

// ports remembers where the lock managers of clients listen.
type ports struct {
	lookup Lookup

	mu    sync.Mutex
	known map[callee]port
}

type callee struct {
	addr    netip.Addr
	version uint32
}

// port is where a lock manager listens, or why that is not known.
type port struct {
	number  uint16
	network string
	err     error
	expires time.Time
}

func newPorts(lookup Lookup) *ports {
	return &ports{lookup: lookup, known: make(map[callee]port)}
}

// find returns the UDP port of a client's lock manager, or the TCP port if there is no UDP port. It waits
// for twice lookupTime at most.
func (p *ports) find(ctx context.Context, addr netip.Addr, version uint32) (number uint16, network string, err error) {
	who := callee{addr, version}
	p.mu.Lock()
	found, ok := p.known[who]
	p.mu.Unlock()
	if !ok || time.Now().After(found.expires) {
		found = p.ask(ctx, who)
		if ctx.Err() == nil { // or it says nothing about the client
			p.remember(who, found)
		}
	}
	return found.number, found.network, found.err
}

func (p *ports) ask(ctx context.Context, who callee) port {
	var failed error
	for _, network := range []string{"udp", "tcp"} {
		n, err := p.askFor(ctx, who, network)
		if err == nil {
			return port{n, network, nil, time.Now().Add(keepPort)}
		}
		failed = errors.Join(failed, fmt.Errorf("find the %s port: %w", network, err))
	}
	return port{err: failed, expires: time.Now().Add(keepNone)}
}

func (p *ports) askFor(ctx context.Context, who callee, network string) (uint16, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	n, err := p.lookup(ctx, who.addr, Program, who.version, network)
	if err == nil && n == 0 {
		err = errNoPort
	}
	return n, err
}

func (p *ports) remember(who callee, found port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxPorts {
		clear(p.known)
	}
	p.known[who] = found
}

// forget makes find ask again, unless there was none a moment ago.
func (p *ports) forget(addr netip.Addr, version uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if who := (callee{addr, version}); p.known[who].err == nil {
		delete(p.known, who)
	}
}
