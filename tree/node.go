package tree

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Content is the bytes of a file.
type Content interface {
	// Ready says, without waiting, whether the n bytes at off (as far as the file has them) can be
	// read at once.
	Ready(off int64, n int) bool
	// Await returns when they can, and keeps them so until release is called, once. The error is the cause of
	// ctx, or why they never will.
	Await(ctx context.Context, off int64, n int) (release func(), err error)
	// ReadAt is io.ReaderAt with a context: it fills p from off, waits for what is not there yet (not
	// at all if ctx has ended), and returns io.EOF with fewer bytes at the end of the file. It never
	// returns bytes of another file, nor bytes that were not verified.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
}

// Filed is Content that may lie in a file of the local disk as it is.
type Filed interface {
	Content
	// Extent returns the file and the place in it of n bytes at off, all of which the content has, if
	// they are ready. If it does, done has to be called after the last use of the file, once, with the
	// error that reading it met, or nil. It does not wait.
	Extent(off int64, n int) (file *os.File, at int64, done func(error), ok bool)
}

// Counted is Content that knows how much of it is there.
type Counted interface {
	// Cached returns the number of bytes that can be read at once. It is quick.
	Cached() int64
}

// Node is the identity of a folder or file: it is comparable, small, and stays good while what it
// stands for exists. The zero Node is not valid.
type Node struct {
	tree    *Tree
	route   *route   // set for a route only
	torrent *torrent // set for a torrent and what is inside it
	inner   int32    // place in torrent.inside.nodes; 0 is the torrent itself
	archive *archive // set for an archive that is shown as a folder, and what is inside
	member  int32    // place in archive.inside.list and 1; 0 is the archive itself
}

// Attr is what stat(2) would tell of a node.
type Attr struct {
	Mode    fs.FileMode // with fs.ModeDir for a folder; nobody may write
	Size    int64       // in bytes; 0 for a folder
	Used    int64       // of Size, the bytes that can be read at once: what du shows
	FileID  uint64      // unique in the tree, and kept for ever
	ModTime time.Time   // constant for what is inside a route
}

const (
	dirMode  = fs.ModeDir | 0o555
	fileMode = fs.FileMode(0o444)
)

// IsDir says whether the node is a folder.
func (n Node) IsDir() bool {
	switch {
	case n.torrent == nil:
		return true
	case n.archive != nil:
		return n.archive.isDir(&n)
	case n.inner == 0:
		return !n.torrent.isFile
	default:
		return n.torrent.inside.Load().nodes[n.inner].isDir()
	}
}

// Attr returns the attributes. It never waits for the swarm.
func (n Node) Attr() Attr {
	var a Attr
	n.Stat(&a)
	return a
}

// Stat is Attr, for whoever asks for those of very many nodes.
func (n *Node) Stat(a *Attr) {
	switch {
	case n.archive != nil:
		n.archive.stat(n, a)
	case n.torrent != nil:
		n.torrent.stat(n.inner, a)
	case n.route != nil:
		n.route.dir.Load().look()
		n.tree.mu.RLock()
		defer n.tree.mu.RUnlock()
		*a = Attr{Mode: dirMode, FileID: uint64(n.route.id), ModTime: n.route.mtime.Add(wayStamp(n.route.archives))}
	default:
		n.tree.mu.RLock()
		defer n.tree.mu.RUnlock()
		*a = Attr{Mode: dirMode, FileID: RootFileID, ModTime: n.tree.mtime}
	}
}

// FileID returns the FileID of Attr.
func (n Node) FileID() uint64 {
	switch {
	case n.archive != nil:
		return n.archive.fileID(&n)
	case n.torrent != nil:
		return n.torrent.fileID(n.inner)
	case n.route != nil:
		return uint64(n.route.id)
	default:
		return RootFileID
	}
}

// Infohash returns that of the torrent which the node is, or is inside of.
func (n Node) Infohash() (ih Infohash, ok bool) {
	if n.torrent == nil {
		return ih, false
	}
	return n.torrent.infohash, true
}

// Route returns the route that the node is, or is inside of, as it is now; the root is in none. It is quick.
func (n *Node) Route() (id RouteID, ok bool) {
	switch {
	case n.route != nil:
		return n.route.id, true
	case n.torrent == nil:
		return 0, false
	}
	n.tree.mu.RLock()
	defer n.tree.mu.RUnlock()
	return n.torrent.route.id, true
}

// Name returns the name in the folder above; that of the root is empty.
func (n Node) Name() string {
	n.tree.mu.RLock()
	defer n.tree.mu.RUnlock()
	switch {
	case n.archive != nil && n.member != 0:
		_, m := n.memberOf()
		return m.Name
	case n.archive != nil && n.way() == ArchivesBoth:
		return n.archive.shownName()
	case n.archive != nil:
		return n.archive.file.ownName()
	default:
		return n.ownName()
	}
}

// ownName is Name of what is in no archive. It needs Tree.mu.
func (n *Node) ownName() string {
	switch {
	case n.archive != nil:
		_, m := n.memberOf()
		return m.Name
	case n.torrent != nil && n.inner != 0:
		return n.torrent.inside.Load().nodes[n.inner].name
	case n.torrent != nil:
		return n.torrent.name
	case n.route != nil:
		return n.route.name
	default:
		return ""
	}
}

// Parent returns the folder above; that of the root is the root.
func (n Node) Parent() Node {
	switch {
	case n.archive != nil:
		return n.archive.parent(n)
	case n.torrent != nil && n.inner != 0:
		n.inner = n.torrent.inside.Load().nodes[n.inner].parent
		return n
	case n.torrent != nil:
		n.tree.mu.RLock()
		defer n.tree.mu.RUnlock()
		return Node{tree: n.tree, route: n.torrent.route}
	default:
		return n.tree.Root()
	}
}

// Path returns the names from the root down to the node as they are now.
func (n Node) Path() []string {
	path := []string{}
	for root := n.tree.Root(); n != root; n = n.Parent() {
		path = append(path, n.Name())
	}
	slices.Reverse(path)
	return path
}

// Load reads what is inside an archive, as Dir and Lookup need it. It waits for peers, as long as ctx lasts. For other nodes it does
// nothing. The error is that of Archive.Members or Numbers.Take, or says what is wrong with the list; for a moment it comes again at once.
func (n Node) Load(ctx context.Context) error {
	if n.archive == nil || n.member != 0 {
		return nil
	}
	_, err := n.archive.load(ctx)
	return err
}

// way returns how archives are shown where the node is. It needs Tree.mu.
func (n *Node) way() Archives { return n.torrent.route.archives }

// archivesShown is way for who does not have Tree.mu.
func (n *Node) archivesShown() Archives {
	n.tree.mu.RLock()
	defer n.tree.mu.RUnlock()
	return n.way()
}

// Dir returns the listing. The error is ErrNotDir, ErrUnread, or that of loading the torrent or, a moment ago, the archive.
func (n Node) Dir() (*Dir, error) {
	switch {
	case n.archive != nil:
		return n.archive.dir(n, n.archivesShown())
	case n.torrent != nil:
		return n.torrent.dir(n, n.archivesShown())
	case n.route != nil:
		return n.tree.routeDir(n.route), nil
	default:
		return n.tree.rootDir(), nil
	}
}

// Lookup returns the node called name in this folder. The error is fs.ErrNotExist, ErrNotDir, ErrUnread, or
// that of loading the torrent.
func (n Node) Lookup(name string) (Node, error) {
	dir, err := n.Dir()
	if err != nil {
		return Node{}, err
	}
	child, ok := dir.Lookup(name)
	if !ok {
		return Node{}, fmt.Errorf("%q: %w", name, fs.ErrNotExist)
	}
	return child, nil
}

// Content returns the bytes of a file. The error is ErrIsDir, or that of loading the torrent.
func (n Node) Content() (Content, error) {
	switch {
	case n.torrent == nil:
		return nil, ErrIsDir
	case n.archive != nil:
		return n.archive.content(&n)
	default:
		return n.torrent.content(n.inner)
	}
}

// Link returns what a symbolic link says, or ErrNotLink.
func (n Node) Link() (string, error) {
	if n.archive != nil && n.member != 0 {
		if _, m := n.memberOf(); m.Link != "" && !m.Dir {
			return m.Link, nil
		}
	}
	return "", ErrNotLink
}
