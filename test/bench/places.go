//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

// placesWorkload reads in places that the task says, and compares all of it with the original.
var placesWorkload = workload{name: "places", do: (*session).visit}

// namesWorkload counts the entries of a folder.
var namesWorkload = workload{name: "names", do: func(s *session) (m measured, err error) {
	s.folder = s.file
	_, err = s.walk(func(*entry) error {
		m.Ops++
		return nil
	})
	return m, err
}}

const (
	statusJukebox = 10008 // of RFC 1813
	// jukeboxTime is how long the client waits then.
	jukeboxTime = 100 * time.Millisecond
)

// places are where a file is read.
type places struct {
	Offsets  []int64
	Length   int // of each READ, in bytes
	InFlight int // READs at a time
}

// visit reads in the places of the task, in that order.
func (s *session) visit() (m measured, err error) {
	o, err := openOriginal(s.File, s.Size)
	if err != nil {
		return m, err
	}
	before, err := s.clocks()
	if err != nil {
		return m, err
	}
	var times []time.Duration
	for p := s.Places; len(p.Offsets) > 0; m.Refused += len(p.Offsets) {
		if len(times) > 0 {
			time.Sleep(jukeboxTime)
			m.Elapsed += jukeboxTime
		}
		some, took, refused, err := s.visitOnce(o, p)
		if err != nil {
			return m, err
		}
		times, p.Offsets = append(times, some...), refused
		m.Elapsed += took
	}
	after, err := s.clocks()
	if err != nil {
		return m, err
	}
	m.since(before, after)
	m.Ops, m.Bytes = len(s.Places.Offsets), int64(len(s.Places.Offsets))*int64(s.Places.Length)
	m.P50, m.P99 = percentile(times, 50), percentile(times, 99)
	return m, o.close()
}

// visitOnce reads in places, and returns those in which the server has asked to come again (NFS3ERR_JUKEBOX).
func (s *session) visitOnce(o original, p places) (times []time.Duration, took time.Duration, refused []int64, err error) {
	p.InFlight = min(p.InFlight, len(p.Offsets))
	next := 0
	at := make([]int64, p.InFlight)
	l := s.reads(p.InFlight, p.Length, func() int64 {
		next++
		return p.Offsets[next-1]
	})
	aim := l.aim
	l.aim = func(call []byte, slot int) {
		aim(call, slot)
		at[slot] = p.Offsets[next-1]
	}
	l.head, s.discard = maxRecord, false
	l.check = func(slot int, results []byte, length int) error {
		if len(results) >= 4 && big.Uint32(results) == statusJukebox {
			refused = append(refused, at[slot])
			return nil
		}
		data, err := checkRead(results, length, p.Length)
		if err == nil && !bytes.Equal(data, o[at[slot]:at[slot]+int64(p.Length)]) {
			err = fmt.Errorf("the %d bytes at %d are not those of the file", p.Length, at[slot])
		}
		return err
	}
	times, took, err = s.run(l, len(p.Offsets), 0, nil)
	return times, took, refused, err
}

// wholeFile is a file in order, as far as it has whole READs.
func wholeFile(size int64) places {
	p := places{Length: largeRead, InFlight: ahead}
	for at := int64(0); at+largeRead <= size; at += largeRead {
		p.Offsets = append(p.Offsets, at)
	}
	return p
}

// disorder is a file as NFS clients ask for it whose READs overtake one another: shuffled within windows.
func disorder(size int64) places {
	const window = 16
	p := places{Length: 128 << 10, InFlight: ahead}
	for at := int64(0); at+int64(p.Length) <= size; at += int64(p.Length) {
		p.Offsets = append(p.Offsets, at)
	}
	r := rand.New(rand.NewPCG(4, 4))
	for i := 0; i < len(p.Offsets); i += window {
		part := p.Offsets[i:min(len(p.Offsets), i+window)]
		r.Shuffle(len(part), func(a, b int) { part[a], part[b] = part[b], part[a] })
	}
	return p
}

// anyPlaces are random ones, the same for the same seed, for one READ at a time.
func anyPlaces(size int64, n, length int, seed uint64) places {
	p := places{Length: length, InFlight: 1}
	r := rand.New(rand.NewPCG(5, seed))
	for range n {
		p.Offsets = append(p.Offsets, r.Int64N(size-int64(length)))
	}
	return p
}
