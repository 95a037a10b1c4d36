package admin

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"shoal/admin/access"
)

// least is who may at least do something: whoever comes later may do it, too.
type least int

const (
	everybody least = iota // without a login
	metricsToken
	readToken
	admins // with a session, or a token with that role
)

// reading is who may GET and HEAD what is at a path, and changing who may do something by another method. A new route has to be put here.
var (
	reading = map[string]least{
		"/healthz": everybody, "/login": everybody, "/static/{hash}/{file:.+}": everybody,
		"/metrics": metricsToken,

		"/fs/{path}": readToken, "/api/v1/openapi.yaml": readToken,
		"/api/v1/routes": readToken, "/api/v1/routes/{route}": readToken, "/api/v1/torrents": readToken,
		"/api/v1/torrents/{infohash}": readToken, "/api/v1/torrents/{infohash}/files": readToken,
		"/api/v1/torrents/{infohash}/pieces": readToken, "/api/v1/torrents/{infohash}/peers": readToken,
		"/api/v1/torrents/{infohash}/trackers": readToken, "/api/v1/torrents/{infohash}/archives": readToken,
		"/api/v1/limits": readToken, "/api/v1/stats": readToken, "/api/v1/stats/history": readToken, "/api/v1/clients": readToken,
		"/api/v1/readers": readToken, "/api/v1/watch": readToken, "/api/v1/logs": readToken, "/api/v1/settings": readToken, "/api/v1/events": readToken,
		"/": readToken, "/add": readToken, "/routes": readToken, "/routes/{route}/delete": readToken, "/torrents": readToken,
		"/torrents/bulk": readToken, "/torrents/{infohash}": readToken, "/torrents/{infohash}/delete": readToken, "/connect": readToken,
		"/clients": readToken, "/files": readToken, "/files/{path}": readToken, "/logs": readToken,

		"/api/v1/tokens": admins, "/settings": admins, "/settings/tokens/{token}/delete": admins,
	}
	changing = map[string]least{
		"POST /login":          everybody,
		"POST /api/v1/routes":  admins,
		"PATCH /api/v1/limits": admins,
		"POST /api/v1/tokens":  admins, "DELETE /api/v1/tokens/{token}": admins,
		"PATCH /api/v1/routes/{route}": admins, "DELETE /api/v1/routes/{route}": admins,
		"POST /api/v1/torrents": admins, "POST /api/v1/torrents/preview": admins, // it asks servers
		"PATCH /api/v1/torrents/{infohash}": admins, "DELETE /api/v1/torrents/{infohash}": admins,
		"POST /api/v1/torrents/{infohash}/prefetch": admins, "POST /api/v1/torrents/{infohash}/evict": admins,
		"POST /api/v1/torrents/{infohash}/archives/{archive}": admins,
		"POST /add": admins, "POST /routes": admins, "POST /routes/{route}": admins, "POST /routes/{route}/delete": admins,
		"POST /torrents/bulk": admins, "POST /torrents/{infohash}/look": admins, "POST /torrents/{infohash}/delete": admins,
		"POST /torrents/{infohash}/change": admins, "POST /torrents/{infohash}/prefetch": admins, "POST /torrents/{infohash}/evict": admins,
		"POST /appearance": admins, "POST /logout": admins,
		"POST /settings/limits": admins, "POST /settings/password": admins, "POST /settings/logout": admins, "POST /settings/tokens": admins,
		"POST /settings/tokens/{token}/delete": admins,
	}
)

// TestRolesOfRoutesThatAreGone: the tables have no route that is not there.
func TestRolesOfRoutesThatAreGone(t *testing.T) {
	there := make(map[string]bool)
	for _, c := range calls(t) {
		there[c.method+" "+c.template] = true
	}
	for template := range reading {
		if !there[http.MethodGet+" "+template] {
			t.Errorf("GET %s is in the table, and is no route", template)
		}
	}
	for what := range changing {
		if !there[what] {
			t.Errorf("%s is in the table, and is no route", what)
		}
	}
}

// whoMay is who may make a call.
func whoMay(t *testing.T, c call) least {
	t.Helper()
	who, ok := changing[c.method+" "+c.template]
	if c.method == http.MethodGet || c.method == http.MethodHead {
		who, ok = reading[c.template]
	}
	if !ok {
		t.Errorf("nobody has said who may %s %s: put it into the tables of roles_test.go", c.method, c.template)
		return admins
	}
	return who
}

// TestAdvisory_nzbdav_RoutesAndRoles: nzbdav and AltMount had routes that their login had forgotten. Here is each route with each role, as
// a program asks, as a browser does, and as a stream, below both base paths.
func TestAdvisory_nzbdav_RoutesAndRoles(t *testing.T) {
	s := openSite(t)
	credentials := map[least]string{everybody: ""}
	for role, who := range map[access.Role]least{access.RoleMetrics: metricsToken, access.RoleRead: readToken, access.RoleAdmin: admins} {
		secret, _, err := s.access.AddToken(string(role), role)
		if err != nil {
			t.Fatal(err)
		}
		credentials[who] = "Bearer " + secret
	}
	for _, base := range []string{"", "/shoal"} {
		s.moveTo(base + "/")
		for _, c := range calls(t) {
			want := whoMay(t, c)
			path := base + c.path(t, "films", strings.Repeat("0", 40))
			for _, who := range slices.Sorted(maps.Keys(credentials)) {
				for _, accept := range []string{"", "text/html", eventStream} {
					r := httptest.NewRequestWithContext(t.Context(), c.method, path, nil)
					r.Header.Set("Authorization", credentials[who])
					r.Header.Set("Accept", accept)
					rec := httptest.NewRecorder()
					s.handler.ServeHTTP(rec, r)
					checkRole(t, c, who, want, accept, rec)
				}
			}
		}
	}
}

// checkRole checks what somebody was answered who asked for what others may, or may not.
func checkRole(t *testing.T, c call, who, want least, accept string, rec *httptest.ResponseRecorder) {
	t.Helper()
	login := rec.Code == http.StatusSeeOther && strings.Contains(rec.Header().Get("Location"), loginPath)
	refused := rec.Code == http.StatusUnauthorized || rec.Code == http.StatusForbidden || login && c.template != "/logout" && c.template != "/settings/logout"
	if who >= want {
		if refused {
			t.Errorf("%s %s (%q) answers %d to %d, who may do it", c.method, c.template, accept, rec.Code, who)
		}
		return
	}
	wantCode := http.StatusForbidden
	if who == everybody {
		wantCode = http.StatusUnauthorized
		if accept == "text/html" {
			wantCode = http.StatusSeeOther
		}
	}
	if rec.Code != wantCode || wantCode == http.StatusSeeOther && !login {
		t.Errorf("%s %s (%q) answers %d to %d, who may not do it, want %d", c.method, c.template, accept, rec.Code, who, wantCode)
	}
	if rec.Header().Get("Set-Cookie") != "" {
		t.Errorf("%s %s sets a cookie for %d", c.method, c.template, who)
	}
}

// TestRolesOfOtherMethods: what a role may not do it may not ask for by a method that is not there, either, so that nobody learns what is.
func TestRolesOfOtherMethods(t *testing.T) {
	s := openSite(t)
	secret, _, err := s.access.AddToken("reader", access.RoleRead)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls(t) {
		for _, method := range []string{http.MethodPut, http.MethodOptions, http.MethodTrace, http.MethodConnect, "PROPFIND", "get", "GETX", "POST "} {
			path := c.path(t, "films", strings.Repeat("0", 40))
			if strings.HasPrefix(path, staticPath) || path == healthPath || path == loginPath {
				continue
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			r.Method = method
			checkUnauthorized(t, send(t, s.handler, r), "no credentials")
			r = httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			r.Method = method
			r.Header.Set("Authorization", "Bearer "+secret)
			if a := send(t, s.handler, r); a.status != http.StatusForbidden {
				t.Errorf("%s answers %d to the role read, want %d", a.what, a.status, http.StatusForbidden)
			}
		}
	}
}
