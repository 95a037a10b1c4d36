package access

import (
	"errors"
	"os"
	"path/filepath"
)

// writeDurably replaces the file at path by one that holds b and only its owner may read, so that after a crash
// at any moment there is either the old file or the new one, whole.
func writeDurably(path string, b []byte) error {
	dir := filepath.Dir(path)
	// 0600. What a crash leaves behind is removed by the library, whose temporary files are called so.
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
