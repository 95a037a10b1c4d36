//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// probeWorkload only mounts.
var probeWorkload = workload{name: "probe", do: func(*session) (measured, error) { return measured{}, nil }}

// verifyWorkload measures nothing: it checks that the server serves the data, all of it.
var verifyWorkload = workload{name: "verify", do: (*session).verify}

// verify reads the whole file, in order and then at random, and lists the folder.
func (s *session) verify() (m measured, err error) {
	f, err := os.Open(s.File)
	if err != nil {
		return m, err
	}
	defer f.Close()
	original, err := syscall.Mmap(int(f.Fd()), 0, int(s.Size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return m, fmt.Errorf("map %s: %w", s.File, err)
	}
	defer func() { err = errors.Join(err, syscall.Munmap(original)) }()
	const some = 20_000
	for _, part := range []struct {
		size, inFlight, calls int
		from                  func() int64
	}{
		{largeRead, 8, int(s.Size / largeRead), s.inOrder()},
		{smallRead, 64, some, s.anywhere(smallRead)},
	} {
		n := 0
		at := make([]int64, part.inFlight)
		l := s.reads(part.inFlight, part.size, part.from)
		aim := l.aim
		l.aim = func(call []byte, slot int) {
			aim(call, slot)
			at[slot] = int64(big.Uint64(call[len(call)-12:]))
		}
		l.head, s.discard = maxRecord, false
		l.check = func(slot int, results []byte, length int) error {
			data, err := checkRead(results, length, part.size)
			if err == nil && !bytes.Equal(data, original[at[slot]:at[slot]+int64(part.size)]) {
				err = fmt.Errorf("the %d bytes at %d are not those of the file", part.size, at[slot])
			}
			n += len(data)
			return err
		}
		if _, _, err := s.run(l, part.calls, 0, nil); err != nil {
			return m, err
		}
		if n < part.calls*part.size {
			return m, fmt.Errorf("%d bytes were read instead of %d", n, part.calls*part.size)
		}
		m.Bytes += int64(n)
	}
	return m, s.checkNames()
}
