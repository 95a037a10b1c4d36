package admin

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"shoal/admin/access"
	"shoal/admin/locale"
	"shoal/web"
)

// get asks for a page as a browser does.
func (s *site) page(t testing.TB, target string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Accept", "text/html")
	return send(t, s.handler, r)
}

func TestOverview(t *testing.T) {
	s := openSite(t)
	a := s.page(t, "/")
	for _, want := range []string{"<h1>Overview</h1>", "Nobody is reading.", "Sintel", `lang="en"`} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestTranslations: each language has each text, in the same plural forms that it needs, and no other.
func TestTranslations(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	fallback := locales.All()[0]
	want := slices.Sorted(fallback.Keys())
	for _, l := range locales.All() {
		got := slices.Sorted(l.Keys())
		for _, key := range want {
			if !slices.Contains(got, key) {
				t.Errorf("%s has no text %q", l.Tag, key)
			}
		}
		for _, key := range got {
			if !slices.Contains(want, key) {
				t.Errorf("%s has the text %q, which English does not have", l.Tag, key)
			}
		}
	}
}

// missingText is what a text that is not there looks like on a page: its key.
func missingTexts(locales *locale.Locales, page []byte) []string {
	groups := make(map[string]bool)
	for key := range locales.All()[0].Keys() {
		group, _, _ := strings.Cut(key, ".")
		groups[group] = true
	}
	names := strings.Join(slices.Sorted(maps.Keys(groups)), "|")
	found := regexp.MustCompile(`[>"](`+names+`)\.[a-z_]+["<]`).FindAll(page, -1)
	keys := make([]string, len(found))
	for i, key := range found {
		keys[i] = string(key)
	}
	return keys
}

func TestPagesHaveAllTexts(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	s := browseSite(t, textFile(0, "x.mkv"))
	for _, path := range []string{"/", "/connect", "/clients", "/settings", "/files/", "/files/films/t/", "/files/films/t/x.mkv?play=1", "/logs", "/torrents", "/add", "/routes"} {
		if missing := missingTexts(locales, s.page(t, path).body); len(missing) > 0 {
			t.Errorf("%s shows the keys %q instead of texts", path, missing)
		}
	}
}

// TestCompressed: pages and lists are, streams and files of torrents are not.
func TestCompressed(t *testing.T) {
	s := openSite(t)
	for target, want := range map[string]string{"/": "gzip", "/api/v1/openapi.yaml": "gzip", "/fs/": "", "/healthz": ""} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		r.Header.Set("Authorization", "Bearer "+testToken)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Encoding", "gzip")
		if got := send(t, s.handler, r).header.Get("Content-Encoding"); got != want {
			t.Errorf("%s is encoded as %q, want %q", target, got, want)
		}
	}
}

// TestAnswerToFormLeadsBack: who changes the theme on the answer to a form comes to the page with the form.
func TestAnswerToFormLeadsBack(t *testing.T) {
	s := openSite(t)
	for referer, want := range map[string]string{
		"http://example.com/settings?x=1": "/settings?x=1", "": "/", "http://elsewhere.example/settings": "/", "http://example.com//evil": "/", ":": "/",
	} {
		a := s.browse(t, "/settings/limits", url.Values{"cache_limit": {"<b>"}}, "Referer", referer)
		wantStatus(t, a, http.StatusBadRequest)
		if field := `name="back" value="` + want + `"`; !strings.Contains(string(a.body), field) {
			t.Errorf("the answer to a form of %q lacks %s", referer, field)
		}
	}
	if a := s.browse(t, "/settings?x=1", nil, "Referer", "http://example.com/"); !strings.Contains(string(a.body), `name="back" value="/settings?x=1"`) {
		t.Error("a page does not lead back to itself")
	}
}

// TestStreamKey: those who see something else on a page do not share what it is made of.
func TestStreamKey(t *testing.T) {
	s := &server{}
	var err error
	if s.locales, err = locale.Load(web.Locales, "locales"); err != nil {
		t.Fatal(err)
	}
	key := func(p page, who access.Who, target, addr, language string) string {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), whoKey{}, who), http.MethodGet, target, nil)
		r.RemoteAddr = addr
		r.Header.Set("Accept-Language", language)
		return s.streamKey(r, &p)
	}
	admin, token := access.Who{Name: "admin", Role: access.RoleAdmin}, access.Who{Name: "admin", Role: access.RoleRead}
	const here, there = "192.0.2.1:1000", "192.0.2.2:1000"
	first := key(connectPage, admin, "/connect", here, "en")
	for what, other := range map[string]string{
		"another address": key(connectPage, admin, "/connect", there, "en"), "another role": key(connectPage, token, "/connect", here, "en"),
		"another query": key(connectPage, admin, "/connect?route=films", here, "en"), "another language": key(connectPage, admin, "/connect", here, "de"),
	} {
		if other == first {
			t.Errorf("%s shares the parts", what)
		}
	}
	if key(overviewPage, admin, "/", here, "en") != key(overviewPage, admin, "/", there, "en") {
		t.Error("the overview is made once for each address")
	}
}
