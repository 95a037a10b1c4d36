package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestVerifier: a client that checks nothing, as the engine's for trackers.
func TestVerifier(t *testing.T) {
	asked := make(chan string, 10)
	answer := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path })
	good, plain := httptest.NewTLSServer(answer), httptest.NewServer(answer)
	t.Cleanup(good.Close)
	t.Cleanup(plain.Close)
	redirect := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	}))
	t.Cleanup(redirect.Close)
	wrongName := strings.Replace(good.URL, "127.0.0.1", "localhost", 1)
	roots := x509.NewCertPool()
	roots.AddCert(good.Certificate())

	for _, test := range []struct {
		what, link string
		roots      *x509.CertPool
		want       error
	}{
		{"trusted", good.URL, roots, nil},
		{"trusted, by a redirect", redirect.URL + "/?to=" + good.URL, roots, nil},
		{"two redirects", redirect.URL + "/?to=" + redirect.URL + "/?to=" + good.URL, roots, nil},
		{"in clear", plain.URL, nil, nil},
		{"the system's roots", good.URL, nil, ErrCertificate},
		{"no roots", good.URL, x509.NewCertPool(), ErrCertificate},
		{"another name", wrongName, roots, ErrCertificate},
		{"another name, by a redirect", redirect.URL + "/?to=" + wrongName, roots, ErrCertificate},
		{"not trusted, by a redirect", redirect.URL + "/?to=" + good.URL, nil, ErrCertificate},
	} {
		v := &Verifier{Roots: test.roots}
		transport := &http.Transport{
			DialContext:       v.Dial(dialer(Guard{AllowPrivate: true}).DialContext),
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, ServerName: "127.0.0.1"},
			DisableKeepAlives: true,
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.link, nil)
		if err != nil {
			t.Fatal(err)
		}
		v.Request(req)
		client := http.Client{Transport: transport}
		resp, err := client.Do(req)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s gives %v, want %v", test.what, err, test.want)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		if reached := len(asked) > 0; reached != (test.want == nil) {
			t.Errorf("%s: the server was asked: %t", test.what, reached)
		}
		for len(asked) > 0 {
			<-asked
		}
	}
}

// TestVerifierForgotten: without Request nothing would be checked, so nothing is dialled.
func TestVerifierForgotten(t *testing.T) {
	l, _ := listen(t)
	conn, err := new(Verifier).Dial(dialer(Guard{AllowPrivate: true}).DialContext)(t.Context(), "tcp", l.Addr().String())
	if err == nil {
		_ = conn.Close()
		t.Error("it connects, want an error")
	}
}
