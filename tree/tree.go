// Package tree is the one name space of the appliance:
//
//	/                                   the root: every route
//	/<route>                            a route: its torrents
//	/<route>/<torrent>                  a folder, or a file for a single-file torrent
//	/<route>/<torrent>/<folder>/<file>  what the torrent holds
//
// It is pure: it knows no network and no protocol, and whoever owns the torrents tells it what
// there is (PutRoute, PutTorrent, and their removals). Protocols ask it for nodes, by path (Walk) or
// by handle (Resolve).
//
// # Identity
//
// A torrent's content never changes, so its infohash and the place of a file in its metainfo are
// that file's identity for ever. A Node carries just this identity; a Handle is the same, encoded.
// Both stay good when a route is renamed or a torrent moves to another one. File ids are small
// numbers which the library hands out once and keeps (Torrent.FirstID).
//
// # Waiting
//
// Nothing here waits for the swarm but Content.Await and ReadAt, and Load, Walk and Node.Load for what is inside archives. The inside of a torrent is loaded when
// somebody first looks at it, by one read of a file on the local disk (Torrent.Files).
package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrStale is returned for the handle or the node of something that is no longer there.
	ErrStale = errors.New("no longer there")
	// ErrHandle is returned for bytes that are no handle of this tree.
	ErrHandle = errors.New("not a handle")
	// ErrNotDir is returned where a folder was asked for and something else is there.
	ErrNotDir = errors.New("not a folder")
	// ErrNotLink is returned for what is no symbolic link.
	ErrNotLink = errors.New("not a symbolic link")
	// ErrIsDir is returned where a file was asked for and a folder is there.
	ErrIsDir = errors.New("is a folder")
)

// RootFileID is the file id of the root. The library hands out the numbers above it.
const RootFileID = 1

// MaxName is the longest name of a node in bytes: what NFSv3 clients take, by POSIX's NAME_MAX.
const MaxName = 255

// RouteID identifies a route whatever its name. It is also the route's file id.
type RouteID uint64

// Infohash identifies a torrent: the SHA-1 of its info dictionary (BEP 3), or, for a torrent that is
// v2 only, the first 20 bytes of the SHA-256 (BEP 52).
type Infohash [20]byte

// Route is a top-level folder.
type Route struct {
	ID       RouteID
	Name     string
	Archives Archives // how those in it are shown
}

// Torrent is an entry of a route.
type Torrent struct {
	Infohash Infohash
	Route    RouteID
	Name     string    // of its folder, or of its file
	IsFile   bool      // a single-file torrent, shown as a file
	Size     int64     // in bytes; of the file, when IsFile
	ModTime  time.Time // of everything inside
	FirstID  uint64    // file id of its top; those after it belong to what is inside

	// Cached returns how many bytes of it are there, when IsFile. It must be quick, and may be nil.
	Cached func() int64
	// Archive is set when IsFile, and the file can be shown as a folder. ArchiveIDs is the file id of that folder, or, of a folder of
	// files, the first of as many as the metainfo has files.
	Archive    Archive
	ArchiveIDs uint64
	Numbers    Numbers // of what is in archives
	// Files lists what is inside, in any order. It is called when somebody first looks, again some
	// time after an error, and never twice at a time. It may read the local disk but must not wait for peers.
	Files func() ([]File, error)
}

// File is one file of a torrent.
type File struct {
	Path    []string // names from the torrent's folder down; ignored when Torrent.IsFile
	Size    int64    // in bytes
	Index   int      // its place in the metainfo: the file's identity
	Content Content
	Archive Archive // of a file that can be shown as a folder; else nil
}

// Tree is the name space. It is safe for concurrent use.
type Tree struct {
	mu       sync.RWMutex // guards the maps, and the name, route, archives and mtime fields of their values
	routes   map[RouteID]*route
	torrents map[Infohash]*torrent
	mtime    time.Time // of the root

	root atomic.Pointer[Dir] // listing of the root; nil after a change
}

type route struct {
	id       RouteID
	name     string
	archives Archives
	mtime    time.Time
	torrents map[string]*torrent // by name

	dir  atomic.Pointer[Dir] // nil after a change
	turn turn
}

// New returns a tree with no route. The root's mtime is at until something changes.
func New(at time.Time) *Tree {
	return &Tree{
		routes:   make(map[RouteID]*route),
		torrents: make(map[Infohash]*torrent),
		mtime:    at,
	}
}

// PutRoute adds the route, or changes it if its ID is known. at becomes the mtime of the root, and
// of a new route. The error says what is wrong with the name, and is fs.ErrExist if another route
// has it.
func (t *Tree) PutRoute(r Route, at time.Time) error {
	if err := CheckName(r.Name); err != nil {
		return fmt.Errorf("route: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, other := range t.routes {
		if other.name == r.Name && id != r.ID {
			return fmt.Errorf("route %q: %w", r.Name, fs.ErrExist)
		}
	}
	if old, ok := t.routes[r.ID]; ok {
		old.name = r.Name
		if old.archives != r.Archives {
			old.archives = r.Archives
			old.dir.Store(nil) // its mtime is another one by that
			for _, tt := range old.torrents {
				tt.way.Store(uint32(r.Archives))
			}
		}
	} else {
		t.routes[r.ID] = &route{id: r.ID, name: r.Name, archives: r.Archives, mtime: at, torrents: make(map[string]*torrent)}
	}
	t.rootChanged(at)
	return nil
}

// RemoveRoute removes the route and every torrent in it. at becomes the mtime of the root.
func (t *Tree) RemoveRoute(id RouteID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.routes[id]
	if !ok {
		return
	}
	for _, tt := range r.torrents {
		delete(t.torrents, tt.infohash)
	}
	delete(t.routes, id)
	t.rootChanged(at)
}

// PutTorrent adds the torrent, or renames and moves it if its infohash is known. at becomes the
// mtime of the routes that change, or is zero if it was there all the time. The error is ErrStale if
// there is no such route, and fs.ErrExist if another torrent has the name there.
func (t *Tree) PutTorrent(n Torrent, at time.Time) error {
	if err := CheckName(n.Name); err != nil {
		return fmt.Errorf("torrent %x: %w", n.Infohash, err)
	}
	added := newTorrent(t, n) // without the lock, as it asks the archive, which may look at the disk
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.routes[n.Route]
	if !ok {
		return fmt.Errorf("route %d: %w", n.Route, ErrStale)
	}
	if other, ok := r.torrents[n.Name]; ok && other.infohash != n.Infohash {
		return fmt.Errorf("torrent %q: %w", n.Name, fs.ErrExist)
	}
	tt, known := t.torrents[n.Infohash]
	if known {
		delete(tt.route.torrents, tt.name)
		tt.route.changed(at)
	} else {
		tt = added
		t.torrents[n.Infohash] = tt
	}
	tt.name, tt.route = n.Name, r
	tt.way.Store(uint32(r.archives))
	r.torrents[n.Name] = tt
	r.changed(at)
	return nil
}

// RemoveTorrent removes the torrent. at becomes the mtime of its route.
func (t *Tree) RemoveTorrent(ih Infohash, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tt, ok := t.torrents[ih]
	if !ok {
		return
	}
	delete(t.torrents, ih)
	delete(tt.route.torrents, tt.name)
	tt.route.changed(at)
}

// Root returns the root.
func (t *Tree) Root() Node { return Node{tree: t} }

// Walk returns the node at the path below the root. It waits for archives on the way, as long as ctx lasts. The error is
// fs.ErrNotExist, ErrNotDir, that of loading a torrent, or that of Load.
func (t *Tree) Walk(ctx context.Context, path ...string) (Node, error) {
	n := t.Root()
	for _, name := range path {
		if err := n.Load(ctx); err != nil {
			return Node{}, err
		}
		next, err := n.Lookup(name)
		if err != nil {
			return Node{}, err
		}
		n = next
	}
	return n, nil
}

// rootChanged needs t.mu.
func (t *Tree) rootChanged(at time.Time) {
	t.mtime = later(t.mtime, at)
	t.root.Store(nil)
}

// changed needs Tree.mu.
func (r *route) changed(at time.Time) {
	r.mtime = later(r.mtime, at)
	r.dir.Store(nil)
}

// later returns at, or the first moment after old if at is not after it: NFS clients keep a cached
// listing until the mtime differs. It returns old if at is zero.
func later(old, at time.Time) time.Time {
	switch {
	case at.IsZero():
		return old
	case at.After(old):
		return at
	default:
		return old.Add(1)
	}
}

func (t *Tree) rootDir() *Dir {
	return t.listing(&t.root, nil, func(l *listing) {
		l.entries = make([]Entry, 0, len(t.routes))
		for _, r := range t.routes {
			l.entries = append(l.entries, Entry{Name: r.name, Node: Node{tree: t, route: r}})
		}
	})
}

func (t *Tree) routeDir(r *route) *Dir {
	return t.listing(&r.dir, &r.turn, func(l *listing) {
		l.entries = make([]Entry, 0, len(r.torrents))
		for name, tt := range r.torrents {
			l.add(tt.archive, Entry{Name: name, Node: Node{tree: t, torrent: tt}}, r.archives)
		}
	})
}

// listing returns the listing that is kept, or makes it with list, which is called with t.mu held.
func (t *Tree) listing(kept *atomic.Pointer[Dir], of *turn, list func(l *listing)) *Dir {
	for {
		d := kept.Load()
		if d == nil {
			d = t.newListing(kept, of, list)
		}
		if !d.look() {
			return d
		}
	}
}

func (t *Tree) newListing(kept *atomic.Pointer[Dir], of *turn, list func(l *listing)) *Dir {
	// The write lock keeps a change from coming between reading the maps and keeping the listing.
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := kept.Load(); d != nil {
		return d
	}
	var l listing
	list(&l)
	d := newDir(l, of)
	kept.Store(d)
	return d
}

// CheckName says why name cannot be the name of a node, or returns nil. It does not repair: names
// are cleaned where they come in.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case name == "." || name == "..":
		return fmt.Errorf("the name %q is reserved", name)
	case len(name) > MaxName:
		return fmt.Errorf("the name %q… is longer than %d bytes", strings.ToValidUTF8(name[:32], "\uFFFD"), MaxName)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("the name %q has a slash or a NUL", name)
	case !fs.ValidPath(name):
		return fmt.Errorf("the name %q is not UTF-8", name)
	}
	return nil
}

// Dir is the listing of a folder at one moment. What it lists never changes.
type Dir struct {
	entries []Entry // sorted by name

	hidden []*archive // which the entries show as files, and may be folders later
	turn   *turn      // of the folder

	ordering sync.Once
	ordered  []Entry // by file id; see After
}

// Entry is a name in a folder.
type Entry struct {
	Name string
	Node Node
}

func newDir(l listing, of *turn) *Dir {
	slices.SortFunc(l.entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return &Dir{entries: l.entries, hidden: l.hidden, turn: of}
}

// Entries returns the listing, sorted by name byte by byte. The caller must not change it.
func (d *Dir) Entries() []Entry { return d.entries }

// After returns the entries whose file ids are above id, in the order of these. As an entry keeps its
// file id, whoever remembers that of the last one he saw can go on with another listing of the same
// folder, and misses and repeats nothing that is in both. The caller must not change them.
func (d *Dir) After(id uint64) []Entry {
	d.ordering.Do(func() {
		d.ordered = slices.Clone(d.entries)
		slices.SortFunc(d.ordered, func(a, b Entry) int { return cmp.Compare(a.Node.FileID(), b.Node.FileID()) })
	})
	first := sort.Search(len(d.ordered), func(i int) bool { return d.ordered[i].Node.FileID() > id })
	return d.ordered[first:]
}

// Lookup finds an entry by name.
func (d *Dir) Lookup(name string) (Node, bool) {
	i, ok := slices.BinarySearchFunc(d.entries, name, func(e Entry, name string) int {
		return strings.Compare(e.Name, name)
	})
	if !ok {
		return Node{}, false
	}
	return d.entries[i].Node, true
}
