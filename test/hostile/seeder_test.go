//go:build linux

package hostile

import (
	"context"
	"errors"
	"testing"
	"time"

	"shoal/test/netns"
	"shoal/torrents"
)

// TestAllSeedersGone reads from nobody: an error after READ_GIVE_UP, with a reason, and right bytes again
// when a seeder returns.
func TestAllSeedersGone(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 16<<20, 256<<10)
	a, b := startSource(t, f, "127.0.0.2"), startSource(t, f, "127.0.0.3")
	const giveUp = 2 * time.Second
	l := openLibrary(t, func(o *torrents.Options) { o.ReadGiveUp = giveUp }, a.addr, b.addr)
	file := l.add(t, f)
	mustRead(t, file, f, 0, 64<<10)
	a.stop()
	b.stop()
	begin := time.Now()
	err := readPart(deadline(t), file, f, 8<<20, 64<<10)
	if took := time.Since(begin); !errors.Is(err, torrents.ErrGaveUp) || took < giveUp || took > 3*giveUp {
		t.Errorf("without seeders the read ends after %v with %v, want %v after %v", took, err, torrents.ErrGaveUp, giveUp)
	}
	if got := l.state(t, f); got.Reason == "" {
		t.Errorf("%+v has no reason", got)
	}
	a.start(t)
	// READs that were refused come again, as programs and clients do.
	eventually(t, "right after the seeder came back", func() bool {
		return readPart(deadline(t), file, f, 8<<20, 64<<10) == nil
	})
	if got := l.state(t, f); got.Reason != "" {
		t.Errorf("once it works again, the reason is still %q", got.Reason)
	}
}

// TestCorruptBesideGood has a seeder whose every block is wrong beside one that is good.
func TestCorruptBesideGood(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 64<<20, 256<<10)
	good, bad := startSource(t, f, "127.0.0.2"), startSource(t, f, "127.0.0.3")
	bad.corrupt.Store(true)
	good.pause.Store(int64(200 * time.Microsecond)) // the bad one is faster
	l := openLibrary(t, nil, good.addr, bad.addr)
	file := l.add(t, f)
	for off := int64(0); off < f.size; off += 1 << 20 {
		mustRead(t, file, f, off, 1<<20)
	}
	sent, conns := bad.sent.Load(), bad.conns.Load()
	t.Logf("the bad seeder sent %.1f MiB over %d connections, the good one %.1f MiB", mib(sent), conns, mib(good.sent.Load()))
	if sent > f.size/4 {
		t.Errorf("%.1f MiB were taken of a seeder that is always wrong", mib(sent))
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// TestOnlyCorrupt has nobody but a seeder whose every block is wrong.
func TestOnlyCorrupt(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 16<<20, 256<<10)
	bad := startSource(t, f, "127.0.0.2")
	bad.corrupt.Store(true)
	l := openLibrary(t, func(o *torrents.Options) { o.ReadGiveUp = 3 * time.Second }, bad.addr)
	file := l.add(t, f)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := readPart(ctx, file, f, 0, 1<<20); !errors.Is(err, torrents.ErrGaveUp) {
		t.Errorf("the read ends with %v, want %v", err, torrents.ErrGaveUp)
	}
	sent := bad.sent.Load()
	t.Logf("it sent %.1f MiB over %d connections", mib(sent), bad.conns.Load())
	if sent > 4<<20 {
		t.Errorf("%.1f MiB were fetched for a read of 1 MiB that can never succeed", mib(sent))
	}
}
