package admin

import (
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/admin/guard"
)

// TestAdvisory_nzbdav_NothingWithoutToken: nzbdav 0.2.46 to 0.6.1 and AltMount left routes outside of the login.
func TestAdvisory_nzbdav_NothingWithoutToken(t *testing.T) {
	s := openSite(t)
	before := s.state(t)
	for _, c := range calls(t) {
		path := c.path(t, "films", strings.Repeat("0", 40))
		r := httptest.NewRequestWithContext(t.Context(), c.method, path, strings.NewReader(`{"name": "new"}`))
		r.Header.Set("Content-Type", "application/json")
		a := send(t, s.handler, r)
		// The short list of what is for everybody.
		if want := map[string]int{
			"GET /healthz": http.StatusOK, "HEAD /healthz": http.StatusOK, "GET /login": http.StatusOK, "HEAD /login": http.StatusOK,
			"GET /static/{hash}/{file:.+}": http.StatusNotFound, "HEAD /static/{hash}/{file:.+}": http.StatusNotFound,
			"POST /login": http.StatusUnsupportedMediaType,
		}[c.method+" "+c.template]; want != 0 {
			if a.status != want {
				t.Errorf("%s without a token answers %d, want %d", a.what, a.status, want)
			}
			continue
		}
		checkUnauthorized(t, a, "no credentials")
	}
	// Nor does it say what there is.
	for _, path := range []string{"/", "/nothing", "/healthz/", "/healthz/x", "//healthz", "/api/v1/nothing"} {
		a := send(t, s.handler, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		checkUnauthorized(t, a, "no credentials")
	}
	if after := s.state(t); !maps.Equal(before, after) {
		t.Errorf("requests without a token changed the library from %q to %q", before, after)
	}
}

func checkUnauthorized(t *testing.T, a answer, credentials string) {
	t.Helper()
	if a.status != http.StatusUnauthorized {
		t.Errorf("%s with %s answers %d, want %d", a.what, credentials, a.status, http.StatusUnauthorized)
		return
	}
	if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer ") {
		t.Errorf("%s with %s answers with WWW-Authenticate: %q, want Bearer", a.what, credentials, got)
	}
}

func TestCredentials(t *testing.T) {
	s := openSite(t)
	for _, test := range []struct {
		header, query string
		allowed       bool
	}{
		{header: "Bearer " + testToken, allowed: true},
		{header: "bearer " + testToken, allowed: true},
		{header: "BEARER " + testToken, allowed: true},
		{header: "Bearer wrong"},
		{header: "Bearer"},
		{header: "Bearer "},
		{header: testToken},
		{header: " " + testToken},
		{header: "Token " + testToken},
		{header: "Basic " + testToken},
		{header: "BearerX " + testToken},
		{header: "Bearer\t" + testToken},
		{header: "Bearer " + testToken + "x"},
		{header: "Bearer " + testToken[:len(testToken)-1]},
		{header: "Bearer " + strings.ToUpper(testToken)},
		{query: "?token=" + testToken},
		{query: "?access_token=" + testToken},
		{query: "?authorization=Bearer+" + testToken},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/routes"+test.query, nil)
		r.AddCookie(&http.Cookie{Name: "token", Value: testToken})
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		a := send(t, s.handler, r)
		if test.allowed {
			if a.status != http.StatusOK {
				t.Errorf("%s with %q answers %d, want %d", a.what, test.header, a.status, http.StatusOK)
			}
			continue
		}
		checkUnauthorized(t, a, test.header+test.query)
	}
}

func TestHealth(t *testing.T) {
	a := send(t, openSite(t).handler, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
	wantStatus(t, a, http.StatusOK)
	if got, want := string(a.body), "ok\n"; got != want {
		t.Errorf("/healthz answers %q, want %q", got, want)
	}
}

func TestUnknownPaths(t *testing.T) {
	s := openSite(t)
	ih := strings.Repeat("0", 40)
	for _, path := range []string{
		"/nothing", "/healthz/", "/metrics/", "/api", "/api/v1", "/api/v1/", "/api/v1/routes/", "/api/v1/routes/a/b",
		"/api/v1/metrics", "/api/v1/readers/", "/api/v1/clients/127.0.0.1",
		"/api/v1/routes/a%2Fb", "/api/v1/torrents/", "/api/v1/torrents/" + ih + "/nothing", "/api/v2/routes", "/%3Cscript%3E",
		"/" + strings.Repeat("long", 1000),
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			if a := s.do(t, method, path, "", nil); a.status != http.StatusNotFound {
				t.Errorf("%s answers %d %s, want %d", a.what, a.status, a.body, http.StatusNotFound)
			}
		}
	}
}

// TestUncleanPaths: a redirect to the clean path would make a GET of a POST, and leave the base path.
func TestUncleanPaths(t *testing.T) {
	s := openSite(t)
	for _, path := range []string{"//healthz", "/api//v1/routes", "/api/v1/../v1/routes", "/./api/v1/routes"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if a := s.do(t, method, path, "", nil); a.status != http.StatusNotFound {
				t.Errorf("%s answers %d with the Location %q, want %d",
					a.what, a.status, a.header.Get("Location"), http.StatusNotFound)
			}
		}
	}
}

func TestMethodNotAllowed(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", torrentFile("a", 1)).Infohash.String()
	before := s.state(t)
	allowed := make(map[string][]string)
	for _, c := range calls(t) {
		path := c.path(t, "films", ih)
		allowed[path] = append(allowed[path], c.method)
	}
	for path, methods := range allowed {
		slices.Sort(methods)
		for _, method := range []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
			http.MethodOptions, http.MethodTrace, "PROPFIND", "get", "!",
		} {
			if slices.Contains(methods, method) {
				continue
			}
			a := s.do(t, method, path, "", nil)
			if a.status != http.StatusMethodNotAllowed {
				t.Errorf("%s answers %d, want %d", a.what, a.status, http.StatusMethodNotAllowed)
				continue
			}
			// RFC 9110, 15.5.6: it must say what is allowed.
			got := strings.FieldsFunc(a.header.Get("Allow"), func(r rune) bool { return r == ',' || r == ' ' })
			slices.Sort(got)
			if !slices.Equal(got, methods) {
				t.Errorf("%s answers 405 with Allow: %q, want %q", a.what, got, methods)
			}
		}
	}
	if after := s.state(t); !maps.Equal(before, after) {
		t.Errorf("methods that are not allowed changed the library from %q to %q", before, after)
	}
}

// state is the content of the library's files.
func (s *site) state(t testing.TB) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(s.dataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestCVE_2021_46398_ReadingChangesNothing: whoever can make a browser load an image must not change anything.
func TestCVE_2021_46398_ReadingChangesNothing(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", torrentFile("a", 1)).Infohash.String()
	if _, err := s.library.AddMagnet("music", "magnet:?xt=urn:btih:"+strings.Repeat("1", 40)); err != nil {
		t.Fatal(err)
	}
	files, routes, list := s.state(t), s.library.Routes(), s.torrents()
	for _, c := range calls(t) {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, as := range []string{http.MethodPost, http.MethodDelete, http.MethodPatch} {
				target := c.path(t, "films", ih) + "?torrents=true&name=new&_method=" + as
				r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(`{"name": "new"}`))
				r.Header.Set("Authorization", "Bearer "+testToken)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-Http-Method-Override", as)
				send(t, s.handler, r)
			}
		}
	}
	if got := s.library.Routes(); !slices.Equal(got, routes) {
		t.Errorf("GET and HEAD of every path made the routes %+v, before they were %+v", got, routes)
	}
	if got := s.torrents(); !slices.Equal(got, list) {
		t.Errorf("GET and HEAD of every path made the torrents %+v, before they were %+v", got, list)
	}
	if got := s.state(t); !maps.Equal(got, files) {
		t.Errorf("GET and HEAD of every path made the library %q, before it was %q", got, files)
	}
}

// TestHead asks over a connection, as it is the HTTP server that leaves out the body.
func TestHead(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", torrentFile("a", 1)).Infohash.String()
	server := httptest.NewServer(s.handler)
	defer server.Close()
	ask := func(method, path string) (int, http.Header) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+testToken)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		resp.Header.Del("Date")
		return resp.StatusCode, resp.Header
	}
	for _, c := range calls(t) {
		if c.method != http.MethodGet || strings.HasPrefix(c.template, staticPath) || strings.Contains(c.template, "{token}") {
			continue
		}
		path := c.path(t, "films", ih)
		getStatus, get := ask(http.MethodGet, path)
		headStatus, head := ask(http.MethodHead, path)
		if getStatus != http.StatusOK || headStatus != http.StatusOK {
			t.Errorf("%s: GET answers %d and HEAD %d, want %d", path, getStatus, headStatus, http.StatusOK)
		}
		if !maps.EqualFunc(get, head, slices.Equal) {
			t.Errorf("%s: HEAD answers with %v, GET with %v", path, head, get)
		}
	}
}

// moveTo puts the site below another base path.
func (s *site) moveTo(base string) {
	s.elsewhere = true
	s.handler = s.at(base)
}

func TestBasePath(t *testing.T) {
	for _, base := range []string{"/shoal", "/shoal/", "/a/b"} {
		t.Run(strings.ReplaceAll(base, "/", "_"), func(t *testing.T) {
			s := openSite(t)
			s.moveTo(base)
			base := strings.TrimSuffix(base, "/")
			health := httptest.NewRequestWithContext(t.Context(), http.MethodGet, base+"/healthz", nil)
			wantStatus(t, send(t, s.handler, health), http.StatusOK)
			wantStatus(t, s.get(t, base+"/api/v1/routes"), http.StatusOK)
			wantStatus(t, s.get(t, base+"/metrics"), http.StatusOK)
			wantStatus(t, s.get(t, base+"/nothing"), http.StatusNotFound)
			added := s.json(t, http.MethodPost, base+"/api/v1/routes", `{"name": "new"}`)
			wantStatus(t, added, http.StatusCreated)
			target := location(t, base+"/api/v1/routes", added)
			wantStatus(t, s.delete(t, target), http.StatusNoContent)
		})
	}
}

// TestOutsideBasePath: what is not below the base path is another site's, so nothing is there, and
// nothing leads there.
func TestOutsideBasePath(t *testing.T) {
	s := openSite(t)
	s.moveTo("/shoal")
	for _, path := range []string{
		"/", "/shoal", "/healthz", "/metrics", "/api/v1/routes", "/shoalhealthz", "/shoals/healthz", "/shoal//healthz",
		"/shoal/api//v1/routes", "/other/shoal/healthz",
	} {
		if a := s.get(t, path); a.status != http.StatusNotFound {
			t.Errorf("%s below the base path /shoal answers %d with the Location %q, want %d",
				a.what, a.status, a.header.Get("Location"), http.StatusNotFound)
		}
	}
}

func TestPanicIsAProblem(t *testing.T) {
	var log testLog
	s := &server{log: slog.New(slog.NewTextHandler(&log, nil))}
	handler := guard.Headers(s.recovered(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the secret cause") })))
	a := send(t, handler, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/some/path", nil))
	wantStatus(t, a, http.StatusInternalServerError)
	if strings.Contains(string(a.body), "secret") {
		t.Errorf("a panic answers %q, want nothing of its cause", a.body)
	}
	if got := log.String(); !strings.Contains(got, "the secret cause") || !strings.Contains(got, "/some/path") {
		t.Errorf("a panic logs %q, want its cause and the path", got)
	}
}

// TestPanicBreaksOff: a client must not take what was sent before a panic for all there is, nor the problem for a part of it.
func TestPanicBreaksOff(t *testing.T) {
	var log testLog
	s := &server{log: slog.New(slog.NewTextHandler(&log, nil))}
	server := httptest.NewServer(NewRequestMetrics().count(s.recovered(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("the first half"))
		_ = http.NewResponseController(w).Flush()
		panic("the cause")
	}))))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "the first half" {
		t.Errorf("the answer is %q, %v, want what was sent before the panic, and an error", body, err)
	}
	if !strings.Contains(log.String(), "the cause") {
		t.Errorf("the log has %q, want the cause", log.String())
	}
}

func TestInternalError(t *testing.T) {
	s := openSite(t)
	if err := os.RemoveAll(s.dataDir); err != nil {
		t.Fatal(err)
	}
	a := s.json(t, http.MethodPost, "/api/v1/routes", `{"name": "new"}`)
	wantStatus(t, a, http.StatusInternalServerError)
	if strings.Contains(string(a.body), s.dataDir) {
		t.Errorf("%s answers %q, want nothing of the paths inside", a.what, a.body)
	}
	if !strings.Contains(s.log.String(), s.dataDir) {
		t.Errorf("%s logs %q, want the path that could not be written", a.what, s.log)
	}
}

func TestWhileStopping(t *testing.T) {
	s := openSite(t)
	if err := s.library.Close(); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s.json(t, http.MethodPost, "/api/v1/routes", `{"name": "new"}`), http.StatusServiceUnavailable)
	wantStatus(t, s.upload(t, inRoute("films"), file("a.torrent", torrentFile("a", 1))), http.StatusServiceUnavailable)
	wantStatus(t, s.json(t, http.MethodPost, "/api/v1/torrents",
		`{"route": "films", "magnet": "magnet:?xt=urn:btih:`+strings.Repeat("1", 40)+`"}`), http.StatusServiceUnavailable)
}
