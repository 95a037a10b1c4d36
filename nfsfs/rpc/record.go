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
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// lastFragment marks the last fragment of a record (RFC 5531, section 11).
	lastFragment = 1 << 31
	markSize     = 4
	// bufferSize holds some hundred calls. A connection has a buffer only while there is something in it.
	bufferSize = 16 << 10
	// shareTime is how long a record waits for memory that others have: they need it for milliseconds.
	shareTime = 2 * time.Second
)

// ErrRecord is returned for a stream that is no sequence of records within the limit.
var ErrRecord = errors.New("malformed record")

// reader takes records off a connection. Those that fit its buffer, as nearly all do, are not copied.
type reader struct {
	conn net.Conn
	buf  *bufio.Reader
	opts readerOptions
	// taken is how many records were there when the connection was last waited for.
	taken int
}

type readerOptions struct {
	limit int           // of a record, in bytes
	wait  time.Duration // for the rest of a record that has begun
	idle  time.Duration // between records; 0 is for ever
	busy  func() bool   // says that idle does not count now
	// arrival waits until there is something to read. The reader needs no buffer meanwhile. It may be nil.
	arrival func(soon bool) error
	// large is what all the records together may take that do not fit a buffer, in bytes.
	large *semaphore.Weighted
}

func newReader(conn net.Conn, opts readerOptions) *reader {
	r := &reader{conn: conn, opts: opts}
	r.take()
	return r
}

// take gets a buffer.
func (r *reader) take() {
	r.buf = buffers.Get().(*bufio.Reader)
	r.buf.Reset(r.conn)
}

// buffers are those that no connection needs just now.
var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferSize) }}

// free gives the buffer back.
func (r *reader) free() {
	r.buf.Reset(nil)
	buffers.Put(r.buf)
	r.buf = nil
}

// next passes the next record to use, its fragments joined. It is good until use returns. The error is
// io.EOF at the end of the stream, ErrRecord, that of the connection, or that of use.
func (r *reader) next(ctx context.Context, use func([]byte) error) error {
	if r.buf.Buffered() == 0 {
		if err := r.await(); err != nil {
			return err
		}
	}
	r.taken++
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
		return r.arrival()
	}
	for {
		if err := r.conn.SetReadDeadline(time.Now().Add(r.opts.idle)); err != nil {
			return err
		}
		err := r.arrival()
		if errors.Is(err, os.ErrDeadlineExceeded) && r.opts.busy() {
			continue
		}
		return errors.Join(err, r.conn.SetReadDeadline(time.Time{}))
	}
}

// arrival returns once there is something in the buffer. A client that had one call there will make
// another when it has the reply to that.
func (r *reader) arrival() error {
	defer func() { r.taken = 0 }()
	if r.opts.arrival != nil {
		r.free()
		err := r.opts.arrival(r.taken == 1)
		r.take()
		if err != nil {
			return err
		}
	}
	_, err := r.buf.Peek(1)
	return err
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
	var g gathering
	defer func() {
		if g.shared {
			b := g.record[:0]
			longs.Put(&b)
			r.opts.large.Release(int64(r.opts.limit))
		}
	}()
	for !g.last {
		if err := r.gather(ctx, &g); err != nil {
			return cutOff(err)
		}
	}
	if err := r.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return use(g.record)
}

// gathering is a record whose fragments are being joined.
type gathering struct {
	record []byte
	shared bool // it has a share of readerOptions.large, and is to be one of longs
	last   bool // it is whole
}

// longs are records that are used again. There are not many, and none becomes garbage when clients come
// and go.
var longs = sync.Pool{New: func() any { return new([]byte) }}

// gather adds the next fragment.
func (r *reader) gather(ctx context.Context, g *gathering) error {
	mark, err := r.buf.Peek(markSize)
	if err != nil {
		return err
	}
	n, last, err := checkMark(mark, r.opts.limit-len(g.record))
	if err != nil {
		return err
	}
	_, _ = r.buf.Discard(markSize) // it is in the buffer
	if err := r.grow(ctx, g, n, last); err != nil {
		return err
	}
	start := len(g.record)
	g.record, g.last = g.record[:start+n], last
	_, err = io.ReadFull(r.buf, g.record[start:])
	return err
}

// grow makes room for a fragment of n bytes: a buffer's worth for any client, and more for those that
// get a share of it.
func (r *reader) grow(ctx context.Context, g *gathering, n int, last bool) error {
	size := len(g.record) + n
	switch {
	case size <= cap(g.record):
		return nil
	case size <= bufferSize:
		if !last { // and so more follows
			size = min(bufferSize, r.opts.limit)
		}
		g.record = append(make([]byte, 0, size), g.record...)
		return nil
	}
	// There is none for a client that only says that it will send so much. Without this, many that are
	// gone already would wait for one.
	if _, err := r.buf.Peek(min(n, bufferSize)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, shareTime)
	defer cancel()
	if err := r.opts.large.Acquire(ctx, int64(r.opts.limit)); err != nil {
		return fmt.Errorf("too many long records at a time: %w", err)
	}
	g.shared = true
	long := (*longs.Get().(*[]byte))[:0]
	if cap(long) < r.opts.limit {
		long = make([]byte, 0, r.opts.limit)
	}
	g.record = append(long, g.record...)
	return nil
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
		n, last, err := checkMark(mark[:], limit-len(record))
		if err != nil {
			return nil, err
		}
		if record, err = appendFrom(record, r, n); err != nil {
			return nil, err
		}
		if last {
			return record, nil
		}
	}
}

// checkMark returns the length of a fragment of at most limit bytes, and whether it is the last.
func checkMark(mark []byte, limit int) (n int, last bool, err error) {
	word := binary.BigEndian.Uint32(mark)
	length := int64(word &^ lastFragment)
	last = word&lastFragment != 0
	if length > int64(limit) {
		return 0, last, fmt.Errorf("%w: a fragment of %d bytes where %d are allowed", ErrRecord, length, limit)
	}
	// Fragments of nothing could go on for ever.
	if length == 0 && !last {
		return 0, last, fmt.Errorf("%w: an empty fragment", ErrRecord)
	}
	return int(length), last, nil
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
