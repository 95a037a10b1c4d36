package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// outside is a client to which "public.example:80" is a server of ours, and everything else is dialled with the guard.
func outside(t *testing.T, handler http.Handler) *Client {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	guarded := dialer(Guard{})
	return NewClient(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "public.example:80" {
			return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
		}
		return guarded.DialContext(ctx, network, addr)
	})
}

// TestCVE_2025_54310_Redirects: and CVE-2021-29490, CVE-2024-29028, CVE-2024-29029, CVE-2026-73080. Servers that
// fetch what users name were sent to where users cannot go: to themselves, their neighbours, and the secrets of
// clouds.
func TestCVE_2025_54310_Redirects(t *testing.T) {
	for _, host := range []string{
		"169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "[::1]", "0.0.0.0", "[::]", "127.0.0.1", "127.1.2.3",
		"10.0.0.1", "192.168.1.1", "100.100.100.200", "[fe80::1]", "localhost", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]",
	} {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusPermanentRedirect} {
			to := "http://" + host + "/latest/meta-data/"
			c := outside(t, http.RedirectHandler(to, status))
			if _, _, err := get(t.Context(), t, c, "http://public.example/a.torrent"); !errors.Is(err, ErrNotPublic) {
				t.Errorf("the redirect (%d) to %s gives %v, want ErrNotPublic", status, to, err)
			}
		}
		if _, _, err := get(t.Context(), t, client(Guard{}), "http://"+host+":1/a.torrent"); !errors.Is(err, ErrNotPublic) {
			t.Errorf("%s gives %v, want ErrNotPublic", host, err)
		}
	}
}

// TestCVE_2024_29028_Schemes: what is not HTTP is not fetched, named by users or by servers.
func TestCVE_2024_29028_Schemes(t *testing.T) {
	for _, to := range []string{
		"file:///etc/passwd", "FILE:///etc/passwd", "file://localhost/etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:70/x", "unix:///run/x.sock",
		"data:text/plain,x", "javascript:alert(1)", "jar:http://public.example/x!/", "dict://127.0.0.1:11211/stat",
	} {
		c := outside(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}))
		_, _, err := get(t.Context(), t, c, "http://public.example/a.torrent")
		if _, ok := errors.AsType[*RedirectError](err); !ok {
			t.Errorf("the redirect to %s gives %v, want a RedirectError", to, err)
		}
		if _, _, err := get(t.Context(), t, c, to); !errors.Is(err, ErrScheme) {
			t.Errorf("%s gives %v, want ErrScheme", to, err)
		}
	}
}

// flippingName is a name server to which every name is the first address at the first look, and the others from then on.
func flippingName(t *testing.T, first string, then ...string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		looks, b := 0, make([]byte, 2048)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			if q.Type == dnsmessage.TypeA {
				addrs := then
				if looks == 0 {
					addrs = []string{first}
				}
				looks++
				for _, a := range addrs {
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
						Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
					})
				}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = pc.Close()
		<-ended
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// TestCVE_2026_73080_FlippingName: a name that is public when it is looked up first, and this machine when it is
// looked up again. What is checked is the address that the socket is about to connect to, each of them.
func TestCVE_2026_73080_FlippingName(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("this machine was asked") }))
	t.Cleanup(s.Close)
	errPublic := errors.New("public: not connected to by a test")
	d := &net.Dialer{
		Resolver: flippingName(t, "8.8.8.8", "127.0.0.1", "169.254.169.254"),
		Control: func(network, address string, _ syscall.RawConn) error {
			if err := (Guard{}).CheckAddress(network, address); err != nil {
				return err
			}
			return errPublic
		},
	}
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(d.DialContext)
	for i, want := range []error{errPublic, ErrNotPublic, ErrNotPublic} {
		if _, _, err := get(t.Context(), t, c, "http://flip.example:"+port+"/a.torrent"); !errors.Is(err, want) {
			t.Errorf("look %d gives %v, want %v", i, err, want)
		}
	}
}

// TestCVE_2024_51774_URLs: a .torrent is not fetched from who cannot prove to be the server.
func TestCVE_2024_51774_URLs(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request was sent") }))
	t.Cleanup(s.Close)
	_, _, err := get(t.Context(), t, client(Guard{AllowPrivate: true}), s.URL+"/a.torrent")
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody signed gives %v, want that it is not trusted", err)
	}
}
