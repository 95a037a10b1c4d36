package torrents

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// acknowledge has the system send the acknowledgment that it puts off, and put off none for a while (tcp(7), TCP_QUICKACK).
func acknowledge(c syscall.RawConn) {
	// Whatever fails, it is only sent later.
	_ = c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
}
