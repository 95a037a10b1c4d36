package watch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// MaxEntries is how many files and folders are looked at, of whatever name.
const MaxEntries = 100_000

// ErrChanged is returned by Scan.Read for a file that is not as the scan found it.
var ErrChanged = errors.New("the file has changed meanwhile")

// Scan is what was there at a time.
type Scan struct {
	Time time.Time
	// Err says why the folder could not be read. There is nothing else then.
	Err error
	// Root is the folder itself.
	Root Identity
	// Folders are those in it, by name.
	Folders map[string]Folder
	// Files are those to be read, and those that cannot be, sorted by path.
	Files []File
	// Partial says that there are more than MaxEntries, of which the rest was not looked at.
	Partial bool
	// Notified says that changes will be noticed at once.
	Notified bool

	root    *os.Root
	entries int
	maxSize int64
}

// Folder is a folder in Options.Dir.
type Folder struct {
	Identity
	Err error // why not all that is in it could be seen
}

// File is a file that should be read.
type File struct {
	Path    string // below Options.Dir, with slashes
	Stamp   Stamp
	Settled bool
	Err     error // why it is not to be read
}

// Stamp tells one content of a file from another, without reading it.
type Stamp struct {
	Size    int64 `json:"size"`     // in bytes
	ModTime int64 `json:"mtime_ns"` // since 1970, in ns
}

func stampOf(fi fs.FileInfo) Stamp { return Stamp{fi.Size(), fi.ModTime().UnixNano()} }

// Identity tells a folder from another one that has its path later, such as the empty one that is there
// while a disk is not mounted.
type Identity struct {
	// Device changes when a machine starts again, so it is good within a process only.
	Device uint64 `json:"-"`
	Inode  uint64 `json:"inode"`
	// Mount says that the folder is on another file system than the one it is in.
	Mount bool `json:"mount,omitempty"`
}

// Same says whether both are the same folder, as far as can be known.
func (id Identity) Same(other Identity) bool {
	sameDevice := id.Device == other.Device || id.Device == 0 || other.Device == 0
	return sameDevice && id.Inode == other.Inode && id.Mount == other.Mount
}

// Read reads a file, which has to be as the scan found it. The error is ErrChanged or that of the disk.
func (s *Scan) Read(f File) ([]byte, error) {
	// Without waiting for somebody to write, should it be a pipe by now.
	h, err := s.root.OpenFile(filepath.FromSlash(f.Path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plain(err)
	}
	defer h.Close()
	fi, err := h.Stat()
	if err != nil {
		return nil, plain(err)
	}
	if !fi.Mode().IsRegular() || stampOf(fi) != f.Stamp || f.Stamp.Size > s.maxSize {
		return nil, ErrChanged
	}
	b, err := io.ReadAll(io.LimitReader(h, f.Stamp.Size+1))
	if err != nil {
		return nil, plain(err)
	}
	if fi, err = h.Stat(); err != nil {
		return nil, plain(err)
	}
	if stampOf(fi) != f.Stamp || int64(len(b)) != f.Stamp.Size {
		return nil, ErrChanged
	}
	return b, nil
}

// plain is err without the path, which whoever is told knows.
func plain(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// scan looks at everything. It listens to each folder before it reads it, so that nothing gets lost
// between.
func (w *watcher) scan(now time.Time) *Scan {
	s := &Scan{Time: now, Folders: make(map[string]Folder), maxSize: w.MaxSize}
	if s.Err = s.open(w.Dir); s.Err != nil {
		return s
	}
	s.Notified = w.listen(w.Dir)
	var folders []string
	s.Err = s.names(".", func(name string) {
		if s.top(w.Dir, name) {
			folders = append(folders, name)
		}
	})
	if s.Err != nil {
		s.Folders, s.Files = nil, nil
		return s
	}
	for _, name := range folders {
		s.Notified = w.listen(filepath.Join(w.Dir, name)) && s.Notified
		f := s.Folders[name]
		f.Err = s.names(name, func(file string) { s.file(path.Join(name, file)) })
		s.Folders[name] = f
	}
	slices.SortFunc(s.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	w.settle(s)
	return s
}

// settle says of each file whether it is settled.
func (w *watcher) settle(s *Scan) {
	seen := make(map[string]sighting, len(s.Files))
	for i := range s.Files {
		f := &s.Files[i]
		if f.Err != nil {
			f.Settled = true
			continue
		}
		before, known := w.seen[f.Path]
		if !known || before.stamp != f.Stamp {
			before = sighting{f.Stamp, s.Time}
		}
		seen[f.Path] = before
		f.Settled = s.Time.Sub(before.since) >= w.Settle
	}
	w.seen = seen
}

// open opens the folder.
func (s *Scan) open(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	s.root = root
	fi, err := root.Stat(".")
	if err != nil {
		return err
	}
	// Not filepath.Join, as dir may be a link.
	above, err := os.Stat(dir + string(filepath.Separator) + "..")
	if err != nil {
		return err
	}
	s.Root = identityOf(fi, identityOf(above, Identity{}))
	return nil
}

func (s *Scan) close() {
	if s.root != nil {
		_ = s.root.Close() // was only read
	}
}

// namesAtOnce is how many names are read from a folder at a time.
const namesAtOnce = 1024

// names yields the names in a folder, as long as there is room for more.
func (s *Scan) names(folder string, yield func(string)) error {
	d, err := s.root.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(namesAtOnce)
		for _, name := range names {
			if s.entries >= MaxEntries {
				s.Partial = true
				return nil
			}
			s.entries++
			yield(name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// top notes what is in Options.Dir itself, and says whether it is a folder to look into.
func (s *Scan) top(dir, name string) bool {
	if isHidden(name) || slices.Contains(ownFolders, name) {
		return false
	}
	fi, err := s.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	isLink := err == nil && fi.Mode()&fs.ModeSymlink != 0
	if isLink {
		// It may lead out, which is no matter as nothing but its kind is looked at.
		fi, err = os.Stat(filepath.Join(dir, name))
	}
	switch {
	case err == nil && fi.IsDir() && isLink:
		s.refuse(name, errors.New("this is a link to a folder, and such links are not followed"))
	case err == nil && fi.IsDir():
		s.Folders[name] = Folder{Identity: identityOf(fi, s.Root)}
		return true
	case isWatched(name):
		s.refuse(name, errors.New("this is in no sub-folder, so there is no route for it"))
	}
	return false
}

// file notes a file.
func (s *Scan) file(p string) {
	if !isWatched(path.Base(p)) {
		return
	}
	fi, err := s.root.Lstat(filepath.FromSlash(p))
	if errors.Is(err, fs.ErrNotExist) {
		return // it was there a moment ago
	}
	if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		if fi, err = s.root.Stat(filepath.FromSlash(p)); err != nil {
			err = fmt.Errorf("this link leads out of the watch folder, or nowhere: %w", plain(err))
		}
	}
	switch {
	case err != nil:
		s.refuse(p, plain(err))
	case fi.IsDir():
	case !fi.Mode().IsRegular():
		s.refuse(p, errors.New("this is not an ordinary file"))
	case !utf8.ValidString(p):
		s.refuse(p, errors.New("its name is not UTF-8"))
	case fi.Size() > s.maxSize:
		s.refuse(p, fmt.Errorf("the file is larger than %d MiB", s.maxSize>>20))
	default:
		s.Files = append(s.Files, File{Path: p, Stamp: stampOf(fi)})
	}
}

func (s *Scan) refuse(p string, err error) { s.Files = append(s.Files, File{Path: p, Err: err}) }

// ownFolders are folders that file systems and NAS boxes make for themselves.
var ownFolders = []string{"lost+found", "@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information"}

// isHidden says whether a name is that of something hidden or temporary.
func isHidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") }

// isWatched says whether a file of that name is looked at.
func isWatched(name string) bool { return !isHidden(name) && (IsTorrent(name) || isMagnet(name)) }

// IsTorrent says whether the file of that path is a .torrent file. What else there is in a Scan are .magnet
// files.
func IsTorrent(p string) bool { return strings.EqualFold(path.Ext(p), ".torrent") }

func isMagnet(p string) bool { return strings.EqualFold(path.Ext(p), ".magnet") }
