package guard

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client is who asks, and how.
type client struct {
	addr   netip.Addr
	scheme string
}

// contextKey is of a client in the context of a request.
type contextKey struct{}

// forwarding are the headers in which proxies tell of whom they ask for. Nobody behind Proxies sees one, so that
// none is believed by mistake.
var forwarding = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto",
	"X-Forwarded-Server", "X-Real-Ip",
}

// Proxies believes what reverse proxies at trusted addresses tell of the client: its address (X-Forwarded-For), how
// it asks (X-Forwarded-Proto), and for which host (X-Forwarded-Host, which becomes the request's Host). Of lists it
// goes by the end, as proxies add there, and what is before may have been sent by anybody. Where the site is below
// the host is not for a proxy to say, but SHOAL_HTTP_BASE_PATH. From anybody else, and without trusted, such
// headers mean nothing. It makes ClientAddr, Scheme and Host work.
func Proxies(trusted []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := client{addr: peer(r), scheme: "http"}
		if r.TLS != nil {
			c.scheme = "https"
		}
		host := r.Host
		if contains(trusted, c.addr) {
			c.addr = forwardedFor(trusted, c.addr, r.Header.Values("X-Forwarded-For"))
			if proto := strings.ToLower(last(r.Header.Values("X-Forwarded-Proto"))); proto == "http" || proto == "https" {
				c.scheme = proto
			}
			if forwarded := last(r.Header.Values("X-Forwarded-Host")); forwarded != "" {
				host = withoutPort(c.scheme, forwarded)
			}
		}
		r = r.WithContext(context.WithValue(r.Context(), contextKey{}, c))
		r.Host = host
		if slices.ContainsFunc(forwarding, func(name string) bool { return r.Header[name] != nil }) {
			r.Header = r.Header.Clone()
			for _, name := range forwarding {
				delete(r.Header, name)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ClientAddr returns the address of who asks, behind trusted proxies. It has no zone, and is IPv4 if it is that in
// IPv6; not valid if the server was not asked over TCP.
func ClientAddr(r *http.Request) netip.Addr {
	if c, ok := r.Context().Value(contextKey{}).(client); ok {
		return c.addr
	}
	return peer(r)
}

// Scheme returns "http" or "https": how the client asks, which may be another way than the last proxy does.
func Scheme(r *http.Request) string {
	if c, ok := r.Context().Value(contextKey{}).(client); ok {
		return c.scheme
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// Host returns the host that the client asks, in lower case, without port and brackets: a name, or an IP address.
// With the port it is the request's Host.
func Host(r *http.Request) string { return hostname(r.Host) }

// peer is the other end of the connection.
func peer(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap().WithZone("")
}

// contains says whether addr is in one of the prefixes. Prefix.Contains is false for no address.
func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// forwardedFor goes from the last proxy, at addr, towards the client, as long as there are trusted proxies to tell
// who is before them.
func forwardedFor(trusted []netip.Prefix, addr netip.Addr, values []string) netip.Addr {
	rest := strings.Join(values, ",")
	for rest != "" && contains(trusted, addr) {
		var item string
		if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
			rest, item = rest[:comma], rest[comma+1:]
		} else {
			rest, item = "", rest
		}
		before, err := netip.ParseAddr(hostname(strings.TrimSpace(item)))
		if err != nil {
			break // whoever is before, this proxy does not say
		}
		addr = before.Unmap().WithZone("")
	}
	return addr
}

// last is the last item of a header that is a list.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	value := values[len(values)-1]
	return strings.TrimSpace(value[strings.LastIndexByte(value, ',')+1:])
}

// withoutPort takes away the port that a browser leaves out, too, of the host and of Origin.
func withoutPort(scheme, host string) string {
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return strings.TrimSuffix(host, port)
}
