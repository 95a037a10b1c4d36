package archive

import (
	"errors"
	"io/fs"
	"os"
)

// Shown says whether the archive should be a folder now: it is none if it was refused. It looks at small files on the disk at most.
func (a *Archive) Shown() bool { return a.Refused() == nil }

// Ask forgets why the archive was refused, so that Members reads it again.
func (a *Archive) Ask() {
	if err := os.Remove(a.store.indexPath(a.key + refusedSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.store.log.Warn("what is known of an archive cannot be removed", "archive", a.key, "err", err)
	}
	a.list.mu.Lock()
	defer a.list.mu.Unlock()
	a.list.refused = nil
}
