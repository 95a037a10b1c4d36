// Package stream opens decoders that only go forward, within limits of memory, and says how large what they decode is where that
// can be known without decoding.
package stream

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/nwaples/rardecode/v2"
	"github.com/ulikunitz/xz/lzma"
)

var (
	// ErrFormat is in the errors about data that are damaged, or not what they are said to be.
	ErrFormat = errors.New("compressed data are damaged")
	// ErrUnsupported is in the errors about data that may be right, and can't be decoded here.
	ErrUnsupported = errors.New("not supported")
	// ErrUnknownSize says that only decoding would tell how large something is.
	ErrUnknownSize = errors.New("the size is known only after decoding")
)

// Limits are what a decoder may take in memory, in bytes. What is 0 has its default. Its buffers come on top: up to 4 MiB were
// measured, and for RAR 4 with PPMd, which has a size of its own that the library does not limit, up to 342 MiB.
type Limits struct {
	Dictionary int64 // of LZMA, LZMA2 and RAR: MaxDictionary, and below 4 GiB
	Window     int64 // of zstd: MaxWindow
}

// The defaults of Limits.
const (
	MaxDictionary = 64 << 20  // of LZMA, LZMA2 and RAR: that of "xz -9"
	MaxWindow     = 128 << 20 // of zstd: that of "zstd --ultra -22"
)

// Method is a way of compressing.
type Method uint8

// The methods; that of a member of a zip file has the number of APPNOTE 4.4.5 in its comment.
const (
	Bzip2   Method = iota + 1 // 12
	Zstd                      // 93, RFC 8878
	XZ                        // 95, xz-file-format 1.1.0
	ZipLZMA                   // 14, with the header of APPNOTE 5.8.8
)

// String is the usual name of the method.
func (m Method) String() string {
	switch m {
	case Bzip2:
		return "bzip2"
	case Zstd:
		return "zstd"
	case XZ:
		return "xz"
	case ZipLZMA:
		return "lzma"
	}
	return fmt.Sprintf("method %d", uint8(m))
}

func (l Limits) withDefaults() Limits {
	if l.Dictionary <= 0 {
		l.Dictionary = MaxDictionary
	}
	l.Dictionary = min(l.Dictionary, math.MaxUint32)
	if l.Window <= 0 {
		l.Window = MaxWindow
	}
	return l
}

// Open is Limits.Open with the defaults.
func Open(m Method, r io.Reader, size int64) (io.ReadCloser, error) { return Limits{}.Open(m, r, size) }

// Open starts decoding r. Concatenated streams are one. The size is that of what comes out, in bytes, or -1: ZipLZMA without a
// marker of its end needs it, the others take no notice. Reading blocks as r does, and what r says if it fails is in the
// error; otherwise errors are ErrFormat or ErrUnsupported. One goroutine at a time may read; r isn't closed.
func (l Limits) Open(m Method, r io.Reader, size int64) (io.ReadCloser, error) {
	l = l.withDefaults()
	src := &source{r: r}
	d := &decoder{what: m.String(), src: src}
	if err := d.guard(func() error { return d.start(m, size, l) }); err != nil {
		return nil, err
	}
	d.begun = true
	return d, nil
}

func (d *decoder) start(m Method, size int64, l Limits) (err error) {
	switch m {
	case Bzip2:
		// Go's own takes 1.45 times the CPU of dsnet/compress, which had its last release in 2019: few torrents have bzip2, and
		// what reads the bytes of strangers should be maintained.
		d.r = bzip2Reader{bzip2.NewReader(bufio.NewReader(d.src))}
	case Zstd:
		var z *zstd.Decoder
		// Without concurrency it has no goroutines.
		z, err = zstd.NewReader(d.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(l.Window)), zstd.WithDecodeBuffersBelow(0))
		if err == nil {
			d.r, d.close = z, z.Close
		}
	case XZ:
		d.r, err = xz.NewReader(d.src, uint32(l.Dictionary))
	case ZipLZMA:
		d.r, err = openZipLZMA(d.src, size, l.Dictionary)
	default:
		err = ErrUnsupported
	}
	return err
}

// bzip2Reader takes what is behind the last stream, and is none, for nothing, as bzip2 itself does.
type bzip2Reader struct{ r io.Reader }

// errBzip2Garbage is what Go's decoder says of that.
const errBzip2Garbage = bzip2.StructuralError("bad magic value in continuation file")

func (b bzip2Reader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, errBzip2Garbage) {
		err = io.EOF
	}
	return n, err
}

// openZipLZMA makes the header of a .lzma file of that of a member of a zip file, which has a version, the length of
// the properties, and the properties, and no size. If there is a marker of the end, it is found with the size given, too.
func openZipLZMA(r io.Reader, size, limit int64) (io.Reader, error) {
	var h [9]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	if n := binary.LittleEndian.Uint16(h[2:]); n != 5 {
		return nil, fmt.Errorf("%w: properties of %d bytes, not 5", ErrFormat, n)
	}
	header := append([]byte(nil), h[4:]...)
	header = binary.LittleEndian.AppendUint64(header, uint64(max(size, -1)))
	if dict := binary.LittleEndian.Uint32(header[1:]); int64(dict) > limit {
		return nil, fmt.Errorf("%w: a dictionary of %d bytes, more than %d", ErrUnsupported, dict, limit)
	}
	z, err := lzma.ReaderConfig{DictCap: int(min(limit, math.MaxInt))}.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(header), r)))
	return z, err
}

// source remembers what its reader said when it failed, as decoders may say something else then.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.note(err)
	return n, err
}

func (s *source) note(err error) {
	if err != nil && !errors.Is(err, io.EOF) && s.err == nil {
		s.err = err
	}
}

// decoder gives the errors of a decoder their meaning.
type decoder struct {
	what  string
	src   *source
	r     io.Reader
	begun bool // its header was read: an io.EOF is its end
	close func()
	err   error // the last one, which stays
}

// Read decodes.
func (d *decoder) Read(p []byte) (n int, err error) {
	if d.err != nil {
		return 0, d.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	d.err = d.guard(func() error {
		n, err = d.r.Read(p)
		return err
	})
	if n < 0 || n > len(p) {
		n = 0
	}
	return n, d.err
}

// Close frees what the decoder has.
func (d *decoder) Close() error {
	if d.close != nil {
		d.close()
		d.close = nil
	}
	d.r, d.err = nil, fmt.Errorf("%s: %w", d.what, io.ErrClosedPipe)
	return nil
}

// unsupported are the errors of the libraries that don't mean damage.
var unsupported = []error{
	xz.ErrMemlimit, xz.ErrOptions, xz.ErrUnsupportedCheck,
	zstd.ErrWindowSizeExceeded, zstd.ErrDecoderSizeExceeded, zstd.ErrUnknownDictionary,
	rardecode.ErrDictionaryTooLarge, rardecode.ErrArchiveEncrypted, rardecode.ErrArchivedFileEncrypted,
	rardecode.ErrUnknownDecoder, rardecode.ErrUnsupportedDecoder, rardecode.ErrUnknownVersion, rardecode.ErrUnknownEncryptMethod,
}

// guard does something with a decoder that others wrote, and says what went wrong. A panic ends this stream only; what
// a decoder may take is limited before.
func (d *decoder) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			reason := d.src.err // it may be gone the next time
			if reason == nil {
				reason = ErrFormat
			}
			err = fmt.Errorf("%s: %w: the decoder panicked: %v", d.what, reason, p)
		}
	}()
	err = f()
	switch {
	case err == nil:
		return nil
	case d.src.err != nil:
		return fmt.Errorf("%s: reading compressed data: %w", d.what, d.src.err)
	case errors.Is(err, io.EOF) && d.begun:
		return io.EOF
	}
	if errors.Is(err, ErrFormat) || errors.Is(err, ErrUnsupported) {
		return fmt.Errorf("%s: %w", d.what, err)
	}
	for _, u := range unsupported {
		if errors.Is(err, u) {
			return fmt.Errorf("%s: %w: %w", d.what, ErrUnsupported, err)
		}
	}
	return fmt.Errorf("%s: %w: %w", d.what, ErrFormat, err)
}
