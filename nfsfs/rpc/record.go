// Package rpc is ONC RPC version 2 (RFC 5531) as a server needs it: records on a byte stream, call
// headers, and the replies that carry no result. It trusts no length that comes from outside.
package rpc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// lastFragment marks the last fragment of a record (RFC 5531, section 11).
const lastFragment = 1 << 31

// ErrRecord is returned for a stream that is no sequence of records within the limit.
var ErrRecord = errors.New("malformed record")

// Reader reads records from a connection.
type Reader struct {
	conn  net.Conn
	buf   *bufio.Reader
	limit int
	wait  time.Duration
}

// NewReader returns a Reader that refuses records above limit bytes, and those that take longer than
// wait to arrive once they have begun. Between records it waits for ever.
func NewReader(conn net.Conn, limit int, wait time.Duration) *Reader {
	return &Reader{conn: conn, buf: bufio.NewReaderSize(conn, 64<<10), limit: limit, wait: wait}
}

// Read returns the next record, its fragments joined, in a slice of its own. The error is io.EOF at
// the end of the stream, ErrRecord, or that of the connection.
func (r *Reader) Read() ([]byte, error) {
	if _, err := r.buf.Peek(1); err != nil {
		return nil, err
	}
	if err := r.conn.SetReadDeadline(time.Now().Add(r.wait)); err != nil {
		return nil, err
	}
	record, err := ReadRecord(r.buf, r.limit)
	if err != nil {
		return nil, err
	}
	return record, r.conn.SetReadDeadline(time.Time{})
}

// ReadRecord reads one record of at most limit bytes. Memory is taken as data arrives, not as its
// lengths promise.
func ReadRecord(r io.Reader, limit int) ([]byte, error) {
	var record []byte
	for {
		var mark [4]byte
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
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		n -= take
	}
	return b, nil
}

// WriteRecord writes b as a record of one fragment.
func WriteRecord(w io.Writer, b []byte) error {
	mark := binary.BigEndian.AppendUint32(make([]byte, 0, 4), uint32(len(b))|lastFragment)
	bufs := net.Buffers{mark, b}
	_, err := bufs.WriteTo(w)
	return err
}
