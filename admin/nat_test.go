package admin

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"shoal/admin/locale"
	"shoal/web"
)

// TestNATIsTold: on each page that it matters on, in each language, and not where there is none.
func TestNATIsTold(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	gateway := netip.MustParseAddr("172.18.0.1")
	for _, test := range []struct {
		nat  *NAT
		want map[string]string // by language
	}{
		{nil, nil},
		{&NAT{Kind: NATGateway, Addr: gateway}, map[string]string{"en": "All NFS clients seem to come from 172.18.0.1", "de": "Alle NFS-Clients scheinen von 172.18.0.1"}},
		{
			&NAT{NATShared, gateway, []string{"laptop", "tv"}},
			map[string]string{"en": "Several machines (laptop, tv) come from one address, 172.18.0.1", "de": "Mehrere Rechner (laptop, tv) kommen von einer Adresse, 172.18.0.1"},
		},
	} {
		s := openExport(t)
		s.nat = test.nat
		for _, path := range []string{"/", "/clients", "/connect"} {
			for _, l := range locales.All() {
				r := like(t, http.MethodGet, path, "", map[string]string{"Accept": "text/html", "Accept-Language": l.Tag.String()})
				a := send(t, s.handler, r)
				wantStatus(t, a, http.StatusOK)
				if missing := missingTexts(locales, a.body); len(missing) > 0 || strings.Contains(string(a.body), "{0}") {
					t.Errorf("%s shows the keys %q instead of texts, or a place for a value", path, missing)
				}
				if test.nat == nil {
					wantNoWords(t, a, "NAT", "userland-proxy")
					continue
				}
				wantWords(t, a, test.want[l.Tag.String()])
				if path == "/connect" {
					wantWords(t, a, "userland-proxy", "SHOAL_NFS_ALLOW", "docs/networks.md")
				} else {
					wantWords(t, a, `href="/connect"`, l.T("nat.link"))
				}
			}
		}
	}
}

// TestHostileMachinesBehindNAT: what they call themselves is text, and short in sentences.
func TestHostileMachinesBehindNAT(t *testing.T) {
	s := openExport(t)
	long := "größer" + strings.Repeat("ß", 100)
	s.nat = &NAT{NATShared, netip.MustParseAddr("172.18.0.1"), []string{hostileMachine, long, "c", "d"}}
	s.clients = []Client{{Addr: netip.MustParseAddr("172.18.0.1"), Machine: "d", Machines: s.nat.Machines}}
	for _, path := range []string{"/", "/clients", "/connect"} {
		a := s.page(t, path)
		wantHarmless(t, a)
		wantWords(t, a, "<script>alert(1)</script>", "größerß", "c, …)")
		if text := words(a); strings.Contains(text, "\ufffd") || path != "/clients" && strings.Contains(text, long) {
			t.Errorf("%s has all of a long name, or half of a letter", path)
		}
	}
	wantWords(t, s.page(t, "/clients"), "<li><bdi>c</bdi></li><li><bdi>d</bdi></li>")
}
