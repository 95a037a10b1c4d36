//go:build unix

package watch

import (
	"io/fs"
	"syscall"
)

// identityOf returns the identity of a folder that is in another one.
func identityOf(fi fs.FileInfo, above Identity) Identity {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return Identity{}
	}
	device := uint64(st.Dev)                                                              //nolint:unconvert // its type differs between systems
	return Identity{Device: device, Inode: uint64(st.Ino), Mount: device != above.Device} //nolint:unconvert // likewise
}
