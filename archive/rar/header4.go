package rar

import (
	"fmt"
	"hash/crc32"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// Types of headers in formats 1.5 to 4.
const (
	main4       = 0x73
	file4       = 0x74
	comment4    = 0x75
	av4         = 0x76
	oldService4 = 0x77
	sign4       = 0x79
	service4    = 0x7a
	end4        = 0x7b
	mark4       = 0x72
)

// Flags of formats 1.5 to 4.
const (
	longBlock4 = 0x8000 // of any header: data follows, 4 bytes say how much

	volume4     = 0x0001 // main: MHD_VOLUME
	comments4   = 0x0002 // MHD_COMMENT: it has a comment inside
	solid4      = 0x0008
	encrypted4  = 0x0080 // MHD_PASSWORD: all further headers are encrypted
	splitBefore = 0x0001 // file: LHD_SPLIT_BEFORE
	splitAfter  = 0x0002
	password4   = 0x0004
	comment4Bit = 0x0008 // LHD_COMMENT: the rest of the header is a comment
	solidFile4  = 0x0010
	window4     = 0x00e0 // dictionary, or all of it for a folder
	large4      = 0x0100
	unicode4    = 0x0200
	salt4       = 0x0400
	version4    = 0x0800
	extTime4    = 0x1000
	nextVolume4 = 0x0001 // end: EARC_NEXT_VOLUME
)

const (
	// minHeader4 is the length of what all headers begin with.
	minHeader4 = 7
	// fixedFile4 is that of a file header before its name.
	fixedFile4 = 32
	// fixedMain4 is that of a main header without comment.
	fixedMain4 = 13
)

// size4 returns the length of a header, from its first minHeader4 bytes.
func size4(b []byte) (int, error) {
	size := int(b[5]) | int(b[6])<<8
	if size < minHeader4 || b[2] < mark4 || b[2] > end4 {
		return 0, fmt.Errorf("%w: no header", ErrFormat)
	}
	return size, nil
}

// decode4 decodes a whole header of formats 1.5 to 4.
func decode4(b []byte) (*header, error) {
	f := &fields{b: b}
	crc, typ, flags := f.uint(2), f.uint(1), f.uint(2)
	f.take(2)
	h := &header{size: int64(len(b))}
	if flags&longBlock4 != 0 {
		h.data = int64((&fields{b: f.b}).uint(4))
	}
	covered := len(b) // by the CRC
	switch typ {
	case main4:
		h.decodeMain4(flags)
		if flags&comments4 != 0 {
			covered = min(covered, fixedMain4)
		}
	case file4, service4:
		if err := h.decodeFile4(f, flags); err != nil {
			return nil, err
		}
		h.kind = fileHeader
		if typ == service4 {
			h.kind = serviceHeader
		}
		if flags&comment4Bit != 0 {
			covered -= len(f.b)
		}
	case end4:
		h.kind, h.lastOfIt = endHeader, flags&nextVolume4 == 0
	case comment4:
		covered = min(covered, fixedMain4)
	case av4, oldService4, sign4: // these have something else in the place of the CRC, or data that it covers in part
		return h, nil
	}
	if f.short {
		return nil, fmt.Errorf("%w: a header of %d bytes ends too early", ErrFormat, len(b))
	}
	if typ != mark4 && uint16(crc32.ChecksumIEEE(b[2:covered])) != uint16(crc) {
		return nil, fmt.Errorf("%w: wrong CRC of a header", ErrFormat)
	}
	return h, nil
}

func (h *header) decodeMain4(flags uint64) {
	h.kind = mainHeader
	h.main = mainFields{multi: flags&volume4 != 0, solid: flags&solid4 != 0, number: -1}
	h.encrypted = flags&encrypted4 != 0
}

// decodeFile4 decodes a file header from behind HEAD_SIZE on, and leaves in f what is behind the last field that it knows.
func (h *header) decodeFile4(f *fields, flags uint64) error {
	m := &h.member
	packed, size := f.uint(4), f.uint(4)
	os := f.uint(1)
	m.CRC, m.HasCRC = uint32(f.uint(4)), true
	m.ModTime = dosTime(uint32(f.uint(4)))
	unpack, method := int(f.uint(1)), int(f.uint(1))
	nameLength := int(f.uint(2))
	attributes := f.uint(4)
	unknown := size == 0xffffffff
	if flags&large4 != 0 {
		packed |= f.uint(4) << 32
		high := f.uint(4)
		unknown = unknown && high == 0xffffffff
		size |= high << 32
	}
	h.data = int64(packed)
	m.Size = int64(size)
	if unknown {
		m.Size = -1
	}
	if h.data < 0 || m.Size < 0 && !unknown {
		return fmt.Errorf("%w: a size of more than 2⁶³ bytes", ErrFormat)
	}
	name := f.take(nameLength)
	h.raw = string(name)
	m.setName4(name, flags)
	if flags&salt4 != 0 {
		f.take(8)
	}
	if flags&extTime4 != 0 {
		m.ModTime = extTime(f, m.ModTime)
	}
	h.before, h.after = flags&splitBefore != 0, flags&splitAfter != 0
	m.setMode4(os, attributes, flags, unpack)
	m.Method = method - '0'
	if m.Method < 0 {
		m.Method += 1 << 8
	}
	m.Solid, m.Encrypted = flags&solidFile4 != 0, flags&password4 != 0
	if m.Method != Stored && !m.IsDir() {
		m.Dictionary = 64 << 10 << ((flags & window4) >> 5)
		m.Unpack = unpack4(unpack)
	}
	m.judge()
	return nil
}

// unpack4 returns the version of the decompressor, or -1 if nobody knows it.
func unpack4(version int) int {
	switch version {
	case 15, 20, 26, 29, 36:
		return version
	}
	return -1
}

func (m *Member) setName4(name []byte, flags uint64) {
	m.Name = string(name)
	if flags&unicode4 != 0 {
		m.Name, m.UTF8 = decodeName4(name)
	}
	if flags&version4 == 0 {
		return
	}
	// WinRAR writes "name;2" when it keeps the former contents of a file.
	if i := strings.LastIndexByte(m.Name, ';'); i > 0 {
		if n, err := strconv.ParseUint(m.Name[i+1:], 10, 31); err == nil {
			m.Name, m.Version = m.Name[:i], int(n)
		}
	}
}

func (m *Member) setMode4(os, attributes, flags uint64, unpack int) {
	switch os {
	case 0, 1:
		m.HostOS, m.Mode = DOS, dosMode(attributes)
	case 2:
		m.HostOS, m.Mode = Windows, dosMode(attributes)
	case 3, 4, 5:
		m.HostOS, m.Mode = Unix, unixMode(attributes)
	default:
		m.Mode = 0o644
	}
	// Before version 2.0 the attributes alone told a folder; since then all the bits of the dictionary do.
	switch isDir := flags&window4 == window4; {
	case isDir && !m.IsDir():
		m.Mode = m.Mode.Perm() | fs.ModeDir
	case !isDir && m.IsDir() && unpack >= 20:
		m.Mode &^= fs.ModeDir
	}
	if m.Mode&fs.ModeSymlink != 0 {
		m.LinkKind = Symlink
	}
}

// dosTime returns the time that a clock on the wall showed, in UTC: days and seconds as in a FAT directory. It is zero for what is no time.
func dosTime(t uint32) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Date(1980+int(t>>25), time.Month(t>>21&15), int(t>>16&31), int(t>>11&31), int(t>>5&63), int(t&31)*2, 0, time.UTC)
}

// extTime takes the extended times from f, and returns t made more exact by the first of them, that of the last change.
func extTime(f *fields, t time.Time) time.Time {
	flags := f.uint(2)
	for i := range 4 {
		nibble := flags >> (12 - 4*i) & 15
		if nibble&8 == 0 {
			continue
		}
		if i > 0 {
			f.take(4)
		}
		// Up to 3 bytes of units of 100 ns: the highest, if there are fewer.
		count := int(nibble & 3)
		units := f.uint(count) << (8 * (3 - count))
		if i > 0 || t.IsZero() {
			continue
		}
		t = t.Add(time.Duration(units) * 100)
		if nibble&4 != 0 {
			t = t.Add(time.Second)
		}
	}
	return t
}
