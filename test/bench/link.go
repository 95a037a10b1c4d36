//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"shoal/test/libtorrent"
	"shoal/test/relay"
)

// The link of most homes that stream: 100 Mbit/s, and 20 ms to the next peer, with the queue of a router.
const (
	linkRate  = 12_500_000
	linkDelay = 20 * time.Millisecond
	linkQueue = 384 << 10
)

// linkAheads are the read-aheads of others, all fixed.
var linkAheads = []int64{0, 1 << 20, 4 << 20, 16 << 20}

// runLink measures streams and seeks through an emulated link.
func (b *bench) runLink() error {
	say(b.out, "\nThrough a link of %.1f MB/s, %v each way, with a queue of %d KiB; each time from an empty cache.",
		linkRate/1e6, linkDelay, linkQueue>>10)
	if err := b.needFile(); err != nil {
		return err
	}
	seeds, err := libtorrent.Start(libtorrent.UsualBuffers, seederPort, loopback)
	if err != nil {
		return err
	}
	defer seeds.End()
	var sources []*source
	for _, length := range b.LinkPieces {
		s, err := makeSource(b.data.file(), b.Dir, length)
		if err == nil {
			err = seed(seeds, s, b.data.export)
		}
		if err != nil {
			return err
		}
		sources = append(sources, s)
	}
	systems := append([]system{b.shoalSystem()}, b.readerSystems(linkAheads...)...)
	all := figures{}
	for round := range b.SwarmRounds {
		c := newCourse(b.Size, b.LinkTime, b.LinkStay, b.LinkSeeks, round)
		err := b.quietly(round, func() error {
			for _, s := range sources {
				for _, sys := range rotated(systems, round) {
					if err := b.linkOnce(all, sys, s, c, round); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.judgeLink(all, systems, sources)
	return nil
}

// linkOnce measures one system with one torrent.
func (b *bench) linkOnce(all figures, sys system, s *source, c course, round int) (err error) {
	r, err := relay.Start(relay.Link{Rate: linkRate, Delay: linkDelay, Queue: linkQueue}, seederAddr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	p, err := b.cold(sys, s, r.Addr(), c)
	if err != nil {
		return err
	}
	row := pieceName(s)
	all.add(row+" rate", sys.name, p.rate()/1e6)
	all.add(row+" first", sys.name, ms(p.First))
	for _, took := range p.Seeks {
		all.add(row+" seek", sys.name, ms(took))
	}
	say(b.out, "round %d  %-8s %-14s %6.2f MB/s  first byte %5.0f ms  seeks %s ms", round+1, row, sys.name,
		p.rate()/1e6, ms(p.First), list(p.Seeks))
	return nil
}

// judgeLink prints the table, and whether Shoal is as it has to be.
func (b *bench) judgeLink(all figures, systems []system, sources []*source) {
	say(b.out, "\n%-8s %-14s %27s %9s %30s", "pieces", "", "MB/s (worst … best)", "first ms", "seek, then first byte, ms")
	say(b.out, "%-8s %-14s %27s %9s %30s", "", "", "", "p50", "p50 (best … worst)")
	for _, s := range sources {
		for _, sys := range systems {
			row := pieceName(s)
			rates, seeks := all.of(row+" rate", sys.name), all.of(row+" seek", sys.name)
			say(b.out, "%-8s %-14s %27s %9.0f %30s", row, sys.name, spread(rates, "%.2f"),
				median(all.of(row+" first", sys.name)), spread(seeks, "%.0f"))
		}
	}
	say(b.out, "")
	for _, s := range sources {
		row := pieceName(s)
		part := median(all.of(row+" rate", shoalName)) / (linkRate / 1e6)
		b.verdict(part >= 0.85, "link %s: %s streams at %.3f × the link, has to be ≥ 0.85", row, shoalName, part)
	}
	for _, s := range sources {
		row := pieceName(s)
		best, by := 0.0, ""
		for _, sys := range systems[1:] {
			if m := median(all.of(row+" seek", sys.name)); by == "" || m < best {
				best, by = m, sys.name
			}
		}
		ratio := median(all.of(row+" seek", shoalName)) / best
		b.verdict(ratio <= 1.3, "link %s: a seek of %s takes %.2f × that of %s, has to be ≤ 1.30", row, shoalName, ratio, by)
	}
}

func pieceName(s *source) string {
	if s.length >= 1<<20 {
		return fmt.Sprintf("%d MiB", s.length>>20)
	}
	return fmt.Sprintf("%d KiB", s.length>>10)
}

// list is times in milliseconds.
func list(times []time.Duration) (s string) {
	for i, t := range times {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprintf("%.0f", ms(t))
	}
	return s
}

// home makes an empty folder for what a system downloads. remove is for after it.
func (b *bench) home() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(b.Dir, "cold-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}
