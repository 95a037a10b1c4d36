package zip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	endSize      = 22 // APPNOTE 4.3.16, without the comment
	maxComment   = 1<<16 - 1
	locatorSize  = 20 // APPNOTE 4.3.15
	end64Size    = 56 // APPNOTE 4.3.14, without extensible data
	tailSize     = end64Size + locatorSize + endSize + maxComment
	maxEnds      = 3 // that are tried
	maxStrays    = 2 // of an archive made for it each end record may tell of another one
	endMagic     = "PK\x05\x06"
	locatorMagic = "PK\x06\x07"
	end64Magic   = "PK\x06\x06"
)

// readFull fills b from off on. It isn't the archive that is cut if that fails: size was to be right.
func readFull(r io.ReaderAt, b []byte, off int64, what string) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %s, %d bytes at %d: %w", what, len(b), off, err)
}

// tail is the end of an archive, as much as the end record and all before it but the directory can take.
type tail struct {
	r      io.ReaderAt
	size   int64
	offset int64 // where data starts
	data   []byte
	strays int // reads of zip64 end records that are not in it
}

func readTail(r io.ReaderAt, size int64) (*tail, error) {
	if size < endSize || size > maxNumber {
		return nil, fmt.Errorf("no archive has %d bytes: %w", size, ErrFormat)
	}
	t := &tail{r: r, size: size, offset: max(0, size-tailSize)}
	t.data = make([]byte, size-t.offset)
	if err := readFull(r, t.data, t.offset, "the end of the archive"); err != nil {
		return nil, err
	}
	return t, nil
}

// read returns the bytes of the archive from off to end, which is not beyond it. It may share memory with the tail.
func (t *tail) read(off, end int64, what string) ([]byte, error) {
	if off >= t.offset {
		return t.data[off-t.offset : end-t.offset], nil
	}
	b := make([]byte, end-off)
	missing := min(end, t.offset) - off
	copy(b[missing:], t.data)
	if err := readFull(t.r, b[:missing], off, what); err != nil {
		return nil, err
	}
	return b, nil
}

// end is the end of central directory record.
type end struct {
	offset  int64  // where it is, and the directory ends
	start   uint64 // of the directory, counted from where the archive starts, which may be behind other data
	length  uint64 // of the directory in bytes
	entries uint64
	is64    bool // entries has all its bits
}

// ends returns the end records that make sense, the one to try first in front. Behind one may be a comment, even a cut one or one with an archive
// in it, or anything else. If there is none, the error says what is wrong with the last one.
func (t *tail) ends() (ends []end, first error) {
	for _, mayBeCut := range []bool{false, true} {
		for i := len(t.data); len(ends) < maxEnds; {
			i = bytes.LastIndex(t.data[:i], []byte(endMagic))
			if i < 0 {
				break
			}
			b := t.data[i:]
			if len(b) < endSize || mayBeCut != (len(b) < endSize+int(binary.LittleEndian.Uint16(b[20:]))) {
				continue
			}
			e, err := t.parseEnd(i)
			switch {
			case err == nil:
				ends = append(ends, e)
			case !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported):
				return nil, err
			case first == nil:
				first = err
			}
		}
	}
	if len(ends) > 0 {
		return ends, nil
	}
	if first == nil {
		first = fmt.Errorf("it has no end record: %w", ErrFormat)
	}
	return nil, first
}

func (t *tail) parseEnd(i int) (end, error) {
	b := t.data[i:]
	disk, directoryDisk := binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:])
	here, entries := binary.LittleEndian.Uint16(b[8:]), binary.LittleEndian.Uint16(b[10:])
	e := end{
		offset: t.offset + int64(i), entries: uint64(entries),
		length: uint64(binary.LittleEndian.Uint32(b[12:])), start: uint64(binary.LittleEndian.Uint32(b[16:])),
	}
	needs64 := disk == 1<<16-1 || directoryDisk == 1<<16-1 || entries == 1<<16-1 || here == 1<<16-1 || e.length == 1<<32-1 || e.start == 1<<32-1
	if locator := i - locatorSize; needs64 && locator >= 0 && string(t.data[locator:locator+4]) == locatorMagic {
		return t.parseEnd64(locator)
	}
	if disk != 0 || directoryDisk != 0 || here != entries {
		return end{}, split(uint64(disk), uint64(here), uint64(entries))
	}
	return e, nil
}

// parseEnd64 returns the end record that the locator at i in the data tells of.
func (t *tail) parseEnd64(i int) (end, error) {
	if disks := binary.LittleEndian.Uint32(t.data[i+16:]); disks > 1 {
		return end{}, fmt.Errorf("it is the last of %d disks: %w", disks, ErrUnsupported)
	}
	// Right before the locator, usually. The place that this tells is wrong behind other data, and another one if there
	// is extensible data.
	at := t.offset + int64(i) - end64Size
	b, err := t.end64(at)
	if err != nil {
		return end{}, err
	}
	if b == nil {
		told := binary.LittleEndian.Uint64(t.data[i+8:])
		if told < uint64(max(0, at)) {
			at = int64(told)
			if b, err = t.end64(at); err != nil {
				return end{}, err
			}
		}
		if b == nil {
			return end{}, fmt.Errorf("its zip64 end record is not at %d: %w", told, ErrFormat)
		}
	}
	disk, directoryDisk := binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:])
	here, entries := binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])
	if disk != 0 || directoryDisk != 0 || here != entries {
		return end{}, split(uint64(disk), here, entries)
	}
	e := end{offset: at, entries: entries, is64: true}
	e.length, e.start = binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])
	return e, nil
}

func split(disk, here, entries uint64) error {
	return fmt.Errorf("it is disk %d of a split archive, with %d of %d entries: %w", disk+1, here, entries, ErrUnsupported)
}

// end64 returns a zip64 end record that starts at off, before the locator, nil if none does.
func (t *tail) end64(off int64) ([]byte, error) {
	if off < 0 {
		return nil, nil
	}
	if off < t.offset {
		if t.strays++; t.strays > maxStrays {
			return nil, nil
		}
	}
	b, err := t.read(off, off+end64Size, "the zip64 end record")
	if err != nil || string(b[:4]) != end64Magic {
		return nil, err
	}
	return b, nil
}
