//go:build !linux

package torrents

import "syscall"

// acknowledge has nothing to do where the system cannot be asked to.
func acknowledge(syscall.RawConn) {}
