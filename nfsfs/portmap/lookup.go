package portmap

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// lookupTime is how long Lookup may take: long enough for several datagrams to get lost.
const lookupTime = 5 * time.Second

// Lookup asks the portmapper of the machine at addr for the port of a program there. network is "tcp" or
// "udp". It returns an error if the program is not registered. The port may be that of another version.
// It waits until ctx ends, for at most 5 seconds.
//
// Over IPv4 it calls GETPORT (RFC 1833, section 3), in a datagram. Over IPv6, which that does not know,
// it calls GETADDR of rpcbind version 4, or 3 if that fails, over the network that it asks about: the
// answer is about that one (section 2.2.1).
func Lookup(ctx context.Context, addr netip.Addr, program, version uint32, network string) (port uint16, err error) {
	return lookup(ctx, netip.AddrPortFrom(addr, Port), program, version, network)
}

func lookup(ctx context.Context, portmapper netip.AddrPort, program, version uint32, network string) (uint16, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	protocol, carrier, ask := UDP, network, getAddr
	switch network {
	case "udp":
	case "tcp":
		protocol = TCP
	default:
		return 0, net.UnknownNetworkError(network)
	}
	portmapper = netip.AddrPortFrom(portmapper.Addr().Unmap(), portmapper.Port())
	if portmapper.Addr().Is4() {
		carrier, ask = "udp", getPort
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, carrier, portmapper.String())
	if err != nil {
		return 0, fmt.Errorf("reach the portmapper: %w", err)
	}
	defer func() { _ = conn.Close() }()
	port, err := ask(ctx, conn, Mapping{Program: program, Version: version, Protocol: protocol})
	if err != nil {
		return 0, fmt.Errorf("ask the portmapper %s for program %d: %w", portmapper, program, err)
	}
	if port == 0 {
		return 0, fmt.Errorf("program %d is not registered with the portmapper %s for %s", program, portmapper, network)
	}
	return port, nil
}

// getPort calls GETPORT.
func getPort(ctx context.Context, conn net.Conn, m Mapping) (uint16, error) {
	header := rpc.Header{Program: Program, Version: version2, Proc: procGetPort}
	args := xdr.AppendWords(nil, m.Program, m.Version, uint32(m.Protocol), 0)
	result, err := rpc.Exchange(ctx, conn, header, args)
	if err != nil {
		return 0, err
	}
	return parsePort(result)
}

func parsePort(result []byte) (uint16, error) {
	d := xdr.NewDecoder(result)
	port := d.Uint32()
	if d.Err() != nil {
		return 0, d.Err()
	}
	if port > math.MaxUint16 {
		return 0, fmt.Errorf("%d is no port", port)
	}
	return uint16(port), nil
}

// getAddr calls GETADDR.
func getAddr(ctx context.Context, conn net.Conn, m Mapping) (uint16, error) {
	netid := "udp6"
	if m.Protocol == TCP {
		netid = "tcp6"
	}
	args := entry{program: m.Program, version: m.Version, netid: netid}.append(nil)
	header := rpc.Header{Program: Program, Version: version4, Proc: procGetAddr}
	result, err := rpc.Exchange(ctx, conn, header, args)
	if err != nil && ctx.Err() == nil {
		header.Version = version3
		result, err = rpc.Exchange(ctx, conn, header, args)
	}
	if err != nil {
		return 0, err
	}
	return parseAddr(result)
}

// parseAddr returns the port of a universal address, and 0 for an empty one.
func parseAddr(result []byte) (uint16, error) {
	d := xdr.NewDecoder(result)
	s := d.String(maxString)
	if d.Err() != nil || s == "" {
		return 0, d.Err()
	}
	addr, err := parseUniversal(s)
	return addr.Port(), err
}
