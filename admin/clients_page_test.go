package admin

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"shoal/torrents"
)

// fillClients has n machines, each of which reads a file, and as many that were refused.
func (s *site) fillClients(n int) {
	now := time.Now()
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		s.clients = append(s.clients, Client{
			Addr: addr, Machine: fmt.Sprintf("machine %d", i), Connections: 1, Mounts: []Mount{{"/films", now}}, FirstSeen: now, LastSeen: now,
		})
		s.readers = append(s.readers, Reader{
			Protocol: ProtocolNFS, Client: addr, Path: fmt.Sprintf("/films/%d.mkv", i), Infohash: torrents.Infohash{byte(i)},
			Size: 100, Offset: 50, Since: now, LastRead: now,
		})
	}
	s.refused = []Refused{{netip.MustParseAddr("203.0.113.9"), 7, now, now}}
}

func TestClientsPage(t *testing.T) {
	s := openSite(t)
	a := s.page(t, "/clients")
	wantWords(t, a, "<h1>Clients</h1>", "No machine has used", "Nobody has read a file", "Nobody was refused", `href="/connect"`)

	now := time.Now()
	ih := torrents.Infohash{0xab}
	s.clients = []Client{{
		Addr: netip.MustParseAddr("192.168.1.20"), Machine: "tv", Connections: 2, Mounts: []Mount{{"/films", now.Add(-2 * time.Hour)}},
		Calls: 1234, BytesRead: 5 << 30, FirstSeen: now.Add(-3 * time.Hour), LastSeen: now,
	}}
	s.readers = []Reader{
		{
			Protocol: ProtocolNFS, Client: netip.MustParseAddr("192.168.1.20"), Path: "/films/a film.mkv", Infohash: ih, Size: 200, Offset: 50,
			BytesRead: 20 << 20, Since: now.Add(-10 * time.Second), LastRead: now,
		},
		{Protocol: ProtocolHTTP, Client: netip.MustParseAddr("192.168.1.21"), Path: "/music/a song", Infohash: ih, Size: 1, Offset: 1, Since: now, LastRead: now},
	}
	s.refused = []Refused{{netip.MustParseAddr("203.0.113.9"), 7, now, now}}
	a = s.page(t, "/clients")
	wantWords(t, a, "192.168.1.20", "<bdi>tv</bdi>", "<bdi>/films</bdi>", "2 hours ago", "1,234", "5.0 GiB", "3 hours ago", "<bdi>/films/a film.mkv</bdi>",
		`href="/torrents/`+ih.String()+`"`, "25.0 %", "2.0 MiB/s", "<td>NFS</td>", "<td>HTTP</td>", "203.0.113.9")
	wantNoWords(t, a, "Nobody", "No machine")
}

// TestCVE_2022_46165_ClientsPage: Syncthing showed what other devices call themselves as it is.
func TestCVE_2022_46165_ClientsPage(t *testing.T) {
	s := openSite(t)
	long := strings.Repeat("x", 4096)
	s.clients = []Client{{Addr: netip.MustParseAddr("fe80::1%eth0"), Machine: hostileMachine, Mounts: []Mount{{"/" + hostileMachine, time.Now()}}}, {Machine: "\xff" + long}}
	s.readers = []Reader{{Client: netip.MustParseAddr("10.0.0.1"), Protocol: ProtocolNFS, Path: "/" + hostileMachine}}
	a := s.page(t, "/clients")
	wantHarmless(t, a)
	wantWords(t, a, `\u202egnp\x1b[2J\x00`, `\xff`+long)
}

// TestClientsPageIsShort: however many there are, and each row has an id of its own.
func TestClientsPageIsShort(t *testing.T) {
	s := openSite(t)
	s.fillClients(1024)
	a := s.page(t, "/clients")
	wantWords(t, a, "And 924 more")
	if len(a.body) > 200_000 {
		t.Errorf("the page has %d bytes", len(a.body))
	}
	seen := make(map[string]bool)
	for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(string(a.body), -1) {
		if seen[id[1]] {
			t.Errorf("the id %q is there twice", id[1])
		}
		seen[id[1]] = true
	}
	if len(seen) < 2*maxRows {
		t.Errorf("the page has %d ids, want one for each of %d rows", len(seen), 2*maxRows)
	}
}
