package nfsfs

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/nfsfs/nat"
	"shoal/nfsfs/rpc"
)

// listening is a server that nobody is served by, in a container with the gateway 10.0.0.1 and the address 10.0.0.2.
func listening(t *testing.T, log *bytes.Buffer) *Server {
	t.Helper()
	opts := options(t, testTree(t, newStuck()))
	opts.Logger = slog.New(slog.NewTextHandler(log, nil))
	ports, err := OpenPorts("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	s := New(t.Context(), ports, opts)
	t.Cleanup(func() { _ = s.Close() })
	s.network = nat.Network{
		Translators: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Own: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")},
	}
	return s
}

func TestNAT(t *testing.T) {
	gateway := netip.MustParseAddr("10.0.0.1")
	refused := func(client int) *rpc.Call {
		call := ledgerCall(client, getattr)
		call.Allowed = false
		return call
	}
	began := time.Now()
	named := func(client int, name string, s int) *rpc.Call {
		return namedCall(client, name, began.Add(time.Duration(s)*time.Second))
	}
	for _, test := range []struct {
		name  string
		calls []*rpc.Call
		saw   string
		want  nat.Kind
	}{
		{name: "nobody"},
		{name: "the gateway", calls: []*rpc.Call{ledgerCall(1, getattr)}, want: nat.Gateway},
		{name: "the gateway is refused", calls: []*rpc.Call{refused(1), refused(1)}, want: nat.Gateway},
		{name: "and somebody else", calls: []*rpc.Call{ledgerCall(1, getattr), refused(7)}},
		{name: "while a browser comes from beyond", calls: []*rpc.Call{ledgerCall(1, getattr)}, saw: "192.168.1.20"},
		{name: "while a browser comes from the gateway", calls: []*rpc.Call{ledgerCall(1, getattr)}, saw: "10.0.0.1", want: nat.Gateway},
		{name: "one machine", calls: []*rpc.Call{named(1, "tv", 1), named(1, "tv", 3)}, saw: "192.168.1.20"},
		{name: "another one instead", calls: []*rpc.Call{named(1, "tv", 1), named(1, "laptop", 2)}, saw: "192.168.1.20"},
		{name: "two machines", calls: []*rpc.Call{named(1, "tv", 1), named(1, "laptop", 2), named(1, "tv", 3)}, saw: "192.168.1.20", want: nat.Shared},
	} {
		s := listening(t, new(bytes.Buffer))
		for _, call := range test.calls {
			s.ledger.observe(call, rpc.Success)
		}
		if test.saw != "" {
			s.Saw(netip.MustParseAddr(test.saw))
		}
		got, ok := s.NAT()
		if got.Kind != test.want || ok != (test.want != "") || ok && got.Addr != gateway {
			t.Errorf("%s: %+v, %v; want %q", test.name, got, ok, test.want)
		}
	}
}

// TestNATIsLoggedOnce: and the watch ends when nobody is served any more.
func TestNATIsLoggedOnce(t *testing.T) {
	for _, test := range []struct {
		names []string // of those who call, one after the other
		want  string
	}{
		{nil, ""},
		{[]string{"tv"}, "all NFS clients seem to come from the gateway"},
		{[]string{"tv", "laptop", "tv"}, "several machines come from one address"},
	} {
		var log bytes.Buffer
		s := listening(t, &log)
		log.Reset()
		synctest.Test(t, func(*testing.T) {
			served, ended := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(ended)
				s.watchNAT(served)
			}()
			for range 3 {
				for _, name := range test.names {
					time.Sleep(natInterval / 10)
					s.ledger.observe(namedCall(1, name, time.Now()), rpc.Success)
				}
				time.Sleep(2 * natInterval)
			}
			close(served)
			<-ended
		})
		lines := strings.Count(log.String(), "\n")
		if test.want == "" && lines > 0 || test.want != "" && (lines != 1 || !strings.Contains(log.String(), test.want) ||
			!strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "client=10.0.0.1")) {
			t.Errorf("%q call, and the log is %q; want %q", test.names, &log, test.want)
		}
	}
}
