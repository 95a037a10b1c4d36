package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// lastFragment marks the last fragment of a record (RFC 5531, section 11).
	lastFragment = 1 << 31
	markSize     = 4
	// bufferSize holds 64 calls, and is most of what an idle connection takes.
	bufferSize = 8 << 10
)

// ErrRecord is returned for a stream that is no sequence of records within the limit.
var ErrRecord = errors.New("malformed record")

// reader takes records off a connection. Those that fit its buffer, as nearly all do, are not copied.
type reader struct {
	conn net.Conn
	buf  *bufio.Reader
	opts readerOptions
}

type readerOptions struct {
	limit int           // of a record, in bytes
	wait  time.Duration // for the rest of a record that has begun
	idle  time.Duration // between records; 0 is for ever
	busy  func() bool   // says that idle does not count now
	// large is what all the records together may take that do not fit a buffer, in bytes.
	large *semaphore.Weighted
}

func newReader(conn net.Conn, opts readerOptions) *reader {
	return &reader{conn: conn, buf: bufio.NewReaderSize(conn, bufferSize), opts: opts}
}

// next passes the next record to use, its fragments joined. It is good until use returns. The error is
// io.EOF at the end of the stream, ErrRecord, that of the connection, or that of use.
func (r *reader) next(ctx context.Context, use func([]byte) error) error {
	if r.buf.Buffered() == 0 {
		if err := r.await(); err != nil {
			return err
		}
	}
	record, err := r.peek()
	if err != nil {
		return err
	}
	if record != nil {
		err := use(record)
		_, _ = r.buf.Discard(markSize + len(record)) // it is in the buffer
		return err
	}
	return r.assemble(ctx, use)
}

// await returns once the next record has begun.
func (r *reader) await() error {
	if r.opts.idle == 0 {
		_, err := r.buf.Peek(1)
		return err
	}
	for {
		if err := r.conn.SetReadDeadline(time.Now().Add(r.opts.idle)); err != nil {
			return err
		}
		_, err := r.buf.Peek(1)
		if errors.Is(err, os.ErrDeadlineExceeded) && r.opts.busy() {
			continue
		}
		return errors.Join(err, r.conn.SetReadDeadline(time.Time{}))
	}
}

// ready says whether next would pass a record at once.
func (r *reader) ready() bool {
	n, ok := r.mark()
	return ok && markSize+n <= r.buf.Buffered()
}

// mark returns the length of the record at the front of the buffer, if it is of one fragment that fits.
func (r *reader) mark() (n int, ok bool) {
	if r.buf.Buffered() < markSize {
		return 0, false
	}
	mark, _ := r.buf.Peek(markSize)
	word := binary.BigEndian.Uint32(mark)
	length := int64(word &^ lastFragment)
	return int(length), word&lastFragment != 0 && length <= int64(min(r.opts.limit, bufferSize-markSize))
}

// peek returns the record at the front of the buffer, after waiting for the rest of it, or nil if it is
// not one that fits.
func (r *reader) peek() ([]byte, error) {
	if r.ready() {
		n, _ := r.mark()
		b, err := r.buf.Peek(markSize + n)
		return b[markSize:], err
	}
	if err := r.conn.SetReadDeadline(time.Now().Add(r.opts.wait)); err != nil {
		return nil, err
	}
	if _, err := r.buf.Peek(markSize); err != nil {
		return nil, cutOff(err)
	}
	n, ok := r.mark()
	if !ok {
		return nil, nil
	}
	b, err := r.buf.Peek(markSize + n)
	if err != nil {
		return nil, cutOff(err)
	}
	return b[markSize:], r.conn.SetReadDeadline(time.Time{})
}

// assemble is next for a record that does not fit the buffer. The deadline is set already.
func (r *reader) assemble(ctx context.Context, use func([]byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.wait)
	defer cancel()
	// What cannot become a record needs no memory.
	if mark, _ := r.buf.Peek(markSize); int64(binary.BigEndian.Uint32(mark)&^lastFragment) > int64(r.opts.limit) {
		return fmt.Errorf("%w: longer than %d bytes", ErrRecord, r.opts.limit)
	}
	if err := r.opts.large.Acquire(ctx, int64(r.opts.limit)); err != nil {
		return fmt.Errorf("too many long records at a time: %w", err)
	}
	defer r.opts.large.Release(int64(r.opts.limit))
	record, err := ReadRecord(r.buf, r.opts.limit)
	if err != nil {
		return cutOff(err)
	}
	if err := r.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return use(record)
}

// cutOff is the error of a stream that ends within a record.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ReadRecord reads one record of at most limit bytes. Memory is taken as data arrives, not as its
// lengths promise.
func ReadRecord(r io.Reader, limit int) ([]byte, error) {
	var record []byte
	for {
		var mark [markSize]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			return nil, err
		}
		word := binary.BigEndian.Uint32(mark[:])
		last, n := word&lastFragment != 0, int64(word&^lastFragment)
		if n > int64(limit-len(record)) {
			return nil, fmt.Errorf("%w: longer than %d bytes", ErrRecord, limit)
		}
		// Fragments of nothing could go on for ever.
		if n == 0 && !last {
			return nil, fmt.Errorf("%w: an empty fragment", ErrRecord)
		}
		var err error
		if record, err = appendFrom(record, r, int(n)); err != nil {
			return nil, err
		}
		if last {
			return record, nil
		}
	}
}

// appendFrom appends n bytes of r to b, growing it by at most a chunk before the data is there.
func appendFrom(b []byte, r io.Reader, n int) ([]byte, error) {
	const chunk = 64 << 10
	for n > 0 {
		start, take := len(b), min(n, chunk)
		b = append(b, make([]byte, take)...)
		if _, err := io.ReadFull(r, b[start:]); err != nil {
			return nil, cutOff(err)
		}
		n -= take
	}
	return b, nil
}

// WriteRecord writes b as a record of one fragment.
func WriteRecord(w io.Writer, b []byte) error {
	mark := binary.BigEndian.AppendUint32(make([]byte, 0, markSize), uint32(len(b))|lastFragment)
	bufs := net.Buffers{mark, b}
	_, err := bufs.WriteTo(w)
	return err
}
