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

// giveWay has the thread run when others of this machine have nothing to do, or nearly so.
func giveWay() {
	const lower = 10
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return // as it is, it is only less fair
	}
	const kernelBias = 20 // see getpriority(2)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, kernelBias-now+lower)
}

func statDisk(dir string) (diskSpace, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return diskSpace{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	block := int64(st.Bsize) //nolint:unconvert // its type differs between architectures
	return diskSpace{total: int64(st.Blocks) * block, free: int64(st.Bavail) * block}, nil
}
