//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"shoal/test/libtorrent"
)

// otherName is the file of the torrent that downloads while complete data is read.
const otherName = "other.bin"

var (
	// smallWorkload is what a player's probe or a preview reads.
	smallWorkload = workload{name: "read-64K-x1", unit: "ops/s", rate: perSecond, do: func(s *session) (measured, error) {
		return s.measure(s.reads(1, peek, s.anywhere(peek)))
	}}
	busyWorkloads = []workload{smallWorkload, workloads()[0]}
)

// runBusy measures how complete data is served while another torrent downloads at full speed in the same
// appliance, and while none does. What another client that streams that torrent costs, on the same two processors, is shown as well.
func (b *bench) runBusy() error {
	say(b.out, "\nComplete data, while the same appliance does nothing else, and while it downloads another torrent.")
	if err := b.needFile(); err != nil {
		return err
	}
	dir := filepath.Join(b.Dir, "other")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, otherName)
	if err := writeRandom(path, b.Size, 2); err != nil {
		return fmt.Errorf("make the other file: %w", err)
	}
	defer func() { _ = os.Remove(path) }() // it is on the tmpfs
	other, err := makeSource(path, b.Dir, pieceLength)
	if err != nil {
		return err
	}
	seeds, err := libtorrent.Start(libtorrent.LargeBuffers, seederPort, loopback)
	if err != nil {
		return err
	}
	defer seeds.End()
	if err := seed(seeds, other, dir); err != nil {
		return err
	}
	all := figures{}
	for round := range b.SwarmRounds {
		if err := b.quietly(round, func() error { return b.busyOnce(all, other, path, round) }); err != nil {
			return err
		}
	}
	p99 := all.of("busy p99", smallWorkload.name)
	say(b.out, "")
	b.verdict(median(p99) <= 1, "busy: the p99 of a READ of 64 KiB while another torrent downloads is %s ms, has to be ≤ 1",
		spread(p99, "%.3f"))
	return nil
}

// busyOnce measures a round, with a new appliance.
func (b *bench) busyOnce(all figures, other *source, path string, round int) error {
	dir, remove, err := b.home()
	if err != nil {
		return err
	}
	defer remove()
	cache := filepath.Join(dir, "cache")
	if err := os.Mkdir(cache, 0o755); err != nil {
		return err
	}
	complete, err := fileTorrent(b.data, cache)
	if err != nil {
		return err
	}
	p, err := runShoal(b.setup, dir, "SHOAL_BT_PEERS="+seederAddr)
	if err != nil {
		return err
	}
	defer p.end()
	for _, torrent := range [][]byte{complete, other.content} {
		if _, err := upload(torrent); err != nil {
			return err
		}
	}
	s := &server{p, shoalTarget(p)}
	// What it finds is hashed when it is read first, which is not what is measured.
	if _, err := b.ask(s, wholeCourse(fileName, b.data.file(), b.Size)); err != nil {
		return err
	}
	measure := func(when string) error {
		for _, w := range busyWorkloads {
			if err := b.busyMeasure(all, s, when, w, round); err != nil {
				return err
			}
		}
		return nil
	}
	if err := measure("idle"); err != nil {
		return err
	}
	if err := b.warm(b.Size); err != nil {
		return err
	}
	err = b.whileDownloading(other, func() (int64, error) { return b.fetchAhead(other) }, func() error { return measure("busy") })
	if err != nil {
		return err
	}
	stream := func() (int64, error) {
		o, err := b.ask(s, wholeCourse(otherName, path, b.Size))
		return o.Pace.Bytes, err
	}
	return b.whileDownloading(other, stream, func() error { return measure("streamed") })
}

func wholeCourse(name, path string, size int64) task {
	return task{Workload: courseWorkload.name, Name: name, File: path, Size: size, Course: course{Whole: true}}
}

// fetchAhead has the appliance download a torrent that nobody reads, and returns how many bytes that were.
func (b *bench) fetchAhead(s *source) (int64, error) {
	if _, err := callShoal(http.MethodPost, "/api/v1/torrents/"+s.infohash+"/prefetch", "", http.NoBody, http.StatusAccepted); err != nil {
		return 0, err
	}
	for begin := time.Now(); time.Since(begin) < streamTime; time.Sleep(20 * time.Millisecond) {
		if n := cached(s); n >= b.Size {
			return n, nil
		}
	}
	return 0, fmt.Errorf("the other torrent was not downloaded within %v", streamTime)
}

// whileDownloading measures while the other torrent is downloaded, again and again from the beginning, by a function that says how many
// bytes came.
func (b *bench) whileDownloading(other *source, download func() (int64, error), measure func() error) error {
	var enough atomic.Bool
	downloaded := make(chan error, 1)
	bytes, begin := int64(0), time.Now()
	go func() {
		for {
			n, err := download()
			bytes += n
			err = errors.Join(err, again(other))
			if err != nil || enough.Load() {
				downloaded <- err
				return
			}
		}
	}()
	for cached(other) == 0 && len(downloaded) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	err := measure()
	enough.Store(true)
	if err := errors.Join(err, <-downloaded); err != nil {
		return err
	}
	say(b.out, "         meanwhile it downloaded %.0f MB/s", float64(bytes)/1e6/time.Since(begin).Seconds())
	return nil
}

// again has the appliance forget what it has of a torrent.
func again(s *source) error {
	_, err := callShoal(http.MethodDelete, "/api/v1/torrents/"+s.infohash, "", http.NoBody, http.StatusNoContent)
	if err == nil {
		_, err = upload(s.content)
	}
	return err
}

func (b *bench) busyMeasure(all figures, s *server, when string, w workload, round int) error {
	o, err := b.ask(s, task{
		Workload: w.name, Name: fileName, File: b.data.file(), Size: b.Size, Time: b.Time, Round: round, Discard: b.Discard,
	})
	if err != nil {
		return err
	}
	all.add(when+" p99", w.name, ms(o.P99))
	say(b.out, "round %d  %-8s  %-13s %s", round+1, when, w.name, describe(w, o.measured))
	return nil
}

// cached returns how many bytes of a torrent the appliance has; 0 where it does not say.
func cached(s *source) int64 {
	said, err := callShoal(http.MethodGet, "/api/v1/torrents/"+s.infohash, "", http.NoBody, http.StatusOK)
	if err != nil {
		return 0
	}
	var a added
	_ = json.Unmarshal(said, &a) // then it is 0
	return a.Cached
}
