//go:build linux

package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"shoal/test/libtorrent"
)

//go:embed leech.py
var leechScript string

const (
	libtorrentName = "libtorrent"
	// streamTime is how long a download of the large file may take.
	streamTime = 10 * time.Minute
	// streamAhead is the read-ahead that is best for a stream: see the link.
	streamAhead = 16 << 20
)

// runStream measures how fast the large file can be read whose seeder is on this machine.
func (b *bench) runStream() error {
	say(b.out, "\nThe large file from a seeder on this machine, pieces of %d KiB; each time from an empty cache.", pieceLength>>10)
	if err := b.needFile(); err != nil {
		return err
	}
	addresses := []string{loopback}
	unusable := layCable()
	if unusable == nil {
		addresses = append(addresses, addressHere)
	}
	seeds, err := libtorrent.Start(libtorrent.LargeBuffers, seederPort, addresses...)
	if err != nil {
		return err
	}
	defer seeds.End()
	s, err := makeSource(b.data.file(), b.Dir, pieceLength)
	if err == nil {
		err = seed(seeds, s, b.data.export)
	}
	if err != nil {
		return err
	}
	readers := b.readerSystems(streamAhead)
	systems := []system{b.shoalSystem(), readers[0], b.libtorrentSystem()}
	all := figures{}
	for round := range b.SwarmRounds {
		if err := b.quietly(round, func() error {
			for _, sys := range rotated(systems, round) {
				if err := b.streamOnce(all, sys, s, round); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	// It is so slow that once, and a part of the file, is enough.
	if unusable == nil {
		unusable = b.streamOnce(all, b.btfsSystem(), s, 0)
	}
	if unusable != nil {
		say(b.out, "btfs is not measured: %v", unusable)
	}
	b.judgeStream(all, append(systems, b.btfsSystem()), readers[0].name)
	return nil
}

// streamOnce measures one system.
func (b *bench) streamOnce(all figures, sys system, s *source, round int) error {
	if err := b.warm(b.Size); err != nil {
		return err
	}
	p, cpu, err := b.coldCPU(sys, s, seederAddr, course{Whole: true})
	if err != nil {
		return err
	}
	// All of the time counts: what was fetched until the first byte came is not fetched afterwards.
	rate := float64(p.Bytes) / 1e6 / (p.First + p.Elapsed).Seconds()
	cost := cpu.Seconds() / (float64(p.Bytes) / 1e9)
	all.add("rate", sys.name, rate)
	all.add("first", sys.name, ms(p.First))
	all.add("cost", sys.name, cost)
	say(b.out, "round %d  %-14s %7.1f MB/s  first byte %5.0f ms  CPU %5.2f s/GB", round+1, sys.name, rate, ms(p.First), cost)
	return nil
}

// warm has the machine hand out memory for so many bytes of a cache, and take it back. A virtual machine that got none of it from its
// host yet is much slower at that, to the harm of who comes first.
func (b *bench) warm(bytes int64) error {
	path := filepath.Join(b.Dir, "warm")
	if err := writeRandom(path, bytes, 3); err != nil {
		return err
	}
	return os.Remove(path)
}

// judgeStream prints the table, and whether Shoal is as fast as it has to be.
func (b *bench) judgeStream(all figures, systems []system, readerName string) {
	say(b.out, "\n%-14s %30s %12s %12s  (medians)", "", "MB/s (worst … best)", "first ms", "CPU s/GB")
	for _, sys := range systems {
		say(b.out, "%-14s %30s %12.0f %12.2f", sys.name, spread(all.of("rate", sys.name), "%.1f"),
			median(all.of("first", sys.name)), median(all.of("cost", sys.name)))
	}
	say(b.out, "")
	ours := median(all.of("rate", shoalName))
	for _, p := range []struct {
		whose string
		limit float64
	}{{readerName, 0.95}, {libtorrentName, 1}} {
		ratio := ours / median(all.of("rate", p.whose))
		b.verdict(ratio >= p.limit, "stream: %s is %.2f × %s, has to be ≥ %.2f", shoalName, ratio, p.whose, p.limit)
	}
}

// libtorrentSystem is libtorrent that downloads in order. Nobody reads what it has: that costs it nothing.
func (b *bench) libtorrentSystem() system {
	return system{libtorrentName, func(dir string, s *source, peer string, _ course) (pace, time.Duration, error) {
		cmd := exec.Command(libtorrent.Python, "-c", leechScript)
		o, err := b.converse(cmd, streamTime, readerTask{Torrent: s.path, Peer: peer, Dir: dir})
		if err != nil {
			return pace{}, 0, err
		}
		if o.Pace.Bytes != b.Size {
			return pace{}, 0, fmt.Errorf("%d bytes came", o.Pace.Bytes)
		}
		return o.Pace, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
	}}
}
