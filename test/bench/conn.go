//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"
	"unsafe"
)

const (
	// patience is how long a server may take to answer.
	patience = 30 * time.Second
	// bufferSize is how much is received at once, at most. It is small enough to stay in a CPU's cache,
	// where the copying of data is cheap, and the same for both servers.
	bufferSize = 256 << 10
	// headRoom is what is received at once when only the head of a reply is wanted.
	headRoom = 512
	// maxRecord is longer than any reply may be.
	maxRecord = 4 << 20
)

// conn is a connection to a server. It uses blocking system calls, as the runtime's poller would cost
// more than what is measured.
type conn struct {
	fd         int
	in         []byte
	start, end int // of what was received and not used yet, in in
	record     []byte
	discard    bool // let the kernel throw away what is not wanted of a reply

	out      []byte // calls that are not sent yet
	arrived  time.Time
	departed time.Time
	flushed  func() // called when out was sent
	xid      uint32
}

func dial(addr string) (*conn, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	limit := syscall.NsecToTimeval(int64(patience))
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit),
		syscall.Connect(fd, &syscall.SockaddrInet4{Addr: ap.Addr().As4(), Port: int(ap.Port())}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", addr, err), syscall.Close(fd))
	}
	return &conn{fd: fd, in: make([]byte, bufferSize), flushed: func() {}}, nil
}

func (c *conn) close() error { return syscall.Close(c.fd) }

// flush sends the calls that wait.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	c.departed = time.Now()
	for rest := c.out; len(rest) > 0; {
		n, errno := transfer(syscall.SYS_SENDTO, c.fd, rest, syscall.MSG_NOSIGNAL)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return fmt.Errorf("send: %w", errno)
		}
		rest = rest[n:]
	}
	c.out = c.out[:0]
	c.flushed()
	return nil
}

// receive receives into b. What waits to be sent is sent first.
func (c *conn) receive(b []byte, flags int) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	for {
		n, errno := transfer(syscall.SYS_RECVFROM, c.fd, b, flags)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return 0, fmt.Errorf("no reply for %v", patience)
		case errno != 0:
			return 0, fmt.Errorf("receive: %w", errno)
		case n == 0:
			return 0, fmt.Errorf("the server has closed the connection: %w", io.ErrUnexpectedEOF)
		}
		c.arrived = time.Now()
		return n, nil
	}
}

// transfer is sendto(2) or recvfrom(2) of a connection. The runtime is not told that it waits: there is
// nothing else to run, and looking for it would take longer than the call.
func transfer(call uintptr, fd int, b []byte, flags int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), uintptr(flags), 0, 0)
	return int(n), errno
}

// fill receives until there are n bytes, which is no more than the buffer holds.
func (c *conn) fill(n int) error {
	if c.end-c.start >= n {
		return nil
	}
	if c.start == c.end {
		c.start, c.end = 0, 0
	}
	if c.start+n > len(c.in) {
		c.end = copy(c.in, c.in[c.start:c.end])
		c.start = 0
	}
	for c.end-c.start < n {
		room := c.in[c.end:]
		if c.discard {
			room = room[:min(len(room), headRoom)]
		}
		got, err := c.receive(room, 0)
		if err != nil {
			return err
		}
		c.end += got
	}
	return nil
}

// skip passes over n bytes of what the server sends.
func (c *conn) skip(n int) error {
	have := min(n, c.end-c.start)
	c.start += have
	for n -= have; n > 0; {
		// All that was received is used.
		c.start, c.end = 0, 0
		if c.discard {
			// TCP takes the bytes off the queue without a copy (tcp(7)), and b says how many.
			got, err := c.receive(c.in[:min(n, len(c.in))], syscall.MSG_TRUNC)
			if err != nil {
				return err
			}
			n -= got
			continue
		}
		got, err := c.receive(c.in, 0)
		if err != nil {
			return err
		}
		used := min(got, n)
		c.start, c.end = used, got
		n -= used
	}
	return nil
}

// next receives a reply. It returns the first bytes of it, up to limit, which are good until the next
// call, and its length.
func (c *conn) next(limit int) (head []byte, length int, err error) {
	c.record = c.record[:0]
	for {
		if err := c.fill(4); err != nil {
			return nil, 0, err
		}
		mark := big.Uint32(c.in[c.start:])
		c.start += 4
		last := mark>>31 == 1
		size := int(mark & (1<<31 - 1))
		if length += size; length > maxRecord {
			return nil, 0, fmt.Errorf("a reply of %d bytes or more", length)
		}
		if last && length == size && size <= limit && size <= len(c.in) {
			// The usual case, where nothing has to be moved.
			err := c.fill(size)
			head = c.in[c.start : c.start+size]
			c.start += size
			return head, length, err
		}
		keep := min(size, limit-len(c.record))
		if err := c.keep(keep); err != nil {
			return nil, 0, err
		}
		if err := c.skip(size - keep); err != nil {
			return nil, 0, err
		}
		if last {
			return c.record, length, nil
		}
	}
}

// keep puts the next n bytes into the record.
func (c *conn) keep(n int) error {
	for n > 0 {
		if err := c.fill(min(n, headRoom)); err != nil {
			return err
		}
		part := c.in[c.start:min(c.start+n, c.end)]
		c.record = append(c.record, part...)
		c.start += len(part)
		n -= len(part)
	}
	return nil
}

// call carries out one call, and returns its results. They are good until the next call.
func (c *conn) call(program, proc uint32, args []byte) (*decoder, error) {
	c.xid++
	call := append(appendCall(nil, program, proc), args...)
	seal(call, c.xid)
	c.out = append(c.out, call...)
	reply, _, err := c.next(maxRecord)
	if err != nil {
		return nil, err
	}
	xid, results, err := parseReply(reply)
	if err == nil && xid != c.xid {
		err = fmt.Errorf("a reply to call %d came instead of one to %d", xid, c.xid)
	}
	if err != nil {
		return nil, err
	}
	d := &decoder{b: results}
	d.status()
	return d, d.err
}
