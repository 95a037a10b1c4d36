package torrents

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// torrentSite serves .torrent files, and other things.
func torrentSite(t *testing.T, metainfo []byte, magnet string) (link string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	mux := http.NewServeMux()
	answer := func(path string, f http.HandlerFunc) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			f(w, r)
		})
	}
	answer("/good", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(metainfo) })
	answer("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/good", http.StatusMovedPermanently)
	})
	answer("/login", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write(metainfo)
	})
	answer("/magnet", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", magnet)
		w.WriteHeader(http.StatusFound)
	})
	answer("/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	answer("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "Please log in")
	})
	answer("/unlabelled", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, "\n<!DOCTYPE html>")
	})
	answer("/noise", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "d4:infoi1ee") })
	answer("/empty", func(http.ResponseWriter, *http.Request) {})
	answer("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(metainfo)
	})
	answer("/large", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	answer("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestAddURL(t *testing.T) {
	metainfo := tiny(t, "good", 1)
	magnet := "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20) + "&dn=by+redirect"
	site, _ := torrentSite(t, metainfo, magnet)
	opts := testOptions(t, newRecorder())
	opts.Swarm.AllowPrivate = true
	l := mustOpen(t, opts)
	for _, test := range []struct{ link, name string }{
		{site + "/good", "good"},
		{" " + site + "/moved\n", "good"},
		{strings.Replace(site, "http://", "http://user:secret@", 1) + "/login", "good"},
		{site + "/magnet", "by redirect"},
		{"magnet:?xt=urn:btih:" + strings.Repeat("cd", 20) + "&dn=direct", "direct"},
	} {
		got, err := l.AddURL(t.Context(), "r", test.link)
		if err != nil || got.Name != test.name {
			t.Errorf("%q gives the torrent %q, %v; want %q", test.link, got.Name, err, test.name)
			continue
		}
		if _, err := l.AddURL(t.Context(), "r", test.link); !isExists(err) {
			t.Errorf("%q again gives %v, want an ExistsError", test.link, err)
		}
		if err := l.Remove(got.Infohash); err != nil {
			t.Fatal(err)
		}
	}
}

func isExists(err error) bool {
	_, ok := errors.AsType[*ExistsError](err)
	return ok
}

// TestAddURLErrors: each says in a sentence what was wrong, and none tells a password.
func TestAddURLErrors(t *testing.T) {
	site, asked := torrentSite(t, tiny(t, "good", 1), "")
	opts := testOptions(t, newRecorder())
	opts.Swarm.AllowPrivate = true
	var said heard
	opts.Logger = said.logger()
	l := mustOpen(t, opts)
	for path, want := range map[string]string{
		"/absent": "404 Not Found", "/login": "401 Unauthorized", "/page": "web page", "/unlabelled": "web page",
		"/noise": "info", "/empty": "cannot be read", "/cut": "unexpected EOF", "/large": "larger than the 16 MiB",
		"/file": "does not lead to",
	} {
		link := strings.Replace(site, "http://", "http://who:topsecret@", 1) + path + "?passkey=topsecret"
		_, err := l.AddURL(t.Context(), "r", link)
		bad, ok := errors.AsType[*InputError](err)
		if !ok || !strings.Contains(bad.Reason, want) || !strings.Contains(bad.Reason, "127.0.0.1") {
			t.Errorf("%s gives %v, want an InputError with the host and %q", path, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s gives %v, with a secret", path, err)
		}
	}
	if said.count("topsecret") > 0 {
		t.Error("a secret is in the log")
	}
	for _, link := range []string{
		"", "good.torrent", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "http:///x", "http://%zz:topsecret@h/", "magnet:?x",
		site + "/" + strings.Repeat("a", maxURL),
	} {
		_, err := l.AddURL(t.Context(), "r", link)
		if bad, ok := errors.AsType[*InputError](err); !ok || strings.Contains(bad.Reason, "topsecret") {
			t.Errorf("%.50q gives %v, want an InputError without secrets", link, err)
		}
	}
	before := asked.Load()
	if _, err := l.AddURL(t.Context(), "nowhere", site+"/good"); !errors.Is(err, ErrNotFound) || asked.Load() != before {
		t.Errorf("into no route: %v, want %v without asking the server", err, ErrNotFound)
	}
	// By default nothing on the local network is fetched.
	l = mustOpen(t, testOptions(t, newRecorder()))
	before = asked.Load()
	_, err := l.AddURL(t.Context(), "r", site+"/good")
	if bad, ok := errors.AsType[*InputError](err); !ok || !strings.Contains(bad.Reason, "127.0.0.1 is not a public address") {
		t.Errorf("a private address gives %v, want an InputError that says so", err)
	}
	if got := names(l.Torrents()); asked.Load() != before || len(got) > 0 {
		t.Errorf("a private address was asked, or %q added", got)
	}
}

// TestAddURLEnds: with the context and with the library, whatever the server does, and while others wait.
func TestAddURLEnds(t *testing.T) {
	site, asked := torrentSite(t, nil, "")
	opts := testOptions(t, newRecorder())
	opts.Swarm.AllowPrivate = true
	l := mustOpen(t, opts)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 10)
	add := func(ctx context.Context) {
		go func() {
			_, err := l.AddURL(ctx, "r", site+"/hang")
			ended <- err
		}()
	}
	for range maxFetching + 2 {
		add(ctx)
	}
	await(t, "asked", func() bool { return asked.Load() == maxFetching })
	time.Sleep(50 * time.Millisecond)
	if n := asked.Load(); n != maxFetching {
		t.Errorf("%d are fetched at a time, want %d", n, maxFetching)
	}
	cancel()
	for range maxFetching + 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v, want Canceled", err)
		}
	}
	add(t.Context())
	await(t, "asked", func() bool { return asked.Load() > maxFetching })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("it ends with %v, want %v", err, ErrClosed)
	}
}
