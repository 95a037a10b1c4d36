package nfsfs

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"
	"github.com/willscott/go-nfs"
	"github.com/willscott/go-nfs/file"

	"shoal/billyadapter"
	"shoal/tree"
)

// export is the tree as go-nfs wants it. Handles are the tree's, so they survive a restart.
type export struct {
	tree *tree.Tree
	root *exportFS
	last *atomic.Pointer[listing]
}

// listing is one that was read lately: go-nfs asks for it again with each page.
type listing struct {
	path     string
	verifier uint64
	infos    []fs.FileInfo
}

var (
	_ nfs.Handler        = (*export)(nil)
	_ nfs.CachingHandler = (*export)(nil)
)

// newExport returns an export whose reads wait until ctx ends. Exports of one tree share last.
func newExport(ctx context.Context, t *tree.Tree, last *atomic.Pointer[listing]) *export {
	return &export{tree: t, root: &exportFS{FS: billyadapter.New(ctx, t)}, last: last}
}

// exportFS is the adapter's file system with attributes as go-nfs puts them on the wire.
type exportFS struct {
	*billyadapter.FS
	base []string // what was mounted; handles are those of the whole tree all the same
}

func (f *exportFS) Stat(path string) (os.FileInfo, error) {
	info, err := f.FS.Stat(path)
	if err != nil {
		return nil, err
	}
	return wireInfo{info}, nil
}

func (f *exportFS) Lstat(path string) (os.FileInfo, error) { return f.Stat(path) }

func (f *exportFS) ReadDir(path string) ([]os.FileInfo, error) {
	infos, err := f.FS.ReadDir(path)
	for i := range infos {
		infos[i] = wireInfo{infos[i]}
	}
	return infos, err
}

// wireInfo is an fs.FileInfo of the tree whose mode and Sys go-nfs copies into the attributes.
type wireInfo struct{ fs.FileInfo }

// Mode has the permissions only: go-nfs sends the bits as they are, and takes the type from IsDir.
func (i wireInfo) Mode() fs.FileMode { return i.FileInfo.Mode().Perm() }

// Sys carries the file id, without which Linux does not mount.
func (i wireInfo) Sys() any {
	attr, _ := i.FileInfo.Sys().(tree.Attr)
	links := uint32(1)
	if i.IsDir() {
		links = 2
	}
	return &file.FileInfo{Nlink: links, Fileid: attr.FileID}
}

// Mount mounts any folder of the tree. The server has checked the client's address by then.
func (e *export) Mount(_ context.Context, _ net.Conn, req nfs.MountRequest) (nfs.MountStatus, billy.Filesystem, []nfs.AuthFlavor) {
	path := billyadapter.Split(string(req.Dirpath))
	n, err := e.tree.Walk(path...)
	status := nfs.MountStatusOk
	switch {
	case errors.Is(err, fs.ErrNotExist):
		status = nfs.MountStatusErrNoEnt
	case errors.Is(err, tree.ErrNotDir) || err == nil && !n.IsDir():
		status = nfs.MountStatusErrNotDir
	case err != nil:
		status = nfs.MountStatusErrIO
	}
	if status != nfs.MountStatusOk {
		// go-nfs asks for a handle of what is returned, whatever the status.
		return status, e.root, nil
	}
	// BSD clients insist on AUTH_UNIX, others take the first.
	return status, &exportFS{FS: e.root.FS, base: path}, []nfs.AuthFlavor{nfs.AuthFlavorUnix, nfs.AuthFlavorNull}
}

// Change returns nil: nothing can be changed.
func (e *export) Change(billy.Filesystem) billy.Change { return nil }

// FSStat leaves what go-nfs says of a read-only file system.
func (e *export) FSStat(context.Context, billy.Filesystem, *nfs.FSStat) error { return nil }

// ToHandle returns the handle of a path; none if it has vanished since.
func (e *export) ToHandle(f billy.Filesystem, path []string) []byte {
	n := e.tree.Root()
	if mounted, ok := f.(*exportFS); ok && len(mounted.base) > 0 {
		path = append(slices.Clip(mounted.base), path...)
	}
	for _, name := range path {
		var err error
		if n, err = n.Lookup(name); err != nil {
			return nil
		}
	}
	h := n.Handle()
	return h[:]
}

// FromHandle returns the path of a handle. go-nfs answers any error with NFS3ERR_STALE.
func (e *export) FromHandle(handle []byte) (billy.Filesystem, []string, error) {
	n, err := e.tree.Resolve(handle)
	if err != nil {
		return nil, nil, err
	}
	path := n.Path()
	// Without room behind it: go-nfs appends to it.
	return e.root, slices.Clip(path), nil
}

// InvalidateHandle has nothing to do: handles are computed.
func (e *export) InvalidateHandle(billy.Filesystem, []byte) error { return nil }

// HandleLimit says that there is none. go-nfs halves it and takes it for the entries of a page.
func (e *export) HandleLimit() int { return 1 << 20 }

// VerifierFor is the cookie verifier of a folder: its mtime, which moves with its listing.
func (e *export) VerifierFor(path string, contents []fs.FileInfo) uint64 {
	info, err := e.root.Stat(path)
	if err != nil {
		return 0
	}
	v := uint64(info.ModTime().UnixNano())
	e.last.Store(&listing{path: path, verifier: v, infos: contents})
	return v
}

// DataForVerifier returns the listing that goes with a verifier, or nil if it has changed.
func (e *export) DataForVerifier(path string, verifier uint64) []fs.FileInfo {
	if l := e.last.Load(); l != nil && l.path == path && l.verifier == verifier {
		return l.infos
	}
	return nil
}
