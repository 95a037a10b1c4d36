// Package guard keeps from the site what a browser can be made to ask by other sites, and what a name that
// changes its address can (DNS rebinding). Its handlers go around the whole router, in this order: Headers,
// Proxies, Hosts, Origins. So they see what no route takes, too.
//
// What is refused is answered with a sentence, as HTML for who accepts that, else as problem+json (RFC 9457),
// and nothing behind runs.
package guard

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"
)

// headers are in every response. A handler may set other values of Cache-Control and
// Content-Security-Policy.
var headers = map[string]string{
	"X-Content-Type-Options": "nosniff",
	"X-Frame-Options":        "DENY",
	// With no-referrer browsers send "Origin: null" with forms, which over plain HTTP, without
	// Sec-Fetch-Site, looks like another site's: nobody could log in.
	"Referrer-Policy": "same-origin",
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; media-src 'self'; manifest-src 'self'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Cache-Control":                "no-store",
}

// Headers sets the headers that tell a browser what it may do with a response.
func Headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for name, value := range headers {
			h.Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers with a sentence.
func refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	title := http.StatusText(status)
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\">\n<title>%s</title>\n<p>%s</p>\n", title, html.EscapeString(detail))
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(struct { // the client may be gone
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{title, status, detail})
}
