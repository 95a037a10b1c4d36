package guard

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// The longest host name, and the longest of its parts (RFC 1035, 2.3.4).
const (
	maxHost  = 253
	maxLabel = 63
)

// privateDomains are those whose names no stranger can have: they are not in the public DNS.
var privateDomains = []string{"localhost", "local", "lan", "home.arpa"}

// CheckHost says what is wrong with a host name, or a pattern such as *.example.org, that is to be allowed.
func CheckHost(pattern string) error {
	name := strings.TrimPrefix(pattern, "*.")
	host := hostname(name)
	if host == "" || host != strings.ToLower(strings.TrimSuffix(name, ".")) || !isName(host) {
		return errors.New("has to be a host name without scheme and port, such as nas.example.org or *.example.org")
	}
	return nil
}

// Hosts lets pass requests for a Host that no other site can have made a name of this machine: IP addresses,
// names without a dot, those of private domains, and the allowed ones, which are host names or patterns such as
// *.example.org for all names below (see CheckHost). The others are answered 421. A request without a Host,
// which HTTP/1.0 may have and no browser sends, passes.
func Hosts(allowed []string, next http.Handler) http.Handler {
	names := make(map[string]bool)
	domains := slices.Clone(privateDomains)
	for _, pattern := range allowed {
		if domain, ok := strings.CutPrefix(pattern, "*."); ok {
			domains = append(domains, hostname(domain))
			continue
		}
		names[hostname(pattern)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostname(r.Host); r.Host == "" || isAddress(host) || isName(host) && (names[host] ||
			!strings.Contains(host, ".") ||
			slices.ContainsFunc(domains, func(d string) bool { return strings.HasSuffix(host, "."+d) })) {
			next.ServeHTTP(w, r)
			return
		}
		refuse(w, r, http.StatusMisdirectedRequest, fmt.Sprintf(
			"Shoal does not answer to the host name %.253q: open it by its address, or add the name to SHOAL_ALLOWED_HOSTS.", r.Host))
	})
}

// hostname is the host of "host" or "host:port" in lower case, without brackets and the dot at its end; "" if the
// port is none.
func hostname(hostport string) string {
	host, port, err := net.SplitHostPort(hostport)
	switch {
	case err == nil && strings.Trim(port, "0123456789") != "":
		return ""
	case err != nil:
		host = hostport
		if inside, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inside, "]") {
			host = strings.TrimSuffix(inside, "]")
		}
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isName says whether host is one in lower case, as names in certificates and URLs are: letters, digits, hyphens
// and, for containers, underscores.
func isName(host string) bool {
	if len(host) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabel || strings.ContainsFunc(label, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
		}) {
			return false
		}
	}
	return true
}
