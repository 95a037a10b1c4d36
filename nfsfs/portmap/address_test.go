package portmap

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"shoal/nfsfs/xdr"
)

func TestUniversal(t *testing.T) {
	for _, test := range []struct{ addr, want string }{
		{"192.0.2.1:2049", "192.0.2.1.8.1"},
		{"0.0.0.0:111", "0.0.0.0.0.111"},
		{"[::]:111", "::.0.111"},
		{"[2001:db8::5]:65535", "2001:db8::5.255.255"},
		{"[fe80::1%eth0]:256", "fe80::1.1.0"},
		{"[::ffff:192.0.2.1]:1", "192.0.2.1.0.1"},
	} {
		addr := netip.MustParseAddrPort(test.addr)
		got := universal(addr)
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.addr, got, test.want)
		}
		back, err := parseUniversal(got)
		if want := netip.AddrPortFrom(bare(addr.Addr()), addr.Port()); err != nil || back != want {
			t.Errorf("%q: %s, %v; want %s", got, back, err, want)
		}
	}
}

func TestParseUniversal(t *testing.T) {
	for _, bad := range []string{
		"", ".", "..", "1.2", "1.2.3.4", "1.2.3.4.5", "1.2.3.4.5.6.7", "1.2.3.4.256.1", "1.2.3.4.1.256", "1.2.3.4.-1.1",
		"1.2.3.4.+1.1", "1.2.3.4.1.", "1.2.3.4..1", "::", "::1", "/run/rpcbind.sock", "localhost.8.1", "1.2.3.4.8.1 ",
	} {
		if got, err := parseUniversal(bad); err == nil {
			t.Errorf("%q: %s, want an error", bad, got)
		}
	}
}

func FuzzUniversal(f *testing.F) {
	for _, s := range []string{"192.0.2.1.8.1", "::.0.111", "fe80::1%eth0.0.1", "::ffff:1.2.3.4.8.1", "", "..", "1.2.3.4.999.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseUniversal(s)
		if err != nil {
			return
		}
		if again, err := parseUniversal(universal(a)); err != nil || again != a {
			t.Errorf("%q: %s, and then %s, %v", s, a, again, err)
		}
	})
}

func FuzzSockaddr(f *testing.F) {
	f.Add(appendSockaddr(nil, netip.MustParseAddrPort("192.0.2.1:2049")))
	f.Add(appendSockaddr(nil, netip.MustParseAddrPort("[2001:db8::1]:2049")))
	f.Add([]byte{})
	f.Add([]byte{10, 0, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseSockaddr(b)
		if !ok {
			return
		}
		if again, ok := parseSockaddr(appendSockaddr(nil, a)); !ok || again != a {
			t.Errorf("%x: %s, and then %s, %v", b, a, again, ok)
		}
		if reply, _ := toUaddr(xdr.AppendOpaque(words(0), b), nil); len(b) <= maxSockaddr && !bytes.Equal(reply, str(universal(a))) {
			t.Errorf("%x: TADDR2UADDR %q, want %s", b, reply, universal(a))
		}
	})
}

// FuzzDump is about what other rpcbinds send.
func FuzzDump(f *testing.F) {
	one := entry{100003, 3, "tcp", "0.0.0.0.8.1", "superuser"}
	f.Add(join(words(1), one.append(nil), words(0)))
	f.Add(join(words(1), one.append(nil), words(1)))
	f.Add(words(0))
	f.Add([]byte(strings.Repeat("\x00\x00\x00\x01", 100)))
	f.Add(words(1, 1, 1, 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseDump(b)
		if err != nil {
			return
		}
		// An entry has six words at least.
		if len(all) > len(b)/24 {
			t.Errorf("%d entries of %d bytes", len(all), len(b))
		}
		var again []byte
		for _, e := range all {
			again = e.append(xdr.AppendBool(again, true))
		}
		if back, err := parseDump(xdr.AppendBool(again, false)); err != nil || !slices.Equal(back, all) {
			t.Errorf("%v, and then %v, %v", all, back, err)
		}
	})
}

// FuzzPort is about what other portmappers say to Lookup.
func FuzzPort(f *testing.F) {
	f.Add(words(2049))
	f.Add(words(1 << 16))
	f.Add(str("192.0.2.1.8.1"))
	f.Add(str(""))
	f.Add(words(1 << 31))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parsePort(b)
		_, _ = parseAddr(b)
	})
}
