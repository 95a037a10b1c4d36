package tar

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// The block of a header: POSIX.1-2001, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
const (
	blockSize = 512

	typeFile       = '0'
	typeFileOld    = 0 // Unix version 7
	typeHardLink   = '1'
	typeSymlink    = '2'
	typeChar       = '3'
	typeBlock      = '4'
	typeDir        = '5'
	typeFIFO       = '6'
	typeContiguous = '7' // a file, to everybody
	typePAX        = 'x'
	typePAXGlobal  = 'g'
	typeGNUDir     = 'D' // has a list of names as its data
	typeGNULink    = 'K'
	typeGNUName    = 'L'
	typeGNUSparse  = 'S'
)

type block [blockSize]byte

// header is a header with what the special ones before it said.
type header struct {
	name, link string
	kind       byte
	mode       uint32
	mtime      int64 // seconds
	nsec       int64
	stored     int64 // bytes of data after the header
	ustar      int64 // the same, as the block alone has it
	size       int64 // as a file; differs from stored if there are holes
	isGNU      bool
}

func (b *block) isZero() bool { return *b == block{} }

// cString is a field up to its first NUL.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// number reads a number in octal digits, or in base 256 if its first bit is set (a GNU and star extension).
func number(b []byte) (int64, bool) {
	if len(b) > 0 && b[0]&0x80 != 0 {
		return base256(b)
	}
	// Some programs fill fields with spaces before the number, some after it, and all leave some empty.
	s := cString(bytes.Trim(b, " \x00"))
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(s, 8, 63)
	return int64(n), err == nil
}

// base256 reads a two's complement number whose first bit only marks it, and is as the second one would have it.
func base256(b []byte) (int64, bool) {
	var invert byte
	if b[0]&0x40 != 0 {
		invert = 0xff
	}
	var n uint64
	for i, c := range b {
		c ^= invert
		if i == 0 {
			c &= 0x7f
		}
		if n>>56 != 0 {
			return 0, false
		}
		n = n<<8 | uint64(c)
	}
	if n > math.MaxInt64 {
		return 0, false
	}
	if invert != 0 {
		return ^int64(n), true
	}
	return int64(n), true
}

// checksumOK checks the sum of the block's bytes, its own field taken as spaces. Some old programs added them up as signed.
func (b *block) checksumOK() bool {
	want, ok := number(b[148:156])
	if !ok {
		return false
	}
	var unsigned, signed int64
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	return want == unsigned || want == signed
}

// parse reads the block of a header.
func (b *block) parse() (h header, err error) {
	if !b.checksumOK() {
		return h, damageError("a header has a wrong checksum")
	}
	h.kind = b[156]
	h.name, h.link = cString(b[:100]), cString(b[157:257])
	var ok bool
	if h.stored, ok = number(b[124:136]); !ok || h.stored < 0 {
		return h, damageError(fmt.Sprintf("the header of %.200q has no valid size", h.name))
	}
	// Nobody needs these to find the data: what can't be read is as good as not given.
	if mode, ok := number(b[100:108]); ok {
		h.mode = uint32(mode) & 0o777
	}
	h.mtime, _ = number(b[136:148])

	prefix := ""
	switch {
	case string(b[257:265]) == "ustar  \x00":
		h.isGNU = true
	case string(b[257:263]) == "ustar\x00" && string(b[508:512]) == "tar\x00": // star
		prefix = cString(b[345:476])
	case string(b[257:263]) == "ustar\x00":
		prefix = cString(b[345:500])
	}
	if prefix != "" {
		h.name = prefix + "/" + h.name
	}
	h.size, h.ustar = h.stored, h.stored
	return h, nil
}

// hasNoData says of which types the size, if there is one, is no length of data: some programs give that of a link's target.
func hasNoData(kind byte) bool {
	switch kind {
	case typeHardLink, typeSymlink, typeChar, typeBlock, typeDir, typeFIFO:
		return true
	}
	return false
}
