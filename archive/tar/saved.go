package tar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// A saved index is a magic with a version, numbers as varints (encoding/binary), and the CRC-32C of all before, little-endian:
//
//	"shoaltr1"
//	archive size, next, flags (1: truncated), damage, the four counts of Dropped, number of members
//	a member: name, link, type, mode, seconds (signed), nanoseconds, size, target + 1, number of extents, extents
//	an extent: offset + 1, so that a hole is 0, and length
//
// Strings are a length and bytes. The extents of a hard link with a target are those of the target, and not saved.
const (
	savedMagic = "shoaltr1"
	sumSize    = 4

	flagTruncated = 1

	minSavedMember = 9 // bytes: every number and string has at least one
	minSavedExtent = 2
)

// ErrSaved is in the errors about saved indexes that can't be read: the archive is to be walked anew.
var ErrSaved = errors.New("not a saved index of a tar archive")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Append appends the index to b in a form that ParseIndex reads.
func (x *Index) Append(b []byte) []byte {
	start := len(b)
	b = append(b, savedMagic...)
	flags := uint64(0)
	if x.Truncated {
		flags = flagTruncated
	}
	for _, n := range []uint64{uint64(x.ArchiveSize), uint64(x.Next), flags} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendString(b, x.Damage)
	for _, n := range []int{x.Dropped.Special, x.Dropped.Names, x.Dropped.Sizes, x.Dropped.Sparse, len(x.Members)} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for i := range x.Members {
		b = x.Members[i].append(b)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func (m *Member) append(b []byte) []byte {
	b = appendString(appendString(b, m.Name), m.Link)
	b = binary.AppendUvarint(b, uint64(m.Type))
	b = binary.AppendUvarint(b, uint64(m.Mode))
	b = binary.AppendVarint(b, m.ModTime.Unix())
	b = binary.AppendUvarint(b, uint64(m.ModTime.Nanosecond()))
	b = binary.AppendUvarint(b, uint64(m.Size))
	b = binary.AppendUvarint(b, uint64(m.Target+1))
	if m.Target >= 0 {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Extents)))
	for _, e := range m.Extents {
		b = binary.AppendUvarint(b, uint64(e.Off+1)) // Hole is 0
		b = binary.AppendUvarint(b, uint64(e.Len))
	}
	return b
}

// reader takes numbers and strings from the front of b. After an error, everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

// upTo takes a number that may not be over a limit.
func (r *reader) upTo(limit int64) int64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(limit) {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string {
	n := r.upTo(int64(len(r.b)))
	if n > int64(len(r.b)) { // the length itself took some
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// count takes a number of things of which each has at least some bytes.
func (r *reader) count(least int) int {
	return int(r.upTo(int64(len(r.b) / least)))
}

const maxInt64 = 1<<63 - 1

// ParseIndex reads what Append made for an archive of the given size in bytes. Everything that is damaged, of another version or
// of another archive is ErrSaved; what it takes in memory is in proportion to b.
func ParseIndex(b []byte, archiveSize int64) (*Index, error) {
	body := len(b) - sumSize
	if body < len(savedMagic) || string(b[:len(savedMagic)]) != savedMagic {
		return nil, fmt.Errorf("%w of this version: %d bytes", ErrSaved, len(b))
	}
	if crc32.Checksum(b[:body], castagnoli) != binary.LittleEndian.Uint32(b[body:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrSaved)
	}
	r := &reader{b: b[len(savedMagic):body]}
	x := &Index{ArchiveSize: r.upTo(maxInt64)}
	if x.ArchiveSize != archiveSize {
		return nil, fmt.Errorf("%w: it is about %d bytes, not %d", ErrSaved, x.ArchiveSize, archiveSize)
	}
	x.Next = r.upTo(archiveSize)
	x.Truncated = r.upTo(flagTruncated) != 0
	x.Damage = r.string()
	for _, n := range []*int{&x.Dropped.Special, &x.Dropped.Names, &x.Dropped.Sizes, &x.Dropped.Sparse} {
		*n = int(r.upTo(maxInt64))
	}
	n := r.count(minSavedMember)
	if n > 0 {
		x.Members = make([]Member, n)
	}
	for i := range x.Members {
		r.member(x, i)
		if r.bad {
			return nil, fmt.Errorf("%w: member %d of %d is damaged", ErrSaved, i, n)
		}
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: it is damaged", ErrSaved)
	}
	return x, nil
}

// member reads the member of an ordinal.
func (r *reader) member(x *Index, ordinal int) {
	m := &x.Members[ordinal]
	m.Name, m.Link = r.string(), r.string()
	m.Type = Type(r.upTo(int64(HardLink)))
	m.Mode = uint32(r.upTo(0o777))
	sec := r.signed()
	m.ModTime = time.Unix(sec, r.upTo(1e9-1)).UTC()
	m.Size = r.upTo(maxInt64)
	m.Target = int(r.upTo(int64(len(x.Members)))) - 1
	n := r.count(minSavedExtent)
	if r.bad || m.Type == 0 {
		r.fail()
		return
	}
	if m.Target >= 0 {
		t := &x.Members[m.Target]
		if m.Type != HardLink || n != 0 || m.Target >= ordinal || t.Type != File || m.Size != t.Size {
			r.fail()
			return
		}
		m.Extents = t.Extents
		return
	}
	if n > 0 {
		m.Extents = make([]Extent, n)
	}
	left := m.Size
	if m.Type != File {
		left = 0
	}
	for i := range m.Extents {
		e := &m.Extents[i]
		e.Off, e.Len = r.upTo(x.ArchiveSize+1)-1, r.upTo(left)
		if e.Off >= 0 && e.Len > x.ArchiveSize-e.Off {
			r.fail()
		}
		left -= e.Len
	}
	if left != 0 {
		r.fail()
	}
}
