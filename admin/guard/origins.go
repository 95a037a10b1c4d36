package guard

import (
	"net/http"
	"net/url"
)

// Origins refuses with 403 what a page of another site made a browser ask. What changes something is for
// http.CrossOriginProtection to decide. The answer to GET and HEAD is not for such a page either, least of all a
// stream: only following a link here is let pass. Whoever sends neither Sec-Fetch-Site nor Origin is no browser,
// or one that shows a page of ours over plain HTTP. It goes by the request's Host, so Hosts has to come before,
// and for who is behind a proxy, Proxies.
func Origins(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if protection.Check(r) != nil || !mayRead(r) {
			refuse(w, r, http.StatusForbidden, "A page of another site asked for this, so it was not done. "+
				"If it was a page of Shoal, the reverse proxy in between changes the header Host: let it pass that on.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mayRead is what http.CrossOriginProtection is for methods that it takes for safe.
func mayRead(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		origin := r.Header.Get("Origin")
		if origin == "" {
			return true
		}
		u, err := url.Parse(origin)
		return err == nil && u.Host == r.Host
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	}
	return false
}
