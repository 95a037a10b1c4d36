// Package nfsfs exports a tree over NFSv3 (RFC 1813), with all that clients want beside it on the same
// port: MOUNT, NLM and NSM, over TCP and UDP.
//
// Each protocol is a package below: rpc takes calls off the network and sends replies, nfs3, mount, nlm
// and nsm answer them, portmap tells clients the port, relay passes to go-nfs what would change
// something. This package puts them together and keeps account of who does what.
//
// NFSv3 has no authentication worth the name: whoever may connect may read everything.
package nfsfs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/nfsfs/mount"
	"shoal/nfsfs/nat"
	"shoal/nfsfs/nfs3"
	"shoal/nfsfs/nlm"
	"shoal/nfsfs/nsm"
	"shoal/nfsfs/portmap"
	"shoal/nfsfs/relay"
	"shoal/nfsfs/rpc"
	"shoal/tree"
)

// Options say what is exported, and to whom.
type Options struct {
	Tree     *tree.Tree
	Allow    []netip.Prefix // who may mount and read
	ReadWait time.Duration  // longest wait of a READ
	// Space tells how much there is on the disk with the cache, in bytes and in files. It may wait for
	// that disk.
	Space  func() nfs3.Space
	Logger *slog.Logger
}

// Server is an export that listens.
type Server struct {
	opts   Options
	rpc    *rpc.Server
	ports  *portmapper
	relay  *relay.Relay
	mounts *mount.Server
	locks  *nlm.Handler
	ledger *ledger

	network nat.Network // as it was at the start
	direct  atomic.Bool // Saw was told of an address from beyond it
}

// Ports are the open ports of an export that is yet to be made: of NFS, and of the portmapper if there is to be one.
type Ports struct {
	nfs     *rpc.Ports
	portmap *rpc.Ports // nil without

	portmapErr error // why there is none that was asked for
}

// OpenPorts opens the port of NFS at addr, and that of the portmapper at portmap, unless that is empty. Who may open ports below 1024
// may become somebody else before New. The error is about the former, and the system's: that there is no port for the portmapper is told by New.
func OpenPorts(addr, portmap string) (*Ports, error) {
	p := &Ports{}
	var err error
	if p.nfs, err = rpc.OpenPorts(addr); err != nil {
		return nil, fmt.Errorf("listen for NFS: %w", err)
	}
	if portmap != "" {
		p.portmap, p.portmapErr = rpc.OpenPorts(portmap)
	}
	return p, nil
}

// Close closes the ports. It is for who makes no export of them.
func (p *Ports) Close() error {
	err := p.nfs.Close()
	if p.portmap != nil {
		err = errors.Join(err, p.portmap.Close())
	}
	return err
}

// New returns the export of the ports, which it closes with itself. Nothing is answered before Serve. It
// waits some seconds at most, for a portmapper that this machine may have; ctx is for that.
func New(ctx context.Context, ports *Ports, opts Options) *Server {
	s := &Server{
		opts:   opts,
		relay:  relay.New(opts.Tree),
		mounts: mount.New(opts.Tree),
		ledger: newLedger(),

		network: thisNetwork(opts.Logger),
	}
	s.locks = nlm.New(nlm.Options{Resolve: s.isFile, Lookup: portmap.Lookup, Logger: opts.Logger}) //nolint:contextcheck // it lives until Close
	s.rpc = rpc.New(ports.nfs, rpc.Options{
		Services: s.services(),
		Allowed:  s.allows,
		Observe:  s.ledger.observe,
		Logger:   opts.Logger,
	})
	s.ports = s.newPortmapper(ctx, ports)
	return s
}

func (s *Server) services() []rpc.Service {
	return []rpc.Service{
		{Program: nfs3.Program, Versions: []uint32{nfs3.Version}, Handler: nfs3.New(nfs3.Options{
			Tree: s.opts.Tree, ReadWait: s.opts.ReadWait, Space: s.opts.Space, Changes: s.relay.Call, Read: s.ledger.read,
			Wait: s.ledger.waits.begin, Logger: s.opts.Logger,
		})},
		{Program: mount.Program, Versions: mount.Versions, Handler: s.mounts, Screens: true},
		{Program: nlm.Program, Versions: nlm.Versions, Handler: s.locks},
		{Program: nsm.Program, Versions: []uint32{nsm.Version}, Handler: nsm.New(s.locks.Free)},
	}
}

// isFile returns nil if the handle is that of a file.
func (s *Server) isFile(handle []byte) error {
	n, err := s.opts.Tree.Resolve(handle)
	if err == nil && n.IsDir() {
		err = tree.ErrIsDir
	}
	return err
}

// Addr is the address that the server listens on.
func (s *Server) Addr() *net.TCPAddr { return s.rpc.Addr() }

// Serve answers calls until Close, and returns nil then.
func (s *Server) Serve() error {
	var group errgroup.Group
	served := make(chan struct{})
	group.Go(func() error {
		defer close(served)
		return s.rpc.Serve()
	})
	group.Go(s.ports.serve)
	group.Go(func() error {
		s.watchNAT(served)
		return nil
	})
	return group.Wait()
}

// Close answers the READs that wait with NFS3ERR_JUKEBOX, ends the connections, and waits for all of
// that. Closing again does nothing.
func (s *Server) Close() error {
	var group errgroup.Group
	group.Go(s.ports.close)
	err := errors.Join(s.rpc.Close(), group.Wait())
	s.locks.Close()
	s.relay.Close()
	return err
}

// allows says whether a client may mount and read.
func (s *Server) allows(ip netip.Addr) bool {
	// Without the zone of a link-local address, which no prefix has.
	ip = ip.Unmap().WithZone("")
	for _, p := range s.opts.Allow {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
