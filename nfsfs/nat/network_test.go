package nat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// routeTable4 is /proc/net/route with a default route and a network of its own on eth0, and routes that have no gateway, or are down.
func routeTable4(gateways ...string) string {
	var b strings.Builder
	b.WriteString("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n")
	for _, g := range gateways {
		b4 := netip.MustParseAddr(g).As4()
		fmt.Fprintf(&b, "eth0\t00000000\t%08X\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", binary.NativeEndian.Uint32(b4[:]))
	}
	b.WriteString("eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\neth0\t00000000\tFE0012AC\t0002\t0\t0\t0\t00000000\t0\t0\t0\n")
	return b.String()
}

const routeTable6 = `fd000018000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000018000000000000000000000001 00000400 00000003 00000000 00000003     eth0
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000004 00000000 80200001       lo
`

func TestRead(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	veth, card, tun := map[string]string{"eth0": "veth", "lo": ""}, map[string]string{"eth0": ""}, map[string]string{"eth0": "tun"}
	for _, test := range []struct {
		name          string
		devices       map[string]string
		route, route6 string
		own           string
		want          string
	}{
		{name: "another system", own: "192.168.1.5/24"},
		{name: "a container", devices: veth, route: routeTable4("172.18.0.1"), own: "172.18.0.2/16", want: "172.18.0.1"},
		{name: "with IPv6", devices: veth, route: routeTable4("172.18.0.1"), route6: routeTable6, own: "172.18.0.2/16", want: "172.18.0.1 fd00:18::1"},
		{name: "two routes", devices: veth, route: routeTable4("172.18.0.1", "172.18.0.1", "172.18.0.9"), own: "172.18.0.2/16", want: "172.18.0.1 172.18.0.9"},
		{name: "no route", devices: veth, route: routeTable4(), own: "172.18.0.2/16"},
		{name: "a machine at home", devices: card, route: routeTable4("192.168.1.1"), own: "192.168.1.5/24"},
		{name: "a bridge at home", devices: map[string]string{"eth0": "bridge"}, route: routeTable4("192.168.1.1"), own: "192.168.1.5/24"},
		{name: "macvlan", devices: map[string]string{"eth0": "macvlan"}, route: routeTable4("192.168.1.1"), own: "192.168.1.5/24"},
		{name: "a machine of whose devices nothing is known", route: routeTable4("192.168.1.1"), own: "192.168.1.5/24"},
		{name: "a provider's container", devices: veth, route: routeTable4("203.0.113.1"), own: "203.0.113.2/24"},
		{name: "behind a provider's NAT", devices: veth, route: routeTable4("100.64.0.1"), own: "100.64.0.2/24", want: "100.64.0.1"},
		{name: "slirp4netns", devices: tun, route: routeTable4("10.0.2.2"), own: "10.0.2.100/24", want: "10.0.2.100 10.0.2.2"},
	} {
		root := fstest.MapFS{}
		if test.route != "" {
			root[routes4] = file(test.route)
		}
		if test.route6 != "" {
			root[routes6] = file(test.route6)
		}
		ip, ipNet, err := net.ParseCIDR(test.own)
		if err != nil {
			t.Fatal(err)
		}
		// InterfaceAddrs has IPv4 addresses in either form.
		ones, _ := ipNet.Mask.Size()
		long := &net.IPNet{IP: ip.To16(), Mask: net.CIDRMask(96+ones, 128)}
		short := &net.IPNet{IP: ip.To4(), Mask: ipNet.Mask}
		for _, own := range []net.Addr{long, short} {
			n, err := Read(root, []net.Addr{&net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}, own, &net.UDPAddr{}}, test.devices)
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			var got []string
			for _, a := range n.Translators {
				got = append(got, a.String())
			}
			slices.Sort(got)
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("%s: translators are %q, want %q", test.name, text, test.want)
			}
			if len(n.Own) != 1 || n.Own[0].String() != test.own {
				t.Errorf("%s: own addresses are %v, want %s", test.name, n.Own, test.own)
			}
		}
	}
}

// brokenFS fails to open what is there.
type brokenFS struct{ err error }

func (b brokenFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: b.err}
}

func TestReadFails(t *testing.T) {
	if _, err := Read(brokenFS{fs.ErrPermission}, nil, nil); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "proc/net/") {
		t.Errorf("without permission the error is %v, want it to name the file", err)
	}
	if _, err := Read(brokenFS{fs.ErrNotExist}, nil, nil); err != nil {
		t.Errorf("where there is no /proc the error is %v", err)
	}
	// Of a table that is too long the rest is not read.
	long := strings.Repeat(routeTable4(), maxRoutes/len(routeTable4())+1) + routeTable4("172.18.0.1")
	n, err := Read(fstest.MapFS{routes4: {Data: []byte(long)}}, nil, map[string]string{"eth0": "veth"})
	if err != nil || len(n.Translators) > 0 {
		t.Errorf("an endless table makes %v, %v", n, err)
	}
}

func TestBeyond(t *testing.T) {
	n := Network{
		Translators: []netip.Addr{netip.MustParseAddr("172.18.0.1"), netip.MustParseAddr("192.168.9.1")},
		Own:         []netip.Prefix{netip.MustParsePrefix("172.18.0.2/16"), netip.MustParsePrefix("fd00:18::2/64")},
	}
	for addr, want := range map[string]bool{
		"192.168.1.20": true, "::ffff:192.168.1.20": true, "8.8.8.8": true, "fd00:19::1": true, "2001:db8::1": true,
		"127.0.0.1": false, "::1": false, "0.0.0.0": false, "172.18.0.1": false, "::ffff:172.18.0.1": false, "172.18.0.2": false, "172.18.0.3": false,
		"192.168.9.1": false, "fd00:18::9": false, "fe80::9%eth0": false, "169.254.1.1": false,
	} {
		if got := n.Beyond(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is beyond: %v, want %v", addr, got, want)
		}
	}
	if n.Beyond(netip.Addr{}) {
		t.Error("no address is beyond")
	}
}

func FuzzRoutes(f *testing.F) {
	f.Add([]byte(routeTable4("172.18.0.1")))
	f.Add([]byte(routeTable6))
	f.Add([]byte("eth0 0 0100000 3\neth0 0 zzzzzzzz 3\na b c d e f g h i j\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, g := range append(parseRoutes4(bytes.NewReader(b)), parseRoutes6(bytes.NewReader(b))...) {
			if !g.addr.IsValid() || g.addr.IsUnspecified() || g.device == "" || strings.ContainsAny(g.device, " \n") {
				t.Errorf("the gateway %v by %q", g.addr, g.device)
			}
		}
		if _, err := Read(fstest.MapFS{routes4: {Data: b}, routes6: {Data: b}}, nil, nil); err != nil {
			t.Error(err)
		}
	})
}
