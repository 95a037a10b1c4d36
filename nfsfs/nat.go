package nfsfs

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"shoal/nfsfs/nat"
)

// natInterval is the time from one look at the clients to the next.
const natInterval = 2 * time.Second

// thisNetwork is how this machine is connected. What cannot be found out is logged, and as if it were not there.
func thisNetwork(log *slog.Logger) nat.Network {
	own, err := net.InterfaceAddrs()
	if err != nil {
		log.Warn("the addresses of this machine cannot be listed", "err", err)
	}
	devices, err := nat.Devices()
	network, readErr := nat.Read(os.DirFS("/"), own, devices)
	if err := errors.Join(err, readErr); err != nil {
		log.Info("it cannot be told whether clients come from a gateway", "err", err)
	}
	return network
}

// Saw tells of the address that a connection to another service of this machine came from: when it is one from beyond the gateway, the
// addresses of clients are not translated.
func (s *Server) Saw(addr netip.Addr) {
	if !s.direct.Load() && s.network.Beyond(addr) {
		s.direct.Store(true)
	}
}

// NAT returns the address that stands for several machines, if there is one, or seems to be: of those that have made calls, allowed or not.
func (s *Server) NAT() (nat.Finding, bool) {
	var all []nat.Client
	for _, c := range s.Clients() {
		all = append(all, nat.Client{Addr: c.Addr, Machines: c.Machines})
	}
	for _, r := range s.Refused() {
		all = append(all, nat.Client{Addr: r.Addr})
	}
	return nat.Find(all, s.network, s.direct.Load())
}

// watchNAT logs, once, that addresses are or seem to be translated. It returns then, or when nobody is served any more.
func (s *Server) watchNAT(served <-chan struct{}) {
	ticker := time.NewTicker(natInterval)
	defer ticker.Stop()
	for {
		select {
		case <-served:
			return
		case <-ticker.C:
		}
		switch found, _ := s.NAT(); found.Kind {
		case nat.Shared:
			s.opts.Logger.Warn("several machines come from one address, so there is NAT between them and Shoal: SHOAL_NFS_ALLOW lets in all of "+
				"them or none, and they share the connections that one address may have; docs/networks.md says how clients keep their addresses",
				"client", found.Addr.String(), "machines", found.Machines)
			return
		case nat.Gateway:
			s.opts.Logger.Warn("all NFS clients seem to come from the gateway of this container's network (NAT): SHOAL_NFS_ALLOW lets in all of "+
				"them or none, and they share the connections that one address may have, unless it is only the container's own host that mounts; "+
				"docs/networks.md says how clients keep their addresses (userland-proxy: false, macvlan, or the host's network)",
				"client", found.Addr.String())
			return
		}
	}
}
