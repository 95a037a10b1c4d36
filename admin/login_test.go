package admin

import (
	"net/http"
	"testing"
)

// TestProxyWithOwnLogin: a browser sends what a reverse proxy has asked it for to us, too, and the session counts all the same.
func TestProxyWithOwnLogin(t *testing.T) {
	s := openSite(t)
	cookie := s.logIn(t, testPassword)
	for _, test := range []struct {
		header string
		want   int
	}{
		{"Basic dXNlcjpwYXNz", http.StatusOK},
		{"digest username=user", http.StatusOK},
		{"Bearer wrong", http.StatusUnauthorized},
		{"Negotiate x", http.StatusUnauthorized},
	} {
		wantStatus(t, s.browseAs(t, cookie, "/api/v1/routes", nil, "Authorization", test.header, "Accept", "*/*"), test.want)
		wantStatus(t, s.browseAs(t, "", "/api/v1/routes", nil, "Authorization", test.header, "Accept", "*/*"), http.StatusUnauthorized)
	}
}
