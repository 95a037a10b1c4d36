// Package billyadapter shows a tree as a billy.Filesystem, for go-nfs.
//
// Everything that would change something fails with billy.ErrReadOnly. Paths are those of the tree,
// separated by slashes; a leading slash makes no difference. As billy knows no context, reads wait
// until the one given to New ends.
package billyadapter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/go-git/go-billy/v5"

	"shoal/tree"
)

// FS is a tree as a billy.Filesystem. It is safe for concurrent use.
type FS struct {
	tree *tree.Tree
	ctx  context.Context //nolint:containedctx // billy has no place for one
}

var (
	_ billy.Filesystem = (*FS)(nil)
	_ billy.Capable    = (*FS)(nil)
)

// New returns t as a file system whose reads wait until ctx ends.
func New(ctx context.Context, t *tree.Tree) *FS { return &FS{tree: t, ctx: ctx} }

// Capabilities say that files can be read and sought.
func (f *FS) Capabilities() billy.Capability { return billy.ReadCapability | billy.SeekCapability }

// Join joins path elements. They are clean names, so there is nothing to resolve in them.
func (f *FS) Join(elem ...string) string { return strings.Join(elem, "/") }

// Root is the path of the root.
func (f *FS) Root() string { return "/" }

// Node returns the node at path. The error is a *fs.PathError.
func (f *FS) Node(op, path string) (tree.Node, error) {
	n, err := f.tree.Walk(f.ctx, Split(path)...)
	if err != nil {
		return tree.Node{}, &fs.PathError{Op: op, Path: path, Err: err}
	}
	return n, nil
}

// Split returns the elements of a path.
func Split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// Open opens a file for reading. A folder cannot be opened.
func (f *FS) Open(path string) (billy.File, error) {
	n, err := f.Node("open", path)
	if err != nil {
		return nil, err
	}
	content, err := n.Content()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	at := contentReader{f.ctx, content}
	return &file{SectionReader: io.NewSectionReader(at, 0, n.Attr().Size), at: at, name: path}, nil
}

// OpenFile is Open, and fails with billy.ErrReadOnly if flag asks for more.
func (f *FS) OpenFile(path string, flag int, _ os.FileMode) (billy.File, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND) != 0 {
		return nil, billy.ErrReadOnly
	}
	return f.Open(path)
}

// Stat describes a node. It follows no symbolic link: what go-nfs is asked to change is the link.
func (f *FS) Stat(path string) (os.FileInfo, error) {
	n, err := f.Node("stat", path)
	if err != nil {
		return nil, err
	}
	return n.Info(), nil
}

// Lstat is Stat.
func (f *FS) Lstat(path string) (os.FileInfo, error) { return f.Stat(path) }

// ReadDir lists a folder, sorted by name.
func (f *FS) ReadDir(path string) ([]os.FileInfo, error) {
	n, err := f.Node("readdir", path)
	if err != nil {
		return nil, err
	}
	if err := n.Load(f.ctx); err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: path, Err: err}
	}
	dir, err := n.Dir()
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: path, Err: err}
	}
	list := make([]os.FileInfo, len(dir.Entries()))
	for i, e := range dir.Entries() {
		list[i] = e.Info()
	}
	return list, nil
}

// Readlink fails: go-nfs is not asked what a link says.
func (f *FS) Readlink(path string) (string, error) {
	return "", &fs.PathError{Op: "readlink", Path: path, Err: fs.ErrInvalid}
}

// Chroot is not supported: whoever needs a folder of the tree has its node.
func (f *FS) Chroot(string) (billy.Filesystem, error) { return nil, billy.ErrNotSupported }

// What follows would change something.

// Create fails with billy.ErrReadOnly.
func (f *FS) Create(string) (billy.File, error) { return nil, billy.ErrReadOnly }

// Rename fails with billy.ErrReadOnly.
func (f *FS) Rename(string, string) error { return billy.ErrReadOnly }

// Remove fails with billy.ErrReadOnly.
func (f *FS) Remove(string) error { return billy.ErrReadOnly }

// TempFile fails with billy.ErrReadOnly.
func (f *FS) TempFile(string, string) (billy.File, error) { return nil, billy.ErrReadOnly }

// MkdirAll fails with billy.ErrReadOnly.
func (f *FS) MkdirAll(string, os.FileMode) error { return billy.ErrReadOnly }

// Symlink fails with billy.ErrReadOnly.
func (f *FS) Symlink(string, string) error { return billy.ErrReadOnly }

// contentReader is a tree.Content as an io.ReaderAt.
type contentReader struct {
	ctx     context.Context //nolint:containedctx // io.ReaderAt has no place for one
	content tree.Content
}

func (r contentReader) ReadAt(p []byte, off int64) (int, error) {
	return r.content.ReadAt(r.ctx, p, off)
}

type file struct {
	*io.SectionReader
	at   contentReader
	name string
}

func (f *file) Name() string { return f.name }

// ReadAt does not go through the SectionReader: that clips the read before the content sees it, and
// would hide its io.EOF.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.at.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read %s: %w", f.name, err)
	}
	return n, err
}

func (f *file) Write([]byte) (int, error) { return 0, billy.ErrReadOnly }
func (f *file) Truncate(int64) error      { return billy.ErrReadOnly }
func (f *file) Close() error              { return nil }
func (f *file) Lock() error               { return nil }
func (f *file) Unlock() error             { return nil }
