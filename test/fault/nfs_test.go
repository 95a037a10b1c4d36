//go:build linux

package fault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// reader reads one file through NFS (RFC 1813), on a connection of its own.
type reader struct {
	conn   net.Conn
	stop   func() bool
	xid    uint32
	handle []byte
}

const (
	programNFS, programMount       = 100003, 100005
	procMnt, procLookup, procRead3 = 1, 3, 6

	statusIO, statusJukebox = 5, 10008

	// callLimit is how long a call may take, waiting for peers included.
	callLimit = 90 * time.Second
)

// statusError is an NFS status other than NFS3_OK.
type statusError uint32

func (e statusError) Error() string { return fmt.Sprintf("NFS status %d", uint32(e)) }

var errReply = errors.New("the reply cannot be read")

// open opens a file of a folder. ctx is for all that is done with it.
func open(ctx context.Context, port int, folder, file string) (*reader, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	r := &reader{conn: conn, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	res, err := r.call(programMount, procMnt, opaque(nil, []byte(folder)))
	if err == nil {
		r.handle, _, err = res.opaque()
	}
	if err == nil {
		if res, err = r.call(programNFS, procLookup, opaque(opaque(nil, r.handle), []byte(file))); err == nil {
			r.handle, _, err = res.opaque()
		}
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("open %s of %s: %w", file, folder, err)
	}
	return r, nil
}

func (r *reader) close() {
	r.stop()
	r.conn.Close()
}

// read reads n bytes. The error is a statusError if the server refuses.
func (r *reader) read(off int64, n int) ([]byte, error) {
	if err := r.ask(off, n); err != nil {
		return nil, err
	}
	return r.answer()
}

// ask sends a READ of n bytes.
func (r *reader) ask(off int64, n int) error {
	args := binary.BigEndian.AppendUint64(opaque(nil, r.handle), uint64(off))
	return r.send(programNFS, procRead3, binary.BigEndian.AppendUint32(args, uint32(n)))
}

// answer receives the bytes that were asked for.
func (r *reader) answer() ([]byte, error) {
	res, err := r.receive()
	if err != nil {
		return nil, err
	}
	if len(res) > 4 && res[3] == 1 { // attributes
		res = res[84:]
	}
	if len(res) < 4+8 {
		return nil, errReply
	}
	b, _, err := res[4+8:].opaque()
	return b, err
}

// readPatiently reads n bytes, again and again while the server says that it takes longer.
func (r *reader) readPatiently(ctx context.Context, off int64, n int) ([]byte, error) {
	b := make([]byte, 0, n)
	for len(b) < n {
		got, err := r.read(off+int64(len(b)), n-len(b))
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case isStatus(err, statusJukebox):
			time.Sleep(10 * time.Millisecond)
		case err != nil:
			return nil, fmt.Errorf("read %d bytes at %d: %w", n, off, err)
		case len(got) == 0:
			return nil, io.ErrUnexpectedEOF
		}
		b = append(b, got...)
	}
	return b, nil
}

// call makes a call of version 3 of a program, and returns what follows the status in the reply.
func (r *reader) call(program, proc uint32, args []byte) (results, error) {
	if err := r.send(program, proc, args); err != nil {
		return nil, err
	}
	return r.receive()
}

func (r *reader) send(program, proc uint32, args []byte) error {
	r.xid++
	call := make([]byte, 4, 64+len(args))
	for _, n := range []uint32{r.xid, 0, 2, program, 3, proc, 0, 0, 0, 0} {
		call = binary.BigEndian.AppendUint32(call, n)
	}
	call = append(call, args...)
	binary.BigEndian.PutUint32(call, uint32(len(call)-4)|1<<31)
	if err := r.conn.SetDeadline(time.Now().Add(callLimit)); err != nil {
		return err
	}
	_, err := r.conn.Write(call)
	return err
}

func (r *reader) receive() (results, error) {
	mark := make([]byte, 4)
	if _, err := io.ReadFull(r.conn, mark); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint32(mark)&^(1<<31))
	if _, err := io.ReadFull(r.conn, reply); err != nil {
		return nil, err
	}
	const header = 7 * 4 // xid, reply, accepted, verifier of nothing, success, status
	if len(reply) < header || binary.BigEndian.Uint32(reply) != r.xid || binary.BigEndian.Uint32(reply[20:]) != 0 {
		return nil, errReply
	}
	if status := binary.BigEndian.Uint32(reply[24:]); status != 0 {
		return nil, statusError(status)
	}
	return reply[header:], nil
}

// results are what a reply has.
type results []byte

func (r results) opaque() (b, rest []byte, err error) {
	if len(r) < 4 {
		return nil, nil, errReply
	}
	n := int(binary.BigEndian.Uint32(r))
	if len(r) < 4+n {
		return nil, nil, errReply
	}
	return r[4 : 4+n], r[4+(n+3)/4*4:], nil
}

func opaque(args, b []byte) []byte {
	args = binary.BigEndian.AppendUint32(args, uint32(len(b)))
	return append(append(args, b...), make([]byte, (4-len(b)%4)%4)...)
}
