package rar

import (
	"fmt"
	"io/fs"
	"math"
)

// kind is what a header is of, in either format.
type kind uint8

const (
	otherHeader kind = iota // to be skipped
	mainHeader
	fileHeader
	serviceHeader // comments, quick open and recovery records
	encryptionHeader
	endHeader
)

// header is a header of either format. Its data follows it.
type header struct {
	kind     kind
	size     int64 // of the header, in bytes
	data     int64 // of what follows, in bytes
	before   bool  // the data began in the volume before
	after    bool  // the data goes on in the next volume
	member   Member
	raw      string // a member's name as it is in the header
	main     mainFields
	lastOfIt bool // of an end header: no volume follows
	// encrypted is the word for what is encrypted of the archive, in a main header of Format 4.
	encrypted bool
}

// mainFields are those of a main header.
type mainFields struct {
	multi, solid bool
	number       int64 // of the volume, from 0; -1 if it does not say. Volume 0 never does
	quickOpen    int64 // where the quick open record is, from the main header on; 0 if there is none
}

// fields takes numbers from the front of a header. What is not there is 0, and short says so: one look at the end instead of
// one after each.
type fields struct {
	b     []byte
	short bool
}

// take returns the next n bytes, or nil.
func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.b) {
		f.short, f.b = true, nil
		return nil
	}
	taken := f.b[:n]
	f.b = f.b[n:]
	return taken
}

// uint returns the next n bytes, 8 at most, as a little-endian number.
func (f *fields) uint(n int) uint64 {
	var x uint64
	for i, c := range f.take(n) {
		x |= uint64(c) << (8 * i)
	}
	return x
}

// vint returns a number of variable length: 7 bits in each byte, the lowest first, the last byte without the highest bit.
// It takes 10 bytes at most. More bits than 64 are what no number has: short.
func (f *fields) vint() uint64 {
	var x uint64
	for i := range f.b {
		c := f.b[i]
		if i == 9 && c > 1 {
			break
		}
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.b = f.b[i+1:]
			return x
		}
	}
	f.short, f.b = true, nil
	return 0
}

// length is a vint that counts bytes or so: -1 if it is larger than any count.
func (f *fields) length() int64 {
	x := f.vint()
	if x > math.MaxInt64 {
		return -1
	}
	return int64(x)
}

// Types in the mode of a Unix file, as stat(2) has them.
const (
	unixType    = 0o170000
	unixSocket  = 0o140000
	unixSymlink = 0o120000
	unixBlock   = 0o060000
	unixDir     = 0o040000
	unixChar    = 0o020000
	unixPipe    = 0o010000
)

// unixMode returns what a Unix mode says of type and permissions: no bits that change who runs a program.
func unixMode(m uint64) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unixType {
	case unixDir:
		mode |= fs.ModeDir
	case unixSymlink:
		mode |= fs.ModeSymlink
	case unixSocket:
		mode |= fs.ModeSocket
	case unixBlock:
		mode |= fs.ModeDevice
	case unixChar:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unixPipe:
		mode |= fs.ModeNamedPipe
	}
	return mode
}

// Attributes of DOS and Windows files.
const (
	dosReadOnly = 0x01
	dosDir      = 0x10
)

// dosMode returns what the attributes of a DOS or Windows file say.
func dosMode(a uint64) fs.FileMode {
	mode := fs.FileMode(0o644)
	if a&dosReadOnly != 0 {
		mode = 0o444
	}
	if a&dosDir != 0 {
		mode |= fs.ModeDir | 0o111
	}
	return mode
}

// judge sets Problem of a member where its own header is enough to see one.
func (m *Member) judge() {
	switch {
	case m.Size < 0:
		m.Problem = "its size is not stored in the archive"
	case m.Method > 5:
		m.Problem = fmt.Sprintf("compressed by an unknown method, %d", m.Method)
	case m.Method != Stored && m.Unpack < 0:
		m.Problem = "compressed for an unknown version of RAR"
	case m.Encrypted:
		m.Problem = "encrypted"
	}
}
