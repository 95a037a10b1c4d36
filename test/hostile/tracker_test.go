//go:build linux

package hostile

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/netns"
)

// resident returns how much memory a process has, in bytes.
func resident(t testing.TB, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestBadTrackers has torrents of trackers that hang, lie and send too much: their films are read right, the memory stays, and the
// appliance stops in time.
func TestBadTrackers(t *testing.T) {
	netns.Require(t)
	dead := make([]byte, 6*10_000)
	random := rand.New(rand.NewPCG(7, 8))
	for i := 0; i < len(dead); i += 6 {
		copy(dead[i:], []byte{127, byte(8 + random.IntN(200)), byte(random.IntN(256)), byte(1 + random.IntN(254)), 0, byte(1 + random.IntN(255))})
	}
	var asked atomic.Int64
	redirects := 0
	release := make(chan struct{})
	answers := map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) { wait(r, release) },
		"lies": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "d8:intervali1e5:peers%d:%se", len(dead), dead)
		},
		"nonsense": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "d8:intervali-5e5:peersl", strings.Repeat("d", 10_000))
		},
		"deep": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("l", 3<<20)) },
		"floods": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "d5:peers100000000:")
			for range 100 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		},
		"drips": func(w http.ResponseWriter, r *http.Request) {
			for range 600 {
				_, _ = w.Write([]byte("l"))
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(100 * time.Millisecond):
				case <-r.Context().Done():
					return
				case <-release:
					return
				}
			}
		},
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			redirects++
			http.Redirect(w, r, "/redirects/again", http.StatusFound)
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		answers[strings.Split(r.URL.Path, "/")[1]](w, r)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	var films []*film
	var sources []string
	for name := range answers {
		f := newFilm(t, name, 1<<20, 64<<10, announcing(s.URL+"/"+name+"/announce"))
		films = append(films, f)
		sources = append(sources, startSource(t, f, "127.0.0.2").addr)
	}
	a := appliance.Start(t, "SHOAL_ROUTES=r", "SHOAL_BT_PEERS="+strings.Join(sources, ","), "SHOAL_FETCH_ALLOW_PRIVATE=true")
	before := resident(t, a.PID())
	for _, f := range films {
		a.Upload(t, "r", f.metainfo, http.StatusCreated)
		if err := readFilm(t, a, f, 0, 128<<10); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	time.Sleep(4 * time.Second) // while they are asked again
	for _, f := range films {
		if err := readFilm(t, a, f, 512<<10, 256<<10); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	after, n := resident(t, a.PID()), asked.Load()
	t.Logf("%d requests, %.1f MiB before and %.1f MiB after", n, mib(before), mib(after))
	if int(n) < len(answers) || n > 300 {
		t.Errorf("%d requests to %d trackers in a few seconds", n, len(answers))
	}
	if after > before+200<<20 { // with the race detector, which makes four of one
		t.Errorf("%.1f MiB more memory", mib(after-before))
	}
	if code, took := a.Stop(t); code != 0 {
		t.Errorf("it ended with %d after %v", code, took)
	}
}

func wait(r *http.Request, release chan struct{}) {
	select {
	case <-r.Context().Done():
	case <-release:
	}
}
