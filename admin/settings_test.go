package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/admin/access"
	"shoal/admin/locale"
	"shoal/torrents"
	"shoal/web"
)

// configure gives the site settings of all kinds.
func (s *site) configure() {
	s.settings = []Setting{
		{Name: "SHOAL_DATA_DIR", Value: "./data", Group: "storage", Source: SourceDefault, Set: true},
		{Name: "SHOAL_CACHE_LIMIT", Value: "1GiB", Group: "storage", Source: SourceEnvironment, Set: true},
		{Name: "SHOAL_ADMIN_PASSWORD", Group: "site", Source: SourceFile, Secret: true, Set: true},
		{Name: "SHOAL_API_TOKEN", Group: "site", Source: SourceEnvironment, Secret: true, Set: true},
		{Name: "SHOAL_ROUTES", Value: "<script>alert(1)</script>\u202e\"'", Group: "content", Source: SourceEnvironment, Set: true},
		{Name: "SHOAL_BT_PEERS", Value: strings.Repeat("4 KiB", 820), Group: "swarm", Source: SourceEnvironment, Set: true},
		{Name: "SHOAL_BT_DOWN_LIMIT", Value: "0", Group: "swarm", Source: SourceDefault, Set: true},
		{Name: "SHOAL_BT_UP_LIMIT", Value: "0", Group: "swarm", Source: SourceDefault, Set: true},
		{Name: "SHOAL_BT_PROXY", Group: "swarm", Source: SourceDefault},
	}
	s.warnings = []string{"SHOAL_<b> is set, and is not a variable of Shoal"}
	s.handler = s.at("/")
}

// logIn begins a session, and returns its cookie.
func (s *site) logIn(t testing.TB, password string) string {
	t.Helper()
	cookie, err := s.access.LogIn(t.Context(), netip.MustParseAddr("10.0.0.9"), "admin", password)
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

// browseAs is browse of somebody with a session, or nobody.
func (s *site) browseAs(t testing.TB, cookie, target string, form url.Values, header ...string) answer {
	t.Helper()
	return s.browse(t, target, form, append([]string{"Authorization", "", "Cookie", sessionCookie + "=" + cookie}, header...)...)
}

// sessionOf is the cookie of a session that an answer sets.
func sessionOf(a answer) string {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == sessionCookie {
			return c.Value
		}
	}
	return ""
}

// noteOf is what an answer leaves for the next page to say.
func noteOf(t testing.TB, s *site, a answer) string {
	t.Helper()
	wantStatus(t, a, http.StatusSeeOther)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		r.AddCookie(c)
	}
	if n := takeNote(httptest.NewRecorder(), r, ""); n != nil {
		return n.Text
	}
	return ""
}

func TestSettingsPage(t *testing.T) {
	s := openSite(t)
	a := s.browse(t, "/settings", nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "<title>Settings – Shoal</title>", "There are none yet.", `name="current"`, `value="1GiB"`, "From the environment.", "v1.2")
	wantNoTexts(t, a, "SHOAL_DATA_DIR", `name="reset"`)

	s.configure()
	a = s.browse(t, "/settings", nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "SHOAL_DATA_DIR", "./data", "The library and the state.", "set, and not shown", "&lt;script&gt;alert(1)", "SHOAL_&lt;b&gt; is set",
		"SHOAL_API_TOKEN is set")
	wantNoTexts(t, a, "<script>alert", "SHOAL_<b>")
	for _, part := range settingsPage.parts {
		if n := bytes.Count(a.body, []byte(` id="`+part+`"`)); n != 1 {
			t.Errorf("the page has %d elements for the part %s, want 1", n, part)
		}
	}
}

func TestSettingsPagesHaveAllTexts(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	s := openSite(t)
	s.configure()
	_, token, err := s.access.AddToken("a", access.RoleAdmin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.library.ChangeLimits(torrents.LimitsChange{Down: torrents.LimitChange{Set: true, Value: new(int64)}}); err != nil {
		t.Fatal(err)
	}
	for i, language := range []string{"en", "de"} {
		name := url.Values{"name": {language}, "role": {"metrics"}}
		for _, a := range []answer{
			s.browse(t, "/settings", nil, "Accept-Language", language),
			s.browse(t, "/settings/tokens/"+token.ID+"/delete", nil, "Accept-Language", language),
			s.browse(t, "/settings/tokens", name, "Accept-Language", language),
			s.browse(t, "/settings/tokens", name, "Accept-Language", language), // there is one already
			s.browse(t, "/settings/limits", url.Values{"up_limit": {"x"}}, "Accept-Language", language),
		} {
			wantTexts(t, a, `<html lang="`+language+`"`, []string{"Role", "Rolle"}[i])
			found := regexp.MustCompile(`\b(settings|variables|token|token_delete)\.[a-z_]+\b`).FindAllString(string(a.body), -1)
			if missing := append(missingTexts(locales, a.body), found...); len(missing) > 0 {
				t.Errorf("%s in %s shows the keys %q instead of texts", a.what, language, missing)
			}
		}
	}
}

func TestSettingsAPI(t *testing.T) {
	s := openSite(t)
	type list struct {
		Settings []Setting `json:"settings"`
		Warnings []string  `json:"warnings"`
	}
	if got := decode[list](t, s.get(t, "/api/v1/settings")); got.Settings == nil || got.Warnings == nil {
		t.Errorf("without settings there is %+v, want empty lists", got)
	}
	s.configure()
	got := decode[list](t, s.get(t, "/api/v1/settings"))
	if !slices.Equal(got.Settings, s.settings) || !slices.Equal(got.Warnings, s.warnings) {
		t.Errorf("the settings are %+v, want %+v", got, s.settings)
	}
	wantStatus(t, s.json(t, http.MethodPatch, "/api/v1/limits", `{"cache_limit": "1.5GiB", "up_limit": 0}`), http.StatusOK)
	want := slices.Clone(s.settings)
	want[1].Value, want[1].Source = "1536MiB", SourceAPI
	want[7].Source = SourceAPI
	if got := decode[list](t, s.get(t, "/api/v1/settings")); !slices.Equal(got.Settings, want) {
		t.Errorf("with changed limits the settings are %+v, want %+v", got.Settings, want)
	}
}

func TestLimitsForm(t *testing.T) {
	s := openSite(t)
	limit := func(value int64) torrents.Limit { return torrents.Limit{Value: value, Own: true} }
	environment := torrents.Limits{Cache: torrents.Limit{Value: testCacheLimit}}
	for _, test := range []struct {
		form string
		want torrents.Limits
	}{
		{"cache_limit=1GiB&down_limit=0&up_limit=0", environment}, // nothing was touched
		{"", environment},
		{"cache_limit=1GiB&down_limit=10MiB&up_limit=500kb", torrents.Limits{Cache: environment.Cache, Down: limit(10 << 20), Up: limit(500_000)}},
		{"cache_limit=+1.5+GiB+&down_limit=&up_limit=0", torrents.Limits{Cache: limit(3 << 29), Up: limit(0)}},
		{"reset=up_limit&cache_limit=1&down_limit=1", torrents.Limits{Cache: limit(3 << 29)}},
		{"reset=cache_limit", environment},
	} {
		form, err := url.ParseQuery(test.form)
		if err != nil {
			t.Fatal(err)
		}
		a := s.browse(t, "/settings/limits", form)
		if got := noteOf(t, s, a); got != "The limits are changed." || a.header.Get("Location") != "/settings#limits" {
			t.Errorf("%q leads to %q with the note %q", test.form, a.header.Get("Location"), got)
		}
		if got := s.library.Limits(); got != test.want {
			t.Errorf("%q makes the limits %+v, want %+v", test.form, got, test.want)
		}
	}
	for _, form := range []url.Values{
		{"cache_limit": {"lots"}}, {"down_limit": {"-1"}}, {"up_limit": {"1,5GiB"}}, {"up_limit": {"16EiB"}}, {"down_limit": {"10"}, "cache_limit": {"<b>"}},
	} {
		a := s.browse(t, "/settings/limits", form)
		wantStatus(t, a, http.StatusBadRequest)
		wantTexts(t, a, "has to be a size such as 10MiB", "<h1>Settings</h1>")
		wantNoTexts(t, a, "<b>", "data-feed")
		if got := s.library.Limits(); got != environment {
			t.Errorf("%v makes the limits %+v", form, got)
		}
	}
}

func TestPasswordForm(t *testing.T) {
	s := openSite(t)
	cookie, elsewhere := s.logIn(t, testPassword), s.logIn(t, testPassword)
	const next = "another password"
	for _, test := range []struct {
		current, replacement string
		status               int
		want                 string
	}{
		{"wrong", next, http.StatusUnauthorized, "The current password is wrong."},
		{testPassword, "short", http.StatusBadRequest, "The new password needs at least 8 characters."},
		{testPassword, testPassword, http.StatusBadRequest, "The new password is the same as the current one."},
		{"", "", http.StatusBadRequest, "at least 8 characters."},
	} {
		form := url.Values{"current": {test.current}, "new": {test.replacement}}
		a := s.browseAs(t, cookie, "/settings/password", form)
		wantStatus(t, a, test.status)
		wantTexts(t, a, test.want, "<h1>Settings</h1>")
		if test.current != "" {
			wantNoTexts(t, a, `value="`+test.current, `value="`+test.replacement)
		}
		program := s.browseAs(t, cookie, "/settings/password", form, "Accept", "application/json")
		wantStatus(t, program, test.status)
		checkProblem(t, program)
	}
	a := s.browseAs(t, cookie, "/settings/password", url.Values{"current": {testPassword}, "new": {next}})
	if got := noteOf(t, s, a); got != "The password is changed. All other sessions have ended." {
		t.Errorf("the note is %q", got)
	}
	for _, old := range []string{cookie, elsewhere} {
		if a := s.browseAs(t, old, "/settings", nil); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/login") {
			t.Errorf("the old session is answered %d", a.status)
		}
	}
	wantStatus(t, s.browseAs(t, sessionOf(a), "/settings", nil), http.StatusOK)
	s.logIn(t, next)
}

func TestPasswordFormBacksOff(t *testing.T) {
	s := openSite(t)
	cookie := s.logIn(t, testPassword)
	for range 50 {
		a := s.browseAs(t, cookie, "/settings/password", url.Values{"current": {"wrong"}, "new": {"another password"}})
		if a.status == http.StatusUnauthorized {
			continue
		}
		wantStatus(t, a, http.StatusTooManyRequests)
		if a.header.Get("Retry-After") == "" {
			t.Error("the answer does not say when to try again")
		}
		return
	}
	t.Error("50 wrong passwords were looked at")
}

func TestPasswordOfTheEnvironment(t *testing.T) {
	s := openSite(t)
	opened, err := access.Open(access.Options{
		Path: filepath.Join(t.TempDir(), "access.json"), Password: testPassword, Token: testToken, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	s.access = opened
	s.handler = s.at("/")
	a := s.browse(t, "/settings", nil)
	wantTexts(t, a, "The password is set by SHOAL_ADMIN_PASSWORD")
	wantNoTexts(t, a, `name="current"`)
	a = s.browse(t, "/settings/password", url.Values{"current": {testPassword}, "new": {"another password"}})
	wantStatus(t, a, http.StatusConflict)
	wantTexts(t, a, "The password is set by SHOAL_ADMIN_PASSWORD")
}

func TestLogOutEverywhere(t *testing.T) {
	s := openSite(t)
	cookie, elsewhere := s.logIn(t, testPassword), s.logIn(t, testPassword)
	a := s.browseAs(t, cookie, "/settings/logout", url.Values{})
	if got := noteOf(t, s, a); got != "You are logged out everywhere." || a.header.Get("Location") != "/login" {
		t.Errorf("it leads to %q with the note %q", a.header.Get("Location"), got)
	}
	for _, old := range []string{cookie, elsewhere} {
		wantStatus(t, s.browseAs(t, old, "/settings", nil), http.StatusSeeOther)
	}
	wantStatus(t, s.browse(t, "/settings", nil), http.StatusOK) // tokens stay
}

// TestRolesAndSettings: what shows or makes tokens is for the role admin.
func TestRolesAndSettings(t *testing.T) {
	s := openSite(t)
	for role, allowed := range map[access.Role][]string{
		access.RoleAdmin:   {"GET /api/v1/settings", "GET /api/v1/tokens", "GET /settings", "POST /api/v1/tokens"},
		access.RoleRead:    {"GET /api/v1/settings"},
		access.RoleMetrics: {},
	} {
		secret, made, err := s.access.AddToken(string(role), role)
		if err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{
			"GET /api/v1/settings", "GET /api/v1/tokens", "GET /settings", "GET /settings/tokens/" + made.ID + "/delete", "POST /api/v1/tokens",
		} {
			method, path, _ := strings.Cut(what, " ")
			a := send(t, s.handler, like(t, method, path, `{"name": "new", "role": "read"}`, map[string]string{
				"Authorization": "Bearer " + secret, "Content-Type": "application/json",
			}))
			want := slices.Contains(allowed, what) || role == access.RoleAdmin
			if got := a.status < http.StatusMultipleChoices; got != want || !want && a.status != http.StatusForbidden {
				t.Errorf("%s with the role %s is answered %d, want it allowed: %t", what, role, a.status, want)
			}
		}
	}
}

// TestCVE_2026_27944_SecretsTold: and CVE-2026-62684. Backups and settings had hashes, tokens and keys in them.
func TestCVE_2026_27944_SecretsTold(t *testing.T) {
	s := openSite(t)
	s.configure()
	cookie := s.logIn(t, testPassword)
	secret, token, err := s.access.AddToken("a", access.RoleAdmin)
	if err != nil {
		t.Fatal(err)
	}
	ih := s.mustAdd(t, "films", torrentFile("a", 1)).Infohash.String()
	hidden := []string{testPassword, testToken, secret, cookie, "$argon2id"}
	for _, known := range []string{secret, cookie, testToken} {
		sum := sha256.Sum256([]byte(known))
		hidden = append(hidden, hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:]), base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	b, err := accessFile()
	if err != nil {
		t.Fatal(err)
	}
	hidden = append(hidden, strings.Split(regexp.MustCompile(`\$argon2id[^"]*`).FindString(string(b)), "$")[4:]...)
	tried := 0
	for _, c := range calls(t) {
		if c.method != http.MethodGet {
			continue
		}
		path := strings.Replace(c.template, "{token}", token.ID, 1)
		if c.template == "/api/v1/events" {
			continue // has no end; it sends what the others do
		}
		path = call{c.method, path}.path(t, "films", ih)
		for _, accept := range []string{"text/html", "application/json"} {
			a := s.browseAs(t, cookie, path, nil, "Accept", accept)
			tried++
			text := string(a.body)
			for name, values := range a.header {
				text += name + strings.Join(values, "")
			}
			for _, h := range hidden {
				if strings.Contains(text, h) {
					t.Errorf("%s tells %.12q…", a.what, h)
				}
			}
		}
	}
	if tried < 40 {
		t.Errorf("%d answers were looked at only", tried)
	}
}

// TestCVE_2025_53826_SessionsAfterPasswordChange: and CVE-2024-21635, CVE-2026-33031. Sessions were good after a logout, or another
// password; streams, too.
func TestCVE_2025_53826_SessionsAfterPasswordChange(t *testing.T) {
	s := openSite(t)
	cookie, elsewhere := s.logIn(t, testPassword), s.logIn(t, testPassword)
	who, _ := s.access.Session(elsewhere)
	server := httptest.NewServer(s.handler)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/settings", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.AddCookie(&http.Cookie{Name: sessionCookie, Value: elsewhere})
	stream, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if got := stream.Header.Get("Content-Type"); stream.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/event-stream") {
		t.Fatalf("the stream is answered %d with the type %q", stream.StatusCode, got)
	}
	a := s.browseAs(t, cookie, "/settings/password", url.Values{"current": {testPassword}, "new": {"another password"}})
	wantStatus(t, a, http.StatusSeeOther)
	if s.access.Valid(who) {
		t.Error("the session elsewhere is still good")
	}
	if _, err := io.Copy(io.Discard, stream.Body); err != nil {
		t.Errorf("the stream of the session elsewhere does not end: %v", err)
	}
	wantStatus(t, s.browseAs(t, elsewhere, "/api/v1/routes", nil, "Accept", "application/json"), http.StatusUnauthorized)
}

// TestOpenAPISchemasOfSettings compares the members of what is sent with the schemas.
func TestOpenAPISchemasOfSettings(t *testing.T) {
	for schema, sent := range map[string]any{"Setting": Setting{}, "Token": tokenJSON{}, "NewToken": newTokenJSON{}} {
		b, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(b, &members); err != nil {
			t.Fatal(err)
		}
		properties, _ := described(t, "components", "schemas", schema, "properties").(map[string]any)
		want := slices.Sorted(maps.Keys(members))
		if got := slices.Sorted(maps.Keys(properties)); !slices.Equal(got, want) {
			t.Errorf("openapi.yaml: the schema %s has %q, and sent is %q", schema, got, want)
		}
		required := describedTexts(t, "components", "schemas", schema, "required")
		if slices.Sort(required); !slices.Equal(required, want) {
			t.Errorf("openapi.yaml: the schema %s requires %q, and sent is %q", schema, required, want)
		}
	}
	sources := []string{string(SourceDefault), string(SourceEnvironment), string(SourceFile), string(SourceAPI)}
	if got := describedTexts(t, "components", "schemas", "Setting", "properties", "source", "enum"); !slices.Equal(got, sources) {
		t.Errorf("openapi.yaml has the sources %q, want %q", got, sources)
	}
	roles := []string{string(access.RoleAdmin), string(access.RoleRead), string(access.RoleMetrics)}
	if got := describedTexts(t, "components", "schemas", "Role", "enum"); !slices.Equal(got, roles) {
		t.Errorf("openapi.yaml has the roles %q, want %q", got, roles)
	}
}

func TestSizeText(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1: "1", 1000: "1000", 1024: "1KiB", 10 << 20: "10MiB", 3 << 29: "1536MiB", 20 << 30: "20GiB", 5 << 50: "5120TiB"} {
		got := sizeText(n)
		back, err := readLimit("cache_limit", got)
		if got != want || err != nil || *back != n {
			t.Errorf("%d is %q and read again %v, %v; want %q", n, got, back, err, want)
		}
	}
	if _, err := os.Stat("../docs/grafana"); err != nil {
		t.Errorf("the page names a folder that is not there: %v", err)
	}
}
