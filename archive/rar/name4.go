package rar

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeName4 returns the name of a file header of Format 4 with the flag LHD_UNICODE, and whether it is Unicode:
// either UTF-8, or a name in some 8-bit encoding, a zero, and how to make UTF-16 of it. The result is never longer than
// 3 bytes for each of the 8-bit name's. If it can't be made, the 8-bit name is returned.
//
// Behind the zero are the high byte of most characters, and then groups of up to 4 operations, each with a byte in front
// that has 2 bits for each of them, the highest first.
func decodeName4(b []byte) (name string, unicode bool) {
	short, rest, found := bytes.Cut(b, []byte{0})
	if !found {
		return string(b), utf8.Valid(b)
	}
	f := &fields{b: rest}
	high := uint16(f.uint(1)) << 8
	units := make([]uint16, 0, len(short))
	for ops, left := byte(0), 0; len(f.b) > 0 && len(units) < len(short); left-- {
		if left == 0 {
			ops, left = byte(f.uint(1)), 4
		}
		switch ops >> 6 {
		case 0: // a character below 256
			units = append(units, uint16(f.uint(1)))
		case 1: // one with the common high byte
			units = append(units, uint16(f.uint(1))|high)
		case 2: // any
			units = append(units, uint16(f.uint(2)))
		case 3:
			units = appendRun(units, short, f, high)
		}
		ops <<= 2
	}
	if f.short || len(units) == 0 {
		return string(short), false
	}
	return string(utf16.Decode(units)), true
}

// appendRun appends characters of the 8-bit name in the place where units ends: as they are, or moved by a number, with
// the high byte.
func appendRun(units []uint16, short []byte, f *fields, high uint16) []uint16 {
	length := int(f.uint(1))
	moved, by := length&0x80 != 0, byte(0)
	if moved {
		by = byte(f.uint(1))
	}
	start := len(units)
	for _, c := range short[start:min(start+length&0x7f+2, len(short))] {
		if moved {
			units = append(units, uint16(c+by)|high)
		} else {
			units = append(units, uint16(c))
		}
	}
	return units
}
