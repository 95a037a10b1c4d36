package torrents

import (
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"shoal/torrents/cache"
)

// TestPulses has a lone peer, of which was believed that it sends in pulses, send steadily: that is seen soon, though a piece takes long.
func TestPulses(t *testing.T) {
	c, err := cache.Open(cache.Options{Dir: t.TempDir(), Limit: 1 << 30, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g := cache.Geometry{PieceLength: 4 << 20, Pieces: 16, Size: 64 << 20}
	p, err := c.Open(cache.Key{1}, g, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Fetch(true)
	p.Want(cache.Span{First: 0, Last: g.Pieces - 1}, cache.Now, 1, 1)
	m := &member{pieces: p, active: 1, broken: make(chan struct{})}
	close(m.broken) // there is no engine
	l := newPipeline(m)
	for i := range g.Pieces {
		l.wanted[i], l.told[i] = wish{cache.Now, 1, i}, cache.Now
	}
	for i := range l.gaps {
		l.gaps[i] = pulseGap + 50*time.Millisecond
	}
	stop := make(chan struct{})
	var peer sync.WaitGroup
	peer.Go(func() {
		at := time.NewTicker(1600 * time.Microsecond) // 10 MB/s
		defer at.Stop()
		for piece := range g.Pieces {
			for off := int64(0); off < g.PieceLength; off += chunk {
				select {
				case <-stop:
					return
				case <-at.C:
				}
				_, _ = p.WriteAt(piece, make([]byte, chunk), off)
			}
			_, _ = p.Hash(piece, io.Discard, g.PieceLength)
			p.Verified(piece)
		}
	})
	defer peer.Wait()
	defer close(stop)
	began := time.Now()
	for l.pulses() {
		select {
		case <-p.Changed():
			p.Changes()
			l.step()
		case <-time.After(time.Second):
			t.Fatal("nobody looks")
		}
		if time.Since(began) > 4*time.Second {
			t.Fatalf("after %v of 10 MB/s the longest gaps are %v", time.Since(began), l.gaps)
		}
	}
}
