package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"go.uber.org/goleak"

	"shoal/admin/access"
	"shoal/admin/history"
	"shoal/admin/logs"
	"shoal/torrents"
	"shoal/tree"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const testToken = "the-token-of-the-tests"

// site is an admin site with a library of its own, which has the routes films and music.
type site struct {
	library   *torrents.Library
	access    *access.Access
	watcher   *watcher
	log       *testLog
	dataDir   string
	handler   http.Handler
	elsewhere bool // the handler has another base path than openapi.yaml

	clients []Client
	readers []Reader
	refused []Refused
	nat     *NAT
	export  Export // before at()
	inside  *shelf
	history *history.History
	recent  *logs.Recent
	tree    *tree.Tree

	settings []Setting
	warnings []string
}

// openSite opens a library and its site. prepare may put files into the data folder before.
func openSite(t testing.TB, prepare ...func(dataDir string)) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{
		watcher: &watcher{shown: make(map[torrents.Infohash]torrents.Shown)},
		log:     &testLog{},
		dataDir: filepath.Join(dir, "data"),
		inside:  &shelf{},
		history: history.New(func() history.Sample { return history.Sample{} }),
		recent:  logs.NewRecent(logs.DefaultRecords, logs.DefaultBytes),
		tree:    tree.New(time.Now()),
	}
	for _, f := range prepare {
		f(s.dataDir)
	}
	// A test that wants a watch folder makes it beside the data folder.
	watch := torrents.WatchOptions{Dir: filepath.Join(dir, "watch"), Settle: time.Millisecond}
	if _, err := os.Stat(watch.Dir); err != nil {
		watch.Dir = ""
	}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	library, err := torrents.Open(torrents.Options{
		DataDir: s.dataDir, CacheDir: filepath.Join(dir, "cache"), CacheLimit: testCacheLimit,
		Routes: []string{"films", "music"}, Archives: torrents.ArchivesFolder, Watch: watch,
		ReadGiveUp: time.Hour, Idle: time.Hour,
		// Nothing that leaves this machine: no DHT, no local discovery, no port mapping, no peers.
		Swarm:   torrents.SwarmOptions{Addr: "127.0.0.1:0", TCP: true, MaxPeers: 5, AllowPrivate: true},
		Watcher: s.watcher, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := library.Close(); err != nil {
			t.Errorf("close the library: %v", err)
		}
	})
	s.library = library
	s.access = openAccess(t, s.dataDir)
	s.handler = s.at("/")
	return s
}

// accessFile is one with the password testPassword. It is made once, as hashing takes long.
var accessFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "access")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "access.json")
	a, err := access.Open(access.Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	err = a.ChangePassword(context.Background(), netip.Addr{}, a.FirstPassword(), testPassword)
	if err := errors.Join(err, a.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

const testPassword = "the password of the tests"

// openAccess lets in who has testToken, or testPassword.
func openAccess(t testing.TB, dir string) *access.Access {
	t.Helper()
	b, err := accessFile()
	if err != nil {
		t.Fatal(err)
	}
	// Beside the data folder, as tests compare what is in there.
	path := filepath.Join(filepath.Dir(dir), "access.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := access.Open(access.Options{Path: path, Token: testToken, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close the access: %v", err)
		}
	})
	return a
}

// testCacheLimit is that of the tests, in bytes, so that they go by no disk.
const testCacheLimit = 1 << 30

// testMetrics is what the handler of the tests answers with.
const testMetrics = "shoal_tests 1\n"

// at is the site at a base path.
func (s *site) at(base string) http.Handler {
	s.export.Refused = func() []Refused { return s.refused }
	s.export.NAT = func() *NAT { return s.nat }
	return New(Options{
		Library: s.library, Logs: s.recent, Archives: torrents.ArchivesBoth, Access: s.access, BasePath: base, Version: "v1",
		AllowedHosts: []string{"example.com"}, // of httptest.NewRequest
		Clients:      func() []Client { return s.clients },
		Readers:      func() []Reader { return s.readers },
		Export:       s.export,
		Settings:     s.settings, Warnings: s.warnings, Libraries: []Library{{"lib", "v1.2", "MIT"}},
		Tree:    s.tree,
		Inside:  s.inside,
		History: s.history,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = w.Write([]byte(testMetrics))
		}),
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	})
}

// failedTorrent puts a torrent whose record cannot be read into a data folder.
func failedTorrent(t testing.TB, ih torrents.Infohash) func(dataDir string) {
	t.Helper()
	return func(dataDir string) {
		dir := filepath.Join(dataDir, "torrents")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ih.String()+".json"), []byte("garbage"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// watcher remembers the torrents, so that a test can read them.
type watcher struct {
	mu    sync.Mutex
	shown map[torrents.Infohash]torrents.Shown
}

func (w *watcher) PutRoute(torrents.Route)                    {}
func (w *watcher) RemoveRoute(uint64)                         {}
func (w *watcher) RemoveTorrent(torrents.Infohash, time.Time) {}

func (w *watcher) PutTorrent(s torrents.Shown) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown[s.Infohash] = s
}

// testLog keeps what is logged. Goroutines of the library write it too.
type testLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// answer is a response that was read.
type answer struct {
	what   string // is answered, for messages
	status int
	header http.Header
	body   []byte
}

// send asks handler, and checks what holds for every answer: its headers, and that it is a problem
// if it is an error.
func send(t testing.TB, handler http.Handler, r *http.Request) answer {
	t.Helper()
	rec := httptest.NewRecorder()
	handler.ServeHTTP(rec, r)
	resp := rec.Result()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{r.Method + " " + r.URL.Path, resp.StatusCode, resp.Header, body}
	checkHeaders(t, a)
	if a.status >= 400 {
		checkProblem(t, a)
	}
	return a
}

// do asks the site with the token, and checks that its answer is one that openapi.yaml tells of.
func (s *site) do(t testing.TB, method, target, contentType string, body io.Reader) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, body)
	r.Header.Set("Authorization", "Bearer "+testToken)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	a := send(t, s.handler, r)
	if !s.elsewhere {
		checkDocumented(t, r, a)
	}
	return a
}

func (s *site) get(t testing.TB, target string) answer {
	t.Helper()
	return s.do(t, http.MethodGet, target, "", nil)
}

func (s *site) delete(t testing.TB, target string) answer {
	t.Helper()
	return s.do(t, http.MethodDelete, target, "", nil)
}

// json sends a body that is, or should be, JSON.
func (s *site) json(t testing.TB, method, target, body string) answer {
	t.Helper()
	return s.do(t, method, target, "application/json", strings.NewReader(body))
}

// part is a part of a form: a file if it has a file name.
type part struct {
	field, fileName string
	content         []byte
}

func (s *site) upload(t testing.TB, parts ...part) answer {
	t.Helper()
	contentType, body := form(t, parts...)
	return s.do(t, http.MethodPost, "/api/v1/torrents", contentType, bytes.NewReader(body))
}

func form(t testing.TB, parts ...part) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		var pw io.Writer
		var err error
		if p.fileName != "" {
			pw, err = w.CreateFormFile(p.field, p.fileName)
		} else {
			pw, err = w.CreateFormField(p.field)
		}
		if err == nil {
			_, err = pw.Write(p.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

// inRoute is the field of a form that says where the torrents go.
func inRoute(name string) part { return part{field: "route", content: []byte(name)} }

// file is a .torrent file in a form.
func file(name string, content []byte) part { return part{"torrent", name, content} }

func wantStatus(t testing.TB, a answer, want int) {
	t.Helper()
	if a.status != want {
		t.Fatalf("%s answers %d %s, want %d", a.what, a.status, a.body, want)
	}
}

// decode reads the body of an answer, which has to have no other members than v.
func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s answers %q, which cannot be read: %v", a.what, a.body, err)
	}
	return v
}

// location is the URL that the header Location of an answer to target means.
func location(t testing.TB, target string, a answer) string {
	t.Helper()
	base, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	header := a.header.Get("Location")
	u, err := base.Parse(header)
	if err != nil || header == "" {
		t.Fatalf("%s answers with the Location %q, which means nothing: %v", a.what, header, err)
	}
	return u.String()
}

// securityHeaders are in every answer.
var securityHeaders = map[string]string{
	"X-Content-Type-Options": "nosniff",
	"X-Frame-Options":        "DENY",
	"Referrer-Policy":        "same-origin",
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; media-src 'self'; manifest-src 'self'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cache-Control":                "no-store",
}

func checkHeaders(t testing.TB, a answer) {
	t.Helper()
	for name, want := range securityHeaders {
		if strings.Contains(a.what, " "+fsPath) && a.header.Get(name) == indexPolicy {
			continue // stricter; that of files is tested with them
		}
		if got := a.header.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s answers %d with %s: %q, want %q", a.what, a.status, name, got, want)
		}
	}
}

// sentences begin with an upper case letter or a quote, end with a full stop, and are one line.
var sentences = regexp.MustCompile(`^[\p{Lu}"“][^\r\n]*\.$`)

func checkProblem(t testing.TB, a answer) {
	t.Helper()
	if got, want := a.header.Get("Content-Type"), "application/problem+json"; got != want {
		t.Errorf("%s answers %d with the type %q, want %q", a.what, a.status, got, want)
		return
	}
	p := decode[problem](t, a)
	if p.Status != a.status {
		t.Errorf("%s answers %d with a problem of status %d", a.what, a.status, p.Status)
	}
	if want := http.StatusText(a.status); p.Title != want {
		t.Errorf("%s answers %d with the title %q, want %q", a.what, a.status, p.Title, want)
	}
	if !sentences.MatchString(p.Detail) {
		t.Errorf("%s answers %d with the detail %q, want a sentence", a.what, a.status, p.Detail)
	}
}

// matched is the path template of the route that answers a request, "" if there is none.
func matched(t testing.TB, r *http.Request) string {
	t.Helper()
	var match mux.RouteMatch
	if !(&server{}).routes().Match(r, &match) || match.MatchErr != nil || match.Route == nil {
		return ""
	}
	template, err := pathTemplate(match.Route)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// pathTemplate is that of a route without the patterns of its variables, as in openapi.yaml.
func pathTemplate(route *mux.Route) (string, error) {
	template, err := route.GetPathTemplate()
	return strings.ReplaceAll(template, "{path:(?s:.*)}", "{path}"), err
}

// call is a route of the router with one of its methods.
type call struct{ method, template string }

// isPage says whether it is for people: openapi.yaml has the others.
func (c call) isPage() bool {
	return !strings.HasPrefix(c.template, "/api/") && !strings.HasPrefix(c.template, "/fs/") && c.template != healthPath && c.template != metricsPath
}

// calls lists what the router serves, so that a new route is tested without anybody thinking of it.
func calls(t testing.TB) []call {
	t.Helper()
	var list []call
	err := (&server{}).routes().Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		if route.GetHandler() == nil {
			return nil // a prefix
		}
		template, err := pathTemplate(route)
		if err != nil {
			return err
		}
		methods, err := route.GetMethods()
		if err != nil {
			return fmt.Errorf("%s takes any method: %w", template, err)
		}
		for _, m := range methods {
			list = append(list, call{m, template})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 10 {
		t.Fatalf("the router has %v only", list)
	}
	return list
}

// path is a path that the template matches, of a route and a torrent.
func (c call) path(t testing.TB, route, infohash string) string {
	t.Helper()
	path := strings.NewReplacer("{route}", route, "{infohash}", infohash, "{token}", "missing", "{archive}", "0", "{path}", "", "{path:.*}", "",
		"{hash}", "missing", "{file:.+}", "app.css", "{hash}/{file:.+}", "missing/app.css").Replace(c.template)
	if strings.Contains(path, "{") {
		t.Fatalf("no test knows a value for a variable of %s; name it here", c.template)
	}
	return path
}

// torrentFile is a .torrent of a single file of some bytes. Nobody has its data.
func torrentFile[N int | int64](name string, size N) []byte {
	const pieceLength = 16384
	hashes := strings.Repeat("h", int(20*((size+pieceLength-1)/pieceLength)))
	return fmt.Appendf(nil, "d4:infod6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:%see",
		size, len(name), name, pieceLength, len(hashes), hashes)
}

// completeTorrent is a .torrent of a folder with an empty file: nothing is missing.
func completeTorrent(name string) []byte {
	return fmt.Appendf(nil, "d4:infod5:filesld6:lengthi0e4:pathl5:emptyeee4:name%d:%s12:piece lengthi16384e6:pieces0:ee",
		len(name), name)
}

func infohash(t testing.TB, metainfo []byte) torrents.Infohash {
	t.Helper()
	m, err := torrents.ParseMetainfo(metainfo)
	if err != nil {
		t.Fatal(err)
	}
	return m.Infohash
}

// mustAdd puts a torrent into the library, past HTTP.
func (s *site) mustAdd(t testing.TB, route string, metainfo []byte) torrents.Torrent {
	t.Helper()
	added, err := s.library.AddMetainfo(route, metainfo)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

// torrents lists the torrents of the library by name, then by infohash.
func (s *site) torrents() []torrents.Torrent {
	return slices.SortedFunc(slices.Values(s.library.Torrents()), func(a, b torrents.Torrent) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), slices.Compare(a.Infohash[:], b.Infohash[:]))
	})
}

// names lists the names of the torrents of the library.
func (s *site) names() []string {
	names := []string{}
	for _, t := range s.torrents() {
		names = append(names, t.Name)
	}
	return names
}

// routeNames lists the routes of the library.
func (s *site) routeNames() []string {
	names := []string{}
	for _, r := range s.library.Routes() {
		names = append(names, r.Name)
	}
	return names
}
