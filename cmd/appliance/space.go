//go:build unix

package main

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"shoal/nfsfs/nfs3"
)

// space returns what tells how much there is on the disk of a folder.
func space(dir string, log *slog.Logger) func() nfs3.Space {
	return func() nfs3.Space {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			log.Warn("the disk of the cache cannot be asked for its space", "err", err)
			return nfs3.Space{}
		}
		block := uint64(st.Bsize) // its type differs between systems
		return nfs3.Space{
			Bytes: st.Blocks * block, FreeBytes: uint64(st.Bavail) * block, //nolint:unconvert // likewise
			Files: st.Files, FreeFiles: uint64(st.Ffree), //nolint:unconvert // likewise
		}
	}
}
