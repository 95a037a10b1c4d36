package guard

import (
	"crypto/tls"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

var testProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestProxies(t *testing.T) {
	type headers = map[string][]string
	for _, test := range []struct {
		what, peer   string
		headers      headers
		addr, scheme string
		host         string
	}{
		{"nobody between", "192.168.1.5:1234", nil, "192.168.1.5", "http", "nas:4444"},
		{"a stranger lies", "192.168.1.5:1234", headers{
			"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"localhost"}, "X-Real-Ip": {"127.0.0.1"},
		}, "192.168.1.5", "http", "nas:4444"},
		{"a proxy", "10.0.0.1:1", headers{
			"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"nas.example.org"},
		}, "203.0.113.9", "https", "nas.example.org"},
		{"what the client sent is before", "10.0.0.1:1", headers{
			"X-Forwarded-For": {"127.0.0.1, 10.0.0.9, 203.0.113.9"}, "X-Forwarded-Proto": {"https, http"}, "X-Forwarded-Host": {"evil.example, nas"},
		}, "203.0.113.9", "http", "nas"},
		{"in several headers", "10.0.0.1:1", headers{"X-Forwarded-For": {"127.0.0.1", "203.0.113.9", "10.0.0.2"}}, "203.0.113.9", "http", "nas:4444"},
		{"two proxies", "10.0.0.1:1", headers{"X-Forwarded-For": {"203.0.113.9, fd00::1"}}, "203.0.113.9", "http", "nas:4444"},
		{"proxies only", "10.0.0.1:1", headers{"X-Forwarded-For": {"10.0.0.3, 10.0.0.2"}}, "10.0.0.3", "http", "nas:4444"},
		{"garbage at the end", "10.0.0.1:1", headers{"X-Forwarded-For": {"203.0.113.9, unknown"}}, "10.0.0.1", "http", "nas:4444"},
		{"garbage before a proxy", "10.0.0.1:1", headers{"X-Forwarded-For": {"<script>, 10.0.0.2"}}, "10.0.0.2", "http", "nas:4444"},
		{"an empty list", "10.0.0.1:1", headers{"X-Forwarded-For": {""}, "X-Forwarded-Host": {""}, "X-Forwarded-Proto": {"ftp"}}, "10.0.0.1", "http", "nas:4444"},
		{"IPv6 and ports", "[fd00::1]:1", headers{"X-Forwarded-For": {"[2001:db8::9]:555"}}, "2001:db8::9", "http", "nas:4444"},
		{"a port of IPv4", "10.0.0.1:1", headers{"X-Forwarded-For": {"203.0.113.9:555"}}, "203.0.113.9", "http", "nas:4444"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", headers{"X-Forwarded-For": {"::ffff:203.0.113.9"}}, "203.0.113.9", "http", "nas:4444"},
		{"the default port", "10.0.0.1:1", headers{"X-Forwarded-Proto": {"HTTPS"}, "X-Forwarded-Host": {"nas.example.org:443"}}, "10.0.0.1", "https", "nas.example.org"},
		{"another port", "10.0.0.1:1", headers{"X-Forwarded-Host": {"nas.example.org:8443"}}, "10.0.0.1", "http", "nas.example.org:8443"},
		{"a prefix", "10.0.0.1:1", headers{"X-Forwarded-Prefix": {"/evil"}}, "10.0.0.1", "http", "nas:4444"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
		r.Host, r.RemoteAddr = "nas:4444", test.peer
		maps.Copy(r.Header, test.headers)
		_, s := ask(t, r, func(next http.Handler) http.Handler { return Proxies(testProxies, next) })
		if got := ClientAddr(s.Request); got != netip.MustParseAddr(test.addr) {
			t.Errorf("%s: the client is %v, want %s", test.what, got, test.addr)
		}
		if got := Scheme(s.Request); got != test.scheme || s.Host != test.host {
			t.Errorf("%s: it is %s for %q, want %s for %q", test.what, got, s.Host, test.scheme, test.host)
		}
		for name := range test.headers {
			if got := s.Header.Values(name); len(got) > 0 {
				t.Errorf("%s: %s is %q behind, want it gone", test.what, name, got)
			}
			if len(r.Header.Values(name)) == 0 {
				t.Errorf("%s: %s was taken from the request itself", test.what, name)
			}
		}
		if s.URL.Path != "/x" {
			t.Errorf("%s: the path is %q", test.what, s.URL.Path)
		}
	}
}

// TestWithoutProxies: what is told of a request that did not come through Proxies, and by TLS.
func TestWithoutProxies(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.RemoteAddr, r.Host = "[fe80::1%eth0]:1", "[2001:DB8::1]:4444"
	r.Header.Set("X-Forwarded-Proto", "https")
	if got := ClientAddr(r); got != netip.MustParseAddr("fe80::1") || Scheme(r) != "http" || Host(r) != "2001:db8::1" {
		t.Errorf("the client is %v by %s for %q", got, Scheme(r), Host(r))
	}
	r.RemoteAddr, r.TLS = "@", &tls.ConnectionState{}
	if got := ClientAddr(r); got.IsValid() || Scheme(r) != "https" {
		t.Errorf("the client is %v by %s, want no address and https", got, Scheme(r))
	}
	_, s := ask(t, r, func(next http.Handler) http.Handler {
		return Proxies([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, next)
	})
	if got := ClientAddr(s.Request); got.IsValid() || Scheme(s.Request) != "https" {
		t.Errorf("behind Proxies, the client is %v by %s, want no address and https", got, Scheme(s.Request))
	}
}

// FuzzForwardedFor: only what a trusted proxy tells counts, however it is written.
func FuzzForwardedFor(f *testing.F) {
	f.Add("203.0.113.9, 10.0.0.2")
	f.Add(",,[::1]:80,%,10.0.0.1:x")
	f.Fuzz(func(t *testing.T, value string) {
		proxy := netip.MustParseAddr("10.0.0.1")
		if got := forwardedFor(testProxies, proxy, []string{value, "203.0.113.9"}); got != netip.MustParseAddr("203.0.113.9") {
			t.Errorf("with %q before, the client is %v", value, got)
		}
		if got := forwardedFor(testProxies, proxy, []string{value}); !got.IsValid() || got.Zone() != "" {
			t.Errorf("of %q, the client is %v", value, got)
		}
	})
}
