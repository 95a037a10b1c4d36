package guard

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// seen is what a handler behind the guard was asked; nil if it was not.
type seen struct{ *http.Request }

// ask sends r through a handler that is made around one that answers 200.
func ask(t *testing.T, r *http.Request, around func(http.Handler) http.Handler) (*httptest.ResponseRecorder, seen) {
	t.Helper()
	var s seen
	rec := httptest.NewRecorder()
	around(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { s.Request = r })).ServeHTTP(rec, r)
	if (rec.Code == http.StatusOK) != (s.Request != nil) {
		t.Errorf("%s %s for %q answers %d, and was handed on: %t", r.Method, r.URL, r.Host, rec.Code, s.Request != nil)
	}
	return rec, s
}

func TestHeaders(t *testing.T) {
	rec := httptest.NewRecorder()
	Headers(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(http.StatusNotFound)
	})).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	for name, want := range headers {
		if name == "Cache-Control" {
			want = "max-age=60"
		}
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if csp := rec.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
		t.Errorf("the policy is %q, want nothing unsafe", csp)
	}
}

func TestRefusal(t *testing.T) {
	for accept, want := range map[string]string{
		"":          "application/problem+json",
		"*/*":       "application/problem+json",
		"text/html": "text/html; charset=utf-8",
		"text/html,application/xhtml+xml,*/*;q=0.8": "text/html; charset=utf-8",
		"text/event-stream":                         "application/problem+json",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Host = "<script>alert(1)</script>.example"
		r.Header.Set("Accept", accept)
		rec, _ := ask(t, r, func(next http.Handler) http.Handler { return Hosts(nil, next) })
		if got := rec.Header().Get("Content-Type"); got != want || rec.Code != http.StatusMisdirectedRequest {
			t.Errorf("who accepts %q is answered %d as %q, want %q", accept, rec.Code, got, want)
		}
		if strings.HasPrefix(want, "text/html") {
			if strings.Contains(rec.Body.String(), "<script") {
				t.Errorf("the page is %q, want it harmless", rec.Body)
			}
			continue
		}
		var p struct {
			Title, Detail string
			Status        int
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Status != rec.Code || p.Title == "" ||
			!strings.Contains(p.Detail, "SHOAL_ALLOWED_HOSTS") {
			t.Errorf("the problem is %q (%v), want the status and what helps", rec.Body, err)
		}
	}
}
