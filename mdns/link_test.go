package mdns

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	const lan = net.FlagUp | net.FlagBroadcast | net.FlagMulticast
	at := func(addr string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), 1) }
	all := netip.AddrPort{}
	private := func(addr netip.Addr) bool { return addr.IsPrivate() || addr.IsLinkLocalUnicast() }
	eth := newInterface("eth0", 2, lan, "192.168.1.2/24", "fe80::2/64", "2001:db8::2/64", "fd00::2/64")
	tests := []struct {
		what       string
		interfaces []networkInterface
		nfs, http  netip.AddrPort
		want       []string // links
	}{
		{"both", []networkInterface{eth}, all, at("::"), []string{
			"eth0 IPv4: 192.168.1.2 fd00::2, _nfs._tcp _http._tcp", "eth0 IPv6: 192.168.1.2 fd00::2, _nfs._tcp _http._tcp",
		}},
		{"an address for NFS", []networkInterface{eth, newInterface("eth1", 3, lan, "10.0.0.2/8")}, at("192.168.1.2"), at("0.0.0.0"), []string{
			"eth0 IPv4: 192.168.1.2, _nfs._tcp _http._tcp", "eth0 IPv6: 192.168.1.2, _nfs._tcp _http._tcp", "eth1 IPv4: 10.0.0.2, _http._tcp",
		}},
		{"nothing in common", []networkInterface{eth}, at("192.168.1.2"), at("fd00::2"), []string{
			"eth0 IPv4: 192.168.1.2, _nfs._tcp", "eth0 IPv6: 192.168.1.2, _nfs._tcp",
		}},
		{"others", []networkInterface{
			newInterface("lo", 1, net.FlagUp|net.FlagLoopback|net.FlagMulticast, "127.0.0.1/8"),
			newInterface("eth1", 3, net.FlagMulticast, "10.0.0.2/8"),
			newInterface("tun0", 4, lan|net.FlagPointToPoint, "10.1.0.2/8"),
			newInterface("wg0", 5, net.FlagUp|net.FlagPointToPoint, "10.2.0.2/8"),
			newInterface("vpn0", 6, lan, "10.3.0.2/8"),
			newInterface("docker0", 7, lan, "172.17.0.1/16"),
			newInterface("br-0123456789ab", 8, lan, "172.18.0.1/16"),
			newInterface("veth1a2b", 9, lan, "fe80::9/64"),
			newInterface("none", 10, lan),
			newInterface("wan", 11, lan, "203.0.113.2/24", "fe80::11/64"),
		}, all, all, nil},
		{"bridges of the network", []networkInterface{
			newInterface("br-lan", 2, lan, "192.168.1.2/24"), newInterface("br0", 3, lan, "fe80::3/64"),
		}, all, all, []string{
			"br-lan IPv4: 192.168.1.2, _nfs._tcp _http._tcp", "br0 IPv6: fe80::3, _nfs._tcp _http._tcp",
		}},
	}
	for _, test := range tests {
		var got []string
		opts := Options{Without: []string{"vpn0"}, Tell: private, Services: []Service{
			{Type: "_nfs._tcp", Addr: test.nfs}, {Type: "_http._tcp", Addr: test.http},
		}}
		for _, l := range choose(test.interfaces, &opts) {
			text := l.name + " IPv4: "
			if l.ipv6 {
				text = l.name + " IPv6: "
			}
			for i, addr := range l.addrs {
				text += strings.Repeat(" ", min(i, 1)) + addr.String()
			}
			text += ","
			for _, s := range l.services {
				text += " " + s.Type
			}
			got = append(got, text)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: told is\n%s\nwant\n%s", test.what, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("ä", 100)
	tests := []struct {
		machine        string
		attempt        int
		instance, host string
	}{
		{"nas", 1, "Shoal on nas", "shoal-nas.local."},
		{"NAS.example.org", 2, "Shoal on NAS (2)", "shoal-nas-2.local."},
		{"", 1, "Shoal", "shoal.local."},
		{"Größe", 1, "Shoal on Größe", "shoal-gr--e.local."},
		{"-\x00\\-", 1, "Shoal on --", "shoal.local."},
		{long, 1, "Shoal on " + long[:maxMachine-1], "shoal.local."},
		{strings.Repeat("x", 100), 99999, "Shoal on " + strings.Repeat("x", maxMachine) + " (99999)", "shoal-" + strings.Repeat("x", maxMachine) + "-99999.local."},
	}
	for _, test := range tests {
		got := newNames(test.machine, test.attempt)
		if got.instance != test.instance || got.host != test.host {
			t.Errorf("machine %q, attempt %d: %q, want %q at %s", test.machine, test.attempt, got, test.instance, test.host)
		}
		label, _, _ := strings.Cut(got.host, ".")
		if len(got.instance) > 63 || len(label) > 63 {
			t.Errorf("machine %q: %q is too long", test.machine, got)
		}
	}
}

// TestArrival: nobody gets an answer who is not on the link, or who asks this machine alone.
func TestArrival(t *testing.T) {
	lan := &link{name: "eth0", index: 2, networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.2/24")}}
	lan6 := &link{name: "eth0", index: 2, ipv6: true, networks: []netip.Prefix{netip.MustParsePrefix("fe80::2/64"), netip.MustParsePrefix("fd00::2/64")}}
	s := &sockets{links: []*link{lan, lan6}}
	v4, v6 := net.ParseIP("224.0.0.251"), net.ParseIP("ff02::fb")
	tests := []struct {
		what, from string
		how        *arrival
		v6         bool
		want       *link
	}{
		{"on the link", "192.168.1.9", &arrival{2, v4}, false, lan},
		{"from elsewhere", "10.0.0.9", &arrival{2, v4}, false, nil},
		{"at another interface", "192.168.1.9", &arrival{3, v4}, false, nil},
		{"to this machine alone", "192.168.1.9", &arrival{2, net.ParseIP("192.168.1.2")}, false, nil},
		{"nothing known", "192.168.1.9", nil, false, lan},
		{"nothing known, from elsewhere", "10.0.0.9", nil, false, nil},
		{"IPv6", "fe80::9%eth0", &arrival{2, v6}, true, lan6},
		{"IPv6, unknown zone", "fe80::9%2", &arrival{2, v6}, true, lan6},
		{"IPv6, ULA", "fd00::9", &arrival{2, v6}, true, lan6},
		{"IPv6 from elsewhere", "2001:db8::9", &arrival{2, v6}, true, nil},
		{"IPv6 at another interface", "fe80::9%eth1", &arrival{3, v6}, true, nil},
		{"IPv6 at another interface, nothing known", "fe80::9%eth1", nil, true, nil},
	}
	for _, test := range tests {
		if got := s.link(netip.MustParseAddr(test.from), test.how, test.v6); got != test.want {
			t.Errorf("%s: the link is %+v, want %+v", test.what, got, test.want)
		}
	}
}
