package admin

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shoal/torrents"
)

// TestClientsAndReaders has the lists word for word, as programs of others read them.
func TestClientsAndReaders(t *testing.T) {
	first, last := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 6, 500_000_000, time.UTC)
	s := openSite(t)
	for _, test := range []struct {
		path    string
		clients []Client
		readers []Reader
		refused []Refused
		nat     *NAT
		want    string
	}{
		{path: "/api/v1/clients", refused: []Refused{{netip.MustParseAddr("203.0.113.9"), 7, first, last}}, want: `{"clients":[],"refused":[{"address":"203.0.113.9","calls":7,"first_seen":"2026-01-02T03:04:05Z","last_seen":"2026-01-02T03:04:06.5Z"}],"nat":null}`},
		{
			path: "/api/v1/clients", nat: &NAT{Kind: NATGateway, Addr: netip.MustParseAddr("172.18.0.1")},
			want: `{"clients":[],"refused":[],"nat":{"kind":"gateway","address":"172.18.0.1","machines":[]}}`,
		},
		{
			path: "/api/v1/clients", nat: &NAT{NATShared, netip.MustParseAddr("fd00::1"), []string{"<tv>", "laptop"}},
			want: `{"clients":[],"refused":[],"nat":{"kind":"shared","address":"fd00::1","machines":["<tv>","laptop"]}}`,
		},
		{path: "/api/v1/readers", want: `{"readers":[]}`},
		{
			path: "/api/v1/clients",
			clients: []Client{
				{
					Addr: netip.MustParseAddr("192.168.1.2"), Machine: "<tv> \xff\n", Machines: []string{"a", "<tv> \xff\n"}, Connections: 2,
					Mounts: []Mount{{"/", first}, {"/films/größe", last}}, Calls: 3, BytesRead: 1 << 40, FirstSeen: first, LastSeen: last,
				},
				{Addr: netip.MustParseAddr("fe80::1%eth0"), Calls: 1, FirstSeen: last, LastSeen: last},
			},
			want: `{"clients":[` +
				`{"address":"192.168.1.2","machine":"<tv> \ufffd\n","machines":["a","<tv> \ufffd\n"],"connections":2,` +
				`"mounts":[{"path":"/","since":"2026-01-02T03:04:05Z"},{"path":"/films/größe","since":"2026-01-02T03:04:06.5Z"}],` +
				`"calls":3,"bytes_read":1099511627776,"first_seen":"2026-01-02T03:04:05Z","last_seen":"2026-01-02T03:04:06.5Z"},` +
				`{"address":"fe80::1%eth0","machine":"","machines":[],"connections":0,"mounts":[],` +
				`"calls":1,"bytes_read":0,"first_seen":"2026-01-02T03:04:06.5Z","last_seen":"2026-01-02T03:04:06.5Z"}],"refused":[],"nat":null}`,
		},
		{
			path: "/api/v1/readers",
			readers: []Reader{{
				Protocol: ProtocolNFS, Client: netip.MustParseAddr("192.168.1.2"), Path: "/films/größe/a \"b\".mkv", Infohash: torrents.Infohash{0xab},
				Size: 1000, Offset: 500, BytesRead: 250, Since: first, LastRead: last,
			}},
			want: `{"readers":[{"protocol":"nfs","client":"192.168.1.2","path":"/films/größe/a \"b\".mkv","infohash":"ab` + strings.Repeat("0", 38) + `",` +
				`"size":1000,"offset":500,"bytes_read":250,"since":"2026-01-02T03:04:05Z","last_read":"2026-01-02T03:04:06.5Z"}]}`,
		},
	} {
		s.clients, s.readers, s.refused, s.nat = test.clients, test.readers, test.refused, test.nat
		a := s.get(t, test.path)
		wantStatus(t, a, http.StatusOK)
		if got := strings.TrimSuffix(string(a.body), "\n"); got != test.want {
			t.Errorf("%s answers\n%s, want\n%s", a.what, got, test.want)
		}
		if got, want := a.header.Get("Content-Type"), "application/json"; got != want {
			t.Errorf("%s answers with the type %q, want %q", a.what, got, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	a := openSite(t).get(t, "/metrics")
	wantStatus(t, a, http.StatusOK)
	if got := string(a.body); got != testMetrics {
		t.Errorf("%s answers %q, want %q", a.what, got, testMetrics)
	}
}
