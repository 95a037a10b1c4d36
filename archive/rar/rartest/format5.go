package rartest

import (
	"encoding/binary"
	"hash/crc32"
)

// writer5 writes format 5.
type writer5 struct {
	o      Options
	mainAt int64
	main   int          // which part of the volume the main header is
	copies []headerCopy // of headers, for the quick open record
}

type headerCopy struct {
	header []byte
	at     int64
}

// Vint appends a number of variable length, of at least so many bytes.
func Vint(b []byte, x uint64, width int) []byte {
	for n := 1; ; n++ {
		if x < 0x80 && n >= width {
			return append(b, byte(x))
		}
		b = append(b, byte(x)|0x80)
		x >>= 7
	}
}

// Header5 returns a header of format 5, of its type, flags, body, records, and the length of the data in at least width bytes. The
// flags for records and data are added if they are not nil or negative.
func Header5(typ, flags uint64, body, extra []byte, data int64, width int) []byte {
	if extra != nil {
		flags |= 0x01
	}
	if data >= 0 {
		flags |= 0x02
	}
	b := Vint(nil, typ, 1)
	b = Vint(b, flags, 1)
	if extra != nil {
		b = Vint(b, uint64(len(extra)), 1)
	}
	if data >= 0 {
		b = Vint(b, uint64(data), width)
	}
	b = append(b, body...)
	b = append(b, extra...)
	b = append(Vint(nil, uint64(len(b)), 1), b...)
	return append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)), b...)
}

// Record5 returns a record of an extra area.
func Record5(typ uint64, data []byte) []byte {
	b := append(Vint(nil, typ, 1), data...)
	return append(Vint(nil, uint64(len(b)), 1), b...)
}

func (w *writer5) begin(v *Volume, number int) {
	v.bytes([]byte("Rar!\x1a\x07\x01\x00"))
	w.mainAt, w.main = v.size, len(v.parts)
	v.bytes(w.mainHeader(number, 0))
}

// mainHeader is as long whatever the place of the quick open record is.
func (w *writer5) mainHeader(number int, quickOpen int64) []byte {
	var body, extra []byte
	switch {
	case w.o.VolumeSize == 0:
		body = Vint(nil, 0, 1)
	case number == 0:
		body = Vint(nil, 1, 1)
	default:
		body = Vint(Vint(nil, 3, 1), uint64(number), 1)
	}
	if w.o.QuickOpen {
		extra = Record5(1, Vint(Vint(nil, 1, 1), uint64(quickOpen), 6))
	}
	return Header5(1, 0, body, extra, -1, 1)
}

func (w *writer5) file(f *File, off, n int64) []byte {
	var flags, kind, mode uint64 = 0, 0x02, 0o100644
	if off > 0 {
		flags |= 0x08
	}
	if off+n < f.Size {
		flags |= 0x10
	}
	if f.Dir {
		kind, mode = kind|0x01, 0o040755
	}
	crc := f.checksum(off, n)
	if off+n >= f.Size {
		crc = f.checksum(0, f.Size)
	}
	if f.Data != nil && f.Size <= checked {
		kind |= 0x04
	}
	compression := uint64(f.Method) << 7
	if f.Solid {
		compression |= 0x40
	}
	b := Vint(nil, kind, 1)
	b = Vint(b, uint64(f.Size), 1)
	b = Vint(b, mode, 1)
	b = binary.LittleEndian.AppendUint32(b, uint32(f.ModTime.Unix()))
	if kind&0x04 != 0 {
		b = binary.LittleEndian.AppendUint32(b, crc)
	}
	b = Vint(b, compression, 1)
	b = Vint(b, 1, 1) // Unix
	b = Vint(b, uint64(len(f.Name)), 1)
	b = append(b, f.Name...)
	width := len(Vint(nil, uint64(f.Size), 1))
	if w.o.ShortNumbers {
		width = 1
	}
	return Header5(2, flags, b, f.records(), n, width)
}

func (f *File) records() (extra []byte) {
	if f.Encrypted {
		extra = append(extra, Record5(1, make([]byte, 35))...)
	}
	if f.Link != "" {
		typ := max(1, f.LinkType)
		b := Vint(Vint(Vint(nil, typ, 1), 0, 1), uint64(len(f.Link)), 1)
		extra = append(extra, Record5(5, append(b, f.Link...))...)
	}
	return extra
}

func (w *writer5) service(name string, n int64) []byte {
	b := Vint(nil, 0, 1)
	b = Vint(b, uint64(n), 1)
	b = append(b, 0, 0, 1) // attributes, compression, Unix
	b = Vint(b, uint64(len(name)), 1)
	return Header5(3, 0, append(b, name...), nil, n, 1)
}

func (w *writer5) comment() (header, data []byte) {
	data = append([]byte(w.o.Comment), 0)
	return w.service("CMT", int64(len(data))), data
}

func (w *writer5) recovery(n int) (header, data []byte) {
	return w.service("RR", int64(n)), make([]byte, n)
}

func (w *writer5) end(more bool) []byte {
	flags := uint64(0)
	if more {
		flags = 1
	}
	return Header5(5, 0, Vint(nil, flags, 1), nil, -1, 1)
}

func (w *writer5) added(f *File, header []byte, at int64) {
	if w.o.QuickOpen && f.Size >= w.o.QuickMin {
		w.copies = append(w.copies, headerCopy{header, at})
	}
}

// finish writes the quick open record, and where it is into the main header.
func (w *writer5) finish(v *Volume) {
	if !w.o.QuickOpen {
		return
	}
	at := v.size
	var data []byte
	for _, c := range w.copies {
		if w.o.ChangeCopy != nil {
			c.header = w.o.ChangeCopy(c.header)
		}
		b := Vint(nil, 0, 1)
		b = Vint(b, uint64(at-c.at), 1)
		b = Vint(b, uint64(len(c.header)), 1)
		b = append(b, c.header...)
		b = append(Vint(nil, uint64(len(b)), 1), b...)
		data = append(data, binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b))...)
		data = append(data, b...)
	}
	v.bytes(append(w.service("QO", int64(len(data))), data...))
	main := &Volume{}
	main.bytes(w.mainHeader(0, at-w.mainAt))
	v.parts[w.main].data = main.parts[0].data
}
