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

// spinTime is how long to look for a call that comes soon without going to sleep. A program on the same
// machine that makes one call after another has the next one there within some microseconds, and to be
// woken takes longer than that. Over a network it takes longer to come, so nobody looks for it.
const spinTime = 50 * time.Microsecond

// spinning counts who looks. There are fewer than processors, so that they keep nobody from working.
var spinning atomic.Int32

// arrival waits for something to read on a connection without a buffer to read it into.
type arrival struct {
	raw   syscall.RawConn
	hot   bool // what came last did not take long
	look  [1]byte
	there bool
}

// newArrival returns a function that waits until there is something to read, or the deadline of the
// connection. soon says that the client is likely to make its next call at once.
func newArrival(tcp *net.TCPConn) (func(soon bool) error, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	a := &arrival{raw: raw}
	once := func(fd uintptr) bool {
		a.peek(fd)
		return true
	}
	return func(soon bool) error {
		began := time.Now()
		if soon && a.hot {
			if found, err := a.spin(once, began); found || err != nil {
				return err
			}
		}
		err := raw.Read(a.peek)
		a.hot = time.Since(began) < 2*spinTime
		return err
	}, nil
}

// peek says whether there is something: data, the end, or an error that an ordinary read will find.
func (a *arrival) peek(fd uintptr) bool {
	for {
		_, _, err := syscall.Recvfrom(int(fd), a.look[:], syscall.MSG_PEEK)
		if !errors.Is(err, syscall.EINTR) {
			a.there = !errors.Is(err, syscall.EAGAIN)
			return a.there
		}
	}
}

// spin looks for a while.
func (a *arrival) spin(once func(uintptr) bool, began time.Time) (found bool, err error) {
	defer spinning.Add(-1)
	if int(spinning.Add(1)) >= min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) {
		return false, nil
	}
	for time.Since(began) < spinTime {
		if err := a.raw.Read(once); err != nil || a.there {
			return a.there, err
		}
		runtime.Gosched()
	}
	return false, nil
}
