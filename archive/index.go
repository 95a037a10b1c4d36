package archive

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"shoal/archive/spool"
)

// indexes keep what was learned of archives in files: their version, a checksum of what follows, and that. A file is named by its key, a
// path of safe names. What lies below the first element of that, as all that is known of a torrent, is evicted together: it is small, and
// learned again when it is needed.
type indexes struct {
	dir   string
	log   *slog.Logger
	room  spool.Room   // may be nil
	limit func() int64 // bytes on disk

	disk sync.Mutex // held while files are changed

	mu      sync.Mutex // for moments
	folders map[string]*indexFolder
	used    int64 // bytes
}

// indexFolder is all below the first element of keys.
type indexFolder struct {
	bytes   int64 // on disk
	lastUse time.Time
}

const (
	indexVersion = "shoal archive 1\n" // grows with each version that shows what another one refused
	indexHeader  = len(indexVersion) + crc32.Size
	maxIndex     = 256 << 20

	tempSuffix = ".new"
	// diskBlock is what file systems allocate at a time, for a folder as well, in bytes.
	diskBlock = 4096
	// indexPatience is how long to wait for room, which is not worth much.
	indexPatience = time.Second
)

// onDisk returns what a file of n bytes takes on disk.
func onDisk(n int64) int64 { return (n + diskBlock - 1) / diskBlock * diskBlock }

// openIndexes counts what earlier runs have left.
func openIndexes(dir string, room spool.Room, limit func() int64, log *slog.Logger) (*indexes, error) {
	x := &indexes{dir: dir, log: log, room: room, limit: limit, folders: make(map[string]*indexFolder)}
	if x.limit == nil {
		x.limit = func() int64 { return math.MaxInt64 }
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		f := &indexFolder{}
		if f.bytes, f.lastUse, err = measureIndex(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
		x.folders[e.Name()] = f
		x.charge(f.bytes)
	}
	x.shrink("", 0)
	return x, nil
}

// measureIndex returns what a folder takes on disk, and when something in it was changed last. It removes what was not written whole.
func measureIndex(dir string) (bytes int64, changed time.Time, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		switch {
		case err != nil:
			return err
		case e.IsDir():
			bytes += diskBlock
		case strings.HasSuffix(path, tempSuffix):
			return os.Remove(path)
		default:
			bytes += onDisk(info.Size())
		}
		if info.ModTime().After(changed) {
			changed = info.ModTime()
		}
		return nil
	})
	return bytes, changed, err
}

// charge counts bytes that are on disk.
func (x *indexes) charge(n int64) {
	x.mu.Lock()
	x.used += n
	x.mu.Unlock()
	if x.room != nil {
		x.room.Add(n)
	}
}

func (x *indexes) path(key string) string { return indexPath(x.dir, key) }

func indexPath(dir, key string) string { return filepath.Join(dir, filepath.FromSlash(key)) }

// folderOf returns the first element of a key.
func folderOf(key string) string {
	folder, _, _ := strings.Cut(key, "/")
	return folder
}

// read returns what is kept under a key, or nil if that is nothing or damaged.
func (x *indexes) read(key string) []byte {
	body, err := readIndexFile(x.path(key))
	if err != nil {
		x.log.Warn("what is known of an archive cannot be read", "archive", key, "err", err)
	}
	if body != nil {
		x.touch(key)
	}
	return body
}

// readIndexFile returns what is kept in a file, or nil if that is nothing or damaged. The error is one of the disk.
func readIndexFile(path string) ([]byte, error) {
	if st, err := os.Stat(path); err != nil || st.Size() < int64(indexHeader) || st.Size() > maxIndex {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	body, ok := bytes.CutPrefix(b, []byte(indexVersion))
	if !ok || len(body) < crc32.Size || !bytes.Equal(body[:crc32.Size], checksum(body[crc32.Size:])) {
		return nil, nil
	}
	return body[crc32.Size:], nil
}

// hasIndexFile says whether something of this version is kept in a file. It may be damaged.
func hasIndexFile(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var version [len(indexVersion)]byte
	_, err = io.ReadFull(f, version[:])
	return err == nil && string(version[:]) == indexVersion
}

func (x *indexes) touch(key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := x.folders[folderOf(key)]; f != nil {
		f.lastUse = time.Now()
	}
}

// write keeps something under a key, if there is room for it. If it is not kept it is learned again.
func (x *indexes) write(ctx context.Context, key string, body []byte) {
	if len(body) > maxIndex-indexHeader {
		return
	}
	b := append(append([]byte(indexVersion), checksum(body)...), body...)
	// What was there is there until the new file has its name.
	need := onDisk(int64(len(b))) + int64(strings.Count(key, "/"))*diskBlock
	if !x.shrink(folderOf(key), need) {
		x.log.Warn("what is known of an archive is not kept, as it is too much", "archive", key, "bytes", need)
		return
	}
	if x.room != nil {
		ctx, cancel := context.WithTimeout(ctx, indexPatience)
		defer cancel()
		if err := x.room.Take(ctx, need); err != nil {
			x.log.Warn("what is known of an archive is not kept, for lack of room", "archive", key, "err", err)
			return
		}
	}
	took, err := x.put(key, b)
	if err != nil {
		x.log.Warn("what is known of an archive cannot be kept", "path", x.path(key), "err", err)
	}
	if x.room != nil {
		x.room.Give(need - took)
	}
}

// put writes a file, and returns how many bytes more there are on disk, if it fails as well.
func (x *indexes) put(key string, b []byte) (took int64, err error) {
	x.disk.Lock()
	defer x.disk.Unlock()
	path := x.path(key)
	for dir := filepath.Dir(path); dir != filepath.Clean(x.dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			took += diskBlock
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	before := int64(0)
	if st, err := os.Stat(path); err == nil {
		before = onDisk(st.Size())
	}
	if err = os.WriteFile(path+tempSuffix, b, 0o644); err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err == nil {
		took += onDisk(int64(len(b))) - before
	} else {
		_ = os.Remove(path + tempSuffix) // which may not be there
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.folders[folderOf(key)]
	if f == nil {
		f = &indexFolder{}
		x.folders[folderOf(key)] = f
	}
	f.bytes += took
	f.lastUse = time.Now()
	x.used += took
	return took, err
}

// remove removes what is kept under a key.
func (x *indexes) remove(key string) error {
	x.disk.Lock()
	defer x.disk.Unlock()
	st, err := os.Stat(x.path(key))
	if err == nil {
		err = os.Remove(x.path(key))
	}
	if err != nil {
		return err
	}
	freed := onDisk(st.Size())
	x.mu.Lock()
	if f := x.folders[folderOf(key)]; f != nil {
		f.bytes -= freed
	}
	x.used -= freed
	x.mu.Unlock()
	if x.room != nil {
		x.room.Give(freed)
	}
	return nil
}

// forget removes all below a folder, and returns how many bytes that were.
func (x *indexes) forget(folder string) (freed int64, err error) {
	x.disk.Lock()
	defer x.disk.Unlock()
	x.mu.Lock()
	f := x.folders[folder]
	x.mu.Unlock()
	if f == nil {
		return 0, nil
	}
	if err := os.RemoveAll(x.path(folder)); err != nil {
		return 0, fmt.Errorf("forget archives: %w", err)
	}
	x.mu.Lock()
	freed = f.bytes
	delete(x.folders, folder)
	x.used -= freed
	x.mu.Unlock()
	if x.room != nil {
		x.room.Give(freed)
	}
	return freed, nil
}

// free removes folders, the one that was used least lately first, until n bytes are free, and returns how many are.
func (x *indexes) free(n int64) (freed int64) {
	for freed < n {
		folder := x.oldest("")
		if folder == "" {
			break
		}
		got, err := x.forget(folder)
		if err != nil {
			x.log.Warn("what is known of archives cannot be removed", "folder", folder, "err", err)
			break
		}
		freed += got
	}
	return freed
}

// shrink removes folders until there is room for n bytes within the limit, but for one. It says whether there is. It removes none where that
// would be for nothing, or there is no limit yet.
func (x *indexes) shrink(but string, n int64) bool {
	limit := x.limit()
	x.mu.Lock()
	own := int64(0)
	if f := x.folders[but]; f != nil {
		own = f.bytes
	}
	x.mu.Unlock()
	if limit <= 0 || own > limit-n {
		return false
	}
	for {
		x.mu.Lock()
		fits := x.used <= limit-n
		x.mu.Unlock()
		if fits {
			return true
		}
		folder := x.oldest(but)
		if folder == "" {
			return false
		}
		if _, err := x.forget(folder); err != nil {
			x.log.Warn("what is known of archives cannot be removed", "folder", folder, "err", err)
			return false
		}
	}
}

// oldest returns the folder that was used least lately, but for one; empty if there is none.
func (x *indexes) oldest(but string) (folder string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, f := range x.folders {
		if name == but {
			continue
		}
		if folder == "" || cmp.Or(f.lastUse.Compare(x.folders[folder].lastUse), cmp.Compare(name, folder)) < 0 {
			folder = name
		}
	}
	return folder
}

// keep removes the folders that are not among those.
func (x *indexes) keep(folders []string) error {
	known := make(map[string]bool, len(folders))
	for _, folder := range folders {
		known[folder] = true
	}
	x.mu.Lock()
	var gone []string
	for folder := range x.folders {
		if !known[folder] {
			gone = append(gone, folder)
		}
	}
	x.mu.Unlock()
	var errs error
	for _, folder := range gone {
		_, err := x.forget(folder)
		errs = errors.Join(errs, err)
	}
	return errs
}

func checksum(b []byte) []byte {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}
}
