package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// sumLength is how many bytes of data have a checksum, in the file of a member that is finished.
const sumLength = 256 << 10

// errSum is in the errors about a file whose data are not what was decoded.
var errSum = errors.New("wrong checksum")

// sumsSize returns how many bytes the sums of a member take, of which the size is at most maxSize.
func sumsSize(size int64) int64 { return (size + sumLength - 1) / sumLength * crc32.Size }

// fileSize returns how large the file of a finished member is.
func fileSize(size int64) int64 { return size + sumsSize(size) + trailerSize }

// sums are made of data that come in order.
type sums struct {
	whole []byte // of each sumLength bytes
	last  uint32 // of the bytes behind these
	n     int    // how many those are
}

func (s *sums) add(b []byte) {
	for len(b) > 0 {
		part := b[:min(len(b), sumLength-s.n)]
		b = b[len(part):]
		s.last, s.n = crc32.Update(s.last, castagnoli, part), s.n+len(part)
		if s.n == sumLength {
			s.whole = binary.LittleEndian.AppendUint32(s.whole, s.last)
			s.last, s.n = 0, 0
		}
	}
}

// end returns the sums of all that was added.
func (s *sums) end() []byte {
	if s.n == 0 {
		return s.whole
	}
	return binary.LittleEndian.AppendUint32(s.whole, s.last)
}

// sumBuffers have what is checked.
var sumBuffers = sync.Pool{New: func() any { return new([sumLength]byte) }}

// check checks the data of a finished file, from an offset to another, as far as that was not done in this run.
func (e *entry) check(f *os.File, from, to int64) error {
	for i := from / sumLength; i*sumLength < to; i++ {
		if e.isChecked(f.Name(), i) {
			continue
		}
		if err := e.checkSum(f, i); err != nil {
			return err
		}
		e.setChecked(f.Name(), i)
	}
	return nil
}

// checkSum checks the data of sum i.
func (e *entry) checkSum(f *os.File, i int64) error {
	buf := sumBuffers.Get().(*[sumLength]byte)
	defer sumBuffers.Put(buf)
	b := buf[:min(sumLength, e.size-i*sumLength)]
	var want [crc32.Size]byte
	_, err := f.ReadAt(b, i*sumLength)
	if err == nil {
		_, err = f.ReadAt(want[:], e.size+i*crc32.Size)
	}
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the file of %d bytes of data is too short", errSum, e.size)
	case err != nil:
		return fmt.Errorf("reading what was decoded: %w", err)
	case crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(want[:]):
		return fmt.Errorf("%w of %d bytes at %d of what was decoded", errSum, len(b), i*sumLength)
	}
	return nil
}

func (e *entry) isChecked(path string, i int64) bool {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	return e.path == path && e.checked != nil && e.checked[i/64]&(1<<(i%64)) != 0
}

func (e *entry) setChecked(path string, i int64) {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	if e.path != path || !e.finished { // it is about another file now
		return
	}
	if e.checked == nil {
		e.checked = make([]uint64, (e.size+64*sumLength-1)/(64*sumLength))
	}
	e.checked[i/64] |= 1 << (i % 64)
}

// discard removes a file whose data are wrong. Its room is kept for decoding it again.
func (e *entry) discard(path string, reason error) {
	taken, ok := e.lose(path)
	if !ok {
		return
	}
	s := e.s
	s.o.Log.Warn("decoded member is damaged on disk, and is decoded again", "path", path, "error", reason)
	if remove(path) == nil {
		return
	}
	if s.o.Room != nil {
		s.o.Room.Add(taken) // beside what it is decoded into
	}
	s.finishEvicting(dropped{path: path, taken: taken})
}
