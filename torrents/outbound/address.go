// Package outbound makes the connections to addresses that strangers choose: trackers and web seeds that
// a torrent names, and URLs that users give. What is checked is the address that is about to be contacted,
// after names are resolved, so that neither a redirect nor a name that changes its address gets behind the
// router.
package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// ErrNotPublic is returned for an address that a Guard refuses.
var ErrNotPublic = errors.New("not a public address; SHOAL_FETCH_ALLOW_PRIVATE=true would allow it")

// Guard decides which addresses may be contacted. The zero value allows public ones only.
type Guard struct {
	AllowPrivate bool // allow every address
}

// Check returns ErrNotPublic if addr must not be contacted: if it is for a special purpose, or belongs to
// this machine or to a network that this machine is on. In IPv6, the neighbours behind the same router
// have addresses that look public.
func (g Guard) Check(addr netip.Addr) error {
	if g.AllowPrivate {
		return nil
	}
	if !isPublic(addr) {
		return fmt.Errorf("%s is %w", addr, ErrNotPublic)
	}
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("look whether %s is near: %w", addr, err)
	}
	if isNear(addr, nets) {
		return fmt.Errorf("%s is on this machine's own network, and so %w", addr, ErrNotPublic)
	}
	return nil
}

// The special-purpose addresses of IPv4 (RFC 6890 and the registry that IANA keeps of it), with multicast
// and what is reserved.
var special4 = prefixes(
	"0.0.0.0/8",       // this network; Linux takes 0.0.0.0 for itself
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // behind carriers' NAT
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local; clouds have their secrets there
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // protocols
	"192.0.2.0/24",    // documentation
	"192.88.99.0/24",  // relays to 6to4
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // benchmarks
	"198.51.100.0/24", // documentation
	"203.0.113.0/24",  // documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast
)

// global6 is what IANA has given out of IPv6. Loopback, link-local, multicast, unique local and IPv4 in
// other clothes are all outside.
var global6 = netip.MustParsePrefix("2000::/3")

// special6 is within global6.
var special6 = prefixes(
	"2001::/23",     // protocols: Teredo, whose other end is any IPv4 address, ORCHID, benchmarks
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4, the same as Teredo
	"3fff::/20",     // documentation
)

// nat64 is how a network without IPv4 reaches it (RFC 6052): the last four bytes are the address.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for i, s := range list {
		parsed[i] = netip.MustParsePrefix(s)
	}
	return parsed
}

// plain returns addr as IPv4 if that is what it means.
func plain(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return addr
}

// isPublic says whether addr is none of the special ones.
func isPublic(addr netip.Addr) bool {
	addr = plain(addr)
	if addr.Zone() != "" {
		return false
	}
	special := special6
	switch {
	case addr.Is4():
		special = special4
	case !global6.Contains(addr):
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// isNear says whether addr is in one of the networks, as net.InterfaceAddrs returns them.
func isNear(addr netip.Addr, nets []net.Addr) bool {
	ip := net.IP(plain(addr).AsSlice())
	for _, n := range nets {
		if ipNet, ok := n.(*net.IPNet); ok && ipNet.Contains(ip) {
			return true
		}
	}
	return false
}
