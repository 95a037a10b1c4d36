package admin

import (
	"fmt"
	"html"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/admin/locale"
	"shoal/torrents"
	"shoal/web"
)

// openExport is a site with an export at the ports of NFS and the portmapper, for the machines of this network.
func openExport(t testing.TB) *site {
	t.Helper()
	s := openSite(t)
	s.export = Export{Port: 2049, Portmapped: true, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}} // of httptest.NewRequest
	s.handler = s.at("/")
	return s
}

// words is a page as it is read, but for its marks.
func words(a answer) string { return html.UnescapeString(string(a.body)) }

func wantWords(t testing.TB, a answer, wants ...string) {
	t.Helper()
	wantStatus(t, a, http.StatusOK)
	for _, want := range wants {
		if !strings.Contains(words(a), want) {
			t.Errorf("%s lacks %q", a.what, want)
		}
	}
}

func wantNoWords(t testing.TB, a answer, others ...string) {
	t.Helper()
	for _, other := range others {
		if strings.Contains(words(a), other) {
			t.Errorf("%s has %q", a.what, other)
		}
	}
}

func TestConnect(t *testing.T) {
	s := openExport(t)
	a := s.page(t, "http://nas.lan:4444/connect?route=films")
	wantWords(t, a, "mount -t nfs nas.lan:/films /mnt/shoal", `\\nas.lan\films`, "nas.lan:/films /mnt/shoal nfs ro,hard",
		"Waiting for your machine", `<option value="films" selected>`)
	wantNoWords(t, a, "portmapper does not answer", "may not mount", "cannot reach", "This does not work now")

	// What was asked for goes before what the browser used.
	a = s.page(t, "http://nas.lan:4444/connect?host=FD00::7&port=12049")
	wantWords(t, a, "mount -t nfs -o nfsvers=3,tcp,nolock,port=12049,mountport=12049,ro,hard '[fd00::7]:/' /mnt/shoal", "This does not work now")
}

func TestConnectRefusesWhatIsNoAddress(t *testing.T) {
	s := openExport(t)
	for _, q := range []string{
		"host=a+b", "host=-o", "host=a%0Ab", "host=*.lan", "host=a/b", "host=a:1", "host=1.2.3", "host=fe80::1%25a'b", "host=" + strings.Repeat("a", 300),
		"host=<script>", "port=0", "port=65536", "port=-1", "port=x", "port=2049,soft",
	} {
		a := s.asProgram(t, "/connect?"+q)
		if a.status != http.StatusBadRequest {
			t.Errorf("%s with %s answers %d, want 400", a.what, q, a.status)
		}
	}
	if a := s.asProgram(t, "/connect?route=nothing"); a.status != http.StatusNotFound {
		t.Errorf("a route that is not there is answered %d, want 404", a.status)
	}
	for host, want := range map[string]string{
		"NAS": "nas", "nas.example.org.": "nas.example.org", "[::1]": "::1", "10.0.0.1": "10.0.0.1", "fe80::1%eth0": "fe80::1%eth0", "my_nas-2": "my_nas-2",
	} {
		if got, ok := parseMountHost(host); !ok || got != want {
			t.Errorf("the host %q is read as %q, %v; want %q", host, got, ok, want)
		}
	}
}

// asProgram asks for a page as a program does, which gets errors as problems.
func (s *site) asProgram(t testing.TB, target string) answer {
	t.Helper()
	return send(t, s.handler, like(t, http.MethodGet, target, "", nil))
}

func TestConnectTellsWhatIsMissing(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name   string
		change func(*site)
		want   string
	}{
		{"no portmapper", func(s *site) { s.export.Portmapped = false }, "The portmapper does not answer on port 111."},
		{"another port", func(s *site) { s.export.Port = 12049 }, "NFS is at port 12049 and not at 2049"},
		{"loopback", func(s *site) { s.export.Addr = netip.MustParseAddr("127.0.0.1") }, "NFS listens at 127.0.0.1 only"},
		{
			"not allowed", func(s *site) { s.export.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
			"192.0.2.1, may not mount. Add its network to SHOAL_NFS_ALLOW, for example: SHOAL_NFS_ALLOW=10.0.0.0/8,192.0.2.1/32",
		},
		{
			"refused", func(s *site) { s.refused = []Refused{{netip.MustParseAddr("203.0.113.9"), 3, now, now}} },
			"203.0.113.9 tried to mount and was refused.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openExport(t)
			wantNoWords(t, s.page(t, "/connect"), test.want)
			test.change(s)
			s.handler = s.at("/")
			wantWords(t, s.page(t, "/connect"), test.want)
		})
	}
}

// TestConnectAtLocalhost: who opened the site on the same machine gets no command that works nowhere else.
func TestConnectAtLocalhost(t *testing.T) {
	s := openExport(t)
	s.export.Addr = netip.MustParseAddr("192.168.7.7")
	s.handler = s.at("/")
	for _, host := range []string{"localhost:4444", "127.0.0.1", "[::1]:4444"} {
		wantWords(t, s.page(t, "http://"+host+"/connect?route=films"), "Other machines cannot reach", `<a href="/connect?host=192.168.7.7&route=films">192.168.7.7</a>`)
	}
	wantNoWords(t, s.page(t, "http://nas/connect"), "Other machines cannot reach")
}

func TestReachable(t *testing.T) {
	var all []net.Addr
	for _, cidr := range []string{"127.0.0.1/8", "::1/128", "fe80::1/64", "169.254.1.1/16", "fd00::2/64", "2001:db8::1/64", "192.168.1.5/24", "192.168.1.5/24"} {
		ip, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	got := fmt.Sprint(reachable(all))
	if want := "[192.168.1.5 2001:db8::1 fd00::2]"; got != want {
		t.Errorf("of %v can be reached %s, want %s", all, got, want)
	}
}

func TestConnectSeesMounts(t *testing.T) {
	s := openExport(t)
	now := time.Now()
	s.clients = []Client{
		{Addr: netip.MustParseAddr("192.168.1.20"), Machine: "tv", Mounts: []Mount{{"/films", now.Add(-time.Hour)}}},
		{Addr: netip.MustParseAddr("192.0.2.1"), Machine: hostileMachine, Mounts: []Mount{{"/" + hostileMachine, now.Add(-time.Minute)}}},
	}
	a := s.page(t, "/connect")
	wantWords(t, a, "✓ 192.168.1.20 has mounted <bdi>/films</bdi> (<bdi>tv</bdi>), ", "the machine that you look at this with")
	wantNoWords(t, a, "Waiting for your machine")
	wantHarmless(t, a)
	if page := words(a); strings.Index(page, "✓ 192.0.2.1") > strings.Index(page, "✓ 192.168.1.20") {
		t.Error("what was mounted last is not first")
	}
	for i := range 5000 {
		s.clients[0].Mounts = append(s.clients[0].Mounts, Mount{fmt.Sprintf("/films/%d", i), now})
	}
	if n := strings.Count(string(s.page(t, "/connect").body), "✓"); n != maxMounted {
		t.Errorf("of thousands of mounts %d are shown, want %d", n, maxMounted)
	}
}

// hostileMachine is what a stranger calls himself.
const hostileMachine = "<script>alert(1)</script>\"'\u202egnp\x1b[2J\x00&amp;"

// wantHarmless checks that what a stranger says stays text.
func wantHarmless(t testing.TB, a answer) {
	t.Helper()
	for _, bad := range []string{"<script>alert", "\x1b", "\x00"} {
		if strings.Contains(string(a.body), bad) {
			t.Errorf("%s has %q", a.what, bad)
		}
	}
}

func TestConnectOfHostileRoute(t *testing.T) {
	s := openExport(t)
	const name = `<script>alert(1)<script> "it's" $(id)`
	if _, err := s.library.AddRoute(name, torrents.ArchivesOff); err != nil {
		t.Fatal(err)
	}
	a := s.page(t, "http://nas/connect?route="+url.QueryEscape(name))
	wantHarmless(t, a)
	wantWords(t, a, `mount -t nfs 'nas:/<script>alert(1)<script> "it'\''s" $(id)' /mnt/shoal`, "has a character that cannot be written here")
}

// TestPagesOfClientsHaveAllTexts: also those that are there for some clients only, in each language.
func TestPagesOfClientsHaveAllTexts(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	s := openExport(t)
	for _, full := range []bool{false, true} {
		if full {
			s.fillClients(150)
			s.export.Portmapped, s.export.Addr, s.export.Allow = false, netip.MustParseAddr("127.0.0.1"), nil
			s.handler = s.at("/")
		}
		for _, path := range []string{"http://localhost/connect", "/clients"} {
			for _, l := range locales.All() {
				r := like(t, http.MethodGet, path, "", map[string]string{"Accept": "text/html", "Accept-Language": l.Tag.String()})
				a := send(t, s.handler, r)
				wantStatus(t, a, http.StatusOK)
				if missing := missingTexts(locales, a.body); len(missing) > 0 || strings.Contains(string(a.body), "{0}") {
					t.Errorf("%s shows the keys %q instead of texts, or a place for a value", path, missing)
				}
				if !strings.Contains(string(a.body), `lang="`+l.Tag.String()+`"`) {
					t.Errorf("%s is not in %s", path, l.Tag)
				}
			}
		}
	}
	for _, r := range (mountTarget{path: "/"}).recipes("") {
		if len(r.Commands) == 0 || !slices.ContainsFunc(r.Commands, func(c command) bool { return c.Text != "" }) {
			t.Errorf("the recipe %s has no command", r.Key)
		}
	}
}
