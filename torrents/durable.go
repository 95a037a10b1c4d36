package torrents

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeDurably replaces the file at path by one that holds b, so that after a crash at any moment
// there is either the old file or the new one, whole: temporary file, fsync, rename, fsync of the
// folder. It is the only way in which the library writes what must not be lost.
func writeDurably(path string, b []byte) error {
	if err := swapFile(path, b); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// swapFile is writeDurably up to the fsync of the folder, which makes several files durable at once.
func swapFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// tempPrefix begins the names of files that a crash may leave behind.
const tempPrefix = ".new-"

// removeLeftovers removes from dir what a crash in writeDurably left behind.
func removeLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// removeDurably removes the files; those that are not there are as good as removed.
func removeDurably(paths ...string) error {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return syncDir(filepath.Dir(paths[0]))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
