package torrents

import (
	"testing"
	"time"

	"github.com/anacrolix/torrent"
)

// TestRateLimits changes the limits in the middle of a transfer, and measures it.
func TestRateLimits(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for 20 s: left out with -short")
	}
	const slow, fast = 2 << 20, 4 << 20 // bytes per second
	s := newSample(t, "x", 256<<10, map[string][]byte{"": randomBytes(48 << 20)})
	p := startPeer(t, s)
	rec := newRecorder()
	opts := testOptions(t, rec, p.addr)
	opts.Swarm.DownLimit, opts.Swarm.UpLimit = slow, slow
	l := mustOpen(t, opts)
	if down, up := l.RateLimits(); down != slow || up != slow {
		t.Errorf("the limits are %d and %d at the start, want %d", down, up, slow)
	}
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	files := mustLoad(t, rec.await(t, s.infohash))
	read := make(chan error, 1)
	go func() {
		_, err := files[0].ReadAt(t.Context(), make([]byte, files[0].Size), 0)
		read <- err
	}()
	// What the peer has sent is no measure: megabytes of it may wait in the kernel.
	downloaded := func() int64 {
		stats := l.swarm.client.ConnStats()
		return stats.BytesReadData.Int64()
	}
	measure(t, "download", downloaded, slow)
	l.SetRateLimits(fast, slow)
	measure(t, "download after the limit was raised", downloaded, fast)
	l.SetRateLimits(slow, slow)
	measure(t, "download after the limit was lowered", downloaded, slow)
	l.SetRateLimits(0, slow)
	if down, up := l.RateLimits(); down != 0 || up != slow {
		t.Errorf("the limits are %d and %d, want 0 and %d", down, up, slow)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	leech := startPeerWith(t, func(cfg *torrent.ClientConfig) { cfg.Seed = false })
	leech.fetch(t, s, l)
	uploaded := func() int64 {
		stats := leech.client.ConnStats()
		return stats.BytesReadData.Int64()
	}
	measure(t, "upload", uploaded, slow)
	l.SetRateLimits(0, fast)
	measure(t, "upload after the limit was raised", uploaded, fast)
	l.SetRateLimits(-1, -1)
	if down, up := l.RateLimits(); down != 0 || up != 0 {
		t.Errorf("the limits are %d and %d, want none", down, up)
	}
	start, before := time.Now(), uploaded()
	for uploaded()-before < 12<<20 {
		if time.Since(start) > 2*time.Second {
			t.Fatal("without a limit, the upload is not faster than with it")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// measure checks that what counts bytes grows by want a second, within 15 %.
func measure(t *testing.T, what string, bytes func() int64, want float64) {
	t.Helper()
	for deadline, before := time.Now().Add(20*time.Second), bytes(); bytes() == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: no byte in 20 s", what)
		}
	}
	time.Sleep(500 * time.Millisecond) // what was on its way arrives
	start, before := time.Now(), bytes()
	time.Sleep(3 * time.Second)
	got := float64(bytes()-before) / time.Since(start).Seconds()
	t.Logf("%s: %.0f bytes/s, limit %.0f", what, got, want)
	if got < 0.85*want || got > 1.15*want {
		t.Errorf("%s: %.0f bytes/s, want %.0f within 15 %%", what, got, want)
	}
}
