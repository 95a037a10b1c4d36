package outbound

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// refused are the first and last address of every range that is refused, and a few that matter more.
var refused = strings.Fields(`
	0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.0.0.1 127.255.255.255
	169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255
	192.88.99.0 192.88.99.255 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255
	203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255

	:: ::1 ::7f00:1 ::127.0.0.1 ::8.8.8.8 100:: 64:ff9b:1::1 1fff:ffff::
	2001:: 2001:0:808:808::1 2001:2::1 2001:10::1 2001:1ff:ffff:: 2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff
	2002:7f00:1::1 2002:808:808::1 2002:ffff:: 3fff:: 3fff:fff:ffff:: 4000:: 5f00::1
	fc00:: fd12:3456:789a::1 fdff:ffff:: fe80:: fe80::1 fe80::1%eth0 febf::1 fec0::1 feff:: ff00:: ff02::1 ffff::
	2606:4700::1111%eth0

	::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:192.168.1.1 ::ffff:169.254.169.254 ::ffff:0.0.0.0 ::ffff:255.255.255.255
	64:ff9b::127.0.0.1 64:ff9b::10.1.2.3 64:ff9b::169.254.169.254 64:ff9b::0.0.0.0 64:ff9b::224.0.0.1 64:ff9b::100.64.0.1
`)

// allowed are the neighbours of these ranges.
var allowed = strings.Fields(`
	1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
	169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0
	192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0
	223.255.255.255
	2000:: 2000:ffff:: 2001:200:: 2001:db7:ffff:: 2001:db9:: 2001:ffff:: 2003:: 2606:4700:4700::1111 3ffe::
	3fff:1000:: 3fff:ffff::
	::ffff:8.8.8.8 64:ff9b::8.8.8.8
`)

func TestCheck(t *testing.T) {
	for _, s := range refused {
		addr := netip.MustParseAddr(s)
		err := Guard{}.Check(addr)
		if !errors.Is(err, ErrNotPublic) || !strings.Contains(err.Error(), addr.String()) || !strings.Contains(err.Error(), "FETCH_ALLOW_PRIVATE") {
			t.Errorf("Check(%s) = %v, want ErrNotPublic with the address and the setting", s, err)
		}
		if err := (Guard{AllowPrivate: true}).Check(addr); err != nil {
			t.Errorf("Check(%s) = %v when private addresses are allowed, want nil", s, err)
		}
	}
	for _, s := range allowed {
		if !isPublic(netip.MustParseAddr(s)) {
			t.Errorf("%s is refused, want it allowed", s)
		}
	}
	if err := (Guard{}).Check(netip.Addr{}); !errors.Is(err, ErrNotPublic) {
		t.Errorf("Check of no address = %v, want ErrNotPublic", err)
	}
	// The addresses of this machine.
	nets, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nets {
		prefix := netip.MustParsePrefix(n.String())
		if err := (Guard{}).Check(prefix.Addr()); !errors.Is(err, ErrNotPublic) {
			t.Errorf("Check(%s) of this machine = %v, want ErrNotPublic", prefix.Addr(), err)
		}
	}
}

func TestIsNear(t *testing.T) {
	var nets []net.Addr
	for _, s := range []string{"2003:db:1:2::5/64", "8.8.4.4/32", "93.184.0.9/24"} {
		ip, ipNet, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		nets = append(nets, &net.IPNet{IP: ip, Mask: ipNet.Mask})
	}
	for s, want := range map[string]bool{
		"2003:db:1:2::5": true, "2003:db:1:2:ffff::": true, "2003:db:1:3::5": false,
		"8.8.4.4": true, "8.8.4.5": false, "::ffff:8.8.4.4": true, "64:ff9b::8.8.4.4": true,
		"93.184.0.1": true, "93.184.1.1": false,
	} {
		if got := isNear(netip.MustParseAddr(s), nets); got != want {
			t.Errorf("isNear(%s) = %t, want %t", s, got, want)
		}
	}
}
