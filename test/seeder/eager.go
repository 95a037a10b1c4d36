//go:build linux

package seeder

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Eager makes the daemon look for peers that wait for their first block every half second, instead of
// every ten, until the test ends. It spares a test seconds; a test that wants the usual delay of a real
// swarm leaves it out.
//
// The daemon also looks when any torrent starts, so a tiny torrent of no interest is started again and
// again.
func (d *Daemon) Eager(tb testing.TB) {
	tb.Helper()
	dir := tb.TempDir()
	path := filepath.Join(dir, "eager")
	if err := os.WriteFile(path, []byte(dir), 0o600); err != nil {
		tb.Fatal(err)
	}
	adding, cancel := context.WithTimeout(context.Background(), addLimit)
	defer cancel()
	infohash, err := d.add(adding, Create(tb, path, 16<<10, false), dir)
	if err != nil {
		tb.Fatalf("tiny torrent for transmission-daemon: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var ticking sync.WaitGroup
	ticking.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				// Errors are normal here: the daemon may be stopped at the moment.
				_ = d.rpc.call(ctx, "torrent-stop", map[string]any{"ids": []string{infohash}}, nil)
				_ = d.rpc.call(ctx, "torrent-start", map[string]any{"ids": []string{infohash}}, nil)
			case <-ctx.Done():
				return
			}
		}
	})
	tb.Cleanup(func() {
		stop()
		ticking.Wait()
	})
}
