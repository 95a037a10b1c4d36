package torrents

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// answeringTracker starts an HTTP tracker (BEP 3) whose answers are what answer returns.
func answeringTracker(t testing.TB, answer func(url.Values) dict) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(encode(t, answer(r.URL.Query())))
	}))
	t.Cleanup(server.Close)
	return server.URL + "/announce"
}

func mustTrackers(t testing.TB, l *Library, ih Infohash) []Tracker {
	t.Helper()
	list, err := l.Trackers(ih)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestListTrackers(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"a": randomBytes(50_000)})
	p := startPeer(t, s)
	good := answeringTracker(t, func(url.Values) dict {
		return dict{"interval": 1234, "complete": 7, "incomplete": 3, "peers": compact(p.addr)}
	})
	refusing := answeringTracker(t, func(url.Values) dict {
		return dict{"failure reason": "unregistered\ttorrent \xff" + strings.Repeat("!", 500)}
	})
	broken := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(broken.Close)
	deaf := "http://" + unusedAddr(t) + "/announce?passkey=secret"
	rec := newRecorder()
	opts := testOptions(t, rec) // no fixed peers: only the tracker knows one
	opts.Swarm.AllowPrivate = true
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.naming(t, []string{good, refusing, broken.URL, deaf, "dht://x"}, nil, false))

	for i, row := range mustTrackers(t, l, s.infohash) {
		wantStatus, wantKind := TrackerIdle, KindTracker
		if i >= 4 {
			wantStatus = TrackerOff // not the address of a tracker, and what the tests switch off
		}
		if i >= 5 {
			wantKind = []TrackerKind{KindDHT, KindPEX, KindLSD}[i-5]
		}
		if row.Status != wantStatus || row.Kind != wantKind || !row.Last.IsZero() {
			t.Errorf("while nobody reads, row %d is %+v, want kind %s and status %s", i, row, wantKind, wantStatus)
		}
	}

	begin := time.Now()
	readFiles(t, rec.await(t, s.infohash), s.files)
	var list []Tracker
	await(t, "four trackers have answered or failed", func() bool {
		list = mustTrackers(t, l, s.infohash)
		// That the torrent is complete by now is another announce.
		answered := func(row Tracker) bool { return !row.Last.IsZero() && row.Status != TrackerAnnouncing }
		return len(slices.DeleteFunc(slices.Clone(list[:4]), answered)) == 0
	})
	got := list[0]
	if got.URL != good || got.Status != TrackerOK || got.Seeds != 7 || got.Leechers != 3 || got.Peers != 1 || got.Message != "" {
		t.Errorf("the good tracker is %+v", got)
	}
	if wait := got.Next.Sub(got.Last); wait != 1234*time.Second || got.Last.Before(begin) {
		t.Errorf("the good tracker was asked at %v, and will be again at %v", got.Last, got.Next)
	}
	got = list[1]
	if got.Status != TrackerFailed || !strings.HasPrefix(got.Message, "unregistered torrent \uFFFD!!!") ||
		len(got.Message) > maxMessage || got.Tier != 1 || got.Failures < 1 || got.Next.Sub(got.Last) < failedPause {
		t.Errorf("the tracker that refuses is %+v", got)
	}
	if got = list[2]; got.Status != TrackerFailed || got.Message != "404 Not Found" {
		t.Errorf("the tracker with another page is %+v", got)
	}
	if got = list[3]; got.Status != TrackerFailed || !strings.Contains(got.Message, "refused") || strings.Contains(got.Message, "secret") {
		t.Errorf("the tracker that is not there is %+v", got)
	}
	if got = list[4]; got.Status != TrackerOff || !strings.Contains(got.Message, "has to begin with http") {
		t.Errorf("the tracker that cannot be used is %+v", got)
	}
}

// unusedAddr is an address of this machine where nobody listens.
func unusedAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestListTrackersOfMagnet is also about a tracker that is slow.
func TestListTrackersOfMagnet(t *testing.T) {
	hold := make(chan struct{})
	slow := answeringTracker(t, func(url.Values) dict { <-hold; return dict{"failure reason": "no"} })
	opts := testOptions(t, newRecorder())
	opts.Swarm.AllowPrivate = true
	l := mustOpen(t, opts)
	link := "magnet:?xt=urn:btih:" + strings.Repeat("1a", 20) + "&tr=" + url.QueryEscape(slow)
	added, err := l.AddMagnet("r", link)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() Tracker { return mustTrackers(t, l, added.Infohash)[0] }
	await(t, "the tracker is asked", func() bool { return ask().Status == TrackerAnnouncing })
	if got := reasonOf(t, l, added.Infohash); got != "looking for the metadata in the swarm" {
		t.Errorf("meanwhile the reason is %q", got)
	}
	close(hold)
	await(t, "the tracker answers", func() bool { return ask().Status == TrackerFailed })
	await(t, "the reason has the tracker's word", func() bool {
		return reasonOf(t, l, added.Infohash) == "the tracker says: no"
	})
	if err := l.Remove(added.Infohash); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Trackers(added.Infohash); err == nil {
		t.Error("the trackers of a torrent that was removed are listed")
	}
}

func reasonOf(t testing.TB, l *Library, ih Infohash) string {
	t.Helper()
	got, err := l.Torrent(ih)
	if err != nil {
		t.Fatal(err)
	}
	return got.Reason
}

func TestListTrackersOfPrivate(t *testing.T) {
	info := dict{"name": "p", "piece length": 16384, "length": 1, "pieces": hashes(1), "private": 1}
	opts := testOptions(t, newRecorder())
	opts.Swarm.PEX = true
	l := mustOpen(t, opts)
	private := mustAdd(t, l, "r", encode(t, dict{"info": info}))
	public := mustAdd(t, l, "r", tiny(t, "q", 1))
	for ih, want := range map[Infohash]string{
		private.Infohash: "dht off switched off, pex off the torrent is private, lsd off switched off",
		public.Infohash:  "dht off switched off, pex idle , lsd off switched off",
	} {
		var got []string
		for _, row := range mustTrackers(t, l, ih) {
			got = append(got, fmt.Sprintf("%s %s %s", row.Kind, row.Status, row.Message))
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("the ways to find peers are %q, want %q", got, want)
		}
	}
}

// TestListTrackersOfBrokenTorrent has a metainfo that is gone.
func TestListTrackersOfBrokenTorrent(t *testing.T) {
	opts := testOptions(t, newRecorder())
	l := mustOpen(t, opts)
	added := mustAdd(t, l, "r", tiny(t, "x", 1))
	if err := os.Remove(filepath.Join(opts.DataDir, torrentsDir, added.Infohash.String()+".torrent")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Trackers(added.Infohash); err == nil {
		t.Error("the trackers of a torrent without metainfo are listed")
	}
	if _, err := l.Files(added.Infohash, ""); err == nil {
		t.Error("the files of a torrent without metainfo are listed")
	}
}
