package inflate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Flags of a gzip header (RFC 1952, 2.3.1).
const (
	flagHeaderSum = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagsReserved = 0xe0
)

const (
	gzipHeaderLength  = 10
	gzipTrailerLength = 8
	methodDeflate     = 8
	// maxTextLength is how long a name or comment in a gzip header may be, in bytes; RFC 1952 has no limit.
	maxTextLength = 64 << 10
)

// gzipMagic begins a member of which package flate may make something.
var gzipMagic = []byte{0x1f, 0x8b}

// readHeader reads the header of a gzip member, or notices that there is none.
func (d *decoder) readHeader() error {
	begin, err := d.buffer.Peek(len(gzipMagic))
	if err != nil && err != io.EOF { // not one that wraps it
		return err
	}
	if !bytes.Equal(begin, gzipMagic) {
		if d.members == 0 {
			return damaged(d.out, "it does not begin as gzip data does")
		}
		d.state = atEnd
		return nil
	}
	if d.onPoint != nil {
		d.onPoint(point{out: d.out, in: d.consumed() * 8, isHeader: true}, nil)
	}
	var header [gzipHeaderLength]byte
	if _, err := io.ReadFull(d.buffer, header[:]); err != nil {
		return err
	}
	if method := header[2]; method != methodDeflate {
		return damaged(d.out, fmt.Sprintf("a gzip header names the compression method %d, which does not exist", method))
	}
	flags := header[3]
	if flags&flagsReserved != 0 {
		return damaged(d.out, fmt.Sprintf("a gzip header has flags %#x, which mean nothing", flags))
	}
	if err := d.skipFields(flags); err != nil {
		return err
	}
	d.checks, d.checksum, d.begun = d.onPoint != nil, 0, d.out
	d.state = atBlock
	return nil
}

// skipFields skips what the flags of a gzip header announce.
func (d *decoder) skipFields(flags byte) error {
	if flags&flagExtra != 0 {
		var length [2]byte
		if _, err := io.ReadFull(d.buffer, length[:]); err != nil {
			return err
		}
		if _, err := d.buffer.Discard(int(binary.LittleEndian.Uint16(length[:]))); err != nil {
			return err
		}
	}
	for _, flag := range []byte{flagName, flagComment} {
		if flags&flag == 0 {
			continue
		}
		if err := d.skipText(); err != nil {
			return err
		}
	}
	if flags&flagHeaderSum != 0 {
		if _, err := d.buffer.Discard(2); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) skipText() error {
	for range maxTextLength {
		b, err := d.buffer.ReadByte()
		if err != nil {
			return err
		}
		if b == 0 {
			return nil
		}
	}
	return damaged(d.out, fmt.Sprintf("a name in a gzip header is longer than %d bytes", maxTextLength))
}

// readTrailer reads what follows DEFLATE data, and checks it if all of that was decoded just now. A wrong checksum is noted, and spoils
// nothing: whether it is noticed depends on where decoding began, and what can be read must not.
func (d *decoder) readTrailer() error {
	if d.format == Raw {
		d.state = atEnd
		return nil
	}
	var trailer [gzipTrailerLength]byte
	if _, err := io.ReadFull(d.buffer, trailer[:]); err != nil {
		return err
	}
	sum, size := binary.LittleEndian.Uint32(trailer[:4]), binary.LittleEndian.Uint32(trailer[4:])
	if d.checks && (sum != d.checksum || size != uint32(d.out-d.begun)) {
		d.wrong = damaged(d.out, "the checksum of the gzip member that ends there is wrong")
	}
	d.checks = false
	d.members++
	d.state = atHeader
	return nil
}
