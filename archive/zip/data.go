package zip

import (
	"encoding/binary"
	"io"
)

const (
	localMagic = "PK\x03\x04"
	localSize  = 30 // of a local file header (APPNOTE 4.3.7), without name and extra fields
)

// Data returns where the n compressed bytes of an entry are, in the archive of which r is. It waits as long as r does, for one read of 30
// bytes. The error is that of the entry's Problem, ErrFormat if the local header says something else than the directory or the data
// would overlap another entry, or that of r.
//
// Names are not compared: where they differ, all programs take that of the directory.
func (a *Archive) Data(r io.ReaderAt, i int) (off, n int64, err error) {
	e := &a.records[i]
	if err := e.problem.Err(); err != nil {
		return 0, 0, a.entryError(i, "%w", err)
	}
	var b [localSize]byte
	if err := readFull(r, b[:], e.header, "a local header"); err != nil {
		return 0, 0, a.entryError(i, "%w", err)
	}
	if what := e.disagreement(b[:]); what != "" {
		return 0, 0, a.entryError(i, "its local header at %d has %s: %w", e.header, what, ErrFormat)
	}
	off = e.header + localSize + int64(binary.LittleEndian.Uint16(b[26:])) + int64(binary.LittleEndian.Uint16(b[28:]))
	if end := a.next(e.header); off+e.compressed > end {
		return 0, 0, a.entryError(i, "its data would end at %d, beyond %d where something else starts: %w", off+e.compressed, end, ErrFormat)
	}
	return off, e.compressed, nil
}

// disagreement returns what in a local header is not as in the directory, "" if nothing is. CRC and sizes may be there later, in a data
// descriptor, or in the zip64 field, and programs that can't seek back leave zeros even if they don't say so.
func (r *record) disagreement(b []byte) string {
	if string(b[:4]) != localMagic {
		return "no signature"
	}
	flags := binary.LittleEndian.Uint16(b[6:])
	switch {
	case (flags^r.flags)&flagEncrypted != 0:
		return "another word on encryption"
	case Method(binary.LittleEndian.Uint16(b[8:])) != r.method:
		return "another method"
	case flags&flagDescriptor != 0:
		return ""
	}
	differs := func(here uint32, there uint64) bool { return here != 0 && here != 1<<32-1 && uint64(here) != there }
	switch {
	case differs(binary.LittleEndian.Uint32(b[14:]), uint64(r.crc)):
		return "another CRC-32"
	case differs(binary.LittleEndian.Uint32(b[18:]), uint64(r.compressed)), differs(binary.LittleEndian.Uint32(b[22:]), uint64(r.size)):
		return "another size"
	}
	return ""
}
