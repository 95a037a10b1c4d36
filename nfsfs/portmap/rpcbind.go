package portmap

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// The procedures of versions 3 and 4 that version 2 does not have (RFC 1833, section 2.1). GETADDR has
// the number of GETPORT, and BCAST that of CALLIT.
const (
	procGetAddr     = procGetPort
	procGetTime     = 6
	procToTaddr     = 7 // UADDR2TADDR
	procToUaddr     = 8 // TADDR2UADDR
	procGetVersAddr = 9 // the first of version 4 alone
	procIndirect    = 10
	procGetAddrList = 11
)

// owner is who DUMP says has registered the programs. Nobody can change them.
const owner = "shoal"

// transport is a way in which calls come. A netid is its name (RFC 1833, section 2).
type transport struct {
	netid     string
	protocol  Protocol
	family    string
	semantics uint32 // of TLI: 1 is for datagrams, 3 for a stream with an orderly end
	all       netip.Addr
}

var transports = []transport{
	{"tcp", TCP, "inet", 3, netip.IPv4Unspecified()},
	{"udp", UDP, "inet", 1, netip.IPv4Unspecified()},
	{"tcp6", TCP, "inet6", 3, netip.IPv6Unspecified()},
	{"udp6", UDP, "inet6", 1, netip.IPv6Unspecified()},
}

// name is the protocol's own.
func (t transport) name() string { return strings.TrimSuffix(t.netid, "6") }

// entries returns a mapping as rpcbind has it: once for each transport.
func (m Mapping) entries() []entry {
	var all []entry
	for _, t := range transports {
		if t.protocol == m.Protocol {
			at := universal(netip.AddrPortFrom(t.all, m.Port))
			all = append(all, entry{m.Program, m.Version, t.netid, at, owner})
		}
	}
	return all
}

// carrier is the transport that a call came over.
func carrier(call *rpc.Call) transport {
	protocol, all := UDP, netip.IPv6Unspecified()
	if call.Stream() {
		protocol = TCP
	}
	if call.Client.Addr().Unmap().Is4() {
		all = netip.IPv4Unspecified()
	}
	for _, t := range transports {
		if t.protocol == protocol && t.all == all {
			return t
		}
	}
	return transport{} // there are all four
}

func (h *Handler) serveRpcbind(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	if call.Version == version3 && call.Proc >= procGetVersAddr {
		return reply, rpc.ProcedureUnavailable
	}
	switch call.Proc {
	case procSet, procUnset:
		return xdr.AppendBool(reply, false), rpc.Success
	case procGetAddr, procGetVersAddr:
		return h.getAddr(call, reply)
	case procDump:
		return h.dump(call, reply), rpc.Success
	case procCallIt:
		return silent(h.callIt(call, reply))
	case procGetTime:
		return xdr.AppendUint32(reply, uint32(time.Now().Unix())), rpc.Success
	case procToTaddr:
		return toTaddr(call.Args, reply)
	case procToUaddr:
		return toUaddr(call.Args, reply)
	case procIndirect:
		return h.callIt(call, reply)
	case procGetAddrList:
		return h.getAddrList(call, reply)
	}
	// GETSTAT (12) is left out: it counts calls, for people, and that is done elsewhere.
	return reply, rpc.ProcedureUnavailable
}

// getAddr answers GETADDR, and GETVERSADDR, which takes no other version. By RFC 1833 (section 2.2.1) the
// answer is about the transport of the call, whatever netid the client names. Here a netid chooses the
// protocol, as a client that names one wants that; the address family is always that of the call, which
// is the one that the client can reach.
func (h *Handler) getAddr(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	e := takeEntry(&d)
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	protocol := carrier(call).protocol
	for _, t := range transports {
		if t.netid == e.netid {
			protocol = t.protocol
		}
	}
	m, ok := h.find(call, e.program, e.version, protocol)
	if !ok || call.Proc == procGetVersAddr && m.Version != e.version {
		return xdr.AppendOpaque(reply, ""), rpc.Success
	}
	// A client says by which address it knows us: behind a translator of addresses, and with a port that a
	// container publishes, that is none of ours.
	if known, err := parseUniversal(e.addr); err == nil && known.Port() == Port && !known.Addr().IsUnspecified() {
		return xdr.AppendOpaque(reply, universal(netip.AddrPortFrom(known.Addr(), m.Port))), rpc.Success
	}
	return xdr.AppendOpaque(reply, address(call, m.Port)), rpc.Success
}

func (h *Handler) dump(call *rpc.Call, reply []byte) []byte {
	for _, m := range h.known(call) {
		for _, e := range m.entries() {
			reply = e.append(xdr.AppendBool(reply, true))
		}
	}
	return xdr.AppendBool(reply, false)
}

// getAddrList answers GETADDRLIST: a version's addresses of the family that the call came over.
func (h *Handler) getAddrList(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	e := takeEntry(&d)
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	family := carrier(call).family
	for _, m := range h.known(call) {
		if m.Program != e.program || m.Version != e.version {
			continue
		}
		for _, t := range transports {
			if t.protocol != m.Protocol || t.family != family {
				continue
			}
			reply = xdr.AppendOpaque(xdr.AppendBool(reply, true), address(call, m.Port))
			reply = xdr.AppendUint32(xdr.AppendOpaque(reply, t.netid), t.semantics)
			reply = xdr.AppendOpaque(xdr.AppendOpaque(reply, t.family), t.name())
		}
	}
	return xdr.AppendBool(reply, false), rpc.Success
}

// address returns the universal address of a port of this machine, for the client that asks.
func address(call *rpc.Call, port uint16) string {
	return universal(netip.AddrPortFrom(host(call), port))
}

// host returns the address of this machine that a call came to. A datagram may have been broadcast; then
// it is one in the client's own network. Where neither can be told it is that of all interfaces, and the
// client has to put in the one that it knows.
func host(call *rpc.Call) netip.Addr {
	local, client := bare(call.Local.Addr()), bare(call.Client.Addr())
	near := carrier(call).all
	if call.Stream() && local.IsValid() {
		return local
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return near
	}
	for _, i := range interfaces {
		n, ok := i.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		bits, _ := n.Mask.Size()
		ip = ip.Unmap()
		switch {
		case ok && ip == local:
			return local
		case ok && near.IsUnspecified() && netip.PrefixFrom(ip, bits).Contains(client):
			near = ip
		}
	}
	return near
}

// bare returns an IP address as it is written in a universal address.
func bare(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
