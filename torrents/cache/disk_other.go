//go:build !linux

package cache

import (
	"errors"
	"os"
)

// Elsewhere holes cannot be punched by what Go offers: torrents are evicted as a whole.

func punchHole(*os.File, int64, int64) error { return errors.ErrUnsupported }

func allocated(info os.FileInfo) int64 { return info.Size() }

func fingerprint(info os.FileInfo) (size, mtime, ctime, inode int64) {
	return info.Size(), info.ModTime().UnixNano(), 0, 0
}

// giveWay cannot be done for a thread.
func giveWay() {}

// statDisk cannot tell.
func statDisk(string) (diskSpace, error) { return diskSpace{}, nil }
