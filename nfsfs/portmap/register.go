package portmap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// localTime is how long Register or Close may take. rpcbind is on this machine, and needs milliseconds.
const localTime = 5 * time.Second

// Reserved ports that are tried for a source port, as bindresvport(3) does, and how many of them.
const (
	firstReserved = 600
	lastReserved  = 1023
	maxReserved   = 32
)

// ErrAbsent is returned by Register when this machine has no rpcbind: neither its socket nor port 111
// answers.
var ErrAbsent = errors.New("no rpcbind answers on this machine")

// TakenError is returned by Register for a program that another server has registered, such as that of
// the kernel.
type TakenError struct {
	Program, Version uint32
	Netid            string // tcp, udp, tcp6 or udp6
	Port             uint16 // the other server's
	Owner            string // whom rpcbind names as its user
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("another server has registered program %d version %d already: %s port %d, by %s",
		e.Program, e.Version, e.Netid, e.Port, e.Owner)
}

// Registration is what was registered with the rpcbind of this machine. It stays there until Close, or
// until rpcbind ends.
type Registration struct {
	at      location
	entries []entry
}

// location is where rpcbind may be.
type location struct {
	sockets []string
	addr    netip.AddrPort
}

// system is where every rpcbind is.
var system = location{
	sockets: []string{"/run/rpcbind.sock", "/var/run/rpcbind.sock"},
	addr:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port),
}

// Register registers mappings with the rpcbind that this machine has, over IPv4 and IPv6: all, or none
// and an error. The ports have to be open already, as rpcbind forgets a program when it finds that nobody
// has its port. It replaces nothing that is registered for another port (TakenError); what is registered
// for the same port must be of an earlier run, since there is only one that can have it. The error is
// ErrAbsent if there is no rpcbind. It waits for at most 5 seconds, and as long again for what it has to
// undo, even if ctx has ended.
//
// It uses version 4 (RFC 1833, section 2) over the socket of rpcbind, where that can be reached, and else
// over TCP from the loopback address, with a reserved port if this process may have one: rpcbind takes
// neither SET nor UNSET from others.
func Register(ctx context.Context, mappings []Mapping) (*Registration, error) {
	return system.register(ctx, mappings)
}

func (l location) register(ctx context.Context, mappings []Mapping) (*Registration, error) {
	ctx, cancel := context.WithTimeout(ctx, localTime)
	defer cancel()
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	r := &Registration{at: l}
	if err := r.set(ctx, conn, mappings); err != nil {
		// ctx may be why it failed.
		return nil, errors.Join(err, r.Close(context.WithoutCancel(ctx)))
	}
	return r, nil
}

// set registers all mappings, or returns an error, with what is to be undone in r.
func (r *Registration) set(ctx context.Context, conn net.Conn, mappings []Mapping) error {
	if err := checkFree(ctx, conn, mappings); err != nil {
		return err
	}
	for _, m := range mappings {
		for _, e := range m.entries() {
			// Before it is set: it may be even if there is no reply.
			r.entries = append(r.entries, e)
			done, err := change(ctx, conn, procSet, e)
			if err != nil {
				return fmt.Errorf("register: %w", err)
			}
			if done {
				continue
			}
			if err := checkFree(ctx, conn, mappings); err != nil {
				return err // somebody was faster
			}
			return fmt.Errorf("rpcbind refused to register program %d version %d for %s", e.program, e.version, e.netid)
		}
	}
	return nil
}

// Close takes back what was registered, except what is not there any more, or is somebody else's now. It
// may be called again after an error, and by one goroutine at a time. It waits for at most 5 seconds. The
// process has to have the user it had at Register, or to be root's.
func (r *Registration) Close(ctx context.Context) error {
	if len(r.entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, localTime)
	defer cancel()
	conn, err := r.at.dial(ctx)
	if errors.Is(err, ErrAbsent) {
		r.entries = nil // it has ended, and has forgotten them
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	all, err := dump(ctx, conn)
	if err != nil {
		return err
	}
	for _, e := range r.entries {
		if !slices.ContainsFunc(all, e.same) {
			continue
		}
		done, err := change(ctx, conn, procUnset, e)
		if err != nil {
			return fmt.Errorf("take back a registration: %w", err)
		}
		if !done {
			return fmt.Errorf("rpcbind refused to forget program %d version %d for %s", e.program, e.version, e.netid)
		}
	}
	r.entries = nil
	return nil
}

// same says whether two entries are of one program at one address.
func (e entry) same(o entry) bool {
	return e.program == o.program && e.version == o.version && e.netid == o.netid && e.addr == o.addr
}

// checkFree returns a TakenError if one of the programs is registered for a port that no mapping of it
// has, over whatever transport: half of a program's calls must not go to another server.
func checkFree(ctx context.Context, conn net.Conn, mappings []Mapping) error {
	all, err := dump(ctx, conn)
	if err != nil {
		return err
	}
	for _, e := range all {
		addr, err := parseUniversal(e.addr)
		if err != nil {
			continue // a local socket
		}
		of := func(m Mapping) bool { return m.Program == e.program && m.Version == e.version }
		ours := func(m Mapping) bool { return of(m) && m.Port == addr.Port() }
		if slices.ContainsFunc(mappings, of) && !slices.ContainsFunc(mappings, ours) {
			return &TakenError{e.program, e.version, e.netid, addr.Port(), e.owner}
		}
	}
	return nil
}

func dump(ctx context.Context, conn net.Conn) ([]entry, error) {
	header := rpc.Header{Program: Program, Version: version4, Proc: procDump}
	result, err := rpc.Exchange(ctx, conn, header, nil)
	if err != nil {
		return nil, fmt.Errorf("ask rpcbind what is registered: %w", err)
	}
	all, err := parseDump(result)
	if err != nil {
		return nil, fmt.Errorf("what rpcbind has registered: %w", err)
	}
	return all, nil
}

// change calls SET or UNSET, and returns what rpcbind says to it.
func change(ctx context.Context, conn net.Conn, proc uint32, e entry) (done bool, err error) {
	header := rpc.Header{Program: Program, Version: version4, Proc: proc}
	result, err := rpc.Exchange(ctx, conn, header, e.append(nil))
	if err != nil {
		return false, err
	}
	d := xdr.NewDecoder(result)
	done = d.Bool()
	return done, d.Err()
}

// dial returns a connection to rpcbind over which it may accept SET. The error is ErrAbsent if nobody is
// there.
func (l location) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	for _, path := range l.sockets {
		if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
			return conn, nil
		}
	}
	conn, err := dialReserved(ctx, l.addr)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reach rpcbind: %w", err)
	}
	return conn, nil
}

// dialReserved connects from a reserved port, or from any other if this process may have none.
func dialReserved(ctx context.Context, addr netip.AddrPort) (conn net.Conn, err error) {
	for range maxReserved {
		port := firstReserved + rand.N(lastReserved-firstReserved+1)
		from := &net.TCPAddr{IP: addr.Addr().AsSlice(), Port: port}
		dialer := net.Dialer{LocalAddr: from}
		conn, err = dialer.DialContext(ctx, "tcp", addr.String())
		switch {
		case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
			continue
		case errors.Is(err, fs.ErrPermission):
			dialer.LocalAddr = nil
			return dialer.DialContext(ctx, "tcp", addr.String())
		}
		return conn, err
	}
	return nil, err
}
