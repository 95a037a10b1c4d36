package guard

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHosts(t *testing.T) {
	allowed := []string{"nas.example.org", "*.Shoal.example.", "Media.Example.NET"}
	for host, want := range map[string]bool{
		"":          true, // HTTP/1.0
		"127.0.0.1": true, "127.0.0.1:4444": true, "192.168.1.2": true, "8.8.8.8:80": true,
		"[::1]": true, "[::1]:4444": true, "[2001:db8::1]:4444": true, "[fe80::1%25eth0]:80": true, "[fe80::1%eth0]": true,
		"localhost": true, "LOCALHOST:4444": true, "localhost.": true, "a.localhost": true, "a.b.localhost:1": true,
		"nas.local": true, "NAS.Local.": true, "nas.lan:4444": true, "nas.home.arpa": true, "nas.home.arpa.:80": true,
		"shoal": true, "shoal:4444": true, "my_container": true, "shoal-1": true,
		"nas.example.org": true, "NAS.example.ORG:443": true, "nas.example.org.": true, "media.example.net": true,
		"a.shoal.example": true, "a.b.shoal.example:1": true,

		"example.org": false, "a.nas.example.org": false, "shoal.example": false, "notshoal.example": false,
		"nas.example.org.evil.example": false, "evil.example": false, "evil.example:4444": false, "evil.example.": false,
		"home.arpa": false, "arpa": true, "nothome.arpa": false, "local.evil.example": false, "127.0.0.1.evil.example": false,
		"127.0.0.1.nip.io": false, "localhost.evil.example": false, "evillocal.example": false, ".local": false, "..local": false,
		"a..local": false, "evil.example/.local": false, "evil.example#.local": false, "evil.example\\.local": false,
		"user@nas.local": false, "nas.local:port": false, "nas.local:80:80": false, "[evil.example]": false, "[::1": false,
		"evil.example .local": false, "ＮＡＳ.local": false, "nas.local..": false, strings.Repeat("a", 64) + ".local": false,
		strings.Repeat("a.", 130) + "local": false, ":80": false, ".": false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil)
		r.Host = host
		status := http.StatusMisdirectedRequest
		if want {
			status = http.StatusOK
		}
		if rec, _ := ask(t, r, func(next http.Handler) http.Handler { return Hosts(allowed, next) }); rec.Code != status {
			t.Errorf("the Host %q is answered %d, want %d", host, rec.Code, status)
		}
	}
}

func TestCheckHost(t *testing.T) {
	for pattern, want := range map[string]bool{
		"nas": true, "nas.example.org": true, "NAS.example.org.": true, "*.example.org": true, "192.168.1.2": true, "a_b": true,
		"": false, "*": false, "*.": false, "*.*.example.org": false, "nas.*": false, "*nas.example.org": false, ".example.org": false,
		"nas.example.org:80": false, "http://nas.example.org": false, "nas/shoal": false, "[::1]": false, "::1": false, "a b": false,
		"münchen.example": false, "a..b": false, strings.Repeat("a", 64): false,
	} {
		if err := CheckHost(pattern); (err == nil) != want {
			t.Errorf("CheckHost(%q) = %v, want it allowed: %t", pattern, err, want)
		}
	}
}
