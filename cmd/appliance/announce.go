package main

import (
	"fmt"
	"net/netip"
)

// parseAnnounceIPs reads addresses under which others reach this machine, at most one of a kind.
func parseAnnounceIPs(list []string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	seen := make(map[bool]bool)
	for _, item := range list {
		addr, err := netip.ParseAddr(item)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q has to be an address, such as 192.0.2.1 or 2001:db8::1", item)
		case addr.Is4In6() || addr.Zone() != "" || !addr.IsGlobalUnicast():
			return nil, fmt.Errorf("%v is not an address that peers could reach", addr)
		case seen[addr.Is4()]:
			return nil, fmt.Errorf("%v is the second of its kind; one IPv4 and one IPv6 address at most", addr)
		}
		seen[addr.Is4()] = true
		addrs = append(addrs, addr)
	}
	return addrs, nil
}
