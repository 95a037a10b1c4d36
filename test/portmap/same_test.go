//go:build linux

package portmap_test

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"shoal/nfsfs/portmap"
	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// TestSame asks our portmapper and the rpcbind of Debian the same, byte by byte.
func TestSame(t *testing.T) {
	if !inside(t) {
		return
	}
	startRpcbind(t)
	servePrograms(t)
	defer unregister(t, register(t, mappings))
	serve(t, ":1111", portmap.New(mappings).Service())

	about := func(program, version uint32) []byte {
		b := xdr.AppendWords(nil, program, version)
		return append(b, make([]byte, 12)...) // no netid, address or owner
	}
	ipv4 := []byte{2, 0, 8, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	ipv6 := append([]byte{10, 0, 8, 1, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8}, make([]byte, 16)...)
	for _, test := range []struct {
		name          string
		networks      string // 4, 6, or both
		version, proc uint32
		args          []byte
	}{
		{"GETPORT", "46", 2, 3, xdr.AppendWords(nil, 100005, 3, 17, 0)},
		{"GETPORT of another version", "46", 2, 3, xdr.AppendWords(nil, 100003, 4, 6, 0)},
		{"GETPORT of no program", "46", 2, 3, xdr.AppendWords(nil, 100099, 4, 6, 0)},
		{"GETPORT over what it is not served over", "46", 2, 3, xdr.AppendWords(nil, 100003, 3, 17, 0)},
		{"GETPORT of no protocol", "46", 2, 3, xdr.AppendWords(nil, 100003, 3, 99, 0)},
		{"GETADDR", "46", 3, 3, about(100005, 3)},
		{"GETADDR", "46", 4, 3, about(100005, 1)},
		{"GETADDR of another version", "46", 4, 3, about(100005, 9)},
		{"GETADDR of no program", "46", 4, 3, about(100099, 9)},
		{"GETVERSADDR", "46", 4, 9, about(100005, 3)},
		{"GETVERSADDR of another version", "46", 4, 9, about(100005, 9)},
		{"GETADDRLIST", "46", 4, 11, about(100003, 3)},
		{"GETADDRLIST of both", "46", 4, 11, about(100005, 3)},
		{"GETADDRLIST of another version", "46", 4, 11, about(100005, 9)},
		{"UADDR2TADDR", "4", 3, 7, xdr.AppendOpaque(nil, "192.0.2.1.8.1")},
		{"UADDR2TADDR of IPv6", "6", 4, 7, xdr.AppendOpaque(nil, "2001:db8::1.8.1")},
		{"UADDR2TADDR of nonsense", "46", 4, 7, xdr.AppendOpaque(nil, "nonsense")},
		{"TADDR2UADDR", "4", 3, 8, xdr.AppendOpaque(xdr.AppendWords(nil, 16), ipv4)},
		{"TADDR2UADDR of IPv6", "6", 4, 8, xdr.AppendOpaque(xdr.AppendWords(nil, 28), ipv6)},
	} {
		for _, network := range []string{"tcp4", "udp4", "tcp6", "udp6"} {
			if !bytes.Contains([]byte(test.networks), []byte(network[3:])) {
				continue
			}
			header := rpc.Header{Program: portmap.Program, Version: test.version, Proc: test.proc}
			ours, theirs := ask(t, network, "1111", header, test.args), ask(t, network, "111", header, test.args)
			if !bytes.Equal(ours, theirs) {
				t.Errorf("%s in version %d over %s: we say\n%q, and rpcbind\n%q", test.name, test.version, network, ours, theirs)
			}
		}
	}
}

// ask makes a call to a port of this machine.
func ask(t *testing.T, network, port string, header rpc.Header, args []byte) []byte {
	t.Helper()
	host := "127.0.0.1"
	if network[3] == '6' {
		host = "::1"
	}
	conn, err := net.Dial(network, net.JoinHostPort(host, port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	result, err := rpc.Exchange(ctx, conn, header, args)
	if err != nil {
		t.Fatalf("procedure %d of version %d over %s at port %s: %v", header.Proc, header.Version, network, port, err)
	}
	return result
}
