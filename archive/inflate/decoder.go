package inflate

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// ahead is how many compressed bytes are there before a part of the window is decoded, which it takes rarely more of. So the
	// decoder, for which every error is final, seldom sees one of the Source.
	ahead = 64 << 10
	// bufferLength is how many compressed bytes are read at a time at most.
	bufferLength = 2 * ahead
	// burstLength is how many compressed bytes of a segment are read at a time at most. As long as that is all of them, nobody takes
	// the reads for a stream, and fetches ahead what nobody wants.
	burstLength = 1 << 20
	// windowLength is how far back DEFLATE data refers to, in bytes (RFC 1951, 2.).
	windowLength = 32 << 10
)

// state is what a decoder comes to next.
type state uint8

const (
	atBlock state = iota
	inBlocks
	atHeader
	atTrailer
	atEnd
)

// resetter is a decoder of package flate.
type resetter interface {
	io.Reader
	ResetCP(r io.Reader, cp flate.InflateCheckpoint) error
}

// decoder decodes from a checkpoint on. Only one goroutine uses it.
type decoder struct {
	feed   feed
	buffer *bufio.Reader
	blocks resetter
	format Format
	state  state
	window []byte // to begin with
	bit    uint8  // of the first byte, where the first block begins

	out     int64 // offset of the next byte in the uncompressed data
	members int   // gzip members that ended
	lost    error // what has reached the decoder of the blocks, which can't go on

	burst *[burstLength]byte // that the feed uses, or nil
	cache *Cache             // which has room for it

	// For the first pass only.
	onPoint  func(p point, window []byte) // of what lies behind out, perhaps; the window is borrowed
	drift    int64                        // by how many bytes package flate is wrong
	checks   bool                         // the checksum is of all the member
	checksum uint32
	begun    int64 // where the member began
	wrong    error // what a checksum says
}

// burstPool has room for the compressed bytes of random reads.
var burstPool = sync.Pool{New: func() any { return new([burstLength]byte) }}

// decoderPool has decoders of random reads.
var decoderPool = sync.Pool{New: func() any { return newDecoder() }}

func newDecoder() *decoder { return &decoder{buffer: bufio.NewReaderSize(nil, bufferLength)} }

// borrowDecoder returns a decoder of the Reader's data from a checkpoint on, which needs no compressed bytes from stop on.
func (r *Reader) borrowDecoder(from point, window []byte, stop int64) *decoder {
	d := decoderPool.Get().(*decoder)
	d.reset(r, from, window, stop)
	if need := stop - d.feed.at; need > bufferLength {
		d.burst, d.cache = burstPool.Get().(*[burstLength]byte), r.cache
		d.feed.room = d.burst[:min(need, burstLength)]
		d.cache.charge(int64(len(d.feed.room)))
	}
	return d
}

// giveBack ends the use of a decoder that borrowDecoder has made.
func (d *decoder) giveBack() {
	if d.burst != nil {
		d.cache.charge(-int64(len(d.feed.room)))
		burstPool.Put(d.burst)
		d.burst, d.cache = nil, nil
	}
	d.feed = feed{}
	d.buffer.Reset(nil)
	decoderPool.Put(d)
}

func (d *decoder) reset(r *Reader, from point, window []byte, stop int64) {
	*d = decoder{
		buffer: d.buffer, blocks: d.blocks, format: r.format, out: from.out, window: window, bit: uint8(from.in % 8),
		feed: feed{source: r.source, at: from.in / 8, stop: stop},
	}
	d.buffer.Reset(&d.feed)
	if from.isHeader {
		d.state = atHeader
		d.members = 1
	}
	if from.out == 0 {
		d.members = 0
	}
}

// consumed returns the offset of the first compressed byte that nobody has taken.
func (d *decoder) consumed() int64 { return d.feed.at - int64(d.buffer.Buffered()) }

// Read decodes some bytes, of which p has room for one at least. It returns io.EOF at the end of the data, errors of the Source, after
// which another Read goes on unless the decoder is lost, and others of damaged data. A panic is damage too: it would end the process, as
// this runs on goroutines of its own.
func (d *decoder) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			d.blocks = nil // in whatever state it is
			d.lost = damaged(d.out, fmt.Sprintf("the decoder panicked: %v", v))
			n, err = 0, d.lost
		}
	}()
	for {
		if d.lost != nil {
			return 0, d.lost
		}
		if err := d.fetch(); err != nil {
			return 0, err
		}
		switch d.state {
		case atHeader:
			err = d.readHeader()
		case atBlock:
			err = d.beginBlocks()
		case inBlocks:
			n, err = d.blocks.Read(p)
			d.took(p[:n])
			if err == io.EOF { //nolint:errorlint // package flate returns it as it is
				err = nil
				d.state = atTrailer
			}
		case atTrailer:
			err = d.readTrailer()
		case atEnd:
			return 0, io.EOF
		}
		if err != nil {
			err = d.explain(err)
			d.lost = err
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// fetch has enough compressed bytes there for one step.
func (d *decoder) fetch() error {
	if d.buffer.Buffered() < ahead && d.feed.at < d.feed.stop {
		if _, err := d.buffer.Peek(ahead); d.feed.err != nil { // the others are met again, where they matter
			d.feed.err = nil
			return err
		}
	}
	return d.feed.turn.take(d.feed.ctx)
}

// explain tells errors of the Source from damage.
func (d *decoder) explain(err error) error {
	if d.feed.err != nil {
		return d.feed.err
	}
	if errors.Is(err, ErrFormat) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return damaged(d.out, "the compressed data ends too early")
	}
	return damaged(d.out, err.Error())
}

func (d *decoder) took(p []byte) {
	if len(p) == 0 {
		return
	}
	d.out += int64(len(p))
	d.feed.silent = 0
	if d.checks {
		d.checksum = crc32.Update(d.checksum, crc32.IEEETable, p)
	}
}

// beginBlocks begins DEFLATE data, or goes on from a checkpoint within.
func (d *decoder) beginBlocks() error {
	from := flate.InflateCheckpoint{
		UncompressedOffset: d.out, CompressedOffset: d.consumed(), BitOffset: d.bit, Window: d.window,
	}
	d.drift, d.window, d.bit, d.state = 0, nil, 0, inBlocks
	switch {
	case d.onPoint != nil: // it would be lost in ResetCP
		d.blocks = flate.NewReaderOpts(d.buffer, flate.WithEobCallback(d.ended), flate.WithResumeFrom(from)).(resetter)
	case d.blocks == nil:
		d.blocks = flate.NewReaderOpts(d.buffer, flate.WithResumeFrom(from)).(resetter)
	default:
		return d.blocks.ResetCP(d.buffer, from)
	}
	return nil
}

// ended is told about the end of each block.
//
// Package flate (v1.20.3, inflate.go, dataBlock) counts the whole bytes in its bit buffer twice when a stored block begins, so all
// offsets are too large from there on. The bit buffer is empty after a stored block, so how far what it says is ahead of what it has
// taken is the error; it holds less than what it has taken at any other time, and the error never falls.
func (d *decoder) ended(at flate.InflateCheckpoint) {
	in := at.CompressedOffset*8 + int64(at.BitOffset)
	if ahead := in - d.consumed()*8; ahead > d.drift*8 {
		d.drift = ahead / 8
	}
	if !at.Final {
		d.onPoint(point{out: at.UncompressedOffset, in: in - d.drift*8}, at.Window)
	}
}
