package torrents

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"shoal/torrents/outbound"
)

// connectProxy is an HTTP proxy that passes on anything by CONNECT.
func connectProxy(t *testing.T) string {
	t.Helper()
	var passing sync.WaitGroup
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			there.Close()
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		var once sync.Once
		end := func() { once.Do(func() { here.Close(); there.Close() }) }
		passing.Go(func() { defer end(); _, _ = io.Copy(there, here) })
		passing.Go(func() { defer end(); _, _ = io.Copy(here, there) })
		passing.Go(func() { <-ended; end() })
	}))
	t.Cleanup(func() {
		close(ended)
		s.Close()
		passing.Wait()
	})
	return s.URL
}

// TestCVE_2024_51774_Certificates: qBittorrent took any certificate for 14 years. So does the engine, of trackers.
func TestCVE_2024_51774_Certificates(t *testing.T) {
	for _, way := range []string{"directly", "by proxy"} {
		t.Run(way, func(t *testing.T) {
			s := newSample(t, "file", 16384, map[string][]byte{"": randomBytes(50_000)})
			tr := &httpTracker{peer: startPeer(t, s).addr}
			tracker := httptest.NewTLSServer(tr) // its certificate, which nobody has signed, is for 127.0.0.1
			t.Cleanup(tracker.Close)
			redirect := startRedirect(t, tracker.URL+"/announce")
			web := httptest.NewTLSServer(http.FileServer(http.Dir(s.dir)))
			t.Cleanup(web.Close)

			var proxy string
			if way == "by proxy" {
				proxy = connectProxy(t)
			}
			open := func(roots *x509.CertPool, trackers, seeds []string) (*Library, *heard, Shown) {
				rec, said := newRecorder(), &heard{}
				opts := testOptions(t, rec)
				opts.Swarm.AllowPrivate, opts.Swarm.Proxy, opts.Swarm.roots = true, proxy, roots
				opts.Logger = said.logger()
				l := mustOpen(t, opts)
				mustAdd(t, l, "r", s.naming(t, trackers, seeds, false))
				return l, said, rec.await(t, s.infohash)
			}

			trusted := x509.NewCertPool()
			trusted.AddCert(tracker.Certificate())
			wrongName := strings.Replace(tracker.URL, "127.0.0.1", "localhost", 1) + "/announce"
			for what, roots := range map[string]*x509.CertPool{"the system's roots": nil, "no roots": x509.NewCertPool(), "another name": trusted} {
				trackers := []string{tracker.URL + "/announce", redirect}
				if what == "another name" {
					trackers = []string{wrongName, startRedirect(t, wrongName)}
				}
				l, said, shown := open(roots, trackers, []string{strings.Replace(web.URL, "127.0.0.1", "localhost", 1) + "/file"})
				readBeside(t, shown)
				await(t, "refused with "+what, func() bool {
					failed := 0
					for _, row := range mustTrackers(t, l, s.infohash) {
						if row.Status == TrackerFailed && strings.Contains(row.Message, outbound.ErrCertificate.Error()) {
							failed++
						}
					}
					return failed == len(trackers) && said.count("webseed request error", "x509") > 0
				})
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
			tr.mu.Lock()
			if len(tr.heard) > 0 {
				t.Errorf("a tracker with a certificate that is not trusted was told %q", tr.heard)
			}
			tr.mu.Unlock()

			for what, named := range map[string]struct{ trackers, seeds []string }{
				"tracker": {[]string{tracker.URL + "/announce"}, nil}, "redirect": {[]string{redirect}, nil}, "web seed": {nil, []string{web.URL + "/"}},
			} {
				l, _, shown := open(trusted, named.trackers, named.seeds)
				readFiles(t, shown, s.files)
				if err := l.Close(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// startRedirect is a tracker in clear that redirects to another one.
func startRedirect(t *testing.T, to string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to+"?"+r.URL.RawQuery, http.StatusFound)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/announce"
}
