package torrents

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Names of the files that are locked. They differ, as the folders may be the same.
const (
	dataLock  = "lock"
	cacheLock = "cache.lock"
)

// lockFolders locks both folders for this process. Two libraries must not share a cache either: each would evict, and take the room of,
// what the other one has.
func lockFolders(dataDir, cacheDir string) ([]*flock.Flock, error) {
	var locks []*flock.Flock
	for _, of := range []struct{ dir, name string }{{dataDir, dataLock}, {cacheDir, cacheLock}} {
		lock := flock.New(filepath.Join(of.dir, of.name))
		locked, err := lock.TryLock()
		if err == nil && !locked {
			err = &fs.PathError{Op: "lock", Path: of.dir, Err: ErrLocked}
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", of.dir, err), lock.Close(), unlock(locks))
		}
		locks = append(locks, lock)
	}
	return locks, nil
}

// CheckUnlocked returns a *fs.PathError of the folder, with ErrLocked, if another process has a library open there, and nil also if that
// cannot be told. It is for who changes the folders before Open, and makes nothing.
func CheckUnlocked(dataDir, cacheDir string) error {
	for _, of := range []struct{ dir, name string }{{dataDir, dataLock}, {cacheDir, cacheLock}} {
		lock := flock.New(filepath.Join(of.dir, of.name), flock.SetFlag(os.O_RDONLY))
		locked, err := lock.TryLock()
		_ = lock.Close() // nothing was written
		if err == nil && !locked {
			return &fs.PathError{Op: "lock", Path: of.dir, Err: ErrLocked}
		}
	}
	return nil
}

func unlock(locks []*flock.Flock) error {
	var err error
	for _, lock := range locks {
		err = errors.Join(err, lock.Close())
	}
	return err
}
