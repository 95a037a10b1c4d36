package nfsfs

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"shoal/nfsfs/mount"
	"shoal/nfsfs/nfs3"
	"shoal/nfsfs/nlm"
	"shoal/nfsfs/nsm"
	"shoal/nfsfs/portmap"
	"shoal/nfsfs/rpc"
)

const (
	// portmapIdle is how long a connection to the portmapper may be without a call. Clients ask once.
	portmapIdle = time.Minute
	// unregisterTime is how long taking our programs out of another portmapper may take.
	unregisterTime = 2 * time.Second
)

// portmapper is what tells clients our port: one of our own, or that of this machine, or neither.
type portmapper struct {
	own        *rpc.Server
	registered *portmap.Registration

	closing  sync.Once
	closeErr error
}

// mappings are what clients may ask for. NFS is answered over UDP, too, but nobody is sent there: UDP
// has no way to tell a slow client from a lost packet.
func mappings(port uint16) []portmap.Mapping {
	list := []portmap.Mapping{{Program: nfs3.Program, Version: nfs3.Version, Protocol: portmap.TCP, Port: port}}
	for _, p := range []struct {
		program  uint32
		versions []uint32
	}{{mount.Program, mount.Versions}, {nlm.Program, nlm.Versions}, {nsm.Program, []uint32{nsm.Version}}} {
		for _, version := range p.versions {
			for _, protocol := range []portmap.Protocol{portmap.TCP, portmap.UDP} {
				list = append(list, portmap.Mapping{Program: p.program, Version: version, Protocol: protocol, Port: port})
			}
		}
	}
	return list
}

// newPortmapper returns the portmapper of the ports. Without one clients have to be given the port, so that there is none is worth a
// warning only.
func (s *Server) newPortmapper(ctx context.Context, ports *Ports) *portmapper {
	if ports.portmap == nil && ports.portmapErr == nil {
		return &portmapper{}
	}
	list := mappings(uint16(s.Addr().Port))
	if ports.portmap != nil {
		own := rpc.New(ports.portmap, rpc.Options{
			Services: []rpc.Service{portmap.New(list).Service()},
			Allowed:  s.allows,
			Idle:     portmapIdle,
			Observe:  s.ledger.observe,
			Logger:   s.opts.Logger,
		})
		s.opts.Logger.Info("the portmapper listens", "addr", own.Addr().String())
		return &portmapper{own: own}
	}
	registered, registerErr := register(ctx, list, s.opts.Logger)
	switch {
	case registerErr == nil:
		s.opts.Logger.Info("the portmapper of this machine knows us now, as its port is taken")
	case errors.Is(registerErr, portmap.ErrAbsent):
		s.opts.Logger.Warn("no portmapper: clients have to be given the port", "err", ports.portmapErr)
	default:
		s.opts.Logger.Warn("no portmapper: clients have to be given the port", "err", registerErr)
	}
	return &portmapper{registered: registered}
}

// register makes the portmapper of this machine know us. A machine that mounts NFS itself has lock and
// status managers there already, which stay.
func register(ctx context.Context, list []portmap.Mapping, log *slog.Logger) (*portmap.Registration, error) {
	registered, err := portmap.Register(ctx, list)
	taken, ok := errors.AsType[*portmap.TakenError](err)
	if !ok || taken.Program != nlm.Program && taken.Program != nsm.Program {
		return registered, err
	}
	log.Warn("this machine's own lock manager is in the portmapper: clients that want locks get those of this machine, not ours", "err", err)
	return portmap.Register(ctx, slices.DeleteFunc(list, func(m portmap.Mapping) bool {
		return m.Program == nlm.Program || m.Program == nsm.Program
	}))
}

// Portmapped says whether clients can ask a portmapper for our port.
func (s *Server) Portmapped() bool {
	if s.ports.own != nil {
		return s.ports.own.Addr().Port == portmap.Port
	}
	return s.ports.registered != nil
}

func (p *portmapper) serve() error {
	if p.own == nil {
		return nil
	}
	return p.own.Serve()
}

func (p *portmapper) close() error {
	p.closing.Do(func() {
		switch {
		case p.own != nil:
			p.closeErr = p.own.Close()
		case p.registered != nil:
			ctx, cancel := context.WithTimeout(context.Background(), unregisterTime)
			defer cancel()
			p.closeErr = p.registered.Close(ctx)
		}
	})
	return p.closeErr
}
