package torrents

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
)

// withTrackers is a metainfo with other trackers and web seeds.
func withTrackers(t testing.TB, metainfo []byte, trackers []string, webSeeds ...string) []byte {
	t.Helper()
	var m map[string]any
	if err := bencode.Unmarshal(metainfo, &m); err != nil {
		t.Fatal(err)
	}
	m["announce-list"], m["url-list"] = tiers(trackers), webSeeds
	return encode(t, m)
}

func magnetOf(ih Infohash, trackers ...string) string {
	link := "magnet:?xt=urn:btih:" + ih.String()
	for _, tracker := range trackers {
		link += "&tr=" + url.QueryEscape(tracker)
	}
	return link
}

// wantMerged checks what adding a known torrent has added to it.
func wantMerged(t testing.TB, err error, trackers, webSeeds int) {
	t.Helper()
	exists, ok := errors.AsType[*ExistsError](err)
	if !ok || exists.Trackers != trackers || exists.WebSeeds != webSeeds {
		t.Fatalf("adding it again: %+v, want an ExistsError with %d trackers and %d web seeds", err, trackers, webSeeds)
	}
	if told := strings.Contains(err.Error(), "that it lacked"); told != (trackers+webSeeds > 0) {
		t.Errorf("the error is %q", err)
	}
}

// TestMergeTrackers reads a torrent that has no peer until it is added again, with a tracker.
func TestMergeTrackers(t *testing.T) {
	for _, test := range []string{"while it is read", "before"} {
		t.Run(test, func(t *testing.T) {
			s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(100_000)})
			tracker := startTracker(t, startPeer(t, s).addr).URL + "/announce"
			l, rec := openTwo(t)
			mustAdd(t, l, "r", s.metainfo)
			files := mustLoad(t, rec.await(t, s.infohash))
			add := func() {
				_, err := l.AddMetainfo("s", withTrackers(t, s.metainfo, []string{tracker}))
				wantMerged(t, err, 1, 0)
				_, err = l.AddMagnet("s", magnetOf(s.infohash, tracker))
				wantMerged(t, err, 0, 0)
			}
			if test == "before" {
				add()
				l, rec = reopen(t, l)
				files = mustLoad(t, rec.await(t, s.infohash))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			done := make(chan error)
			go func() {
				_, err := files[0].ReadAt(ctx, make([]byte, 100_000), 0)
				done <- err
			}()
			awaitMembers(t, l, 1)
			if test != "before" {
				add()
			}
			if err := <-done; err != nil {
				t.Errorf("read: %v", err)
			}
		})
	}
}

func TestMergeIntoMagnet(t *testing.T) {
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(100_000)})
	l, rec := openTwo(t)
	if _, err := l.AddMagnet("r", magnetOf(s.infohash, "http://127.0.0.1:1/dead")); err != nil {
		t.Fatal(err)
	}
	awaitMembers(t, l, 1)
	_, err := l.AddMagnet("r", magnetOf(s.infohash, "http://127.0.0.1:1/dead", startTracker(t, startPeer(t, s).addr).URL+"/announce"))
	wantMerged(t, err, 1, 0)
	rec.await(t, s.infohash) // so that tracker was asked
	// The .torrent file that was made has both.
	_, err = l.AddMagnet("r", magnetOf(s.infohash, "http://127.0.0.1:1/dead", "http://127.0.0.1:1/other"))
	wantMerged(t, err, 1, 0)
}

// TestUploadForMagnet gives the .torrent file of a magnet link that nobody answers.
func TestUploadForMagnet(t *testing.T) {
	for _, private := range []int{0, 1} {
		l, rec := openTwo(t)
		metainfo := encode(t, dict{"info": dict{
			"name": "a", "piece length": 16384, "length": 1, "pieces": hashes(1), "private": private,
		}, "announce": "http://127.0.0.1:1/own"})
		ih := infohashOf(t, metainfo)
		if _, err := l.AddMagnet("r", magnetOf(ih, "http://127.0.0.1:1/links")); err != nil {
			t.Fatal(err)
		}
		awaitMembers(t, l, 1)
		mustAdd(t, l, "s", tiny(t, "a", 2))
		got, err := l.AddMetainfo("s", metainfo)
		want := fmt.Sprintf("a [%.8s]", ih)
		if err != nil || got.State != StateIdle || got.Route != "s" || got.Name != want {
			t.Errorf("uploaded: %+v, %v; want it idle, in s as %q", got, err, want)
		}
		awaitMembers(t, l, 0)
		if shown := rec.await(t, ih); shown.Name != want {
			t.Errorf("shown as %q, want %q", shown.Name, want)
		}
		// A private torrent does not keep what a link said.
		_, err = l.AddMetainfo("r", withTrackers(t, metainfo, []string{"http://127.0.0.1:1/links"}))
		wantMerged(t, err, private, 0)
	}
}

func TestPrivateTakesNothingFromMagnets(t *testing.T) {
	l, _ := openTwo(t)
	metainfo := encode(t, dict{"info": dict{
		"name": "a", "piece length": 16384, "length": 1, "pieces": hashes(1), "private": 1,
	}})
	ih := mustAdd(t, l, "r", metainfo).Infohash
	_, err := l.AddMagnet("r", magnetOf(ih, "http://127.0.0.1:1/a"))
	wantMerged(t, err, 0, 0)
	_, err = l.AddMetainfo("r", withTrackers(t, metainfo, []string{"http://127.0.0.1:1/a"}))
	wantMerged(t, err, 1, 0)
}

func TestMissingSources(t *testing.T) {
	var many []string
	for i := range 2 * maxTrackers {
		many = append(many, fmt.Sprintf("udp://127.0.0.1:%d", i+1))
	}
	have := sources{Trackers: many[:10], WebSeeds: []string{"http://127.0.0.1/w"}}
	got := have.missing(sources{Trackers: many, WebSeeds: many})
	if !slices.Equal(got.Trackers, many[10:maxTrackers]) || len(got.WebSeeds) > 0 {
		t.Errorf("of %d trackers and as web seeds %q are missing, want those up to %d", len(many), got, maxTrackers)
	}
	odd := []string{
		"", "x", "http://", "ftp://127.0.0.1/", "ws://127.0.0.1/", "http://127.0.0.1/\xff", "http://127.0.0.1/\n", "http://[::1",
		"http://user:password@127.0.0.1/", "HTTP://127.0.0.1/",
		"http://127.0.0.1/" + strings.Repeat("x", maxSourceURL), "https://127.0.0.1/good", "https://127.0.0.1/good",
	}
	got = have.missing(sources{Trackers: odd, WebSeeds: odd})
	want := sources{
		Trackers: []string{"http://127.0.0.1/%FF", "http://127.0.0.1/", "https://127.0.0.1/good"},
		WebSeeds: []string{"http://user:password@127.0.0.1/", "HTTP://127.0.0.1/", "https://127.0.0.1/good"},
	}
	if !slices.Equal(got.Trackers, want.Trackers) || !slices.Equal(got.WebSeeds, want.WebSeeds) {
		t.Errorf("missing are %q, want %q", got, want)
	}
	// However it is spelled.
	if got := (sources{Trackers: []string{"HTTP://h/ a"}}).missing(sources{Trackers: []string{"http://h/%20a"}}); got.count() > 0 {
		t.Errorf("missing are %q, and are there", got)
	}
}

// TestMergeWebSeeds checks that they get to the engine, and stay.
func TestMergeWebSeeds(t *testing.T) {
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(100_000)})
	server := httptest.NewServer(http.FileServer(http.Dir(s.dir)))
	defer server.Close()
	l, _ := openTwo(t)
	mustAdd(t, l, "r", s.metainfo)
	_, err := l.AddMetainfo("r", withTrackers(t, s.metainfo, nil, server.URL+"/x"))
	wantMerged(t, err, 0, 1)
	_, rec := reopen(t, l)
	readFiles(t, rec.await(t, s.infohash), s.files)
}
