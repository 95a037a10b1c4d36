package torrents

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

// withTrackers returns the sample's .torrent file with trackers, a tier each.
func (s *sample) withTrackers(t testing.TB, trackers ...string) []byte {
	t.Helper()
	var mi metainfo.MetaInfo
	if err := bencode.Unmarshal(s.metainfo, &mi); err != nil {
		t.Fatal(err)
	}
	mi.AnnounceList = tiers(trackers)
	b, err := bencode.Marshal(mi)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// glance reads a byte of a torrent of one file, for as long as it may take, which makes it join the swarm.
func glance(t testing.TB, shown Shown, wait time.Duration) error {
	t.Helper()
	files := mustLoad(t, shown)
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	_, err := files[0].ReadAt(ctx, make([]byte, 1), 0)
	return err
}

// TestOddTrackers: each of these made the engine panic, or might. None is asked over UDP, as the engine goes on
// asking those for a while after it is closed.
func TestOddTrackers(t *testing.T) {
	odd := []string{
		"", "*", "foo://x/announce", "dht://x", "http://user:password@127.0.0.1:1/announce", "HTTP://127.0.0.1:1/announce",
		"http://127.0.0.1:1/a b", "http://127.0.0.1:1/\u00e9", "http://127.0.0.1:1/%zz", "http://", "http:///announce", "udp:",
		"udp://", "ws://127.0.0.1:1", "127.0.0.1:1", "/announce",
		"http://127.0.0.1:1/?a=b#c", "http://[::1]:1/announce", "http://[::1%25lo]:1/announce", "http://127.0.0.1:99999/announce",
		"http://127.0.0.1:1/announce?", "http://127.0.0.1:1#", "http:opaque", "http://a%2eb/", "\x00",
	}
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(1000)})
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, startPeer(t, s).addr))
	if _, err := l.AddMetainfo("r", s.withTrackers(t, odd...)); err != nil {
		t.Fatal(err)
	}
	if err := glance(t, rec.await(t, s.infohash), 30*time.Second); err != nil {
		t.Errorf("a torrent with odd trackers cannot be read: %v", err)
	}
	magnet := "magnet:?xt=urn:btih:00112233445566778899aabbccddeeff00112233"
	for _, tracker := range odd {
		magnet += "&tr=" + url.QueryEscape(tracker)
	}
	if _, err := l.AddMagnet("r", magnet); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // it joins the swarm beside
}

func TestUsableTrackers(t *testing.T) {
	list := [][]string{{"HTTP://a/x", "udp://b:1"}, {"foo://c"}, {"https://d/?k=v", "http://u:p@e/"}}
	for udp, want := range map[bool][][]string{
		true:  {{"http://a/x", "udp://b:1"}, {"https://d/?k=v"}},
		false: {{"http://a/x"}, {"https://d/?k=v"}},
	} {
		if got := usableTrackers(list, udp); !reflect.DeepEqual(got, want) {
			t.Errorf("usableTrackers(%q, %t) = %q, want %q", list, udp, got, want)
		}
	}
}

// TestAnnounceIP looks at what a tracker is told.
func TestAnnounceIP(t *testing.T) {
	asked := make(chan url.Values, 10)
	tracker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query()
		_, _ = w.Write([]byte("d8:intervali1800e5:peers0:e"))
	}))
	t.Cleanup(tracker.Close)
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(1000)})
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Swarm.AnnounceIPs = []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}
	l := mustOpen(t, opts)
	if _, err := l.AddMetainfo("r", s.withTrackers(t, tracker.URL+"/announce")); err != nil {
		t.Fatal(err)
	}
	_ = glance(t, rec.await(t, s.infohash), 100*time.Millisecond) // nobody has it
	select {
	case q := <-asked:
		if q.Get("ipv4") != "192.0.2.7" || q.Get("ipv6") != "2001:db8::7" ||
			!reflect.DeepEqual(q["ip"], []string{"192.0.2.7", "2001:db8::7"}) {
			t.Errorf("the tracker was told %v, want both addresses", q)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the tracker was not asked")
	}
}
