package torrents

import (
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnnounceAgain has a torrent that leaves the swarm and comes back, and whose only peer a tracker knows.
func TestAnnounceAgain(t *testing.T) {
	const piece = 16 << 10
	s := newSample(t, "show", piece, map[string][]byte{"a": randomBytes(100 * piece)})
	p := startPeer(t, s)
	var started atomic.Int64
	address := answeringTracker(t, func(query url.Values) dict {
		if query.Get("event") == "started" {
			started.Add(1)
		}
		if query.Get("event") == "started" && query.Get("left") == "0" {
			t.Error("the tracker is told that nothing is left")
		}
		return dict{"interval": 1800, "complete": 1, "peers": compact(p.addr)}
	})
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Swarm.AllowPrivate = true
	opts.Idle = 100 * time.Millisecond
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.naming(t, []string{address}, nil, false))
	f := mustLoad(t, rec.await(t, s.infohash))[0]
	for i := range int64(3) {
		done := make(chan error, 1)
		go func() {
			_, err := f.ReadAt(t.Context(), make([]byte, 1), 30*i*piece)
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("read %d has got nothing for 20 s; the trackers are %+v", i, mustTrackers(t, l, s.infohash))
		}
		if got := started.Load(); got != i+1 {
			t.Errorf("after read %d the tracker was told %d times that it started", i, got)
		}
		await(t, "the torrent leaves the swarm", func() bool { return l.swarm.member(s.infohash) == nil })
	}
}
