//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"

	"shoal/test/libtorrent"
)

const (
	randomReads = 300
	// randomLimit is how many pieces that may fetch, of a file with many more.
	randomLimit = 320
)

// runRandom counts the pieces that are fetched for READs in random places: a READ says nothing of what
// is read next, so no more should be fetched than what it is in.
func (b *bench) runRandom() error {
	say(b.out, "\n%d READs of 64 KiB in random places, one after the other, from an empty cache.", randomReads)
	if err := b.needFile(); err != nil {
		return err
	}
	seeds, err := libtorrent.Start(libtorrent.LargeBuffers, seederPort, loopback)
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
	r := rand.New(rand.NewPCG(3, 3))
	c := course{}
	pieces := map[int64]bool{0: true}
	for range randomReads - 1 { // and one at the beginning
		at := r.Int64N(b.Size/peek) * peek
		c.Seeks = append(c.Seeks, at)
		pieces[at/s.length] = true
	}
	p, err := b.cold(b.shoalSystem(), s, seederAddr, c)
	if err != nil {
		return err
	}
	sent, err := seeds.Uploaded(s.infohash)
	if err != nil {
		return err
	}
	fetched := float64(sent) / float64(s.length)
	say(b.out, "They are in %d of %d pieces of %s; the seeder sent %.1f. A READ took p50 %.1f ms, p99 %.1f ms.\n",
		len(pieces), s.pieces, pieceName(s), fetched, ms(percentile(p.Seeks, 50)), ms(percentile(p.Seeks, 99)))
	if fetched < float64(len(pieces))-1 {
		return fmt.Errorf("the seeder counts %d bytes, which is less than was read", sent)
	}
	b.verdict(fetched <= randomLimit, "random: %d READs fetch %.1f pieces, have to be ≤ %d", randomReads, fetched, randomLimit)
	return nil
}
