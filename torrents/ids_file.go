package torrents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// next is the first id behind all of the file's.
func (f *idsFile) next() uint64 {
	if len(f.runs) == 0 {
		return firstID
	}
	last := f.runs[len(f.runs)-1]
	return last.First + uint64(last.N)
}

// readIDs reads what add wrote, behind the runs that are known before. A file that is not there is empty. With an error there are the runs up
// to what is wrong.
func readIDs(path string, before []IDRun) (f idsFile, err error) {
	for i, run := range before {
		if err := f.check(run); err != nil {
			return f, fmt.Errorf("the file ids in the record, run %d: %w", i, err)
		}
		f.runs = append(f.runs, run)
	}
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
			return f, fmt.Errorf("read the file ids: %s, byte %d: %w", path, f.size, err)
		}
		if err := f.check(run); err != nil {
			return f, fmt.Errorf("the file ids in %s, byte %d: %w", path, f.size, err)
		}
		f.runs = append(f.runs, run)
		f.size += int64(len(line)) + 1
		b = rest
	}
	return f, nil
}

// check says whether a run may come next. They ascend, as Find counts on that.
func (f *idsFile) check(r IDRun) error {
	if r.First < f.next() || r.N <= 0 || r.First > oldArchiveIDs || r.N > maxRun {
		return fmt.Errorf("there are %d from %d on for %.40q", r.N, r.First, r.Place)
	}
	return nil
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
