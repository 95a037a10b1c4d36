package portmap

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// about is what GETADDR is asked with.
func about(program, version uint32, netid string) []byte {
	return entry{program: program, version: version, netid: netid}.append(nil)
}

func TestRpcbind(t *testing.T) {
	var nothing []byte
	var tests []wireTest
	for _, version := range []uint32{version3, version4} {
		tests = append(tests, []wireTest{
			{"NULL", version, 0, nil, rpc.Success, nothing},
			{"SET", version, 1, about(100099, 1, "tcp"), rpc.Success, words(0)},
			{"UNSET", version, 2, about(100003, 3, "tcp"), rpc.Success, words(0)},
			{"GETADDR for TCP", version, 3, about(100005, 3, "tcp"), rpc.Success, at(20048)},
			{"GETADDR for UDP", version, 3, about(100005, 3, "udp"), rpc.Success, at(20049)},
			{"GETADDR for UDP over IPv6", version, 3, about(100005, 3, "udp6"), rpc.Success, at(20049)},
			{"GETADDR of an unknown version", version, 3, about(100005, 7, "tcp"), rpc.Success, at(20048)},
			{"GETADDR of an unknown program", version, 3, about(100099, 1, "tcp"), rpc.Success, words(0)},
			{"GETADDR of what is not served so", version, 3, about(100003, 3, "udp"), rpc.Success, words(0)},
			{"GETADDR cut off", version, 3, words(100003, 3, 0, 0), rpc.GarbageArgs, nil},
			{"GETADDR for a name that is too long", version, 3, about(1, 1, strings.Repeat("x", maxString+1)), rpc.GarbageArgs, nil},
			{"UADDR2TADDR of nonsense", version, 7, str("1.2.3.4"), rpc.Success, words(0, 0)},
			{"UADDR2TADDR cut off", version, 7, words(8), rpc.GarbageArgs, nil},
			{"TADDR2UADDR of nonsense", version, 8, words(16, 4, 0), rpc.Success, words(0)},
			{"TADDR2UADDR cut off", version, 8, words(16), rpc.GarbageArgs, nil},
			{"TADDR2UADDR that is too long", version, 8, append(words(132, 132), make([]byte, 132)...), rpc.GarbageArgs, nil},
			{"CALLIT of another program", version, 5, words(100021, 4, 0, 0), rpc.Dropped, nil},
			{"CALLIT of another procedure", version, 5, words(100005, 3, 5, 0), rpc.Dropped, nil},
			{"CALLIT cut off", version, 5, words(100005, 3), rpc.Dropped, nil},
			{"no procedure", version, 13, nil, rpc.ProcedureUnavailable, nil},
		}...)
	}
	tests = append(tests, []wireTest{
		{"GETVERSADDR", 4, 9, about(100005, 3, "tcp"), rpc.Success, at(20048)},
		{"GETVERSADDR of an unknown version", 4, 9, about(100005, 7, "tcp"), rpc.Success, words(0)},
		{"GETVERSADDR in version 3", 3, 9, about(100005, 3, "tcp"), rpc.ProcedureUnavailable, nil},
		{"INDIRECT in version 3", 3, 10, words(100005, 3, 0, 0), rpc.ProcedureUnavailable, nil},
		{"INDIRECT of another program", 4, 10, words(100021, 4, 0, 0), rpc.ProgramUnavailable, nil},
		{"INDIRECT of another version", 4, 10, words(100005, 2, 0, 0), rpc.ProgramUnavailable, nil},
		{"INDIRECT of another procedure", 4, 10, words(100005, 3, 5, 0), rpc.ProcedureUnavailable, nil},
		{"INDIRECT cut off", 4, 10, words(100005, 3, 5), rpc.GarbageArgs, nil},
		{"GETADDRLIST of an unknown version", 4, 11, about(100005, 7, "tcp"), rpc.Success, words(0)},
		{"GETADDRLIST cut off", 4, 11, words(100003, 3, 0, 0), rpc.GarbageArgs, nil},
		{"GETADDRLIST in version 3", 3, 11, about(100005, 3, "tcp"), rpc.ProcedureUnavailable, nil},
		{"GETSTAT", 4, 12, nil, rpc.ProcedureUnavailable, nil},
	}...)
	over(t, tests, "tcp4", "udp4", "tcp6", "udp6")
}

// TestRpcbindOwnTransport is about what depends on the transport of the call.
func TestRpcbindOwnTransport(t *testing.T) {
	const tcp, udp = 20048, 20049
	for _, test := range []struct {
		networks []string
		port     at
	}{
		{[]string{"tcp4", "tcp6"}, tcp},
		{[]string{"udp4", "udp6"}, udp},
	} {
		over(t, []wireTest{
			{"GETADDR for no netid", 3, 3, about(100005, 3, ""), rpc.Success, test.port},
			{"GETADDR for an unknown netid", 4, 3, about(100005, 3, "ticlts"), rpc.Success, test.port},
			{"GETVERSADDR for no netid", 4, 9, about(100005, 3, ""), rpc.Success, test.port},
		}, test.networks...)
	}
	over(t, []wireTest{
		{"CALLIT", 3, 5, words(100005, 3, 0, 0), rpc.Success, join(str("127.0.0.1.78.81"), words(0))},
		{"BCAST", 4, 5, words(100005, 3, 0, 0), rpc.Success, join(str("127.0.0.1.78.81"), words(0))},
		{"BCAST with arguments", 4, 5, words(100005, 3, 0, 4, 9), rpc.Success, join(str("127.0.0.1.78.81"), words(0))},
		{"INDIRECT", 4, 10, words(100005, 3, 0, 0), rpc.Success, join(str("127.0.0.1.78.81"), words(0))},
		{"CALLIT of a program that is not served over UDP", 3, 5, words(100003, 3, 0, 0), rpc.Dropped, nil},
	}, "udp4")
	over(t, []wireTest{
		{"CALLIT", 3, 5, words(100005, 3, 0, 0), rpc.Success, join(str("::1.78.80"), words(0))},
		{"GETADDRLIST", 4, 11, about(100005, 3, ""), rpc.Success, join(
			words(1), str("::1.78.80"), str("tcp6"), words(3), str("inet6"), str("tcp"),
			words(1), str("::1.78.81"), str("udp6"), words(1), str("inet6"), str("udp"),
			words(0))},
	}, "tcp6")
}

func TestRpcbindDump(t *testing.T) {
	addr := listen(t, "127.0.0.1:0", true, New(programs).Service())
	for version := uint32(version3); version <= version4; version++ {
		_, result := exchange(t, connect(t, "tcp", addr), rpc.Header{Program: Program, Version: version, Proc: procDump}, nil)
		all, err := parseDump(result)
		if err != nil {
			t.Fatal(err)
		}
		// The portmapper's three versions, and the programs: over IPv4 and IPv6.
		if want := 2 * (6 + len(programs)); len(all) != want {
			t.Errorf("version %d: %d entries, want %d: %v", version, len(all), want, all)
		}
		for _, want := range []entry{
			{Program, 3, "udp6", universal(netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port())), owner},
			{100003, 3, "tcp", "0.0.0.0.8.1", owner},
			{100003, 3, "tcp6", "::.8.1", owner},
			{100005, 1, "udp", "0.0.0.0.78.81", owner},
			{100021, 4, "udp6", "::.8.1", owner},
		} {
			if !slices.Contains(all, want) {
				t.Errorf("version %d: %+v is not among %+v", version, want, all)
			}
		}
	}
}

func TestGetTime(t *testing.T) {
	addr := listen(t, "127.0.0.1:0", true, New(programs).Service())
	before := time.Now().Unix()
	_, result := exchange(t, connect(t, "udp", addr), rpc.Header{Program: Program, Version: version4, Proc: procGetTime}, nil)
	if len(result) != 4 {
		t.Fatalf("GETTIME: %x, want 4 bytes", result)
	}
	if got := int64(binary.BigEndian.Uint32(result)); got < before || got > time.Now().Unix() {
		t.Errorf("GETTIME: %d, want what it is now, %d or a little more", got, before)
	}
}

// recorder takes the calls that come.
type recorder chan rpc.Call

func (r recorder) Serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	r <- *call
	return reply, rpc.Success
}

// sample returns a call that really came over a network: one cannot be made without.
func sample(tb testing.TB, network string) rpc.Call {
	tb.Helper()
	r := make(recorder, 1)
	host := "127.0.0.1:0"
	if network[3] == '6' {
		host = "[::1]:0"
	}
	addr := listen(tb, host, true, rpc.Service{Program: Program, Versions: []uint32{version2}, Handler: r})
	if status, _ := exchange(tb, connect(tb, network, addr), rpc.Header{Program: Program, Version: version2, Proc: 1}, nil); status != rpc.Success {
		tb.Fatalf("status %d", status)
	}
	return <-r
}

func TestHost(t *testing.T) {
	for _, test := range []struct{ name, network, local, client, want string }{
		{"a connection", "tcp4", "198.51.100.1", "198.51.100.9", "198.51.100.1"},
		{"a connection to a mapped address", "tcp6", "::ffff:198.51.100.1", "::ffff:198.51.100.9", "198.51.100.1"},
		{"a connection to a link-local address", "tcp6", "fe80::1%eth0", "fe80::2%eth0", "fe80::1"},
		{"a datagram to an address of this machine", "udp4", "127.0.0.1", "198.51.100.9", "127.0.0.1"},
		{"a datagram over IPv6", "udp6", "::1", "::1", "::1"},
		{"a broadcast to the client's network", "udp4", "127.255.255.255", "127.0.0.9", "127.0.0.1"},
		{"a broadcast to every network", "udp4", "255.255.255.255", "127.0.0.9", "127.0.0.1"},
		{"a broadcast from elsewhere", "udp4", "255.255.255.255", "198.51.100.9", "0.0.0.0"},
		{"a multicast from elsewhere", "udp6", "ff02::202", "2001:db8::9", "::"},
		{"a datagram to an address that cannot be told", "udp4", "0.0.0.0", "198.51.100.9", "0.0.0.0"},
		{"no address", "tcp4", "", "198.51.100.9", "0.0.0.0"},
		{"no address over IPv6", "udp6", "", "2001:db8::9", "::"},
	} {
		t.Run(test.name, func(t *testing.T) {
			call := sample(t, test.network)
			local, _ := netip.ParseAddr(test.local)
			call.Local = netip.AddrPortFrom(local, Port)
			call.Client = netip.AddrPortFrom(netip.MustParseAddr(test.client), 1000)
			if got := host(&call); got.String() != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func FuzzServe(f *testing.F) {
	h := New(programs)
	calls := []rpc.Call{sample(f, "tcp4"), sample(f, "udp4"), sample(f, "tcp6"), sample(f, "udp6")}
	for _, args := range [][]byte{
		nil, words(100005, 3, 17, 0), words(100005, 3, 0, 0), about(100005, 3, "tcp"), str("1.2.3.4.8.1"),
		join(words(16, 16), appendSockaddr(nil, netip.MustParseAddrPort("1.2.3.4:2049"))),
	} {
		for proc := range uint8(13) {
			f.Add(uint8(4), proc, uint8(1), args)
		}
	}
	f.Fuzz(func(t *testing.T, version, proc, link uint8, args []byte) {
		call := calls[int(link)%len(calls)]
		call.Version, call.Proc, call.Args = version2+uint32(version)%3, uint32(proc), args
		reply, status := h.Serve(&call, nil)
		// 24 entries of DUMP take some 1300 bytes; nothing that a client sends makes a reply longer.
		if len(reply) > 2000 {
			t.Errorf("a reply of %d bytes", len(reply))
		}
		switch status {
		case rpc.Success:
		case rpc.GarbageArgs, rpc.ProgramUnavailable, rpc.ProcedureUnavailable, rpc.Dropped:
			if len(reply) > 0 {
				t.Errorf("status %d with a result of %d bytes", status, len(reply))
			}
		default:
			t.Errorf("status %d", status)
		}
		if proc == procCallIt && status != rpc.Success && status != rpc.Dropped {
			t.Errorf("a call that may be a broadcast got status %d", status)
		}
		d := xdr.NewDecoder(reply)
		if call.Version > version2 && proc == procGetAddr && status == rpc.Success {
			if s := d.String(maxString); s != "" {
				if _, err := parseUniversal(s); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
