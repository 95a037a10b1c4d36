package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
)

// Limits of an xz file's index. One by "xz -T0" has a block for each 24 MiB at level 6.
const (
	maxXZBlocks  = 1 << 20
	maxXZStreams = 1 << 10
	maxXZIndex   = 20 << 20 // bytes: a record of the longest kind for each block
	maxXZPadding = 1 << 20  // bytes between streams, and after the last
)

const (
	xzHeaderSize = 12 // of a stream's header, and of its footer
	xzTail       = 64 << 10
)

var (
	xzHeaderMagic = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	xzFooterMagic = []byte{'Y', 'Z'}
)

// XZBlock is a block of an xz file, which can be decoded alone.
type XZBlock struct {
	Off, Len int64 // where it is in the file, with its padding, in bytes
	At, Size int64 // which bytes it decodes to

	unpadded int64
	flags    [2]byte // of its stream
}

// XZIndex is what the ends of an xz file's streams say (xz-file-format 1.1.0, sections 2.1.2 and 4).
type XZIndex struct {
	Size   int64 // of all that the file decodes to, in bytes
	Blocks []XZBlock
}

// ReadXZIndex reads the indexes of all streams of an xz file of a size in bytes, the last one first: for a file of one stream these are
// its header and, mostly, its last 64 KiB. A damaged file is ErrFormat, one with more blocks than allowed ErrUnsupported;
// other errors are those of r.
func ReadXZIndex(r io.ReaderAt, size int64) (*XZIndex, error) {
	p := &xzParser{r: r}
	end := size
	for {
		start, err := p.stream(end)
		if err != nil {
			return nil, fmt.Errorf("xz file of %d bytes, stream that ends at %d: %w", size, end, err)
		}
		if end = start; end == 0 {
			break
		}
	}
	// They came last one first.
	x := &XZIndex{Blocks: make([]XZBlock, 0, p.blocks)}
	for _, blocks := range slices.Backward(p.streams) {
		for _, b := range blocks {
			b.At = x.Size
			if b.Size > math.MaxInt64-x.Size {
				return nil, fmt.Errorf("xz file of %d bytes: %w: it claims more than 2^63 bytes", size, ErrFormat)
			}
			x.Size += b.Size
			x.Blocks = append(x.Blocks, b)
		}
	}
	return x, nil
}

type xzParser struct {
	r       io.ReaderAt
	streams [][]XZBlock
	blocks  int

	tail  []byte // what was read last
	start int64  // and where it is
}

// bytes returns n bytes that end at an offset. It reads more before them, as that is asked for next.
func (p *xzParser) bytes(end, n int64) ([]byte, error) {
	if n > end {
		return nil, fmt.Errorf("%w: it is cut", ErrFormat)
	}
	from := end - n
	if p.tail == nil || from < p.start || end > p.start+int64(len(p.tail)) {
		start := max(0, min(from, end-xzTail))
		p.tail, p.start = make([]byte, end-start), start
		if got, err := p.r.ReadAt(p.tail, start); int64(got) < end-start {
			p.tail = nil
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("reading %d bytes at %d: %w", end-start, start, err)
		}
	}
	return p.tail[from-p.start:][:n], nil
}

// stream reads the index of the stream that ends at an offset, or before it if there is padding, and says where it starts.
func (p *xzParser) stream(end int64) (start int64, err error) {
	if len(p.streams) == maxXZStreams {
		return 0, fmt.Errorf("%w: over %d streams", ErrUnsupported, maxXZStreams)
	}
	footer, err := p.footer(&end)
	if err != nil {
		return 0, err
	}
	flags := [2]byte(footer[8:10])
	indexSize := (int64(binary.LittleEndian.Uint32(footer[4:])) + 1) * 4
	if indexSize > maxXZIndex {
		return 0, fmt.Errorf("%w: an index of %d bytes", ErrUnsupported, indexSize)
	}
	end -= xzHeaderSize
	index, err := p.bytes(end, indexSize)
	if err != nil {
		return 0, err
	}
	blocks, err := p.index(index, end-indexSize)
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for i := range blocks {
		total += blocks[i].Len
	}
	if total > end-indexSize-xzHeaderSize {
		return 0, fmt.Errorf("%w: its blocks have %d bytes, more than there are", ErrFormat, total)
	}
	off := end - indexSize - total
	for i := range blocks {
		blocks[i].Off, blocks[i].flags = off, flags
		off += blocks[i].Len
	}
	start = end - indexSize - total - xzHeaderSize
	header, err := p.bytes(start+xzHeaderSize, xzHeaderSize)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(header, xzStreamHeader(flags)) {
		return 0, fmt.Errorf("%w: its header is not where its index says, at %d", ErrFormat, start)
	}
	p.streams = append(p.streams, blocks)
	p.blocks += len(blocks)
	return start, nil
}

// footer returns the footer before an offset, which is moved in front of padding.
func (p *xzParser) footer(end *int64) ([]byte, error) {
	for padding := 0; ; padding += 4 {
		b, err := p.bytes(*end, 4)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(b, []byte{0, 0, 0, 0}) {
			break
		}
		if padding >= maxXZPadding {
			return nil, fmt.Errorf("%w: over %d bytes of padding", ErrFormat, maxXZPadding)
		}
		*end -= 4
	}
	footer, err := p.bytes(*end, xzHeaderSize)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(footer[10:], xzFooterMagic) || crc32.ChecksumIEEE(footer[4:10]) != binary.LittleEndian.Uint32(footer) {
		return nil, fmt.Errorf("%w: there is no footer", ErrFormat)
	}
	return footer, nil
}

// vli reads a number of the variable-length encoding of section 1.2, which has no more bytes than needed.
func vli(b []byte) (n int64, rest []byte, ok bool) {
	v, used := binary.Uvarint(b)
	if used <= 0 || used > 9 || v > math.MaxInt64 || used > 1 && b[used-1] == 0 {
		return 0, nil, false
	}
	return int64(v), b[used:], true
}

// index reads an index. The blocks that it tells of have at most some bytes.
func (p *xzParser) index(b []byte, before int64) ([]XZBlock, error) {
	damaged := fmt.Errorf("%w: its index is damaged", ErrFormat)
	body := len(b) - 4
	if body < 4 || b[0] != 0 || crc32.ChecksumIEEE(b[:body]) != binary.LittleEndian.Uint32(b[body:]) {
		return nil, damaged
	}
	n, rest, ok := vli(b[1:body])
	if !ok || n > int64(len(rest)/2) {
		return nil, damaged
	}
	if n > int64(maxXZBlocks-p.blocks) {
		return nil, fmt.Errorf("%w: over %d blocks", ErrUnsupported, maxXZBlocks)
	}
	blocks := make([]XZBlock, n)
	for i := range blocks {
		x := &blocks[i]
		var ok1, ok2 bool
		if x.unpadded, rest, ok1 = vli(rest); ok1 {
			x.Size, rest, ok2 = vli(rest)
		}
		if !ok2 || x.unpadded < 5 || x.unpadded > before {
			return nil, damaged
		}
		x.Len = (x.unpadded + 3) / 4 * 4
		before -= x.Len
	}
	if len(rest) > 3 || len(bytes.Trim(rest, "\x00")) > 0 {
		return nil, damaged
	}
	return blocks, nil
}

// xzStreamHeader makes a stream's header (section 2.1.1).
func xzStreamHeader(flags [2]byte) []byte {
	b := append(append([]byte(nil), xzHeaderMagic...), flags[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(flags[:]))
}

// xzStreamEnd makes the index and the footer of a stream of one block.
func (b *XZBlock) xzStreamEnd() []byte {
	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(b.unpadded))
	index = binary.AppendUvarint(index, uint64(b.Size))
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(index))
	end := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	end = append(end, b.flags[:]...)
	index = binary.LittleEndian.AppendUint32(index, crc32.ChecksumIEEE(end))
	return append(append(index, end...), xzFooterMagic...)
}

// OpenBlock starts decoding the block alone, by making it a stream of its own: no other byte of r is read. Its check, if it has one, is
// verified. See Open for errors.
func (l Limits) OpenBlock(b *XZBlock, r io.ReaderAt) (io.ReadCloser, error) {
	return l.Open(XZ, io.MultiReader(bytes.NewReader(xzStreamHeader(b.flags)), io.NewSectionReader(r, b.Off, b.Len),
		bytes.NewReader(b.xzStreamEnd())), b.Size)
}
