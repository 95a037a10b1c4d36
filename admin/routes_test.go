package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

type routeList struct {
	Routes []routeJSON `json:"routes"`
}

func TestListRoutes(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "music", torrentFile("a", 1))
	a := s.get(t, "/api/v1/routes")
	wantStatus(t, a, http.StatusOK)
	want := []routeJSON{{"films", "folder", 0}, {"music", "folder", 1}}
	if got := decode[routeList](t, a).Routes; !slices.Equal(got, want) {
		t.Errorf("the routes are %v, want %v", got, want)
	}
	for _, name := range []string{"films", "music"} {
		wantStatus(t, s.delete(t, "/api/v1/routes/"+name+"?torrents=true"), http.StatusNoContent)
	}
	if got, want := strings.TrimSpace(string(s.get(t, "/api/v1/routes").body)), `{"routes":[]}`; got != want {
		t.Errorf("no routes are %s, want %s", got, want)
	}
}

func TestAddRoute(t *testing.T) {
	s := openSite(t)
	for _, test := range []struct {
		body string
		want routeJSON
	}{
		{`{"name": "default"}`, routeJSON{"default", "both", 0}}, // the site's default, not the library's
		{`{"name": "null", "archives": null}`, routeJSON{"null", "both", 0}},
		{`{"name": "off", "archives": "off"}`, routeJSON{"off", "off", 0}},
		{`{"name": "folder", "archives": "folder"}`, routeJSON{"folder", "folder", 0}},
		{`{"name": "` + strings.Repeat("n", 255) + `"}`, routeJSON{strings.Repeat("n", 255), "both", 0}},
	} {
		a := s.json(t, http.MethodPost, "/api/v1/routes", test.body)
		wantStatus(t, a, http.StatusCreated)
		if got := decode[routeJSON](t, a); got != test.want {
			t.Errorf("adding %s answers %v, want %v", test.body, got, test.want)
		}
		if got := decode[routeList](t, s.get(t, "/api/v1/routes")).Routes; !slices.Contains(got, test.want) {
			t.Errorf("after adding %s the routes are %v, want %v among them", test.body, got, test.want)
		}
		// There is no GET of a route, so that its Location is right shows when it is changed.
		target := location(t, "/api/v1/routes", a)
		changed := s.json(t, http.MethodPatch, target, `{}`)
		wantStatus(t, changed, http.StatusOK)
		if got := decode[routeJSON](t, changed); got != test.want {
			t.Errorf("PATCH {} at the Location %s answers %v, want %v", target, got, test.want)
		}
	}
}

// badRoutes are bodies that neither a new route nor a change can have.
var badRoutes = []string{
	`{"name": ""}`, `{"name": "."}`, `{"name": ".."}`, `{"name": "a/b"}`, `{"name": "a\\b"}`, `{"name": "a\nb"}`,
	`{"name": "a\u0000b"}`, `{"name": "a\u007fb"}`, `{"name": "` + strings.Repeat("n", 256) + `"}`,
	`{"name": "` + strings.Repeat("ü", 128) + `"}`,
	`{"name": "x", "archives": "maybe"}`, `{"name": "x", "archives": ""}`, `{"name": "x", "archives": "Folder"}`,
	`{"name": "x", "archives": 1}`, `{"name": "x", "archives": ["folder"]}`,
	`{"name": "x", "colour": "blue"}`, `{"title": "x"}`, `{"name": 1}`, `{"name": ["x"]}`, `[]`, `"x"`, `1`,
	``, `{`, `{"name": "x"`, `{"name": "x"}}`, `{"name": "x"} {"name": "y"}`, `{"name": "x"} trailing`, `name=x`,
	strings.Repeat(`[`, 20000), `{"name": ` + strings.Repeat(`[`, 20000),
}

func TestAddRouteBadly(t *testing.T) {
	s := openSite(t)
	before := s.routeNames()
	for _, body := range append([]string{`{}`, `null`, `{"name": null}`, `{"archives": "off"}`}, badRoutes...) {
		if a := s.json(t, http.MethodPost, "/api/v1/routes", body); a.status != http.StatusBadRequest {
			t.Errorf("adding %.80s answers %d %s, want %d", body, a.status, a.body, http.StatusBadRequest)
		}
	}
	wantStatus(t, s.json(t, http.MethodPost, "/api/v1/routes", `{"name": "films"}`), http.StatusConflict)
	if got := s.routeNames(); !slices.Equal(got, before) {
		t.Errorf("after what is wrong the routes are %q, want %q as before", got, before)
	}
}

func TestRouteConflict(t *testing.T) {
	s := openSite(t)
	for _, a := range []answer{
		s.json(t, http.MethodPost, "/api/v1/routes", `{"name": "films"}`),
		s.json(t, http.MethodPatch, "/api/v1/routes/music", `{"name": "films"}`),
	} {
		wantStatus(t, a, http.StatusConflict)
		if p := decode[problem](t, a); p.Route != "films" || p.Infohash != "" || p.Name != "" {
			t.Errorf("%s answers %+v, want the route films and no torrent", a.what, p)
		}
	}
}

// jsonCalls are all that take JSON, with a body that each would accept.
var jsonCalls = []struct{ method, path, body string }{
	{http.MethodPost, "/api/v1/routes", `{"name": "new"}`},
	{http.MethodPatch, "/api/v1/routes/films", `{"name": "new"}`},
	{http.MethodPatch, "/api/v1/limits", `{"down_limit": 1}`},
	{http.MethodPost, "/api/v1/torrents", `{"route": "films", "magnet": "magnet:?xt=urn:btih:0000000000000000000000000000000000000001"}`},
}

func TestContentTypes(t *testing.T) {
	s := openSite(t)
	before := s.state(t)
	for _, call := range jsonCalls {
		for _, contentType := range []string{
			"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "text/json", "multipart/mixed; boundary=x",
			"application/json; charset", "nonsense/", "application/json, text/plain",
		} {
			a := s.do(t, call.method, call.path, contentType, strings.NewReader(call.body))
			if a.status != http.StatusUnsupportedMediaType {
				t.Errorf("%s with the type %q answers %d %s, want %d",
					a.what, contentType, a.status, a.body, http.StatusUnsupportedMediaType)
			}
		}
	}
	if after := s.state(t); len(after) != len(before) {
		t.Errorf("bodies of wrong types changed the library from %q to %q", before, after)
	}
	for _, call := range jsonCalls {
		a := s.do(t, call.method, call.path, "Application/JSON; charset=utf-8", strings.NewReader(call.body))
		if a.status >= 300 && a.status != http.StatusConflict { // the two routes have one name
			t.Errorf("%s with its charset answers %d %s, want success", a.what, a.status, a.body)
		}
	}
}

func TestTooLargeJSON(t *testing.T) {
	s := openSite(t)
	for _, call := range jsonCalls {
		for what, body := range map[string]string{
			"value":       `{"name": "` + strings.Repeat("n", maxJSON) + `"}`,
			"white space": call.body + strings.Repeat(" ", maxJSON),
		} {
			if a := s.json(t, call.method, call.path, body); a.status != http.StatusRequestEntityTooLarge {
				t.Errorf("%s with too much %s answers %d %.200s, want %d",
					a.what, what, a.status, a.body, http.StatusRequestEntityTooLarge)
			}
		}
	}
	if got, want := s.routeNames(), []string{"films", "music"}; !slices.Equal(got, want) {
		t.Errorf("after bodies that are too large the routes are %q, want %q", got, want)
	}
	if got := s.names(); len(got) != 0 {
		t.Errorf("after bodies that are too large the torrents are %q, want none", got)
	}
}

func TestChangeRoute(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "films", torrentFile("a", 1))
	for _, test := range []struct {
		route, body string
		want        routeJSON
	}{
		{"films", `{"archives": "off"}`, routeJSON{"films", "off", 1}},
		{"films", `{"archives": null, "name": null}`, routeJSON{"films", "off", 1}},
		{"films", `{"name": "films"}`, routeJSON{"films", "off", 1}},
		{"films", `{"name": "movies"}`, routeJSON{"movies", "off", 1}},
		{"movies", `{"name": "old films", "archives": "both"}`, routeJSON{"old films", "both", 1}},
		{"old%20films", `{}`, routeJSON{"old films", "both", 1}},
	} {
		a := s.json(t, http.MethodPatch, "/api/v1/routes/"+test.route, test.body)
		wantStatus(t, a, http.StatusOK)
		if got := decode[routeJSON](t, a); got != test.want {
			t.Errorf("%s with %s answers %v, want %v", a.what, test.body, got, test.want)
		}
	}
	want := []routeJSON{{"music", "folder", 0}, {"old films", "both", 1}}
	if got := decode[routeList](t, s.get(t, "/api/v1/routes")).Routes; !slices.Equal(got, want) {
		t.Errorf("after the changes the routes are %v, want %v", got, want)
	}
	// Its torrents have moved with it.
	if got := decode[torrentList](t, s.get(t, "/api/v1/torrents?route=old+films")); got.Total != 1 {
		t.Errorf("the renamed route has %d torrents, want 1", got.Total)
	}
	wantStatus(t, s.json(t, http.MethodPatch, "/api/v1/routes/films", `{}`), http.StatusNotFound)
}

func TestChangeRouteBadly(t *testing.T) {
	s := openSite(t)
	before := s.library.Routes()
	for _, body := range badRoutes {
		if a := s.json(t, http.MethodPatch, "/api/v1/routes/films", body); a.status != http.StatusBadRequest {
			t.Errorf("%s with %.80s answers %d %s, want %d", a.what, body, a.status, a.body, http.StatusBadRequest)
		}
	}
	for _, path := range []string{"nothing", "Films", "films%20", "%FF", ".hidden"} {
		if a := s.json(t, http.MethodPatch, "/api/v1/routes/"+path, `{"name": "new"}`); a.status != http.StatusNotFound {
			t.Errorf("%s answers %d %s, want %d", a.what, a.status, a.body, http.StatusNotFound)
		}
	}
	if got := s.library.Routes(); !slices.Equal(got, before) {
		t.Errorf("after what is wrong the routes are %+v, want %+v as before", got, before)
	}
}

func TestRemoveRoute(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "films", torrentFile("a", 1))
	s.mustAdd(t, "films", torrentFile("b", 2))
	s.mustAdd(t, "music", torrentFile("c", 3))
	if _, err := s.library.AddRoute("empty", "folder"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path           string
		want           int
		routes, inside []string // afterwards
	}{
		{"nothing", http.StatusNotFound, []string{"empty", "films", "music"}, []string{"a", "b", "c"}},
		{"films?torrents=maybe", http.StatusBadRequest, []string{"empty", "films", "music"}, []string{"a", "b", "c"}},
		{"films?torrents=yes", http.StatusBadRequest, []string{"empty", "films", "music"}, []string{"a", "b", "c"}},
		{"films?torrents=false", http.StatusConflict, []string{"empty", "films", "music"}, []string{"a", "b", "c"}},
		{"films?torrents=", http.StatusConflict, []string{"empty", "films", "music"}, []string{"a", "b", "c"}},
		{"films", http.StatusConflict, []string{"empty", "films", "music"}, []string{"a", "b", "c"}},
		{"empty", http.StatusNoContent, []string{"films", "music"}, []string{"a", "b", "c"}},
		{"films?torrents=true", http.StatusNoContent, []string{"music"}, []string{"c"}},
		{"films?torrents=true", http.StatusNotFound, []string{"music"}, []string{"c"}},
	} {
		a := s.delete(t, "/api/v1/routes/"+test.path)
		if a.status != test.want {
			t.Errorf("DELETE %s answers %d %s, want %d", test.path, a.status, a.body, test.want)
		}
		if a.status == http.StatusNoContent && len(a.body) > 0 {
			t.Errorf("DELETE %s answers 204 with the body %q", test.path, a.body)
		}
		if a.status == http.StatusConflict {
			if p := decode[problem](t, a); p.Route != "films" || !strings.Contains(p.Detail, "?torrents=true") {
				t.Errorf("DELETE %s answers %+v, want the route films, and how to delete it all the same", test.path, p)
			}
		}
		if got := s.routeNames(); !slices.Equal(got, test.routes) {
			t.Errorf("after DELETE %s the routes are %q, want %q", test.path, got, test.routes)
		}
		if got := s.names(); !slices.Equal(got, test.inside) {
			t.Errorf("after DELETE %s the torrents are %q, want %q", test.path, got, test.inside)
		}
	}
}

// hostileNames are names of which none may be changed on its way, nor work on whoever shows it.
var hostileNames = []string{
	`<script>alert(1)<script>`, `<img src=x onerror=alert(1)>`, `"quoted" 'twice'`, `a&amp;b`, `{"json": true}`,
	"\u202egpj.exe", "a\u2028b\u2029c", "\u200fright to left\u200e", "zero\u200bwidth", "\ufeffmark", "日本語", "emoji 🐟",
	"combining e\u0301", "100%", "100%25", "%2e%2e%2f", "a b+c", "a?b=c", "a#b", "a;b", "a:b", "...", " space ",
	"{route}", "-rf", "~", "$(reboot)", "' OR 1=1 --", "\ufffd",
}

func TestHostileRouteNames(t *testing.T) {
	s := openSite(t)
	for _, name := range hostileNames {
		body, err := json.Marshal(map[string]string{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		added := s.json(t, http.MethodPost, "/api/v1/routes", string(body))
		wantStatus(t, added, http.StatusCreated)
		wantName(t, added, name, decode[routeJSON](t, added).Name)
		again := s.json(t, http.MethodPost, "/api/v1/routes", string(body))
		wantStatus(t, again, http.StatusConflict)
		wantName(t, again, name, decode[problem](t, again).Route)
		target := location(t, "/api/v1/routes", added)
		changed := s.json(t, http.MethodPatch, target, `{"archives": "off"}`)
		wantStatus(t, changed, http.StatusOK)
		wantName(t, changed, name, decode[routeJSON](t, changed).Name)
		list := s.get(t, "/api/v1/routes")
		want := routeJSON{name, "off", 0}
		if got := decode[routeList](t, list).Routes; !slices.Contains(got, want) {
			t.Errorf("the routes are %v, want %v among them", got, want)
		}
		wantStatus(t, s.delete(t, "/api/v1/routes/"+url.PathEscape(name)), http.StatusNoContent)
	}
}

// wantName checks a name in an answer that is JSON, so that nobody takes it for a page.
func wantName(t *testing.T, a answer, want, got string) {
	t.Helper()
	if got != want {
		t.Errorf("%s answers with the name %q, want %q", a.what, got, want)
	}
	contentType := a.header.Get("Content-Type")
	if contentType != "application/json" && contentType != "application/problem+json" {
		t.Errorf("%s answers with the type %q for the name %q, want JSON", a.what, contentType, want)
	}
	if !json.Valid(a.body) {
		t.Errorf("%s answers %q for the name %q, want JSON", a.what, a.body, want)
	}
}
