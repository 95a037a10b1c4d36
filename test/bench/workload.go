//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	largeRead = 1 << 20
	smallRead = 4 << 10
	// readHead is the results of a READ before its data: status, attributes, count, end, length.
	readHead = 4 + 4 + attrSize + 4 + 4 + 4
	// warmUp is the part of a measurement's time that goes before it.
	warmUp = 10
	// files is of how many files the attributes are asked for, one after the other.
	files = 1024
)

// workload is something that is measured.
type workload struct {
	name string
	unit string // of its rate
	// rate is what is compared, in that unit; if lower is better, it is a time.
	rate  func(m measured) float64
	lower bool
	do    func(s *session) (measured, error)
}

func workloads() []workload {
	return []workload{
		{name: "read-1M-x8", unit: "MB/s", rate: throughput, do: func(s *session) (measured, error) {
			return s.measure(s.reads(8, largeRead, s.inOrder()))
		}},
		{name: "read-4K-x64", unit: "ops/s", rate: perSecond, do: func(s *session) (measured, error) {
			return s.measure(s.reads(64, smallRead, s.anywhere(smallRead)))
		}},
		{name: "getattr-x64", unit: "ops/s", rate: perSecond, do: func(s *session) (measured, error) {
			return s.getattrs(64)
		}},
		{name: "readdirplus", unit: "ms", rate: milliseconds, lower: true, do: (*session).list},
		firstListing,
		{name: "read-4K-x1", unit: "ops/s", rate: perSecond, do: func(s *session) (measured, error) {
			return s.measure(s.reads(1, smallRead, s.anywhere(smallRead)))
		}},
		{name: "getattr-x1", unit: "ops/s", rate: perSecond, do: func(s *session) (measured, error) {
			return s.getattrs(1)
		}},
	}
}

// firstListing is measured once, as each server lists the folder for the first time.
var firstListing = workload{name: "first listing", unit: "ms", rate: milliseconds, lower: true, do: (*session).listFirst}

func throughput(m measured) float64   { return float64(m.Bytes) / 1e6 / m.Elapsed.Seconds() }
func perSecond(m measured) float64    { return float64(m.Ops) / m.Elapsed.Seconds() }
func milliseconds(m measured) float64 { return float64(m.Elapsed) / float64(time.Millisecond) }

// measure warms up, and runs a load for the time of the task.
func (s *session) measure(l *load) (measured, error) {
	var m measured
	const enough = 4 << 20 // calls, before the list has to grow
	times, _, err := s.run(l, 1, s.Time/warmUp, make([]time.Duration, 0, enough))
	if err != nil {
		return m, err
	}
	before, err := s.clocks()
	if err != nil {
		return m, err
	}
	times, m.Elapsed, err = s.run(l, 1, s.Time, times)
	if err != nil {
		return m, err
	}
	after, err := s.clocks()
	m.since(before, after)
	m.Ops = len(times)
	m.Bytes = int64(m.Ops) * int64(l.bytes)
	m.P50, m.P99 = percentile(times, 50), percentile(times, 99)
	return m, err
}

// inOrder returns the offsets of large READs, again and again.
func (s *session) inOrder() func() int64 {
	at := int64(-largeRead)
	return func() int64 {
		if at += largeRead; at >= s.Size {
			at = 0
		}
		return at
	}
}

// anywhere returns random offsets, which are the same in each run of a round.
func (s *session) anywhere(size int64) func() int64 {
	r := rand.New(rand.NewPCG(1, uint64(s.Round)))
	return func() int64 { return r.Int64N(s.Size/size) * size }
}

// reads returns READs of the file, at the offsets that from returns.
func (s *session) reads(inFlight, size int, from func() int64) *load {
	template := appendOpaque(appendCall(nil, programNFS, procRead), s.file)
	at := len(template)
	template = big.AppendUint64(template, 0)
	template = big.AppendUint32(template, uint32(size))
	// When the kernel throws away what it can, small replies are still cheaper to copy.
	s.discard = s.Discard && size > headRoom*16
	return &load{
		inFlight: inFlight, template: template, bytes: size, head: replySize + readHead,
		aim: func(call []byte, _ int) { big.PutUint64(call[at:], uint64(from())) },
		check: func(_ int, results []byte, length int) error {
			_, err := checkRead(results, length, size)
			return err
		},
	}
}

var errNoAttributes = errors.New("READ: no attributes")

// checkRead checks the results of a READ, of which there may be only the head, and returns what there
// is of the data.
func checkRead(results []byte, length, size int) ([]byte, error) {
	d := decoder{b: results}
	d.status()
	if d.err == nil && d.attributes() == nil {
		return nil, errors.Join(errNoAttributes, d.err)
	}
	count := d.uint32()
	d.uint32() // whether that is the end
	said := d.uint32()
	if d.err != nil {
		return nil, fmt.Errorf("READ: %w", d.err)
	}
	if int(count) != size || int(said) != size || length != readHead+padded(size) {
		return nil, fmt.Errorf("READ of %d bytes: %d and %d, in a reply of %d", size, count, said, length)
	}
	return d.b[:min(len(d.b), size)], nil
}

// getattrs measures GETATTR of some files of the folder in turn: a client that asks for the same one
// all the time does not exist.
func (s *session) getattrs(inFlight int) (measured, error) {
	var handles [][]byte
	page, err := s.page(0, 0)
	for err == nil && len(handles) < files {
		for e := (entry{}); page.next(&e); {
			if !e.dots() {
				handles = append(handles, append([]byte(nil), e.handle...))
			}
		}
		if page.end || page.err != nil {
			break
		}
		page, err = s.page(page.cookie, page.verifier)
	}
	if err != nil || len(handles) == 0 {
		return measured{}, fmt.Errorf("handles for GETATTR: %w", errors.Join(err, errShort))
	}
	size := len(handles[0])
	template := appendOpaque(appendCall(nil, programNFS, procGetattr), handles[0])
	at := len(template) - padded(size)
	turn := 0
	return s.measure(&load{
		inFlight: inFlight, template: template, head: maxRecord,
		aim: func(call []byte, _ int) {
			copy(call[at:], handles[turn])
			turn = (turn + 1) % len(handles)
		},
		check: func(_ int, results []byte, length int) error {
			if length != 4+attrSize || len(results) != length || big.Uint32(results) != 0 || big.Uint32(results[4:]) != 1 || big.Uint64(results[24:]) != 1 {
				return fmt.Errorf("GETATTR: not a file of one byte: %x", results)
			}
			return nil
		},
	})
}
