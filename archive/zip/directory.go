package zip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"shoal/archive/names"
)

const (
	directoryMagic = "PK\x01\x02"
	entrySize      = 46 // of a central directory header (APPNOTE 4.3.12), without name, extra fields and comment

	maxNumber = math.MaxInt64 / 4 // of bytes that are calculated with, so that two can be added
	maxHeader = 2 * maxNumber     // with what is in front of the archive

	flagEncrypted  = 1 << 0 // APPNOTE 4.4.4
	flagDescriptor = 1 << 3
	flagPatch      = 1 << 5
	flagStrong     = 1 << 6
	flagUTF8       = 1 << 11
	flagMasked     = 1 << 13
)

// directory is the central directory in bytes.
type directory struct {
	data   []byte
	offset int64 // in the archive
	base   int64 // what to add to the offsets in it
	count  int   // of entries
	names  int   // bytes of names
}

// findDirectory reads the directory of the first of some end records that has one. It ends at the end record, and so starts before that by
// its length. If nothing like it is there, it is where the end record says, without anything in front of the archive. The error is the first one.
func (t *tail) findDirectory(ends []end, o *Options) (*directory, error) {
	var first error
	probe, tried := false, int64(-1)
	for i := range ends {
		e := &ends[i]
		for _, byLength := range []bool{true, false} {
			d := &directory{}
			switch {
			case byLength && e.length <= uint64(e.offset) && e.start <= uint64(e.offset)-e.length:
				d.offset = e.offset - int64(e.length)
				d.base = d.offset - int64(e.start)
			case !byLength && e.start <= uint64(e.offset):
				d.offset = int64(e.start)
			default:
				continue
			}
			if d.offset == tried {
				continue
			}
			tried = d.offset
			err := t.readDirectory(d, e, o, probe)
			switch {
			case err == nil:
				return d, nil
			case !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit):
				return nil, err
			case first == nil:
				first = err
			}
			probe = true
		}
	}
	if first == nil {
		first = fmt.Errorf("its directory of %d bytes can't be at %d: %w", ends[0].length, ends[0].start, ErrFormat)
	}
	return nil, first
}

// readDirectory reads what of a directory isn't in the tail, after a look at its first bytes if it may well not be there.
func (t *tail) readDirectory(d *directory, e *end, o *Options, probe bool) error {
	length := e.offset - d.offset
	switch {
	case e.entries > uint64(o.MaxEntries):
		return fmt.Errorf("%d entries, above %d: %w", e.entries, o.MaxEntries, ErrLimit)
	case length > o.MaxDirectory:
		return fmt.Errorf("directory of %d bytes, above %d: %w", length, o.MaxDirectory, ErrLimit)
	}
	if probe && length >= entrySize && d.offset < t.offset {
		b, err := t.read(d.offset, d.offset+int64(len(directoryMagic)), "the directory")
		if err != nil {
			return err
		}
		if string(b) != directoryMagic {
			return fmt.Errorf("its directory is not at %d: %w", d.offset, ErrFormat)
		}
	}
	b, err := t.read(d.offset, e.offset, "the directory")
	if err != nil {
		return err
	}
	d.data = b
	return d.measure(e, o)
}

// next returns the length of the directory's header at the start of b, 0 if none is there, whole.
func next(b []byte) int {
	if len(b) < entrySize || string(b[:4]) != directoryMagic {
		return 0
	}
	n := entrySize + int(binary.LittleEndian.Uint16(b[28:])) + int(binary.LittleEndian.Uint16(b[30:])) + int(binary.LittleEndian.Uint16(b[32:]))
	if n > len(b) {
		return 0
	}
	return n
}

// measure counts the entries and the bytes of their names.
func (d *directory) measure(e *end, o *Options) error {
	for b := d.data; ; d.count++ {
		n := next(b)
		if n == 0 {
			break
		}
		if d.count == o.MaxEntries {
			return fmt.Errorf("more than %d entries: %w", o.MaxEntries, ErrLimit)
		}
		raw, extra := variable(b)
		d.names += len(raw) + len(unicodeName(raw, extra))
		b = b[n:]
	}
	// Without zip64 some programs write the low 16 bits of what they have.
	if uint64(d.count) != e.entries && (e.is64 || uint64(uint16(d.count)) != e.entries) {
		return fmt.Errorf("its directory at %d has %d entries instead of %d: %w", d.offset, d.count, e.entries, ErrFormat)
	}
	return nil
}

// parse makes records of a directory that was measured, so that there is memory for what is there and no more.
func (a *Archive) parse(d *directory) {
	a.records = make([]record, d.count)
	var all strings.Builder
	all.Grow(d.names)
	b := d.data
	for i := range a.records {
		raw, extra := variable(b)
		unicode := unicodeName(raw, extra)
		all.Write(raw)
		all.Write(unicode)
		r := &a.records[i]
		r.end, r.unicode = uint32(all.Len()), uint16(len(unicode))
		r.parse(b, raw, extra, d.base)
		b = b[next(b):]
	}
	a.names = all.String()
}

// variable returns the name and the extra fields of a header of the directory.
func variable(b []byte) (name, extra []byte) {
	n := int(binary.LittleEndian.Uint16(b[28:]))
	return b[entrySize:][:n], b[entrySize+n:][:binary.LittleEndian.Uint16(b[30:])]
}

// parse fills a record, but for its names, from a header of the directory.
func (r *record) parse(b, name, extra []byte, base int64) {
	r.host = b[5]
	r.flags = binary.LittleEndian.Uint16(b[8:])
	r.method = Method(binary.LittleEndian.Uint16(b[10:]))
	r.modified = fromDOS(binary.LittleEndian.Uint16(b[14:]), binary.LittleEndian.Uint16(b[12:]))
	r.crc = binary.LittleEndian.Uint32(b[16:])
	x := numbers{
		compressed: uint64(binary.LittleEndian.Uint32(b[20:])), size: uint64(binary.LittleEndian.Uint32(b[24:])),
		header: uint64(binary.LittleEndian.Uint32(b[42:])), disk: uint32(binary.LittleEndian.Uint16(b[34:])),
	}
	r.setKind(name, binary.LittleEndian.Uint32(b[38:]))
	if !x.parse64(extra) {
		r.problem = BadExtra
	}
	r.compressed, r.size = r.number(x.compressed), r.number(x.size)
	r.header = r.number(x.header) + base
	r.parseTimes(extra)
	switch {
	case r.method == methodAES:
		if method, ok := aesMethod(extra); ok {
			r.method = method
		}
		r.problem = EncryptedAES
	case r.flags&(flagEncrypted|flagStrong|flagMasked) != 0:
		r.problem = Encrypted
	case r.flags&flagPatch != 0:
		r.problem = Patch
	case x.disk != 0:
		r.problem = OnOtherDisk
	}
}

// number returns what can be calculated with: no archive is so large that it matters which number it is.
func (r *record) number(n uint64) int64 {
	if n > maxNumber {
		r.problem = BadExtra
		return maxNumber
	}
	return int64(n)
}

// isDOS says whether the host separates names by backslashes (APPNOTE 4.4.2.2: FAT, HPFS, NTFS, VFAT).
func isDOS(host byte) bool { return host == 0 || host == 6 || host == 10 || host == 14 }

func (r *record) setKind(name []byte, attributes uint32) {
	const (
		unix, darwin = 3, 19
		dosDirectory = 0x10

		typeMask, typeFIFO, typeDir, typeRegular, typeSymlink = 0o170000, 0o010000, 0o040000, 0o100000, 0o120000
	)
	switch {
	case r.host == unix || r.host == darwin:
		r.mode = uint16(attributes >> 16)
		switch r.mode & typeMask {
		case typeDir:
			r.kind = names.Dir
		case typeSymlink:
			r.kind = names.Symlink
		case 0, typeRegular, typeFIFO: // what Info-ZIP read from a pipe is a file as any other
		default:
			r.kind = names.Special
		}
	case isDOS(r.host) && attributes&dosDirectory != 0:
		r.kind = names.Dir
	}
	if len(name) > 0 && name[len(name)-1] == '/' {
		r.kind = names.Dir
	}
}
