package rartest

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"
	"unicode/utf16"
)

// writer4 writes the format of versions 2.9 to 4.
type writer4 struct{ o Options }

// Header4 returns a header of format 4: type, flags, and what is behind HEAD_SIZE.
func Header4(typ byte, flags uint16, body []byte) []byte {
	b := []byte{0, 0, typ, byte(flags), byte(flags >> 8), 0, 0}
	b = append(b, body...)
	binary.LittleEndian.PutUint16(b[5:], uint16(len(b)))
	binary.LittleEndian.PutUint16(b, uint16(crc32.ChecksumIEEE(b[2:])))
	return b
}

func (w *writer4) begin(v *Volume, number int) {
	v.bytes([]byte("Rar!\x1a\x07\x00"))
	flags := uint16(0x10) // new names
	if w.o.VolumeSize > 0 {
		flags |= 0x01
		if number == 0 {
			flags |= 0x100
		}
	}
	v.bytes(Header4(0x73, flags, make([]byte, 6)))
}

func (w *writer4) file(f *File, off, n int64) []byte {
	flags := uint16(0x8000 | 0x20)
	set := func(flag uint16, on bool) {
		if on {
			flags |= flag
		}
	}
	set(0x01, off > 0)
	set(0x02, off+n < f.Size)
	set(0x04, f.Encrypted)
	set(0x10, f.Solid)
	set(0xe0, f.Dir)
	set(0x100, f.Size > 1<<32-2)
	set(0x200, f.Unicode)
	crc := f.checksum(off, n)
	if off+n >= f.Size {
		crc = f.checksum(0, f.Size)
	}
	name := []byte(strings.ReplaceAll(f.Name, "/", `\`))
	if f.Unicode {
		name = EncodeName4(string(name))
	}
	mode := uint32(0o100644)
	switch {
	case f.Dir:
		mode = 0o040755
	case f.Link != "":
		mode = 0o120777
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(n))
	b = le.AppendUint32(b, uint32(f.Size))
	b = append(b, 3) // Unix
	b = le.AppendUint32(b, crc)
	b = le.AppendUint32(b, DOSTime(f.ModTime))
	b = append(b, 29, byte('0'+f.Method))
	b = le.AppendUint16(b, uint16(len(name)))
	b = le.AppendUint32(b, mode)
	if flags&0x100 != 0 {
		b = le.AppendUint32(b, uint32(n>>32))
		b = le.AppendUint32(b, uint32(f.Size>>32))
	}
	return Header4(0x74, flags, append(b, name...))
}

// EncodeName4 returns a name as format 4 has it: in 8 bits, a zero, and how to make UTF-16 of it, here by the plainest of its operations.
func EncodeName4(name string) []byte {
	units := utf16.Encode([]rune(name))
	b := []byte(strings.Repeat("?", len(units)))
	b = append(b, 0, 0)
	for i, u := range units {
		if i%4 == 0 {
			b = append(b, 0xaa)
		}
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

// DOSTime returns a time as in a FAT directory.
func DOSTime(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	day := (t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()
	return uint32(day<<16 | t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}

// service returns a header of a member that is no file.
func (w *writer4) service(name string, data []byte) []byte {
	f := File{Name: name, Size: int64(len(data)), ModTime: Time}
	b := w.file(&f, 0, f.Size)
	return Header4(0x7a, 0x8020, b[7:])
}

func (w *writer4) comment() (header, data []byte) {
	data = []byte(w.o.Comment)
	return w.service("CMT", data), data
}

func (w *writer4) recovery(n int) (header, data []byte) {
	data = make([]byte, n)
	return w.service("RR", data), data
}

func (w *writer4) end(more bool) []byte {
	flags := uint16(0x4000)
	if more {
		flags |= 1
	}
	return Header4(0x7b, flags, nil)
}

func (w *writer4) added(*File, []byte, int64) {}

func (w *writer4) finish(*Volume) {}
