package nat

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Network is how this machine, or container, is connected.
type Network struct {
	// Translators are the addresses that a translator for a virtual network would have: private gateways that a device leads to whose other
	// end is elsewhere (veth, which containers have) or a program (tun); and with the latter the addresses of this machine, which is
	// what slirp4netns takes.
	Translators []netip.Addr
	Own         []netip.Prefix // the addresses of this machine, each with its network
}

// Beyond says whether who comes from an address came through a gateway, and kept his address all the same.
func (n Network) Beyond(addr netip.Addr) bool {
	addr = plain(addr)
	if !addr.IsGlobalUnicast() || n.translates(addr) { // so loopback and link-local addresses are not
		return false
	}
	return !slices.ContainsFunc(n.Own, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (n Network) translates(addr netip.Addr) bool { return slices.Contains(n.Translators, addr) }

func (n Network) owns(addr netip.Addr) bool {
	return slices.ContainsFunc(n.Own, func(p netip.Prefix) bool { return p.Addr() == addr })
}

// Read finds out how this machine is connected: own are its addresses (net.InterfaceAddrs), devices of what kind its network devices are
// (Devices), and root has Linux's /proc. Where there is none nothing is a translator, and that is no error.
func Read(root fs.FS, own []net.Addr, devices map[string]string) (Network, error) {
	var n Network
	for _, a := range own {
		if ipNet, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(ipNet.IP); ok && !addr.IsLoopback() {
				n.Own = append(n.Own, ownPrefix(addr, ipNet.Mask))
			}
		}
	}
	gateways, err := readGateways(root)
	for _, g := range gateways {
		switch devices[g.device] {
		case "veth":
			n.add(g.addr)
		case "tun": // or tap
			n.add(g.addr)
			for _, p := range n.Own {
				n.add(p.Addr())
			}
		}
	}
	return n, err
}

// ownPrefix is an address with its network. Those of IPv4 may come in the form of IPv6, with a mask that is as long or not.
func ownPrefix(addr netip.Addr, mask net.IPMask) netip.Prefix {
	addr = plain(addr)
	ones, bits := mask.Size()
	return netip.PrefixFrom(addr, max(ones-(bits-addr.BitLen()), 0))
}

// sharedSpace is that of RFC 6598, between customers and their provider's NAT.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// add adds a translator, if its address is one of those that private networks have.
func (n *Network) add(addr netip.Addr) {
	if (addr.IsPrivate() || addr.IsLinkLocalUnicast() || sharedSpace.Contains(addr)) && !n.translates(addr) {
		n.Translators = append(n.Translators, addr)
	}
}

// gateway is one that a route goes through, and the device that leads to it.
type gateway struct {
	addr   netip.Addr
	device string
}

// The files of the kernel with the routes, and how much of one is read: a router may have a million.
const (
	routes4   = "proc/net/route"
	routes6   = "proc/net/ipv6_route"
	maxRoutes = 64 << 10 // bytes
)

// readGateways returns the gateways of all routes.
func readGateways(root fs.FS) ([]gateway, error) {
	var all []gateway
	for name, parse := range map[string]func(io.Reader) []gateway{routes4: parseRoutes4, routes6: parseRoutes6} {
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) { // another system, or no IPv6
			continue
		}
		if err != nil {
			return nil, err // a PathError, which names the file
		}
		all = append(all, parse(io.LimitReader(f, maxRoutes))...)
		_ = f.Close()
	}
	return all, nil
}

// Flags of routes, of linux/route.h.
const (
	routeUp         = 0x1
	routeHasGateway = 0x2
)

// parseRoutes4 reads /proc/net/route: device, destination, gateway and flags in hexadecimal, the addresses as the processor has them in
// memory. Lines that are something else are left out, as is its heading.
func parseRoutes4(r io.Reader) []gateway {
	var all []gateway
	for lines := bufio.NewScanner(r); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || len(f[2]) != 8 || !throughGateway(f[3]) {
			continue
		}
		v, err := strconv.ParseUint(f[2], 16, 32)
		if err != nil || v == 0 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(v))
		all = append(all, gateway{netip.AddrFrom4(b), f[0]})
	}
	return all
}

// parseRoutes6 reads /proc/net/ipv6_route: destination, source, gateway (the fifth field), flags (the ninth) and device (the tenth).
func parseRoutes6(r io.Reader) []gateway {
	var all []gateway
	for lines := bufio.NewScanner(r); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || len(f[4]) != 32 || !throughGateway(f[8]) {
			continue
		}
		var b [16]byte
		if _, err := hex.Decode(b[:], []byte(f[4])); err != nil || b == [16]byte{} {
			continue
		}
		all = append(all, gateway{netip.AddrFrom16(b), f[9]})
	}
	return all
}

func throughGateway(flags string) bool {
	v, err := strconv.ParseUint(flags, 16, 32)
	return err == nil && v&(routeUp|routeHasGateway) == routeUp|routeHasGateway
}
