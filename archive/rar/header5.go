package rar

import (
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/bits"
	"time"
	"unicode/utf8"
)

// Types of headers in format 5.
const (
	main5       = 1
	file5       = 2
	service5    = 3
	encryption5 = 4
	end5        = 5
)

// Flags of format 5.
const (
	hasExtra5 = 0x01 // of any header
	hasData5  = 0x02
	before5   = 0x08
	after5    = 0x10

	volume5   = 0x01 // of the archive, in the main header
	number5   = 0x02
	solid5    = 0x04
	locator5  = 1    // type of a record of the main header
	quick5    = 0x01 // flag in it
	next5     = 0x01 // of the end header
	dir5      = 0x01 // of a file
	mtime5    = 0x02
	crc5      = 0x04
	unknown5  = 0x08
	solidBit5 = 0x40 // of its compression
	oldDict5  = 1 << 20

	crypt5    = 1 // types of records of a file header
	times5    = 3
	versions5 = 4
	redirect5 = 5

	unixTime5 = 0x01 // of a times record
	mtimeIn5  = 0x02
	ctimeIn5  = 0x04
	atimeIn5  = 0x08
	nanos5    = 0x10
	toDir5    = 0x01 // of a redirection
)

const (
	// minHeader5 is how much of a header tells its length: CRC and up to 3 bytes of it.
	minHeader5 = 7
	// maxHeader5 is how long one may be behind its length, in bytes.
	maxHeader5 = 2 << 20
	// fixedFile5 is the length of the shortest file header.
	fixedFile5 = 14
)

// size5 returns the length of a header, from its first minHeader5 bytes.
func size5(b []byte) (int, error) {
	f := &fields{b: b[4:]}
	n := f.length()
	if f.short || n < 1 || n > maxHeader5 {
		return 0, fmt.Errorf("%w: no header", ErrFormat)
	}
	return len(b) - len(f.b) + int(n), nil
}

// decode5 decodes a whole header of format 5.
func decode5(b []byte) (*header, error) {
	f := &fields{b: b}
	crc := f.uint(4)
	if uint32(crc) != crc32.ChecksumIEEE(f.b) {
		return nil, fmt.Errorf("%w: wrong CRC of a header", ErrFormat)
	}
	f.vint()
	typ, flags := f.vint(), f.vint()
	h := &header{size: int64(len(b)), before: flags&before5 != 0, after: flags&after5 != 0}
	var extra int64
	if flags&hasExtra5 != 0 {
		extra = f.length()
	}
	if flags&hasData5 != 0 {
		h.data = f.length()
	}
	if f.short || extra < 0 || h.data < 0 || extra > int64(len(f.b)) {
		return nil, fmt.Errorf("%w: wrong lengths in a header of %d bytes", ErrFormat, len(b))
	}
	body := &fields{b: f.b[:len(f.b)-int(extra)]}
	records := &fields{b: f.b[len(f.b)-int(extra):]}
	switch typ {
	case main5:
		h.decodeMain5(body, records)
	case file5, service5:
		h.decodeFile5(body)
		h.member.decodeRecords5(records)
		h.member.judge()
		h.kind = fileHeader
		if typ == service5 {
			h.kind = serviceHeader
		}
	case encryption5:
		h.kind = encryptionHeader
	case end5:
		h.kind, h.lastOfIt = endHeader, body.vint()&next5 == 0
	}
	if body.short {
		return nil, fmt.Errorf("%w: a header of %d bytes ends too early", ErrFormat, len(b))
	}
	return h, nil
}

func (h *header) decodeMain5(body, records *fields) {
	h.kind = mainHeader
	flags := body.vint()
	h.main = mainFields{multi: flags&volume5 != 0, solid: flags&solid5 != 0, number: -1}
	if flags&number5 != 0 {
		h.main.number = body.length()
	}
	for typ, f := range records.each5 {
		if typ == locator5 && f.vint()&quick5 != 0 {
			h.main.quickOpen = max(0, f.length())
		}
	}
}

// each5 is an iterator of the records of an extra area, with their types. What is damaged ends it: the header's CRC was right, so its
// maker had a mistake, and some versions of WinRAR are known for theirs.
func (f *fields) each5(yield func(typ uint64, record *fields) bool) {
	for len(f.b) > 0 {
		n := f.length()
		if n < 1 || n > int64(len(f.b)) {
			return
		}
		record := &fields{b: f.take(int(n))}
		typ := record.vint()
		if record.short || !yield(typ, record) {
			return
		}
	}
}

func (h *header) decodeFile5(f *fields) {
	m := &h.member
	flags := f.vint()
	m.Size = f.length()
	attributes := f.vint()
	if flags&mtime5 != 0 {
		m.ModTime = time.Unix(int64(f.uint(4)), 0).UTC()
	}
	if flags&crc5 != 0 {
		m.CRC, m.HasCRC = uint32(f.uint(4)), true
	}
	m.setCompression5(f.vint())
	switch f.vint() {
	case 0:
		m.HostOS, m.Mode = Windows, dosMode(attributes)
	case 1:
		m.HostOS, m.Mode = Unix, unixMode(attributes)
	default:
		m.Mode = 0o644
	}
	if isDir := flags&dir5 != 0; isDir != m.IsDir() {
		m.Mode = m.Mode &^ fs.ModeType
		if isDir {
			m.Mode |= fs.ModeDir
		}
	}
	if m.IsDir() {
		m.Method, m.Unpack, m.Dictionary = Stored, 0, 0
	}
	if flags&unknown5 != 0 {
		m.Size = -1
	}
	if n := f.length(); n <= int64(len(f.b)) {
		h.raw = string(f.take(int(n)))
	} else {
		f.short = true
	}
	m.Name, m.UTF8 = h.raw, utf8.ValidString(h.raw)
}

// setCompression5 takes a field of compression information apart: version, solid, method, and the dictionary as a power of two
// of 128 KiB, since version 1 with 32nds of it.
func (m *Member) setCompression5(c uint64) {
	m.Solid = c&solidBit5 != 0
	m.Method = int(c >> 7 & 7)
	if m.Method == Stored {
		return
	}
	switch version := c & 0x3f; version {
	case 0:
		m.Unpack, m.Dictionary = 50, 128<<10<<(c>>10&15)
	case 1:
		m.Unpack, m.Dictionary = 70, 128<<10<<(c>>10&31)
		m.Dictionary += m.Dictionary / 32 * int64(c>>15&31)
		if c&oldDict5 != 0 {
			m.Unpack = 50
		}
	default:
		m.Unpack = -1
	}
}

// decodeRecords5 reads what a file header has behind its name.
func (m *Member) decodeRecords5(records *fields) {
	for typ, f := range records.each5 {
		switch typ {
		case crypt5:
			m.Encrypted = true
		case times5:
			if t, ok := recordTime5(f); ok {
				m.ModTime = t
			}
		case versions5:
			f.vint()
			m.Version = int(min(f.vint(), 1<<31-1))
		case redirect5:
			m.setLink5(f)
		}
	}
}

// recordTime5 returns the time of the last change from a record of times.
func recordTime5(f *fields) (t time.Time, ok bool) {
	flags := f.vint()
	if flags&mtimeIn5 == 0 {
		return t, false
	}
	if flags&unixTime5 == 0 {
		t = fileTime(f.uint(8))
		return t, !f.short
	}
	seconds := f.uint(4)
	f.take(4 * bits.OnesCount64(flags&(ctimeIn5|atimeIn5)))
	var nanos uint64
	if flags&nanos5 != 0 && !f.short {
		nanos = f.uint(4) & 0x3fffffff
	}
	return time.Unix(int64(seconds), int64(nanos)).UTC(), !f.short && nanos < 1e9
}

// fileTime returns the time of a FILETIME of Windows: units of 100 ns since 1601.
func fileTime(t uint64) time.Time {
	const epoch, second = 11644473600, 10_000_000
	return time.Unix(int64(t/second)-epoch, int64(t%second)*100).UTC()
}

func (m *Member) setLink5(f *fields) {
	typ, flags := f.vint(), f.vint()
	n := f.length()
	if f.short || n < 0 || n > int64(len(f.b)) {
		m.Problem = "a damaged link"
		return
	}
	m.Link = string(f.take(int(n)))
	switch typ {
	case 1:
		m.LinkKind = Symlink
	case 2, 3:
		m.LinkKind = WindowsSymlink
	case 4:
		m.LinkKind = HardLink
	case 5:
		m.LinkKind = Copy
	default:
		m.Problem = "a link of an unknown kind"
	}
	if m.LinkKind == Symlink || m.LinkKind == WindowsSymlink {
		m.Mode = m.Mode.Perm() | fs.ModeSymlink
	} else if flags&toDir5 != 0 {
		m.Problem = "a hard link to a folder"
	}
}
