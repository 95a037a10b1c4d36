package admin

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"shoal/admin/guard"
)

// The tests here are named after what happened to others.

// like is a request with the token and other headers than those of the tests.
func like(t testing.TB, method, target, body string, header map[string]string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+testToken)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	return r
}

// TestCVE_2018_5702_ForeignHost: Transmission answered to any name, so that a site whose name became the address of
// this machine was of the same origin.
func TestCVE_2018_5702_ForeignHost(t *testing.T) {
	s := openSite(t)
	before := s.state(t)
	for _, c := range append(calls(t), call{http.MethodGet, "/nothing"}, call{http.MethodPost, "/healthz"}) {
		for _, host := range []string{"evil.example", "evil.example:4444", "127.0.0.1.evil.example", "nas.local.evil.example"} {
			r := like(t, c.method, c.path(t, "films", strings.Repeat("0", 40)), `{"name": "new"}`, nil)
			r.Host = host
			// A stranger cannot say so, either.
			r.Header.Set("X-Forwarded-Host", "localhost")
			if a := send(t, s.handler, r); a.status != http.StatusMisdirectedRequest {
				t.Errorf("%s for the Host %q answers %d, want %d", a.what, host, a.status, http.StatusMisdirectedRequest)
			}
		}
	}
	if after := s.state(t); !maps.Equal(before, after) {
		t.Errorf("requests for foreign hosts changed the library from %q to %q", before, after)
	}
	for _, host := range []string{"127.0.0.1:4444", "[::1]:4444", "localhost", "nas", "nas.local:4444", "NAS.lan", "nas.home.arpa."} {
		r := like(t, http.MethodGet, "/healthz", "", nil)
		r.Host = host
		wantStatus(t, send(t, s.handler, r), http.StatusOK)
	}
}

// TestCVE_2017_6504_Clickjacking: every answer says that it is not for frames; send checks it.
func TestCVE_2017_6504_Clickjacking(t *testing.T) {
	s := openSite(t)
	for target, want := range map[string]int{
		"/healthz": http.StatusOK, "/nothing": http.StatusNotFound, "//healthz": http.StatusNotFound, "/api/v1/routes": http.StatusOK,
	} {
		wantStatus(t, send(t, s.handler, like(t, http.MethodGet, target, "", nil)), want)
	}
	wantStatus(t, send(t, s.handler, like(t, http.MethodPut, "/api/v1/routes", "", nil)), http.StatusMethodNotAllowed)
	a := send(t, s.handler, like(t, http.MethodPost, "/api/v1/routes", "", map[string]string{"Sec-Fetch-Site": "cross-site"}))
	wantStatus(t, a, http.StatusForbidden)
	foreign := like(t, http.MethodGet, "/", "", nil)
	foreign.Host = "evil.example"
	wantStatus(t, send(t, s.handler, foreign), http.StatusMisdirectedRequest)
}

// TestCVE_2026_35605_PathsWithoutLogin: File Browser's rules went by how a path begins, or by how it was written.
func TestCVE_2026_35605_PathsWithoutLogin(t *testing.T) {
	s := openSite(t)
	for _, target := range []string{
		"/healthz/../api/v1/routes", "/healthz/..%2fapi/v1/routes", "/healthz/%2e%2e/api/v1/routes", "/healthz;/api/v1/routes",
		"/healthz%2f..%2fapi%2fv1%2froutes", "/healthzz", "/healthz%00", "//healthz/../api/v1/routes", "/api/v1/routes/../../../healthz",
		"/healthz?/api/v1/routes", "/healthz#/../api/v1/routes", "//api/v1/routes", "/api//v1/routes", "/./api/v1/routes", `/healthz\..\api\v1\routes`,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		u, err := r.URL.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		// As a server reads it, which does not take "//api" for a host.
		if strings.HasPrefix(target, "//") {
			u.Host, u.Path = "", target
		}
		r.URL = u
		a := send(t, s.handler, r)
		if strings.Contains(string(a.body), "films") || a.status == http.StatusOK && u.Path != healthPath {
			t.Errorf("GET %s without a token answers %d %.100s", target, a.status, a.body)
		}
	}
}

// TestCVE_2009_1757_CrossSite: and CVE-2017-7178, CVE-2021-46398, CVE-2022-32175. Pages of other sites made
// browsers that were logged in send what changes something: forms, text/plain that is JSON, no body at all.
func TestCVE_2009_1757_CrossSite(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", torrentFile("a", 1)).Infohash.String()
	before := s.state(t)
	for _, c := range calls(t) {
		if c.method == http.MethodGet || c.method == http.MethodHead {
			continue // TestCVE_2021_46398_ReadingChangesNothing
		}
		for _, contentType := range []string{
			"", "text/plain", "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b",
		} {
			for _, from := range []map[string]string{
				{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
				{"Sec-Fetch-Site": "cross-site"},
				{"Sec-Fetch-Site": "same-site", "Origin": "http://example.com:8080"},
				{"Origin": "http://evil.example"}, // over plain HTTP
				{"Origin": "http://example.com:8080"},
				{"Origin": "null"},
			} {
				r := like(t, c.method, c.path(t, "films", ih)+"?torrents=true", `{"name": "new", "paused": true}`, from)
				r.Header.Set("Content-Type", contentType)
				if a := send(t, s.handler, r); a.status != http.StatusForbidden {
					t.Errorf("%s as %q from %v answers %d, want %d", a.what, contentType, from, a.status, http.StatusForbidden)
				}
			}
		}
	}
	if after := s.state(t); !maps.Equal(before, after) {
		t.Errorf("other sites changed the library from %q to %q", before, after)
	}
	// Our own pages, and programs.
	for name, from := range map[string]map[string]string{
		"one": {"Sec-Fetch-Site": "same-origin", "Origin": "http://example.com"}, "two": {"Origin": "http://example.com"}, "three": nil,
	} {
		r := like(t, http.MethodPost, "/api/v1/routes", fmt.Sprintf(`{"name": %q}`, name), from)
		r.Header.Set("Content-Type", "application/json")
		wantStatus(t, send(t, s.handler, r), http.StatusCreated)
	}
}

// TestCVE_2025_47910_BypassPattern: net/http 1.25.0 let pass what a bypass pattern would redirect; there are none.
func TestCVE_2025_47910_BypassPattern(t *testing.T) {
	s := openSite(t)
	for _, target := range []string{"//api/v1/routes", "/api/v1/routes/", "/api/v1/../v1/routes", "/healthz/", "/nothing", "/"} {
		r := like(t, http.MethodPost, "/", "", map[string]string{"Sec-Fetch-Site": "cross-site"})
		r.URL.Path = target
		wantStatus(t, send(t, s.handler, r), http.StatusForbidden)
	}
}

// TestCVE_2025_24358_Libraries: gorilla/csrf believes Referer over plain HTTP (and CVE-2025-47909, which stays), the
// CORS of gorilla/handlers let all pass (CVE-2017-20146). Neither is used, and Go is mended.
func TestCVE_2025_24358_Libraries(t *testing.T) {
	b, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range []string{"gorilla/csrf", "gorilla/handlers", "rs/cors"} {
		if bytes.Contains(b, []byte(library)) {
			t.Errorf("go.mod has %s", library)
		}
	}
	if version := regexp.MustCompile(`(?m)^go 1\.(\d+)`).FindSubmatch(b); version == nil || string(version[1]) < "26" {
		t.Errorf("go.mod asks for %q, and net/http is mended (CVE-2025-47910) since Go 1.25.1", version)
	}
}

// TestCVE_2026_30924_CORS: and CVE-2026-44184, CVE-2024-41659. No origin may read an answer, whoever asks.
func TestCVE_2026_30924_CORS(t *testing.T) {
	s := openSite(t)
	for _, origin := range []string{"https://evil.example", "null", "http://example.com", "http://localhost:3000"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			a := send(t, s.handler, like(t, method, "/api/v1/routes", "", map[string]string{
				"Origin": origin, "Access-Control-Request-Method": http.MethodPost, "Access-Control-Request-Headers": "authorization",
				"Access-Control-Request-Private-Network": "true",
			}))
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s from %s answers %d with %s: %q", a.what, origin, a.status, name, a.header[name])
				}
			}
			if method == http.MethodOptions && a.status < http.StatusBadRequest {
				t.Errorf("%s from %s answers %d: other sites may ask with headers of their own", a.what, origin, a.status)
			}
		}
	}
}

// TestCVE_2026_34403_ForeignStream: nginx-ui let pages of other sites open its WebSockets with the cookie of who
// was logged in. Nothing is read by them here, a stream or not.
func TestCVE_2026_34403_ForeignStream(t *testing.T) {
	s := openSite(t)
	for _, c := range calls(t) {
		if c.method != http.MethodGet {
			continue
		}
		for _, from := range []map[string]string{
			{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Accept": "text/event-stream"},
			{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
			{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket", "Connection": "Upgrade", "Upgrade": "websocket"},
			{"Origin": "http://evil.example", "Accept": "text/event-stream"},
		} {
			if a := send(t, s.handler, like(t, c.method, c.path(t, "films", strings.Repeat("0", 40)), "", from)); a.status != http.StatusForbidden {
				t.Errorf("%s from %v answers %d, want %d", a.what, from, a.status, http.StatusForbidden)
			}
		}
	}
}

// TestCVE_2026_44183_ForwardedFor: and CVE-2026-54089. Cleanuparr took the first address of X-Forwarded-For, which
// anybody may send, for that of a local client; File Browser a header for a login.
func TestCVE_2026_44183_ForwardedFor(t *testing.T) {
	s := openSite(t)
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Forwarded-User", "Remote-User", "X-Auth-Request-User"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/routes", nil)
		r.Header.Set(header, "127.0.0.1")
		checkUnauthorized(t, send(t, s.handler, r), header)
	}
	var got netip.Addr
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")} // that of httptest.NewRequest
	guard.Proxies(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = guard.ClientAddr(r) })).
		ServeHTTP(httptest.NewRecorder(), like(t, http.MethodGet, "/", "", map[string]string{"X-Forwarded-For": "127.0.0.1, 198.51.100.7"}))
	if want := netip.MustParseAddr("198.51.100.7"); got != want {
		t.Errorf("the client is %v, want %v", got, want)
	}
}

// TestCVE_2026_32136_H2C: AdGuard Home let who changed to HTTP/2 in clear past the login. This server does not change.
func TestCVE_2026_32136_H2C(t *testing.T) {
	server := httptest.NewServer(openSite(t).handler)
	defer server.Close()
	for what, request := range map[string]string{
		"an upgrade": "GET /api/v1/routes HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" +
			"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
		"prior knowledge": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else {
			if resp.StatusCode < http.StatusBadRequest || resp.ProtoMajor != 1 {
				t.Errorf("%s is answered %s %s, want it refused", what, resp.Proto, resp.Status)
			}
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
}

// TestCVE_2026_44883_TokenInURL: and CVE-2025-52901. URLs are in histories and logs of proxies.
func TestCVE_2026_44883_TokenInURL(t *testing.T) {
	s := openSite(t)
	for _, name := range []string{"token", "access_token", "api_key", "apikey", "auth", "authorization", "bearer", "jwt", "key"} {
		for _, value := range []string{testToken, "Bearer+" + testToken} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/routes?"+name+"="+value, nil)
			checkUnauthorized(t, send(t, s.handler, r), "?"+name)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/routes", nil)
	r.URL.Host = "example.com"
	r.RequestURI = "http://user:" + testToken + "@example.com/api/v1/routes"
	checkUnauthorized(t, send(t, s.handler, r), "a password in the URL")
}

// TestCVE_2026_44882_NothingAfterRefusal: Portainer's middleware answered that something was denied, and then did it.
func TestCVE_2026_44882_NothingAfterRefusal(t *testing.T) {
	s := openSite(t)
	before := s.state(t)
	for what, change := range map[string]func(r *http.Request){
		"no token":     func(r *http.Request) { r.Header.Del("Authorization") },
		"foreign host": func(r *http.Request) { r.Host = "evil.example" },
		"foreign page": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
	} {
		r := like(t, http.MethodPost, "/api/v1/routes", `{"name": "new"}`, map[string]string{"Content-Type": "application/json"})
		change(r)
		// One problem, and nothing behind it: decode takes the first value only.
		if a := send(t, s.handler, r); a.status < http.StatusBadRequest || bytes.Count(a.body, []byte("\n")) != 1 {
			t.Errorf("with %s, %s answers %d %q, want one problem", what, a.what, a.status, a.body)
		}
	}
	if after := s.state(t); !maps.Equal(before, after) {
		t.Errorf("what was refused changed the library from %q to %q", before, after)
	}
}
