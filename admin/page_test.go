package admin

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

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
