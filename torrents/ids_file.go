package torrents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// idsFile is torrents/<infohash>.ids: the file ids of what is inside files, a line of JSON for each run of them, ascending. Lines are only
// ever added, as there may be one for each of 100,000 archives, and a record that has them all would be written for each again.
type idsFile struct {
	runs []IDRun
	size int64 // in bytes, of the lines that are whole; a crash may leave a part of one behind them
}

func (l *Library) idsPath(ih Infohash) string {
	return filepath.Join(l.opts.DataDir, torrentsDir, ih.String()+".ids")
}

// readIDs reads what add wrote, behind the runs that are known before. A file that is not there is empty.
func readIDs(path string, before []IDRun) (idsFile, error) {
	f := idsFile{runs: slices.Clone(before)}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read the file ids: %w", err)
	}
	for len(b) > 0 {
		line, rest, isWhole := bytes.Cut(b, []byte("\n"))
		if !isWhole {
			break // nobody was told of its ids
		}
		var run IDRun
		if err := json.Unmarshal(line, &run); err != nil {
			return f, fmt.Errorf("read the file ids of run %d: %w", len(f.runs), err)
		}
		f.runs = append(f.runs, run)
		f.size += int64(len(line)) + 1
		b = rest
	}
	return f, checkRuns(f.runs)
}

// add adds a run, durably. The error is a *WriteError; the file is as good as before then. The runs of earlier copies of f stay as they are.
func (f *idsFile) add(path string, run IDRun) error {
	line, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("encode file ids: %w", err)
	}
	line = append(line, '\n')
	if err := writeBehind(path, line, f.size); err != nil {
		return &WriteError{fmt.Errorf("write the file ids: %w", err)}
	}
	f.size += int64(len(line))
	f.runs = append(f.runs, run)
	return nil
}

// writeBehind makes b the end of a file, behind its first size bytes, durably.
func writeBehind(path string, b []byte, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(size); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if size == 0 {
		return syncDir(filepath.Dir(path))
	}
	return nil
}
