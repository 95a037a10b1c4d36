package admin

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// scrape returns the lines of metrics with one of the prefixes, but those that are 0.
func scrape(t *testing.T, m *RequestMetrics, prefixes ...string) []string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("the metrics cannot be had: %d %s", rec.Code, rec.Body)
	}
	var lines []string
	for line := range strings.Lines(rec.Body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) && !strings.HasSuffix(line, " 0") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestRequestMetrics asks a site below a base path for what there is, what there is not, and what is refused.
func TestRequestMetrics(t *testing.T) {
	s := openSite(t)
	m := NewRequestMetrics()
	handler := New(Options{
		AllowedHosts: []string{"example.com"}, // of httptest.NewRequest
		Library:      s.library, Access: s.access, BasePath: "/shoal", Requests: m, Logger: slog.New(slog.DiscardHandler),
		Readers: func() []Reader { return nil },
	})
	for _, r := range []struct{ method, path, token string }{
		{http.MethodGet, "/shoal/healthz", ""},
		{http.MethodGet, "/shoal/api/v1/torrents/" + strings.Repeat("ab", 20), testToken},
		{http.MethodGet, "/shoal/api/v1/torrents/" + strings.Repeat("cd", 20), testToken},
		{http.MethodGet, "/shoal/api/v1/stats", testToken},
		{http.MethodGet, "/shoal/api/v1/stats", "wrong"},
		{http.MethodDelete, "/shoal/api/v1/stats", testToken},
		{http.MethodGet, "/shoal/made/up", testToken},
		{"MADEUP", "/healthz", testToken},
	} {
		req := httptest.NewRequest(r.method, r.path, nil)
		req.Header.Set("Authorization", "Bearer "+r.token)
		handler.ServeHTTP(httptest.NewRecorder(), req)
	}
	m.Login(LoginWrong)
	want := []string{
		`shoal_http_requests_total{code="200",route="/api/v1/stats"} 1`,
		`shoal_http_requests_total{code="200",route="/healthz"} 1`,
		`shoal_http_requests_total{code="401",route="other"} 1`,
		`shoal_http_requests_total{code="404",route="/api/v1/torrents/{infohash}"} 2`,
		`shoal_http_requests_total{code="404",route="other"} 2`,
		`shoal_http_requests_total{code="405",route="other"} 1`,
		`shoal_http_request_duration_seconds_count{route="/api/v1/stats"} 1`,
		`shoal_http_request_duration_seconds_count{route="/api/v1/torrents/{infohash}"} 2`,
		`shoal_http_request_duration_seconds_count{route="/healthz"} 1`,
		`shoal_http_request_duration_seconds_count{route="other"} 4`,
		`shoal_http_sent_bytes_total{route="/healthz"} 3`,
		`shoal_logins_total{result="wrong"} 1`,
	}
	got := scrape(t, m, "shoal_http_requests", "shoal_http_request_duration_seconds_count", `shoal_http_sent_bytes_total{route="/h`,
		"shoal_logins", "shoal_http_streams")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the metrics are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if problems, err := testutil.CollectAndLint(m); err != nil || len(problems) > 0 {
		t.Errorf("what Prometheus thinks of the names: %v, %v", problems, err)
	}
}

// TestCountedStreams has a stream open, over a real connection, and a handler that panics.
func TestCountedStreams(t *testing.T) {
	m := NewRequestMetrics()
	open, end := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(m.count(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		if _, ok := w.(http.Flusher); !ok {
			t.Error("the writer is no http.Flusher")
		}
		close(open)
		<-end
	})))
	defer server.Close()
	client := server.Client()
	resp, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	<-open
	if got := testutil.ToFloat64(m.streams); got != 1 {
		t.Errorf("%v streams are open, want 1", got)
	}
	close(end)
	_ = resp.Body.Close()
	if resp, err := client.Get(server.URL + "/panic"); err == nil {
		_ = resp.Body.Close()
		t.Error("a handler that panics answers")
	}
	server.Close() // waits for the handlers
	if got := testutil.ToFloat64(m.streams); got != 0 {
		t.Errorf("%v streams are open, want none", got)
	}
	if got := scrape(t, m, "shoal_http_request_duration_seconds_count"); len(got) != 1 {
		t.Errorf("durations are %q, want that of the panic only", got)
	}
}

// TestContentBytes counts what is sent of files below /fs, and of nothing else.
func TestContentBytes(t *testing.T) {
	m := NewRequestMetrics()
	for route, n := range map[string]int{"/fs/{path:.*}": 100, "/fs": 20, "/fsx": 1, unrouted: 3} {
		a := &counted{ResponseWriter: httptest.NewRecorder(), metrics: m, route: route}
		_, _ = a.Write(make([]byte, n))
	}
	if got := m.ContentBytes(); got != 120 {
		t.Errorf("%d bytes of files were sent, want 120", got)
	}
}
