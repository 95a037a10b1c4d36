package inflate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A saved index: indexMagic, the sizes, the format, how far it goes, and for each checkpoint but the first how far it is from the one
// before, in uncompressed bytes and compressed bits, what it is, and its window, packed; then a checksum of everything. Numbers are
// varints, the checksum four bytes, little-endian.

// indexMagic begins a saved index, and changes with what is in it.
const indexMagic = "shoal-inflate-1\n"

const checksumLength = 4 // bytes

// maxPacked is how many bytes a window takes that cannot be compressed.
const maxPacked = windowLength + 1<<10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errIndex = errors.New("index of compressed data is of other data, or damaged")

// Progress returns which part of the data the Index is about, from 0 to 1. It is 0 as long as there is no checkpoint: the Index would save no
// work then.
func (r *Reader) Progress() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress()
}

// progress needs mu.
func (r *Reader) progress() float64 {
	switch last := len(r.points) - 1; {
	case last == 0 || r.compressed == 0:
		return 0
	case r.isWhole:
		return 1
	default:
		return float64(r.points[last].in/8) / float64(r.compressed)
	}
}

// Index returns what is known about the data in a form that Options.Index takes, and the Progress that is. It takes as long as the checkpoints
// are many.
func (r *Reader) Index() (index []byte, progress float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.points[len(r.points)-1]
	end := last.out
	if r.isWhole {
		end = r.cut
	}
	b := []byte(indexMagic)
	b = binary.AppendVarint(b, r.compressed)
	b = binary.AppendVarint(b, r.size)
	b = append(b, byte(r.format), flag(r.isWhole))
	b = binary.AppendUvarint(b, uint64(end))
	b = binary.AppendUvarint(b, uint64(len(r.points)-1))
	before := r.points[0]
	for _, p := range r.points[1:] {
		if p.raw != nil {
			p.packed = pack(p.raw)
		}
		b = binary.AppendUvarint(b, uint64(p.out-before.out))
		b = binary.AppendUvarint(b, uint64(p.in-before.in))
		b = append(b, flag(p.isHeader))
		b = binary.AppendUvarint(b, uint64(len(p.packed)))
		b = append(b, p.packed...)
		before = p
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b, r.progress()
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// load takes over a saved index. If it is of no use it changes nothing but r.points behind the first. It needs mu, or a Reader that
// nobody else knows yet.
func (r *Reader) load(index []byte) error {
	if len(index) == 0 {
		return nil
	}
	if len(index) < checksumLength {
		return errIndex
	}
	content, checksum := index[:len(index)-checksumLength], index[len(index)-checksumLength:]
	if binary.LittleEndian.Uint32(checksum) != crc32.Checksum(content, castagnoli) {
		return errIndex
	}
	d := indexDecoder{rest: content}
	if string(d.take(uint64(len(indexMagic)))) != indexMagic {
		return errIndex
	}
	compressed, size := d.signed(), d.signed()
	kind := d.take(2)
	end, count := d.number(), d.number()
	if d.failed || compressed != r.compressed || size != r.size || Format(kind[0]) != r.format {
		return errIndex
	}
	isWhole := kind[1] != 0
	if isWhole && size != UnknownSize && end != size || size != UnknownSize && end > size || end > r.compressed*maxRatio {
		return errIndex
	}
	for range count { // each of which takes bytes, or ends it
		if err := r.loadPoint(&d); err != nil {
			return err
		}
	}
	last := r.points[len(r.points)-1].out
	if d.failed || len(d.rest) > 0 || last > end || !isWhole && last != end {
		return errIndex
	}
	r.cut, r.isWhole = end, isWhole
	return nil
}

func (r *Reader) loadPoint(d *indexDecoder) error {
	before := r.points[len(r.points)-1]
	p := point{out: before.out + d.number(), in: before.in + d.number()}
	kind := d.take(1)
	length := d.number()
	packed := d.take(uint64(length))
	if d.failed || p.out <= before.out || p.in < before.in || p.in > r.compressed*8 || p.out > r.compressed*maxRatio || length > maxPacked {
		return errIndex
	}
	if p.isHeader = kind[0] != 0; p.isHeader && (r.format != Gzip || p.in%8 != 0) {
		return fmt.Errorf("%w: a gzip header is in the middle of a byte", errIndex)
	}
	if length > 0 {
		p.packed = append([]byte(nil), packed...) // the index need not be kept for it
	}
	r.points = append(r.points, p)
	return nil
}

// indexDecoder takes numbers and bytes from a saved index. After it has failed it returns zeros.
type indexDecoder struct {
	rest   []byte
	failed bool
}

func (d *indexDecoder) take(n uint64) []byte {
	if d.failed || n > uint64(len(d.rest)) {
		d.failed = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

// number returns a number that is not negative and, with another one, does not pass what an int64 holds.
func (d *indexDecoder) number() int64 {
	n, length := binary.Uvarint(d.rest)
	if d.failed || length <= 0 || n > math.MaxInt64/4 {
		d.failed = true
		return 0
	}
	d.rest = d.rest[length:]
	return int64(n)
}

func (d *indexDecoder) signed() int64 {
	n, length := binary.Varint(d.rest)
	if d.failed || length <= 0 {
		d.failed = true
		return 0
	}
	d.rest = d.rest[length:]
	return n
}
