// Package mdns tells the local network which services this machine has, by multicast DNS (RFC 6762) and DNS-based service
// discovery (RFC 6763).
//
// A [Responder] takes names that nobody else on the network has, announces them, answers questions about them, and says goodbye
// when it stops. It answers only who is on the network of one of its interfaces, and only what was sent to all of that network,
// so that it cannot be made to flood others. It asks no questions of its own but those that find out whether a name is free, and
// keeps nothing of what it hears.
package mdns

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// lookTime is how often it looks whether addresses have changed. All systems can tell that without a subscription.
	lookTime = 10 * time.Second

	// retryTime is how long it waits after an error, such as a port that somebody does not share.
	retryTime = time.Minute

	// After as many conflicts in a row as easyConflicts, each new attempt waits for conflictTime: somebody takes every name.
	easyConflicts = 10
	conflictTime  = time.Minute

	// steadyTime without a conflict ends the row.
	steadyTime = 10 * time.Minute
)

// Service is something to be found.
type Service struct {
	// Type is what it speaks, such as "_nfs._tcp".
	Type string
	// Text is for its clients (RFC 6763, section 6), each "key=value" of at most 255 bytes.
	Text []string
	// Addr is where it listens. A zero or unspecified address is all addresses. It is not told on interfaces without that one.
	Addr netip.AddrPort
}

// Options say what is told where.
type Options struct {
	// Machine is what this machine is called, such as os.Hostname returns it. The services are "Shoal on nas", at shoal-nas.local:
	// nas.local itself is the system's, which may have a responder of its own.
	Machine string
	// Services are in the order of importance: should they have no address of an interface in common, the first is told there.
	Services []Service
	// Tell says whether an address may be told; nil is all. Interfaces without such an address are left alone.
	Tell func(netip.Addr) bool
	// Without are names of interfaces that are left alone.
	Without []string
	Logger  *slog.Logger
}

// Responder tells of services. Its zero value is of no use: see [New].
type Responder struct {
	opts Options
	log  *slog.Logger

	interfaces func() ([]networkInterface, error)
	open       func([]*link) (conn, error)

	attempt   int // how many names were taken
	conflicts int // in a row
	logged    string
}

// New returns a responder, which does nothing before [Responder.Run].
func New(opts Options) *Responder {
	return &Responder{
		opts: opts, log: opts.Logger, attempt: 1,
		interfaces: systemInterfaces,
		open:       func(links []*link) (conn, error) { return openSockets(links) },
	}
}

var (
	errConflict = errors.New("the name is taken")
	errChanged  = errors.New("the interfaces have changed")
)

// Run tells of the services until ctx ends, and has said goodbye when it returns, which takes a quarter of a second. It follows
// changes of interfaces and addresses within some seconds. What fails is logged, and tried again.
func (r *Responder) Run(ctx context.Context) {
	for ctx.Err() == nil {
		started := time.Now()
		err := r.runOnce(ctx)
		if time.Since(started) > steadyTime {
			r.conflicts = 0
		}
		wait := time.Duration(0)
		switch {
		case ctx.Err() != nil, errors.Is(err, errChanged):
		case errors.Is(err, errConflict):
			if r.conflicts++; r.conflicts > easyConflicts {
				wait = conflictTime
			}
		default:
			wait = retryTime
			r.logOnce(ctx, slog.LevelWarn, "this machine cannot be found by mDNS", "err", err)
		}
		sleep(ctx, wait)
	}
}

// runOnce tells of the services on the interfaces that there are now, until something changes.
func (r *Responder) runOnce(ctx context.Context) error {
	all, err := r.interfaces()
	if err != nil {
		return err
	}
	links := choose(all, &r.opts)
	if len(links) == 0 {
		r.logOnce(ctx, slog.LevelInfo, "nothing is advertised by mDNS: no interface has an address to be found at")
		sleep(ctx, lookTime)
		return errChanged
	}
	conn, err := r.open(links)
	if err != nil {
		return err
	}
	names := newNames(r.opts.Machine, r.attempt)
	s := newSession(links, names, ownAddresses(all), conn)
	s.changed = func() bool {
		now, err := r.interfaces()
		return err == nil && !sameLinks(links, choose(now, &r.opts))
	}
	s.established = func() { r.logAdvertised(ctx, names, links) }
	err = s.run(ctx)
	conn.close()
	if errors.Is(err, errConflict) && !s.announced() {
		r.log.Info("somebody on the network has the name already", "name", names.instance)
		r.attempt++
	}
	return err
}

// logAdvertised says what is told where.
func (r *Responder) logAdvertised(ctx context.Context, n names, links []*link) {
	on := make(map[string]bool)
	told := make(map[string]bool)
	for _, l := range links {
		on[l.name] = true
		for _, s := range l.services {
			told[s.Type] = true
		}
	}
	r.logOnce(ctx, slog.LevelInfo, "advertised by mDNS", "name", n.instance, "host", strings.TrimSuffix(n.host, "."),
		"services", strings.Join(slices.Sorted(maps.Keys(told)), " "), "interfaces", strings.Join(slices.Sorted(maps.Keys(on)), " "))
}

// logOnce logs what was not the last thing to be logged.
func (r *Responder) logOnce(ctx context.Context, level slog.Level, message string, args ...any) {
	record := slog.NewRecord(time.Time{}, level, message, 0)
	record.Add(args...)
	var text strings.Builder
	text.WriteString(message)
	record.Attrs(func(a slog.Attr) bool {
		text.WriteString(" " + a.String())
		return true
	})
	if text.String() == r.logged {
		return
	}
	r.logged = text.String()
	r.log.Log(ctx, level, message, args...) //nolint:sloglint // the callers' messages are constant
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// networkInterface is what is known of an interface.
type networkInterface struct {
	net.Interface
	prefixes []netip.Prefix // its addresses, each with the bits of its network
}

// systemInterfaces returns all interfaces of this machine.
func systemInterfaces() ([]networkInterface, error) {
	found, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	all := make([]networkInterface, 0, len(found))
	for _, ifi := range found {
		addrs, err := ifi.Addrs()
		if err != nil {
			continue // it went away
		}
		n := networkInterface{Interface: ifi}
		for _, a := range addrs {
			if ipNet, ok := a.(*net.IPNet); ok {
				bits, _ := ipNet.Mask.Size()
				if addr, ok := netip.AddrFromSlice(ipNet.IP); ok {
					// IPv4 addresses come as 16 bytes, with masks of 4.
					n.prefixes = append(n.prefixes, netip.PrefixFrom(addr.Unmap(), bits))
				}
			}
		}
		all = append(all, n)
	}
	return all, nil
}

// ownAddresses are those of all interfaces.
func ownAddresses(all []networkInterface) map[netip.Addr]bool {
	own := make(map[netip.Addr]bool)
	for i := range all {
		for _, p := range all[i].prefixes {
			own[p.Addr()] = true
		}
	}
	return own
}
