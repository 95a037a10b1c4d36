package portmap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// saying is a portmapper that answers the same to everything.
type saying []byte

func (s saying) Serve(_ *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	return append(reply, s...), rpc.Success
}

func TestLookup(t *testing.T) {
	full := New(programs).Service()
	older := full // has no version 4
	older.Versions = []uint32{version2, version3}
	oldest := full
	oldest.Versions = []uint32{version2}
	service := func(b []byte) rpc.Service {
		return rpc.Service{Program: Program, Versions: full.Versions, Handler: saying(b)}
	}
	other := rpc.Service{Program: 100003, Versions: []uint32{3}, Handler: saying(nil)}
	const v4, v6 = "127.0.0.1:0", "[::1]:0"
	for _, test := range []struct {
		name, addr       string
		service          rpc.Service
		program, version uint32
		network          string
		want             uint16 // 0 for an error
	}{
		{"UDP", v4, full, 100005, 3, "udp", 20049},
		{"TCP", v4, full, 100005, 3, "tcp", 20048},
		{"another version", v4, full, 100005, 9, "tcp", 20048},
		{"UDP over IPv6", v6, full, 100005, 3, "udp", 20049},
		{"TCP over IPv6", v6, full, 100005, 3, "tcp", 20048},
		{"UDP over IPv6 without version 4", v6, older, 100005, 3, "udp", 20049},
		{"TCP over IPv6 without version 4", v6, older, 100005, 3, "tcp", 20048},
		{"version 2 alone", v4, oldest, 100021, 4, "udp", 2049},
		{"version 2 alone over IPv6", v6, oldest, 100021, 4, "udp", 0},
		{"what is not registered", v4, full, 100099, 1, "tcp", 0},
		{"what is not registered over IPv6", v6, full, 100099, 1, "tcp", 0},
		{"another network", v4, full, 100005, 3, "tcp4", 0},
		{"no portmapper", v4, other, 100005, 3, "tcp", 0},
		{"a port that is too high", v4, service(words(1 << 16)), 100005, 3, "tcp", 0},
		{"a reply that is cut off", v4, service(nil), 100005, 3, "tcp", 0},
		{"an address that is cut off", v6, service(words(5)), 100005, 3, "tcp", 0},
		{"an address that is none", v6, service(str("localhost")), 100005, 3, "tcp", 0},
		{"an address that is too long", v6, service(xdr.AppendOpaque(nil, make([]byte, maxString+1))), 100005, 3, "tcp", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := listen(t, test.addr, true, test.service)
			got, err := lookup(t.Context(), addr, test.program, test.version, test.network)
			if got != test.want || (err == nil) != (test.want != 0) {
				t.Errorf("%d, %v; want %d, and an error if that is 0", got, err, test.want)
			}
		})
	}
}

// TestLookupMapped is about addresses that come off a socket for both families.
func TestLookupMapped(t *testing.T) {
	addr := listen(t, "127.0.0.1:0", true, New(programs).Service())
	mapped := netip.AddrPortFrom(netip.AddrFrom16(addr.Addr().As16()), addr.Port())
	if got, err := lookup(t.Context(), mapped, 100005, 3, "udp"); got != 20049 || err != nil {
		t.Errorf("%d, %v; want 20049", got, err)
	}
}

func TestLookupSilence(t *testing.T) {
	silence, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silence.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	addr := silence.LocalAddr().(*net.UDPAddr).AddrPort()
	if port, err := lookup(ctx, addr, 100005, 3, "udp"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d, %v; want an error that the time is up", port, err)
	}
}
