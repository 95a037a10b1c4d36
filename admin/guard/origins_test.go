package guard

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	const none = "" // no such header
	for _, test := range []struct {
		site, mode, dest, origin string
		reads, writes            bool
	}{
		{none, none, none, none, true, true}, // curl
		{"same-origin", "cors", "empty", "http://nas.lan:4444", true, true},
		{"same-origin", "cors", "empty", none, true, true},
		{"none", "navigate", "document", none, true, true},
		{"cross-site", "navigate", "document", none, true, false}, // a link
		{"same-site", "navigate", "document", none, true, false},
		{"cross-site", "navigate", "iframe", none, false, false},
		{"cross-site", "navigate", "object", none, false, false},
		{"cross-site", "cors", "empty", "https://evil.example", false, false},
		{"cross-site", "no-cors", "image", none, false, false},
		{"cross-site", "no-cors", "script", none, false, false},
		{"cross-site", "websocket", "empty", "https://evil.example", false, false},
		{"same-site", "cors", "empty", "http://nas.lan:8080", false, false},
		{"something new", "cors", "empty", none, false, false},
		{"Same-Origin", "cors", "empty", none, false, false},
		// Over plain HTTP, browsers send Origin alone.
		{none, none, none, "http://nas.lan:4444", true, true},
		{none, none, none, "http://nas.lan:8080", false, false},
		{none, none, none, "http://nas.lan", false, false},
		{none, none, none, "http://evil.example", false, false},
		{none, none, none, "null", false, false},
		{none, none, none, "http://nas.lan:4444.evil.example", false, false},
		{none, none, none, "http://[", false, false},
	} {
		for _, method := range []string{
			http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "PROPFIND",
		} {
			r := httptest.NewRequestWithContext(t.Context(), method, "/api/v1/events", strings.NewReader("x"))
			r.Host = "nas.lan:4444"
			r.Header.Set("Authorization", "Bearer x") // does not make a difference
			for name, value := range map[string]string{
				"Sec-Fetch-Site": test.site, "Sec-Fetch-Mode": test.mode, "Sec-Fetch-Dest": test.dest, "Origin": test.origin,
			} {
				if value != none {
					r.Header.Set(name, value)
				}
			}
			want := test.writes
			switch method {
			case http.MethodGet, http.MethodHead:
				want = test.reads
			case http.MethodOptions:
				want = test.reads && test.writes
			}
			rec, _ := ask(t, r, Origins)
			if (rec.Code == http.StatusOK) != want || !want && rec.Code != http.StatusForbidden {
				t.Errorf("%s with %+v answers %d, want it let pass: %t", method, test, rec.Code, want)
			}
		}
	}
}
