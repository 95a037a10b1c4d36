package outbound

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const limit = 1000

// server answers what a hostile or broken server may.
func server(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(path string, f http.HandlerFunc) { mux.HandleFunc(path, f) }
	answer("/good", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-bittorrent")
		_, _ = io.WriteString(w, "good")
	})
	answer("/largest", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, limit)) })
	answer("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, limit+1)) })
	answer("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 512)); err != nil {
				return
			}
		}
	})
	answer("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 1<<20))
		_ = z.Close()
	})
	answer("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
	})
	answer("/header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 2*maxHeader))
	})
	answer("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	answer("/count/", func(w http.ResponseWriter, r *http.Request) {
		before, more := strings.CutSuffix(r.URL.Path, "1")
		if more {
			http.Redirect(w, r, before, http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "good")
	})
	answer("/magnet", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "magnet:?xt=urn:btih:0123456789012345678901234567890123456789&dn=a+b")
		w.WriteHeader(http.StatusFound)
	})
	answer("/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	answer("/cookie", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		http.Redirect(w, r, "/nocookie", http.StatusFound)
	})
	answer("/nocookie", func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) > 0 {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.WriteString(w, "good")
	})
	answer("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	answer("/slow", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func client(g Guard) *Client { return NewClient(dialer(g).DialContext) }

func get(ctx context.Context, t *testing.T, c *Client, link string) (string, string, error) {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	mediaType, err := c.Get(ctx, u, limit, &b)
	if b.Len() > limit {
		t.Errorf("%s writes %d bytes, more than %d", u.Path, b.Len(), limit)
	}
	return b.String(), mediaType, err
}

func TestGet(t *testing.T) {
	s, patient, hasty := server(t), client(Guard{AllowPrivate: true}), client(Guard{AllowPrivate: true})
	hasty.time = 300 * time.Millisecond
	isErr := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for path, good := range map[string]func(error) bool{
		"/good": isErr(nil), "/largest": isErr(nil), "/count/11111": isErr(nil), "/cookie": isErr(nil),
		"/large": isErr(ErrTooLarge), "/endless": isErr(ErrTooLarge), "/bomb": isErr(ErrTooLarge),
		"/short": isErr(io.ErrUnexpectedEOF), "/loop": isErr(ErrRedirects), "/count/111111": isErr(ErrRedirects),
		"/silent": isErr(context.DeadlineExceeded), "/slow": isErr(context.DeadlineExceeded),
		"/header": func(err error) bool { return err != nil },
		"/absent": func(err error) bool {
			status, ok := errors.AsType[*StatusError](err)
			return ok && status.Code == http.StatusNotFound && strings.Contains(err.Error(), "404 Not Found")
		},
		"/magnet": func(err error) bool {
			redirect, ok := errors.AsType[*RedirectError](err)
			return ok && redirect.URL.String() == "magnet:?xt=urn:btih:0123456789012345678901234567890123456789&dn=a+b"
		},
		"/file": func(err error) bool { _, ok := errors.AsType[*RedirectError](err); return ok },
	} {
		link := strings.Replace(s.URL, "http://", "http://user:secret@", 1) + path + "?passkey=secret"
		c := patient
		if path == "/silent" || path == "/slow" {
			c = hasty
		}
		body, mediaType, err := get(t.Context(), t, c, link)
		if !good(err) {
			t.Errorf("%s gives the error %v", path, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s gives the error %v, want no secret in it", path, err)
		}
		if path == "/good" && (body != "good" || mediaType != "application/x-bittorrent") {
			t.Errorf("the answer is %q of type %q", body, mediaType)
		}
	}
}

func TestGetScheme(t *testing.T) {
	for _, link := range []string{"file:///etc/passwd", "ftp://example.org/x", "magnet:?x", "http:///x", "//example.org/x", "x", ""} {
		if _, _, err := get(t.Context(), t, client(Guard{}), link); !errors.Is(err, ErrScheme) {
			t.Errorf("%q gives %v, want ErrScheme", link, err)
		}
	}
}

// TestGetPrivate: neither directly, nor by a name, nor by a redirect.
func TestGetPrivate(t *testing.T) {
	touched := make(chan struct{}, 10)
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { touched <- struct{}{} }))
	t.Cleanup(inner.Close)
	for _, link := range []string{inner.URL, strings.Replace(inner.URL, "127.0.0.1", "localhost", 1)} {
		if _, _, err := get(t.Context(), t, client(Guard{}), link); !errors.Is(err, ErrNotPublic) {
			t.Errorf("%s gives %v, want ErrNotPublic", link, err)
		}
	}
	// A server that seems to be public: the dialer connects it to one of ours.
	outer := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusFound))
	t.Cleanup(outer.Close)
	guarded := dialer(Guard{})
	c := NewClient(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "tracker.example:80" {
			return (&net.Dialer{}).DialContext(ctx, network, outer.Listener.Addr().String())
		}
		return guarded.DialContext(ctx, network, addr)
	})
	if _, _, err := get(t.Context(), t, c, "http://tracker.example/x"); !errors.Is(err, ErrNotPublic) {
		t.Errorf("the redirect to %s gives %v, want ErrNotPublic", inner.URL, err)
	}
	if len(touched) > 0 {
		t.Error("a private address was contacted")
	}
}

func TestGetCanceled(t *testing.T) {
	s := server(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, _, err := get(ctx, t, client(Guard{AllowPrivate: true}), s.URL+"/silent"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v, want that of the context", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it returns after %v", took)
	}
}
