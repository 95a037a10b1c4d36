//go:build unix

package rpc

import (
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// spinTime is how long to look for the next call without going to sleep. A client that makes one call
// after another has the next one there within some microseconds, and waking up takes longer than that.
const spinTime = 50 * time.Microsecond

// spinning counts who looks. There are fewer than processors, so that they keep nobody from working.
var spinning atomic.Int32

// eager is a connection whose reads look for data for a moment before they wait for it, as long as that
// keeps coming at once.
type eager struct {
	*net.TCPConn
	raw syscall.RawConn
	hot bool // the latest read did not have to wait long

	// What try has to do, and its result.
	p   []byte
	n   int
	err error
	try func(fd uintptr) bool
}

func newEager(tcp *net.TCPConn) (net.Conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	e := &eager{TCPConn: tcp, raw: raw}
	e.try = func(fd uintptr) bool {
		e.n, e.err = syscall.Read(int(fd), e.p)
		return true // whatever came of it
	}
	return e, nil
}

func (e *eager) Read(p []byte) (int, error) {
	begin := time.Now()
	if e.hot && int(spinning.Add(1)) < runtime.GOMAXPROCS(0) {
		n, err := e.spin(p, begin)
		spinning.Add(-1)
		if n > 0 || err != nil {
			return n, err
		}
	} else if e.hot {
		spinning.Add(-1)
	}
	n, err := e.TCPConn.Read(p)
	e.hot = time.Since(begin) < 2*spinTime
	return n, err
}

// spin returns 0 and nil if nothing came in time.
func (e *eager) spin(p []byte, begin time.Time) (int, error) {
	e.p = p
	defer func() { e.p = nil }()
	for {
		if err := e.raw.Read(e.try); err != nil {
			return 0, err
		}
		if e.n > 0 {
			return e.n, nil
		}
		// The end of the stream, and any error, are for an ordinary read to find.
		if !errors.Is(e.err, syscall.EAGAIN) || time.Since(begin) > spinTime {
			return 0, nil
		}
		runtime.Gosched()
	}
}
