//go:build linux

package fault

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/netns"
)

// TestKilled kills the appliance at random moments while several read far more than the cache holds, so that there are downloads
// and evictions all the time, and starts it again. Every byte that it ever sends is right, the library is whole, and the disk
// within the limit.
func TestKilled(t *testing.T) {
	netns.Require(t)
	const (
		kills   = 200
		limit   = 4 << 20
		piece   = 64 << 10
		readers = 4
	)
	s, other := newSample(t, 32<<20, piece), newSample(t, 1<<20, 16<<10)
	p := startPeer(t, s, other)
	a := appliance.Start(t, "SHOAL_ROUTES="+route, "SHOAL_CACHE_LIMIT="+strconv.Itoa(limit), "SHOAL_BT_PEERS="+p.addr)
	a.Upload(t, route, s.metainfo, 201)
	a.Upload(t, route, other.metainfo, 201) // which has the same name
	var read atomic.Int64
	began := time.Now()
	stop := watchDisk(cacheDir(a))
	for i := range kills {
		ctx, cancel := context.WithCancel(deadline(t))
		var all sync.WaitGroup
		for range readers {
			all.Go(func() { read.Add(readUntil(ctx, t, a, s)) })
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		a.Kill(t)
		cancel()
		all.Wait()
		if disk := onDisk(cacheDir(a)); disk > limit+piece {
			t.Errorf("killed: %d bytes are on disk, the limit is %d", disk, limit)
		}
		a.Restart(t)
		for _, want := range []*sample{s, other} {
			if got := a.Torrent(t, want.infohash); got.State == "failed" || got.Size != want.size {
				t.Errorf("after %d kills: %+v", i+1, got)
			}
		}
		if t.Failed() {
			break
		}
	}
	if most := stop(); most > limit+piece {
		t.Errorf("up to %d bytes were on disk, the limit is %d", most, limit)
	}
	if err := readAll(deadline(t), a, s); err != nil {
		t.Error(err)
	}
	t.Logf("%d kills in %v: %d MiB were read, %d MiB sent", kills, time.Since(began), read.Load()>>20, p.uploaded()>>20)
	if read.Load() < kills*piece {
		t.Error("next to nothing was read")
	}
	if strings.Contains(a.Log(), "panic") {
		t.Error("the appliance panicked")
	}
}

// readUntil reads at random until ctx ends or the connection does, and returns how many bytes it got.
func readUntil(ctx context.Context, t *testing.T, a *appliance.Appliance, s *sample) (n int64) {
	r, err := open(ctx, a.NFSPort, "/"+route, name)
	if err != nil {
		return 0 // it was killed
	}
	defer r.close()
	for {
		count := 1 + rand.IntN(200<<10)
		off := rand.Int64N(s.size - int64(count))
		b, err := r.readPatiently(ctx, off, count)
		if _, ok := errors.AsType[statusError](err); ok {
			t.Error(err)
		}
		if err != nil {
			return n
		}
		if err := s.compare(b, off); err != nil {
			t.Error(err)
			return n
		}
		n += int64(len(b))
	}
}
