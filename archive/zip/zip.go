// Package zip lists the entries of a zip archive and says where their data is, reading as little as possible, by PKWARE's
// APPNOTE.TXT 6.3.10 and Info-ZIP's extra fields. It decodes nothing.
//
// Listing takes one read of the end of the archive and, if the central directory doesn't fit, a second one of the rest of that.
// What an archive says is believed only as far as it can be checked: no number in it decides how much memory is taken.
package zip

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"shoal/archive/names"
)

// What is wrong with an archive or an entry. An error of the io.ReaderAt is none of these: it is returned wrapped, as it is.
var (
	ErrFormat      = errors.New("not a valid zip archive")
	ErrUnsupported = errors.New("unsupported kind of zip archive")
	ErrLimit       = errors.New("zip archive is too large")
)

// Options are the limits. What is 0 has its default.
type Options struct {
	MaxEntries   int   // in an archive, 200,000 unless told
	MaxDirectory int64 // bytes of the central directory, 64 MiB unless told, and at most 1 GiB
	MaxSize      int64 // bytes of an entry, 1 TiB unless told
	RatioFrom    int64 // bytes of an entry from which on MaxRatio counts, but for deflate
	MaxRatio     int64 // an entry's size in multiples of its compressed one, 1,100 unless told; of deflate at most 1,032
}

func (o Options) withDefaults() Options {
	if o.MaxEntries <= 0 {
		o.MaxEntries = 200_000
	}
	if o.MaxDirectory <= 0 {
		o.MaxDirectory = 64 << 20
	}
	o.MaxDirectory = min(o.MaxDirectory, 1<<30)
	if o.MaxSize <= 0 {
		o.MaxSize = 1 << 40
	}
	if o.MaxRatio <= 0 {
		o.MaxRatio = 1100
	}
	return o
}

// Method is how an entry is compressed (APPNOTE 4.4.5).
type Method uint16

// The methods for which entries are not refused.
const (
	Store   Method = 0
	Deflate Method = 8
	BZIP2   Method = 12
	LZMA    Method = 14
	Zstd    Method = 93
	XZ      Method = 95

	methodAES Method = 99 // the real one is in an extra field
)

// Entry is what the central directory says of an entry. Its ordinal is its place there.
type Entry struct {
	Name       string // as it is in the archive: any bytes
	Kind       names.Kind
	Mode       fs.FileMode // permissions if it was made on Unix, else 0
	Method     Method
	CRC32      uint32
	Compressed int64 // bytes
	Size       int64 // bytes
	Modified   time.Time
	Problem    Problem // why Data is an error
}

// Archive is the list of an archive's entries. It doesn't change, so any number of goroutines may use it.
type Archive struct {
	size      int64 // of the archive, in bytes
	directory int64 // where it starts: no entry reaches beyond
	records   []record
	names     string
	starts    []int64 // of all local headers, in order
}

// record is an entry.
type record struct {
	header     int64 // where the local header is
	compressed int64
	size       int64
	modified   int64 // seconds since 1970
	crc        uint32
	end        uint32 // of its names in Archive.names, which start where those of the one before end
	unicode    uint16 // how much of that, at the end, is the name by extra field 0x7075
	method     Method
	flags      uint16 // APPNOTE 4.4.4
	mode       uint16 // of Unix
	host       byte   // APPNOTE 4.4.2.2
	kind       names.Kind
	problem    Problem
}

// Read lists an archive of size bytes. It waits as long as r does, for two reads, or a few more if the archive is odd. The error is ErrFormat if it
// isn't an archive, or one that is cut or damaged, ErrUnsupported if it is one of several disks, ErrLimit, or that of r.
func Read(r io.ReaderAt, size int64, o Options) (*Archive, error) {
	o = o.withDefaults()
	t, err := readTail(r, size)
	if err != nil {
		return nil, err
	}
	ends, err := t.ends()
	if err != nil {
		return nil, err
	}
	d, err := t.findDirectory(ends, &o)
	if err != nil {
		return nil, err
	}
	a := &Archive{size: size, directory: d.offset}
	a.parse(d)
	a.check(&o)
	return a, nil
}

// Len returns how many entries there are.
func (a *Archive) Len() int { return len(a.records) }

// Entry returns an entry by its ordinal, which has to be in [0, Len).
func (a *Archive) Entry(i int) Entry {
	r := &a.records[i]
	name, _ := a.name(i)
	return Entry{
		Name: name, Kind: r.kind, Mode: fs.FileMode(r.mode) & fs.ModePerm, Method: r.method, CRC32: r.crc,
		Compressed: r.compressed, Size: r.size, Modified: time.Unix(r.modified, 0).UTC(), Problem: r.problem,
	}
}

// name returns the name as it is in the archive, and that by extra field 0x7075 or "".
func (a *Archive) name(i int) (raw, unicode string) {
	start := uint32(0)
	if i > 0 {
		start = a.records[i-1].end
	}
	both, n := a.names[start:a.records[i].end], int(a.records[i].unicode)
	return both[:len(both)-n], both[len(both)-n:]
}

// Tree returns the entries as a tree, by the ordinals of both. The error says that the charset in the options is unknown.
func (a *Archive) Tree(o names.Options) (*names.Tree, error) {
	return names.Build(len(a.records), func(i int) names.Entry {
		raw, unicode := a.name(i)
		r := &a.records[i]
		return names.Entry{
			Name: raw, Unicode: unicode, UTF8: r.flags&flagUTF8 != 0, Backslash: isDOS(r.host), Kind: r.kind,
		}
	}, o)
}

// entryError names an entry in an error about it.
func (a *Archive) entryError(i int, format string, args ...any) error {
	name, _ := a.name(i)
	return fmt.Errorf("entry %d %.80q: %w", i, name, fmt.Errorf(format, args...))
}
