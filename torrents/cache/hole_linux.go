package cache

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// punchHole frees the blocks of a range of a file, which reads as zeros afterwards.
func punchHole(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// readSinglePages keeps the kernel from reading a file into groups of pages (large folios). Of a group that reaches beyond a hole
// that is punched, the kernel fills the part within with zeros, though these pages may be on their way to a client: sendfile(2)
// queues the pages themselves. Single pages it only takes out of its cache. Writing makes no groups larger than what is written.
func readSinglePages(f *os.File) error {
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)
}

// allocated returns how many bytes a file takes on disk.
func allocated(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// fingerprint returns what changes when a file is written, copied or replaced.
func fingerprint(info os.FileInfo) (size, mtime, ctime, inode int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return info.Size(), st.Mtim.Nano(), st.Ctim.Nano(), int64(st.Ino)
	}
	return info.Size(), info.ModTime().UnixNano(), 0, 0
}

func statDisk(dir string) (diskSpace, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return diskSpace{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	block := int64(st.Bsize) //nolint:unconvert // its type differs between architectures
	return diskSpace{total: int64(st.Blocks) * block, free: int64(st.Bavail) * block}, nil
}
