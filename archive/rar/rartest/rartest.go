// Package rartest writes RAR archives of stored members for tests, of both formats, in one or many volumes. The technote is all
// it was written from: it shares nothing with package rar, so that a mistake has to be made twice.
package rartest

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"time"
)

// File is a member to write. Its Unix mode is 0644, or 0755 for a folder.
type File struct {
	Name    string
	Data    io.ReaderAt // may be nil if Size is 0
	Size    int64       // in bytes
	Dir     bool
	ModTime time.Time
	// Link makes the member a symbolic link; in format 5 with LinkType 4 or 5 a hard link or copy. In format 4 the Data has to say it, too.
	Link     string
	LinkType uint64
	// Method, if not 0, is claimed: the data is written as it is.
	Method    int
	Encrypted bool // claimed
	Solid     bool // claimed
	Unicode   bool // in format 4: the name is written as UTF-16, too
}

// Bytes is a File with that content.
func Bytes(name, content string) File {
	return File{Name: name, Data: bytes.NewReader([]byte(content)), Size: int64(len(content)), ModTime: Time}
}

// Time is when the members of Bytes were changed.
var Time = time.Date(2020, 2, 29, 12, 34, 56, 0, time.UTC)

// Options are how an archive is written.
type Options struct {
	Format     int    // 4 or 5
	VolumeSize int64  // in bytes; 0 for one volume
	Stub       []byte // in front of the first volume
	Comment    string
	CommentAll bool // the comment is in each volume
	Recovery   int  // length of a record for recovery in each volume, of nonsense
	RecoveryIn int  // the only volume to have it, if not 0
	// LastRecovery is the length of that of the last volume, if not 0; not more than the others'.
	LastRecovery int
	NoEnd        bool // no end headers, as before version 3.0
	BareLast     bool // no end header in the last volume alone: data may have its room
	// ShortNumbers writes the length of a part in as few bytes as it takes, so that the last volume's header may be shorter.
	ShortNumbers bool
	// QuickOpen adds a quick open record with the headers of members of at least QuickMin bytes. In format 5, in one volume.
	QuickOpen bool
	QuickMin  int64
	// ChangeCopy, if not nil, changes a header before it is copied into the quick open record, and the length of the data.
	ChangeCopy func(header []byte) []byte
}

// Volumes are the volumes of a set: what rar.Read wants.
type Volumes []*Volume

// Open returns volume n.
func (v Volumes) Open(n int) (io.ReaderAt, int64, error) {
	if n >= len(v) || v[n] == nil {
		return nil, 0, fs.ErrNotExist
	}
	return v[n], v[n].Size(), nil
}

// Volume is a volume. Content is not copied, so that it may be as large as anybody likes.
type Volume struct {
	parts []part
	size  int64
}

// part is a piece of a volume, from a place in data on.
type part struct {
	at, length int64 // in the volume
	data       io.ReaderAt
	off        int64
}

// Size returns the length in bytes.
func (v *Volume) Size() int64 { return v.size }

// ReadAt is io.ReaderAt.
func (v *Volume) ReadAt(p []byte, off int64) (n int, err error) {
	for _, part := range v.parts {
		if n == len(p) {
			return n, nil
		}
		at := off + int64(n) - part.at
		if at < 0 || at >= part.length {
			continue
		}
		want := min(part.length-at, int64(len(p)-n))
		got, err := part.data.ReadAt(p[n:n+int(want)], part.off+at)
		n += got
		if int64(got) < want {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (v *Volume) add(data io.ReaderAt, off, length int64) {
	v.parts = append(v.parts, part{at: v.size, length: length, data: data, off: off})
	v.size += length
}

func (v *Volume) bytes(b []byte) { v.add(bytes.NewReader(b), 0, int64(len(b))) }

// Pattern is endless content in which each 8 bytes tell where they are.
type Pattern struct{ Seed uint64 }

// ReadAt is io.ReaderAt. It has no end.
func (p Pattern) ReadAt(b []byte, off int64) (int, error) {
	for i := range b {
		at := off + int64(i)
		x := (uint64(at)/8 + p.Seed) * 0x9e3779b97f4a7c15
		b[i] = byte(x >> (8 * (at & 7)))
	}
	return len(b), nil
}

// checked is up to what size a member has a CRC.
const checked = 16 << 20

// checksum returns the CRC of a part of a file, or 0 if that would take long.
func (f *File) checksum(off, n int64) uint32 {
	if f.Data == nil || f.Size > checked {
		return 0
	}
	h := crc32.NewIEEE()
	if _, err := io.Copy(h, io.NewSectionReader(f.Data, off, n)); err != nil {
		panic(err)
	}
	return h.Sum32()
}

// ErrNoRoom is the error of volumes that are smaller than the headers in them.
var ErrNoRoom = errors.New("rartest: volumes are too small")

// format is one of the two.
type format interface {
	begin(v *Volume, number int)
	file(f *File, off, n int64) []byte // the header of a part
	comment() (header, data []byte)
	recovery(n int) (header, data []byte)
	end(more bool) []byte
	added(f *File, header []byte, at int64) // a header was written
	finish(v *Volume)                       // before the end header
}

// Write writes an archive.
func Write(o Options, files ...File) (Volumes, error) {
	w := &writer{o: o, format: &writer5{o: o}}
	if o.Format == 4 {
		w.format = &writer4{o: o}
	}
	w.begin()
	for i := range files {
		if err := w.write(&files[i]); err != nil {
			return nil, err
		}
	}
	w.end(false)
	return w.volumes, nil
}

// writer is a set being written.
type writer struct {
	o       Options
	format  format
	volumes Volumes
	v       *Volume // the last of them
}

// begin begins a volume.
func (w *writer) begin() {
	number := len(w.volumes)
	w.v = &Volume{}
	w.volumes = append(w.volumes, w.v)
	if number == 0 {
		w.v.bytes(w.o.Stub)
	}
	w.format.begin(w.v, number)
	if w.o.Comment != "" && (number == 0 || w.o.CommentAll) {
		header, data := w.format.comment()
		w.v.bytes(append(header, data...))
	}
}

// end ends a volume.
func (w *writer) end(more bool) {
	w.format.finish(w.v)
	if w.o.hasRecovery(len(w.volumes) - 1) {
		n := w.o.Recovery
		if !more && w.o.LastRecovery > 0 {
			n = w.o.LastRecovery
		}
		header, data := w.format.recovery(n)
		w.v.bytes(append(header, data...))
	}
	if !w.o.NoEnd && (more || !w.o.BareLast) {
		w.v.bytes(w.format.end(more))
	}
}

// write writes a file, in as many volumes as it takes.
func (w *writer) write(f *File) error {
	for off := int64(0); ; {
		n, ok := w.o.fit(w.format, f, off, len(w.volumes)-1, w.v.size)
		switch {
		case ok:
			header := w.format.file(f, off, n)
			w.format.added(f, header, w.v.size)
			w.v.bytes(header)
			if f.Data != nil {
				w.v.add(f.Data, off, n)
			}
			if off += n; off >= f.Size {
				return nil
			}
		case w.v.size < w.o.VolumeSize/4:
			return ErrNoRoom
		}
		w.end(true)
		w.begin()
	}
}

func (o Options) hasRecovery(volume int) bool {
	return o.Recovery > 0 && (o.RecoveryIn == 0 || o.RecoveryIn == volume)
}

// fit returns how much of a file from off on there is room for in a volume that has so much already.
func (o Options) fit(w format, f *File, off int64, volume int, size int64) (n int64, ok bool) {
	left := f.Size - off
	if o.VolumeSize == 0 {
		return left, true
	}
	room := o.VolumeSize - size
	if !o.NoEnd {
		room -= int64(len(w.end(true)))
	}
	if o.hasRecovery(volume) {
		header, data := w.recovery(o.Recovery)
		room -= int64(len(header) + len(data))
	}
	if o.BareLast && left <= o.VolumeSize-size-int64(len(w.file(f, off, left))) {
		return left, true
	}
	// A part less long may make a shorter header: so twice.
	n = left
	for range 3 {
		n = min(left, room-int64(len(w.file(f, off, n))))
		if n < 0 || n == 0 && left > 0 {
			return 0, false
		}
	}
	return n, true
}
