package zip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"shoal/archive/names"
)

// ErrIndex says that what was saved is no index of this version, or not of this archive: list it again.
var ErrIndex = errors.New("not a valid index of a zip archive")

// An index is an Archive in bytes:
//
//	header    "shoalzi1", size of the archive and start of its directory, 8 bytes each, number of entries
//	          and bytes of names, 4 bytes each
//	entries   header, compressed, size, modified, 8 bytes each; crc, end, 4 bytes each; unicode, method, flags,
//	          mode, 2 bytes each; host, kind, problem and 0, a byte each
//	names     as in Archive.names
//	trailer   the CRC-32C of all before
//
// Numbers are little-endian. Problems that follow from the rest are not saved, so that other limits do for an old index too.
const (
	indexMagic   = "shoalzi1"
	indexHeader  = 8 + 2*8 + 2*4
	indexEntry   = 4*8 + 2*4 + 4*2 + 4
	indexTrailer = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the index.
func (a *Archive) Encode() []byte {
	b := make([]byte, 0, indexHeader+len(a.records)*indexEntry+len(a.names)+indexTrailer)
	b = append(b, indexMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(a.size))
	b = binary.LittleEndian.AppendUint64(b, uint64(a.directory))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(a.records)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(a.names)))
	for i := range a.records {
		r := &a.records[i]
		for _, n := range []int64{r.header, r.compressed, r.size, r.modified} {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		}
		b = binary.LittleEndian.AppendUint32(b, r.crc)
		b = binary.LittleEndian.AppendUint32(b, r.end)
		for _, n := range []uint16{r.unicode, uint16(r.method), r.flags, r.mode} {
			b = binary.LittleEndian.AppendUint16(b, n)
		}
		problem := r.problem
		if problem > lastSaved {
			problem = NoProblem
		}
		b = append(b, r.host, byte(r.kind), byte(problem), 0)
	}
	b = append(b, a.names...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Decode returns the archive of size bytes that an index is of. It keeps nothing of b. The error is ErrIndex, or ErrLimit if it has more
// entries than there may be.
func Decode(b []byte, size int64, o Options) (*Archive, error) {
	o = o.withDefaults()
	if len(b) < indexHeader+indexTrailer || string(b[:8]) != indexMagic {
		return nil, fmt.Errorf("%d bytes without its header: %w", len(b), ErrIndex)
	}
	body := b[:len(b)-indexTrailer]
	if binary.LittleEndian.Uint32(b[len(body):]) != crc32.Checksum(body, castagnoli) {
		return nil, fmt.Errorf("its checksum is wrong: %w", ErrIndex)
	}
	a := &Archive{size: int64(binary.LittleEndian.Uint64(b[8:])), directory: int64(binary.LittleEndian.Uint64(b[16:]))}
	if a.size != size || a.directory < 0 || a.directory > size {
		return nil, fmt.Errorf("it is of an archive of %d bytes, not %d: %w", a.size, size, ErrIndex)
	}
	count, length := uint64(binary.LittleEndian.Uint32(b[24:])), uint64(binary.LittleEndian.Uint32(b[28:]))
	if count*indexEntry+length != uint64(len(body)-indexHeader) {
		return nil, fmt.Errorf("%d entries and %d bytes of names in %d bytes: %w", count, length, len(b), ErrIndex)
	}
	if count > uint64(o.MaxEntries) {
		return nil, fmt.Errorf("%d entries, above %d: %w", count, o.MaxEntries, ErrLimit)
	}
	a.records = make([]record, count)
	start := uint32(0)
	for i := range a.records {
		r := &a.records[i]
		r.decode(body[indexHeader+i*indexEntry:])
		if !r.isValid() || r.end < start || uint32(r.unicode) > r.end-start {
			return nil, fmt.Errorf("its entry %d is wrong: %w", i, ErrIndex)
		}
		start = r.end
	}
	if uint64(start) != length {
		return nil, fmt.Errorf("%d bytes of names, %d of which are some entry's: %w", length, start, ErrIndex)
	}
	a.names = string(body[uint64(len(body))-length:])
	a.check(&o)
	return a, nil
}

func (r *record) decode(b []byte) {
	for i, n := range []*int64{&r.header, &r.compressed, &r.size, &r.modified} {
		*n = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	r.crc, r.end = binary.LittleEndian.Uint32(b[32:]), binary.LittleEndian.Uint32(b[36:])
	r.unicode = binary.LittleEndian.Uint16(b[40:])
	r.method = Method(binary.LittleEndian.Uint16(b[42:]))
	r.flags, r.mode = binary.LittleEndian.Uint16(b[44:]), binary.LittleEndian.Uint16(b[46:])
	r.host, r.kind, r.problem = b[48], names.Kind(b[49]), Problem(b[50])
}

// isValid says whether parse may have made the record.
func (r *record) isValid() bool {
	return r.header >= 0 && r.header <= maxHeader && r.compressed >= 0 && r.compressed <= maxNumber && r.size >= 0 && r.size <= maxNumber &&
		r.kind <= names.Special && r.problem <= lastSaved
}
