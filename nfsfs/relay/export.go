package relay

import (
	"context"
	"net"
	"slices"

	"github.com/go-git/go-billy/v5"
	"github.com/willscott/go-nfs"

	"shoal/billyadapter"
	"shoal/tree"
)

// export is the tree as go-nfs wants it. Handles are the tree's.
type export struct {
	tree *tree.Tree
	fs   *billyadapter.FS
}

var _ nfs.Handler = (*export)(nil)

// newExport returns an export whose reads wait until ctx ends.
func newExport(ctx context.Context, t *tree.Tree) *export {
	return &export{tree: t, fs: billyadapter.New(ctx, t)}
}

// Mount refuses: nothing is mounted here. go-nfs wants a file system all the same.
func (e *export) Mount(context.Context, net.Conn, nfs.MountRequest) (nfs.MountStatus, billy.Filesystem, []nfs.AuthFlavor) {
	return nfs.MountStatusErrAcces, e.fs, nil
}

// Change returns nil: nothing can be changed.
func (e *export) Change(billy.Filesystem) billy.Change { return nil }

// FSStat leaves what go-nfs says.
func (e *export) FSStat(context.Context, billy.Filesystem, *nfs.FSStat) error { return nil }

// ToHandle returns the handle of a path; none if it has vanished since.
func (e *export) ToHandle(_ billy.Filesystem, path []string) []byte {
	n, err := e.fs.Node("look up", e.fs.Join(path...))
	if err != nil {
		return nil
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
	// Without room behind it: go-nfs appends to it.
	return e.fs, slices.Clip(n.Path()), nil
}

// InvalidateHandle has nothing to do: handles are computed.
func (e *export) InvalidateHandle(billy.Filesystem, []byte) error { return nil }

// HandleLimit says that there is none.
func (e *export) HandleLimit() int { return 1 << 20 }
