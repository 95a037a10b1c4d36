package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// torrent is a Torrent with its inside, once somebody has looked at it.
type torrent struct {
	tree     *Tree
	infohash Infohash
	isFile   bool
	size     int64
	mtime    time.Time
	firstID  uint64

	name  string // guarded by Tree.mu
	route *route // guarded by Tree.mu

	loading    sync.Mutex // held over files(), which reads the local disk and nothing else
	numbers    Numbers
	archive    *archive // of a file that can be shown as a folder; else nil
	archiveIDs uint64
	way        atomic.Uint32 // its route's Archives
	hidden     atomic.Uint64 // the sum of the file ids of the archives in it that are shown as files

	cached   func() int64 // of a file; may be nil
	files    func() ([]File, error)
	failure  error                  // of the last files(); guarded by loading
	failedAt time.Time              // likewise
	inside   atomic.Pointer[inside] // nil until loaded, constant afterwards
}

// inside is a torrent's content as a flat tree: 40,000 files are 40,000 small structs and no maps.
type inside struct {
	nodes   []innerNode
	files   []int32 // node of each metainfo index; -1 where the metainfo has a file that is not shown
	folders []int32 // node of each folder below the top, in order of first appearance
}

type innerNode struct {
	size    int64
	ordinal int32 // index in inside.files or inside.folders
	parent  int32
	name    string
	content Content
	archive *archive     // of a file that can be shown as a folder; else nil
	folder  *innerFolder // nil for a file
}

type innerFolder struct {
	children []int32 // sorted by name
	dirs     listings
}

func (n *innerNode) isDir() bool { return n.folder != nil }

func newTorrent(tree *Tree, n Torrent) *torrent {
	t := &torrent{
		tree:     tree,
		infohash: n.Infohash,
		isFile:   n.IsFile,
		size:     n.Size,
		mtime:    n.ModTime,
		firstID:  n.FirstID,
		cached:   n.Cached,
		files:    n.Files,

		numbers:    n.Numbers,
		archiveIDs: n.ArchiveIDs,
	}
	if n.IsFile && n.Archive != nil {
		t.archive = &archive{torrent: t, source: n.Archive, place: "0", id: n.ArchiveIDs, file: Node{tree: tree, torrent: t}}
		t.archive.begin()
	}
	return t
}

func (t *torrent) load() (*inside, error) {
	if in := t.inside.Load(); in != nil {
		return in, nil
	}
	t.loading.Lock()
	defer t.loading.Unlock()
	if in := t.inside.Load(); in != nil {
		return in, nil
	}
	if t.failure != nil && time.Since(t.failedAt) < loadPause {
		return nil, t.failure
	}
	in, err := t.read()
	if err != nil {
		t.failure, t.failedAt = fmt.Errorf("load torrent %x: %w", t.infohash, err), time.Now()
		return nil, t.failure
	}
	t.failure = nil
	t.inside.Store(in)
	return in, nil
}

// loadPause is for how long a torrent that could not be loaded is not tried again: many may wait for it.
const loadPause = 250 * time.Millisecond

func (t *torrent) read() (*inside, error) {
	files, err := t.files()
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New(err.Error()) // or it would look as if the name were not there that was asked for
	}
	if err != nil {
		return nil, err
	}
	in, err := newInside(files, t.isFile)
	if err != nil {
		return nil, err
	}
	t.noteArchives(in, files)
	return in, nil
}

// noteArchives makes files that can be shown as folders such.
func (t *torrent) noteArchives(in *inside, files []File) {
	for _, f := range files {
		i := in.files[f.Index]
		if f.Archive == nil || i == 0 {
			continue
		}
		n := &in.nodes[i]
		siblings := in.nodes[n.parent].folder.children
		n.archive = &archive{
			torrent: t,
			source:  f.Archive,
			place:   strconv.Itoa(f.Index),
			id:      t.archiveIDs + uint64(f.Index),
			file:    Node{tree: t.tree, torrent: t, inner: i},
			name: contentsName(n.name, func(name string) bool {
				_, taken := slices.BinarySearchFunc(siblings, name, func(c int32, name string) int {
					return strings.Compare(in.nodes[c].name, name)
				})
				return taken
			}),
		}
		n.archive.begin()
	}
}

func newInside(files []File, isFile bool) (*inside, error) {
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return a.Index - b.Index })
	b := builder{inside: &inside{}, byPath: make(map[childKey]int32)}
	if isFile {
		if len(files) != 1 {
			return nil, fmt.Errorf("a single-file torrent has %d files", len(files))
		}
		b.nodes = []innerNode{{size: files[0].Size, content: files[0].Content}}
		b.noteFile(files[0].Index, 0)
		return b.inside, nil
	}
	b.nodes = []innerNode{{folder: &innerFolder{}}}
	for _, f := range files {
		if err := b.add(f); err != nil {
			return nil, err
		}
	}
	for i := range b.nodes {
		if folder := b.nodes[i].folder; folder != nil {
			slices.SortFunc(folder.children, func(x, y int32) int {
				return strings.Compare(b.nodes[x].name, b.nodes[y].name)
			})
		}
	}
	return b.inside, nil
}

// builder adds files to an inside.
type builder struct {
	*inside
	byPath map[childKey]int32
}

type childKey struct {
	parent int32
	name   string
}

func (b *builder) add(f File) error {
	if len(f.Path) == 0 || f.Index < 0 || f.Index > math.MaxInt32 {
		return fmt.Errorf("file %d has no path or no place", f.Index)
	}
	at := int32(0)
	for _, name := range f.Path[:len(f.Path)-1] {
		next, err := b.folder(at, name)
		if err != nil {
			return err
		}
		at = next
	}
	name := f.Path[len(f.Path)-1]
	if _, taken := b.byPath[childKey{at, name}]; taken {
		return fmt.Errorf("file %q: %w", f.Path, fs.ErrExist)
	}
	i, err := b.child(at, innerNode{name: name, ordinal: int32(f.Index), size: f.Size, content: f.Content})
	if err != nil {
		return err
	}
	b.noteFile(f.Index, i)
	return nil
}

// folder returns the folder called name below parent, making it if it is not there.
func (b *builder) folder(parent int32, name string) (int32, error) {
	if i, ok := b.byPath[childKey{parent, name}]; ok {
		if !b.nodes[i].isDir() {
			return 0, fmt.Errorf("folder %q: a file has that name: %w", name, fs.ErrExist)
		}
		return i, nil
	}
	i, err := b.child(parent, innerNode{name: name, ordinal: int32(len(b.folders)), folder: &innerFolder{}})
	if err != nil {
		return 0, err
	}
	b.folders = append(b.folders, i)
	return i, nil
}

func (b *builder) child(parent int32, n innerNode) (int32, error) {
	if err := CheckName(n.name); err != nil {
		return 0, err
	}
	if len(b.nodes) == math.MaxInt32 {
		return 0, errors.New("too many files")
	}
	i := int32(len(b.nodes))
	n.parent = parent
	b.nodes = append(b.nodes, n)
	above := b.nodes[parent].folder
	above.children = append(above.children, i)
	b.byPath[childKey{parent, n.name}] = i
	return i, nil
}

func (in *inside) noteFile(index int, node int32) {
	for len(in.files) <= index {
		in.files = append(in.files, -1)
	}
	in.files[index] = node
}

// shown returns the mtime of a folder inside that was changed at a time. NFS clients keep a listing until the mtime differs, also over our
// restarts and moves to other routes: so it depends on what decides how archives are shown, and on nothing else. The difference is far
// below a second, as nothing was changed that people would look for.
func (t *torrent) shown(at time.Time) time.Time {
	return at.Add(wayStamp(Archives(t.way.Load())) + time.Duration(t.hidden.Load()%hiddenStamps)*hiddenStamp)
}

// wayStamp is by how much the mtime of a folder differs for a way to show archives.
func wayStamp(way Archives) time.Duration { return time.Duration(way) * time.Microsecond }

const (
	hiddenStamp  = time.Duration(archivesWays) * time.Microsecond
	hiddenStamps = uint64(100 * time.Millisecond / hiddenStamp)
)

func (t *torrent) stat(inner int32, a *Attr) {
	*a = Attr{Mode: fileMode, Size: t.size, FileID: t.firstID, ModTime: t.mtime}
	in := t.inside.Load()
	if in != nil && in.nodes[inner].isDir() {
		in.nodes[inner].folder.dirs.look()
	}
	switch {
	case inner != 0:
		n := &in.nodes[inner]
		a.Size, a.FileID = n.size, t.firstID+in.fileID(n)
		if n.isDir() {
			a.Mode, a.ModTime = dirMode, t.shown(t.mtime)
		} else if c, ok := n.content.(Counted); ok {
			a.Used = c.Cached()
		}
	case !t.isFile:
		a.Mode, a.Size, a.ModTime = dirMode, 0, t.shown(t.mtime)
	case t.cached != nil:
		a.Used = t.cached()
	}
}

func (t *torrent) fileID(inner int32) uint64 {
	if inner == 0 {
		return t.firstID
	}
	in := t.inside.Load()
	return t.firstID + in.fileID(&in.nodes[inner])
}

// fileID numbers what is inside after the top: the files in the order of the metainfo, then the
// folders, so that a file keeps its number should folders ever be counted otherwise.
func (in *inside) fileID(n *innerNode) uint64 {
	id := 1 + uint64(n.ordinal)
	if n.isDir() {
		id += uint64(len(in.files))
	}
	return id
}

func (t *torrent) dir(of Node, way Archives) (*Dir, error) {
	if of.inner == 0 && t.isFile {
		return nil, ErrNotDir
	}
	in, err := t.load()
	if err != nil {
		return nil, err
	}
	folder := in.nodes[of.inner].folder
	if folder == nil {
		return nil, ErrNotDir
	}
	return folder.dirs.keep(way, func(l *listing) {
		l.entries = make([]Entry, 0, len(folder.children))
		for _, c := range folder.children {
			n := &in.nodes[c]
			l.add(n.archive, Entry{Name: n.name, Node: Node{tree: of.tree, torrent: t, inner: c}}, way)
		}
	}), nil
}

func (t *torrent) content(inner int32) (Content, error) {
	if inner == 0 && !t.isFile {
		return nil, ErrIsDir
	}
	in, err := t.load()
	if err != nil {
		return nil, err
	}
	n := &in.nodes[inner]
	if n.isDir() {
		return nil, ErrIsDir
	}
	return n.content, nil
}
