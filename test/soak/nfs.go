//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"shoal/nfsfs/xdr"
)

const (
	programNFS, programMount = 100003, 100005
	procMount                = 1
	procLookup, procRead     = 3, 6

	attrSize   = 84
	maxHandle  = 64
	maxRead    = 1 << 20
	maxRecord  = maxRead + 4096
	answerTime = readWait + 30*time.Second // for one reply; then nobody serves
)

// status is what NFS or MOUNT answers instead of what was asked for.
type status uint32

const (
	statusNoEnt   status = 2
	statusIO      status = 5
	statusStale   status = 70
	statusJukebox status = 10008
)

func (s status) Error() string { return fmt.Sprintf("NFS status %d", uint32(s)) }

// errConnection is that of a connection that ended.
var errConnection = errors.New("connection")

// client is a connection to the export.
type client struct {
	conn   net.Conn
	in     *bufio.Reader
	xid    uint32
	record []byte
}

func dial(ctx context.Context, addr string) (*client, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp4", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errConnection, err)
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), record: make([]byte, 0, maxRecord)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// send sends a call, and returns its number.
func (c *client) send(program, proc uint32, args []byte) (uint32, error) {
	c.xid++
	b := xdr.AppendWords(nil, 0, c.xid, 0, 2, program, 3, proc, 0, 0, 0, 0) // AUTH_NONE, twice
	b = append(b, args...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4)|1<<31)
	if err := c.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, fmt.Errorf("%w: %w", errConnection, err)
	}
	if _, err := c.conn.Write(b); err != nil {
		return 0, fmt.Errorf("%w: %w", errConnection, err)
	}
	return c.xid, nil
}

// receive returns the next reply: its number, and the results after their status, which are good until
// the next one. The error is a status, or errConnection.
func (c *client) receive() (uint32, xdr.Decoder, error) {
	c.record = c.record[:0]
	for last := false; !last; {
		var mark [4]byte
		if _, err := io.ReadFull(c.in, mark[:]); err != nil {
			return 0, xdr.Decoder{}, fmt.Errorf("%w: %w", errConnection, err)
		}
		word := binary.BigEndian.Uint32(mark[:])
		last = word>>31 == 1
		from, size := len(c.record), int(word&(1<<31-1))
		if from+size > maxRecord {
			return 0, xdr.Decoder{}, fmt.Errorf("a reply of %d bytes or more", from+size)
		}
		c.record = c.record[:from+size]
		if _, err := io.ReadFull(c.in, c.record[from:]); err != nil {
			return 0, xdr.Decoder{}, fmt.Errorf("%w: %w", errConnection, err)
		}
	}
	d := xdr.NewDecoder(c.record)
	xid := d.Uint32()
	kind, accepted := d.Uint32(), d.Uint32()
	d.Uint32() // flavour of the verifier
	d.Opaque(400)
	if carried := d.Uint32(); d.Err() != nil || kind != 1 || accepted != 0 || carried != 0 {
		return xid, d, fmt.Errorf("a call was not carried out: %x", c.record[:min(len(c.record), 40)])
	}
	if s := status(d.Uint32()); s != 0 {
		return xid, d, s
	}
	return xid, d, d.Err()
}

// call sends a call and returns its results.
func (c *client) call(program, proc uint32, args []byte) (xdr.Decoder, error) {
	want, err := c.send(program, proc, args)
	if err != nil {
		return xdr.Decoder{}, err
	}
	got, d, err := c.receive()
	if err == nil && got != want {
		err = fmt.Errorf("a reply to call %d came instead of one to %d", got, want)
	}
	return d, err
}

// walk returns the handle of a file.
func (c *client) walk(path ...string) ([]byte, error) {
	d, err := c.call(programMount, procMount, xdr.AppendOpaque(nil, "/"))
	handle := append([]byte(nil), d.Opaque(maxHandle)...)
	for _, name := range path {
		if err != nil {
			break
		}
		d, err = c.call(programNFS, procLookup, xdr.AppendOpaque(xdr.AppendOpaque(nil, handle), name))
		handle = append([]byte(nil), d.Opaque(maxHandle)...)
	}
	if err == nil {
		err = d.Err()
	}
	return handle, err
}

func (c *client) sendRead(handle []byte, off int64, n int) (uint32, error) {
	args := xdr.AppendUint64(xdr.AppendOpaque(nil, handle), uint64(off))
	return c.send(programNFS, procRead, xdr.AppendUint32(args, uint32(n)))
}

// readResult takes the data out of the results of a READ.
func readResult(d xdr.Decoder) ([]byte, error) {
	if d.Bool() {
		d.Fixed(attrSize)
	}
	d.Uint32() // count
	d.Uint32() // whether that is the end
	data := d.Opaque(maxRead)
	return data, d.Err()
}
