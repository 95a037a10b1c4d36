package zip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

var one = file{name: "one", data: "content of it"}

// TestEnd has archives whose end is not where or what it usually is.
func TestEnd(t *testing.T) {
	plain := builder{}.build(one)
	inner := builder{}.build(file{name: "inner"})
	large := strings.Repeat("x", 100_000)
	end := func(changes ...func([]byte)) []byte {
		return builder{end: func(e []byte) {
			for _, change := range changes {
				change(e)
			}
		}}.build(one)
	}
	directory := plain[len(plain)-endSize-entrySize-len(one.name) : len(plain)-endSize]
	tests := map[string]struct {
		archive []byte
		want    error // nil if entry one can be listed and found
	}{
		"plain":               {plain, nil},
		"comment":             {builder{comment: "hello"}.build(one), nil},
		"longest comment":     {builder{comment: large[:maxComment]}.build(one), nil},
		"comment cut":         {builder{comment: "hello"}.build(one)[:len(plain)+2], nil},
		"magic in comment":    {builder{comment: "PK\x05\x06" + large[:30]}.build(one), nil},
		"end in comment":      {builder{comment: string(inner[len(inner)-endSize:])}.build(one), nil},
		"junk behind":         {append(slices.Clone(plain), "junk"...), nil},
		"much junk behind":    {append(slices.Clone(plain), large[:maxComment]...), nil},
		"too much behind":     {append(slices.Clone(plain), large...), ErrFormat},
		"in front":            {builder{prefix: "#!/bin/sh\n"}.build(one), nil},
		"much in front":       {builder{prefix: large}.build(one), nil},
		"in front, adjusted":  {builder{prefix: "12345", end: add32(16, 5)}.build(file{name: "one", data: "x", central: add32(42, 5)}), nil},
		"length wrong":        {end(put32(12, 5)), nil},
		"length and start":    {end(put32(12, 5), put32(16, 9)), ErrFormat},
		"start wrong":         {end(put32(16, 1<<30)), ErrFormat},
		"disk 2":              {end(put16(4, 1), put16(6, 1)), ErrUnsupported},
		"directory on disk 1": {end(put16(4, 1)), ErrUnsupported},
		"some entries here":   {end(put16(8, 0)), ErrUnsupported},
		"count low":           {end(put16(8, 0), put16(10, 0)), ErrFormat},
		"count high":          {end(put16(8, 2), put16(10, 2)), ErrFormat},
		"length of 65,535":    {end(put32(12, 1<<32-1)), nil}, // no zip64: it is just wrong
		"empty file":          {nil, ErrFormat},
		"no archive":          {bytes.Repeat([]byte("PK\x05"), 99), ErrFormat},
		"zip64":               {zip64At(directory, nil), nil},
		"zip64, count low":    {zip64At(directory, func(e, _ []byte) { put64(24, 0)(e); put64(32, 0)(e) }), ErrFormat},
		"zip64, count 65,537": {zip64At(directory, func(e, _ []byte) { put64(24, 65537)(e); put64(32, 65537)(e) }), ErrFormat},
		"zip64, count huge":   {zip64At(directory, func(e, _ []byte) { put64(24, math.MaxUint64)(e); put64(32, math.MaxUint64)(e) }), ErrLimit},
		"zip64, length huge":  {zip64At(directory, func(e, _ []byte) { put64(40, math.MaxUint64)(e) }), nil},
		"zip64, all huge":     {zip64At(directory, func(e, _ []byte) { put64(40, math.MaxUint64)(e); put64(48, math.MaxUint64)(e) }), ErrFormat},
		"zip64, disk 2":       {zip64At(directory, func(e, _ []byte) { put32(16, 1)(e) }), ErrUnsupported},
		"zip64, two disks":    {zip64At(directory, func(_, l []byte) { put32(16, 2)(l) }), ErrUnsupported},
		"zip64, told wrong":   {zip64At(directory, func(_, l []byte) { put64(8, 1)(l) }), nil},
		"zip64, none": {zip64At(directory, func(e, l []byte) {
			copy(e, "XX")
			put64(8, math.MaxUint64)(l)
		}), ErrFormat},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := bytes.NewReader(test.archive)
			a, err := Read(r, r.Size(), Options{})
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, wanted %v", err, test.want)
			}
			if test.want != nil {
				return
			}
			if a.Len() != 1 || a.Entry(0).Name != "one" {
				t.Fatalf("%d entries, the first one %+v", a.Len(), a.Entry(0))
			}
			off, n, err := a.Data(r, 0)
			if err != nil || !strings.HasPrefix("content of it|x", string(test.archive[off:off+n])) && string(test.archive[off:off+n]) != "x" {
				t.Errorf("%d bytes at %d, %v", n, off, err)
			}
		})
	}
}

func put64(at int, n uint64) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint64(b[at:], n) }
}

func add32(at int, n uint32) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])+n) }
}

// zip64At returns the archive of entry one, whose directory is given, with a zip64 end record and its locator changed.
func zip64At(directory []byte, change func(end, locator []byte)) []byte {
	local := builder{}.build(one)
	local = local[:len(local)-endSize-len(directory)]
	tail := zip64(uint64(len(directory)), 1, directory)
	end := tail[len(directory) : len(directory)+end64Size]
	locator := tail[len(directory)+end64Size:]
	add := func(b []byte) { binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)+uint64(len(local))) }
	add(end[48:])
	add(locator[8:])
	if change != nil {
		change(end, locator)
	}
	return append(local, tail...)
}

// TestExtensible has a zip64 end record that is far from its locator, which tells where.
func TestExtensible(t *testing.T) {
	plain := builder{}.build(one)
	directory := plain[len(plain)-endSize-entrySize-len(one.name) : len(plain)-endSize]
	b := zip64At(directory, nil)
	cut := len(b) - endSize - locatorSize
	b = slices.Concat(b[:cut], make([]byte, 200_000), b[cut:])
	r := &counter{r: bytes.NewReader(b)}
	a, err := Read(r, int64(len(b)), Options{})
	if err != nil || a.Len() != 1 || r.reads.Load() != 3 {
		t.Errorf("%v after %d reads", err, r.reads.Load())
	}
}

// TestManyEnds has an archive made of end records, each with another zip64 one to look for, so that it takes much reading to refuse it.
func TestManyEnds(t *testing.T) {
	record := make([]byte, locatorSize+endSize)
	copy(record, locatorMagic)
	put64(8, 10)(record)
	copy(record[locatorSize:], endMagic)
	put32(locatorSize+8, 1<<32-1)(record)
	b := append(make([]byte, 1<<20), bytes.Repeat(record, 1500)...)
	r := &counter{r: bytes.NewReader(b)}
	if _, err := Read(r, int64(len(b)), Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("error %v", err)
	}
	if got := r.reads.Load(); got > 1+maxStrays {
		t.Errorf("%d reads", got)
	}
	// The same with directories to look for: only one of them is read.
	plain := make([]byte, endSize)
	copy(plain, endMagic)
	put32(8, 1<<16+1)(plain)
	put32(12, 900_000)(plain)
	b = append(make([]byte, 1<<20), bytes.Repeat(plain, 1500)...)
	r = &counter{r: bytes.NewReader(b)}
	if _, err := Read(r, int64(len(b)), Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("error %v", err)
	}
	if reads, read := r.reads.Load(), r.bytes.Load(); reads > 2+2*maxEnds || read > 2<<20 {
		t.Errorf("%d reads of %d bytes", reads, read)
	}
}

// TestCut cuts an archive everywhere.
func TestCut(t *testing.T) {
	b := builder{comment: "a comment"}.build(one, file{name: "two", data: "x"}, file{name: "three/"})
	whole := len(b) - len("a comment")
	for n := range len(b) {
		a, err := Read(bytes.NewReader(b[:n]), int64(n), Options{})
		if n < whole && !errors.Is(err, ErrFormat) || n >= whole && (err != nil || a.Len() != 3) {
			t.Errorf("%d bytes of %d: %v", n, len(b), err)
		}
	}
}
