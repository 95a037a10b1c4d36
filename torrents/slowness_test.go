package torrents

import (
	"context"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
)

func TestReason(t *testing.T) {
	const minute = time.Minute
	for _, test := range []struct {
		name string
		s    slowness
		want string
	}{
		{"nobody waits", slowness{silent: time.Hour, alone: time.Hour, trackerSays: "no"}, ""},
		{"just begun", slowness{waiting: true, silent: time.Second, alone: time.Second, asking: true}, ""},
		{"data comes", slowness{waiting: true, silent: time.Second, peers: 3, having: 1, choking: 1}, ""},
		{"blocked", slowness{blocked: "the interface wg0 is not there"}, "the interface wg0 is not there"},
		{"limit", slowness{waiting: true, peers: 3, having: 3, limit: 1 << 20}, "the download limit of 1.0 MiB/s is reached"},
		{"no room", slowness{waiting: true, silent: minute, peers: 3, having: 3, noRoom: true}, "the cache is full of what is pinned or being read"},
		{"no room for a moment", slowness{waiting: true, silent: time.Second, peers: 3, having: 3, noRoom: true}, ""},
		{"no limit for who does not wait", slowness{peers: 3, limit: 1 << 20}, ""},

		{"first look", slowness{waiting: true, silent: 4 * time.Second, alone: 4 * time.Second}, "looking for peers"},
		{"slow tracker", slowness{waiting: true, silent: minute, alone: 40 * time.Second, asking: true}, "looking for peers"},
		{"alone", slowness{waiting: true, silent: minute, alone: 40 * time.Second}, "no peers since 40 s"},
		{"long alone", slowness{waiting: true, silent: minute, alone: 4*minute + 59*time.Second, asking: true}, "no peers since 4 min"},
		{"refused", slowness{waiting: true, silent: minute, alone: minute, trackerSays: "unregistered torrent"}, "the tracker says: unregistered torrent"},
		{"refused, but with peers", slowness{waiting: true, silent: time.Second, peers: 1, trackerSays: "unregistered torrent"}, ""},

		{"one choked", slowness{waiting: true, silent: minute, peers: 1, having: 1, choking: 1}, "the only peer chokes us"},
		{"all choked", slowness{waiting: true, silent: minute, peers: 5, having: 5, choking: 5}, "all 5 peers choke us"},
		{"those who have it choke", slowness{waiting: true, silent: minute, peers: 5, having: 2, choking: 2}, "2 of 5 peers have the wanted pieces, and choke us"},
		{"the one that has it chokes", slowness{waiting: true, silent: minute, peers: 5, having: 1, choking: 1}, "1 of 5 peers has the wanted pieces, and chokes us"},
		{"none has it", slowness{waiting: true, silent: minute, peers: 3}, "3 peers, and none has the wanted pieces"},
		{"the only one lacks it", slowness{waiting: true, silent: minute, peers: 1}, "1 peer, and it has none of the wanted pieces"},
		{"silence", slowness{waiting: true, silent: 90 * time.Second, peers: 3, having: 3, choking: 2}, "nothing from 3 peers since 1 min"},
		{"web seed alone", slowness{waiting: true, silent: minute, alone: minute, webSeeds: 1}, "no peers, and nothing from the web seed since 1 min"},
		{"web seed beside", slowness{waiting: true, silent: minute, webSeeds: 1, peers: 2, having: 2, choking: 2}, "nothing from 2 peers since 1 min"},

		{"metadata", slowness{metadata: true, alone: 29 * time.Second}, ""},
		{"metadata, slow tracker", slowness{metadata: true, alone: 31 * time.Second, asking: true}, "looking for peers"},
		{"metadata, alone", slowness{metadata: true, alone: 49 * time.Hour}, "no peers since 2 days"},
		{"metadata, refused", slowness{metadata: true, alone: time.Second, trackerSays: "no"}, "the tracker says: no"},
		{"metadata, peers", slowness{metadata: true, peers: 12}, "12 peers, none sent the metadata yet"},
		{"metadata, a peer", slowness{metadata: true, peers: 1}, "1 peer, none sent the metadata yet"},
	} {
		if got := test.s.reason(); got != test.want {
			t.Errorf("%s: the reason is %q, want %q", test.name, got, test.want)
		}
	}
}

func TestUnitsForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 59 * time.Second: "59 s", time.Minute: "1 min", time.Hour: "1 h", 47 * time.Hour: "47 h", 72 * time.Hour: "3 days",
	} {
		if got := timeSpan(d); got != want {
			t.Errorf("timeSpan(%v) is %q, want %q", d, got, want)
		}
	}
}

// waitRead reads a piece that will not come, and returns when that is waited for.
func waitRead(t testing.TB, l *Library, shown Shown) {
	t.Helper()
	f := mustLoad(t, shown)[0]
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = f.ReadAt(ctx, make([]byte, 1), 0)
	}()
	t.Cleanup(func() { cancel(); <-done })
	await(t, "the read waits", func() bool {
		e, err := l.entry(shown.Infohash)
		if err != nil {
			t.Fatal(err)
		}
		_, waiting := e.waiting()
		return waiting
	})
}

// TestReasonOfReal has real peers that are of no use.
func TestReasonOfReal(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"a": randomBytes(50_000)})
	for _, test := range []struct {
		name  string
		start func(t testing.TB) *peer
		want  string
	}{
		{"empty", func(t testing.TB) *peer {
			p := startPeerWith(t, func(cfg *torrent.ClientConfig) { cfg.AlwaysWantConns = true })
			addEmpty(t, p, s)
			return p
		}, "1 peer, and it has none of the wanted pieces"},
		{"choking", func(t testing.TB) *peer {
			return startPeerWith(t, func(cfg *torrent.ClientConfig) { cfg.NoUpload, cfg.AlwaysWantConns = true, true }, s)
		}, "the only peer chokes us"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := newRecorder()
			l := mustOpen(t, testOptions(t, rec, test.start(t).addr))
			mustAdd(t, l, "r", s.metainfo)
			waitRead(t, l, rec.await(t, s.infohash))
			await(t, test.want, func() bool { return reasonOf(t, l, s.infohash) == test.want })
		})
	}
}

func TestReasonOfMetadata(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"a": randomBytes(50_000)})
	p := startPeer(t)
	addMagnet(t, p, s)
	l := mustOpen(t, testOptions(t, newRecorder(), p.addr))
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+s.infohash.String()); err != nil {
		t.Fatal(err)
	}
	want := "1 peer, none sent the metadata yet"
	await(t, want, func() bool { return reasonOf(t, l, s.infohash) == want })
}

func TestReasonOfLimit(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"a": randomBytes(4 << 20)})
	rec := newRecorder()
	opts := testOptions(t, rec, startPeer(t, s).addr)
	opts.Swarm.DownLimit = 300 << 10
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.metainfo)
	f := mustLoad(t, rec.await(t, s.infohash))[0]
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = f.ReadAt(ctx, make([]byte, f.Size), 0)
	}()
	want := "the download limit of 300 KiB/s is reached"
	await(t, want, func() bool { return reasonOf(t, l, s.infohash) == want })
	cancel()
	<-done
}
