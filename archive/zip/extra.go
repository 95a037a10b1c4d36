package zip

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
	"time"
)

const (
	extraZip64    = 0x0001 // APPNOTE 4.5.3
	extraNTFS     = 0x000a // APPNOTE 4.5.5
	extraTime     = 0x5455 // Info-ZIP, proginfo/extrafld.txt: "UT"
	extraUnixOld  = 0x5855 // Info-ZIP: "UX"
	extraUnicode  = 0x7075 // APPNOTE 4.6.9
	extraAES      = 0x9901 // WinZip, AES encryption information
	versionOfName = 1      // of extraUnicode
)

// fields returns the extra fields by their ids. What is cut at the end is left out.
func fields(extra []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(extra) >= 4 {
			id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
			if n > len(extra)-4 || !yield(id, extra[4:4+n]) {
				return
			}
			extra = extra[4+n:]
		}
	}
}

// unicodeName returns the name in UTF-8, nil if there is none or it is that of an older name: some programs change
// a name and leave this as it was.
func unicodeName(name, extra []byte) []byte {
	for id, field := range fields(extra) {
		if id == extraUnicode && len(field) > 5 && field[0] == versionOfName &&
			binary.LittleEndian.Uint32(field[1:]) == crc32.ChecksumIEEE(name) && string(field[5:]) != string(name) {
			return field[5:]
		}
	}
	return nil
}

// numbers are those of a header that may be in its zip64 field.
type numbers struct {
	compressed, size, header uint64
	disk                     uint32
}

// parse64 takes those from the zip64 field that don't fit otherwise. It returns false if one isn't there; but a size of
// 2³²-1 may be meant.
func (x *numbers) parse64(extra []byte) bool {
	const max32 = 1<<32 - 1
	var field []byte
	for id, f := range fields(extra) {
		if id == extraZip64 {
			field = f
			break
		}
	}
	for _, n := range []*uint64{&x.size, &x.compressed, &x.header} {
		switch {
		case *n != max32:
		case len(field) >= 8:
			*n, field = binary.LittleEndian.Uint64(field), field[8:]
		case n != &x.size:
			return false
		}
	}
	if x.disk == 1<<16-1 && len(field) >= 4 {
		x.disk = binary.LittleEndian.Uint32(field)
	}
	return true
}

func aesMethod(extra []byte) (Method, bool) {
	for id, field := range fields(extra) {
		if id == extraAES && len(field) >= 7 && string(field[2:4]) == "AE" {
			return Method(binary.LittleEndian.Uint16(field[5:])), true
		}
	}
	return 0, false
}

// parseTimes takes the best time that there is: one in seconds since 1970, of NTFS, or of old Info-ZIP. Without any
// it stays that of DOS.
func (r *record) parseTimes(extra []byte) {
	const (
		ticks     = 10_000_000     // of NTFS, in a second
		epochNTFS = 11_644_473_600 // seconds from 1601 to 1970
	)
	best := 0
	take := func(rank int, seconds int64) {
		if rank > best {
			best, r.modified = rank, seconds
		}
	}
	for id, field := range fields(extra) {
		switch {
		case id == extraTime && len(field) >= 5 && field[0]&1 != 0:
			take(3, int64(int32(binary.LittleEndian.Uint32(field[1:]))))
		case id == extraUnixOld && len(field) >= 8:
			take(1, int64(int32(binary.LittleEndian.Uint32(field[4:]))))
		case id == extraNTFS && len(field) >= 4:
			for tag, times := range fields(field[4:]) {
				if tag == 1 && len(times) >= 8 {
					take(2, int64(binary.LittleEndian.Uint64(times)/ticks)-epochNTFS)
				}
			}
		}
	}
}

// fromDOS returns seconds since 1970 of a time of DOS (APPNOTE 4.4.6), whose zone nobody knows: UTC is taken. Where a
// month or a day is none it is the first.
func fromDOS(date, clock uint16) int64 {
	return time.Date(
		1980+int(date>>9), time.Month(min(max(1, date>>5&15), 12)), int(max(1, date&31)),
		int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC,
	).Unix()
}
