//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"time"
)

const (
	// peek is what is read at a place before the stream goes on there, as players do.
	peek = 64 << 10
	// looked is how much of each READ is compared with the original. The pieces were verified by whoever
	// downloaded them: this is about offsets.
	looked = 4 << 10
	// ahead is how many large READs a stream has in flight.
	ahead = 8
)

// course is how a file is read that has to be fetched: from the beginning, and then in other places.
type course struct {
	Whole  bool          // all of it, in order
	Length time.Duration // or for how long from the beginning; 0 is the first 64 KiB only
	Seeks  []int64       // where it goes on
	Stay   time.Duration // how long in each of these places; 0 is 64 KiB only
}

// pace is how fast that was.
type pace struct {
	First   time.Duration // until the first 64 KiB were there
	Bytes   int64         // read from the beginning, after that,
	Elapsed time.Duration // in this time
	Seeks   []time.Duration
}

// newCourse has so many seeks to places of a file that are far from each other, the same ones in a round.
func newCourse(size int64, length, stay time.Duration, seeks, round int) course {
	c := course{Length: length, Stay: stay}
	r := rand.New(rand.NewPCG(2, uint64(round)))
	part := size / int64(seeks+1)
	for _, i := range r.Perm(seeks) {
		c.Seeks = append(c.Seeks, part*int64(i+1)+r.Int64N(part/2/peek)*peek)
	}
	return c
}

// atLeast is how much of a file has to be read in order, however long that takes.
func (c course) atLeast(size int64) int64 {
	switch {
	case c.Whole:
		return size
	case c.Length > 0:
		return largeRead
	}
	return 0
}

// time is how long a course takes, without what is waited for.
func (c course) time() time.Duration { return c.Length + time.Duration(len(c.Seeks))*c.Stay }

// rate is in bytes per second.
func (p pace) rate() float64 { return float64(p.Bytes) / p.Elapsed.Seconds() }

// original is the content of a file, to compare with.
type original []byte

func openOriginal(path string, size int64) (original, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return b, nil
}

func (o original) close() error { return syscall.Munmap(o) }

// check compares the first bytes of what was read at a place.
func (o original) check(at int64, got []byte) error {
	if n := min(len(got), looked); !bytes.Equal(got[:n], o[at:at+int64(n)]) {
		return fmt.Errorf("the %d bytes at %d are not those of the file", n, at)
	}
	return nil
}

// courseWorkload follows a course over NFS.
var courseWorkload = workload{name: "course"}

// follow reads as the course says, as a client does that reads ahead.
func (s *session) follow() (p pace, err error) {
	o, err := openOriginal(s.File, s.Size)
	if err != nil {
		return p, err
	}
	if p.First, _, err = s.stretch(o, 0, peek, 1, 1, 0); err != nil {
		return p, err
	}
	if calls := s.Course.atLeast(s.Size) / largeRead; calls > 0 {
		if p.Elapsed, p.Bytes, err = s.stretch(o, 0, largeRead, ahead, int(calls), s.Course.Length); err != nil {
			return p, err
		}
	}
	for _, at := range s.Course.Seeks {
		took, _, err := s.stretch(o, at, peek, 1, 1, 0)
		if err != nil {
			return p, err
		}
		p.Seeks = append(p.Seeks, took)
		if s.Course.Stay == 0 {
			continue
		}
		if _, _, err := s.stretch(o, at+peek, largeRead, ahead, 1, s.Course.Stay); err != nil {
			return p, err
		}
	}
	return p, o.close()
}

// stretch reads on from a place, for a time or, if that is longer, until so many READs were made.
func (s *session) stretch(o original, from int64, size, inFlight, calls int, d time.Duration) (time.Duration, int64, error) {
	next := from
	at := make([]int64, inFlight)
	l := s.reads(inFlight, size, func() int64 {
		if next+int64(size) > s.Size {
			next = 0
		}
		next += int64(size)
		return next - int64(size)
	})
	aim := l.aim
	l.aim = func(call []byte, slot int) {
		aim(call, slot)
		at[slot] = int64(big.Uint64(call[len(call)-12:]))
	}
	l.head = replySize + readHead + looked
	l.check = func(slot int, results []byte, length int) error {
		got, err := checkRead(results, length, size)
		if err != nil {
			return err
		}
		return o.check(at[slot], got)
	}
	times, took, err := s.run(l, calls, d, nil)
	return took, int64(len(times)) * int64(size), err
}
