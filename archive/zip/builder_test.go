package zip

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync/atomic"
	"testing"
)

// file is what builder writes of an entry. The two headers say the same unless told otherwise.
type file struct {
	name       string
	data       string // as it is in the archive
	size       uint32 // if it isn't that of data
	method     uint16
	flags      uint16
	host       byte
	attributes uint32
	date, time uint16
	extra      []byte
	local      func(header []byte) // changes the local header, which is followed by the name
	central    func(header []byte) // changes the header in the directory, which is followed by name and extra
	noLocal    bool                // there is none; central has to say where
}

// builder writes an archive of any kind.
type builder struct {
	prefix  string                 // in front of it
	comment string                 // behind it
	end     func(b []byte)         // changes the end record
	between func(at uint64) []byte // what is between directory and end record
}

func (b builder) build(files ...file) []byte {
	var archive, directory []byte
	for _, f := range files {
		offset := len(archive)
		size := f.size
		if size == 0 {
			size = uint32(len(f.data))
		}
		h := make([]byte, localSize, localSize+len(f.name)+len(f.data))
		copy(h, localMagic)
		binary.LittleEndian.PutUint16(h[6:], f.flags)
		binary.LittleEndian.PutUint16(h[8:], f.method)
		binary.LittleEndian.PutUint32(h[14:], crc32.ChecksumIEEE([]byte(f.data)))
		binary.LittleEndian.PutUint32(h[18:], uint32(len(f.data)))
		binary.LittleEndian.PutUint32(h[22:], size)
		binary.LittleEndian.PutUint16(h[26:], uint16(len(f.name)))
		c := make([]byte, entrySize, entrySize+len(f.name)+len(f.extra))
		copy(c, directoryMagic)
		c[5] = f.host
		copy(c[8:], h[6:28])
		binary.LittleEndian.PutUint16(c[12:], f.time)
		binary.LittleEndian.PutUint16(c[14:], f.date)
		binary.LittleEndian.PutUint16(c[30:], uint16(len(f.extra)))
		binary.LittleEndian.PutUint32(c[38:], f.attributes)
		binary.LittleEndian.PutUint32(c[42:], uint32(offset))
		if !f.noLocal {
			h = append(h, f.name...)
			if f.local != nil {
				f.local(h)
			}
			archive = append(append(archive, h...), f.data...)
		}
		c = append(append(c, f.name...), f.extra...)
		if f.central != nil {
			f.central(c)
		}
		directory = append(directory, c...)
	}
	e := make([]byte, endSize)
	copy(e, endMagic)
	binary.LittleEndian.PutUint16(e[8:], uint16(len(files)))
	binary.LittleEndian.PutUint16(e[10:], uint16(len(files)))
	binary.LittleEndian.PutUint32(e[12:], uint32(len(directory)))
	binary.LittleEndian.PutUint32(e[16:], uint32(len(archive)))
	binary.LittleEndian.PutUint16(e[20:], uint16(len(b.comment)))
	if b.end != nil {
		b.end(e)
	}
	archive = append(archive, directory...)
	if b.between != nil {
		archive = append(archive, b.between(uint64(len(archive)))...)
	}
	archive = append(append(archive, e...), b.comment...)
	return append([]byte(b.prefix), archive...)
}

// put16 and put32 make changes for a builder.
func put16(at int, n uint16) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint16(b[at:], n) }
}

func put32(at int, n uint32) func([]byte) {
	return func(b []byte) { binary.LittleEndian.PutUint32(b[at:], n) }
}

// field makes an extra field.
func field(id uint16, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, id)
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(data))), data...)
}

func deflated(t testing.TB, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// counter counts what is read, and fails the reads from a certain one on.
type counter struct {
	r     io.ReaderAt
	reads atomic.Int64
	bytes atomic.Int64
	fails int64 // number of the first read that fails, 0: none
	err   error
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n := c.reads.Add(1)
	c.bytes.Add(int64(len(p)))
	if c.fails > 0 && n >= c.fails {
		return 0, c.err
	}
	return c.r.ReadAt(p, off)
}

func list(t testing.TB, b []byte) *Archive {
	t.Helper()
	a, err := Read(bytes.NewReader(b), int64(len(b)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}
