package torrents

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Item is a file or a folder in a torrent.
type Item struct {
	Name     string
	Path     string // from the torrent's top down, with slashes; empty for the only file of a torrent
	IsFolder bool
	Size     int64 // of the file, or of all files below the folder, in bytes
	Cached   int64 // of these, in whole pieces cut to the files
	Files    int   // below the folder; 1 for a file
	Index    int   // place of the file in the metainfo; -1 for a folder
}

// Files lists one folder of a torrent, folders first, then by name; nothing while the metadata is unknown. An
// empty path is the torrent's top: of a torrent that is a single file, that file. It reads the metainfo of a
// torrent that nobody reads, and waits for nobody. The error is ErrNotFound, for the torrent or the folder, or
// ErrFailed.
func (l *Library) Files(ih Infohash, path string) ([]Item, error) {
	e, err := l.entry(ih)
	if err != nil {
		return nil, err
	}
	rec := e.record()
	if !rec.resolved() {
		return nil, nil
	}
	meta, err := l.browsed.metainfo(e)
	if err != nil {
		return nil, err
	}
	path = strings.Trim(path, "/")
	states, _ := e.pieceStates()
	items, ok := meta.list(path, newCachedBytes(states, meta))
	if !ok {
		return nil, fmt.Errorf("the folder %.200q of torrent %s: %w", path, ih, ErrNotFound)
	}
	if meta.IsFile {
		items[0].Name = rec.Name
	}
	return items, nil
}

// FileAt finds a file of a torrent by its path from the torrent's top down, with slashes, which is empty for the only file of a torrent.
// It reads and waits as Files does. The error is ErrNotFound, for the torrent or the file, or ErrFailed.
func (l *Library) FileAt(ih Infohash, path string) (MetaFile, error) {
	e, err := l.entry(ih)
	if err != nil {
		return MetaFile{}, err
	}
	if rec := e.record(); rec.resolved() {
		meta, err := l.browsed.metainfo(e)
		if err != nil {
			return MetaFile{}, err
		}
		var names []string
		if path != "" {
			names = strings.Split(path, "/")
		}
		if i := slices.IndexFunc(meta.Files, func(f MetaFile) bool { return slices.Equal(f.Path, names) }); i >= 0 {
			return meta.Files[i], nil
		}
	}
	return MetaFile{}, fmt.Errorf("the file %.200q of torrent %s: %w", path, ih, ErrNotFound)
}

// browsed keeps the metainfo of the torrents that somebody looked into last: one of 40,000 files takes a tenth of a second to read, and
// whoever opens a folder opens the next, and looks at this torrent and at that.
type browsed struct {
	mu   sync.Mutex
	list []browsedMetainfo // the one that was used last is the last
}

type browsedMetainfo struct {
	*Metainfo

	at time.Time // when it was last used
}

const (
	// browseTime is how long a metainfo is kept for whoever looks into the torrent.
	browseTime = time.Minute
	// maxBrowsed and maxBrowsedFiles are how many are kept, and how many files they have together, unless it is only one.
	maxBrowsed      = 16
	maxBrowsedFiles = 100_000
)

func (b *browsed) metainfo(e *entry) (*Metainfo, error) {
	now := time.Now()
	b.mu.Lock()
	i := slices.IndexFunc(b.list, func(m browsedMetainfo) bool { return m.Infohash == e.ih })
	if i >= 0 {
		defer b.mu.Unlock()
		meta := b.list[i].Metainfo
		b.list = append(slices.Delete(b.list, i, i+1), browsedMetainfo{meta, now})
		return meta, nil
	}
	b.mu.Unlock()
	meta, err := e.metainfo()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = slices.DeleteFunc(b.list, func(m browsedMetainfo) bool { return m.Infohash == e.ih }) // two may have read it
	b.list = append(b.list, browsedMetainfo{meta, now})
	b.shrink()
	return meta, nil
}

// shrink lets go of those that were used least lately, as far as they are too many. It needs b.mu.
func (b *browsed) shrink() {
	files, keep := 0, 0
	for _, m := range slices.Backward(b.list) {
		if files += len(m.Files); keep == maxBrowsed || keep > 0 && files > maxBrowsedFiles {
			break
		}
		keep++
	}
	b.list = slices.Delete(b.list, 0, len(b.list)-keep)
}

// forget lets go of what nobody has used for a while.
func (b *browsed) forget(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = slices.DeleteFunc(b.list, func(m browsedMetainfo) bool { return now.Sub(m.at) > browseTime })
}

// folderList is a folder of a torrent, with nothing cached.
type folderList struct {
	path  string
	items []Item // sorted
	files []int  // the places in Metainfo.Files of those below it
	of    []int  // the item of each of them
}

// list lists the folder at path, and says whether there is one.
func (m *Metainfo) list(path string, cached cachedBytes) (items []Item, ok bool) {
	l := m.listed.Load()
	if l == nil || l.path != path {
		l = m.newFolderList(path)
		m.listed.Store(l)
	}
	items = slices.Clone(l.items)
	for i, file := range l.files {
		f := &m.Files[file]
		items[l.of[i]].Cached += cached.of(f.Offset, f.Size)
	}
	return items, len(items) > 0 || path == ""
}

func (m *Metainfo) newFolderList(path string) *folderList {
	l := &folderList{path: path}
	var above []string
	if path != "" {
		above = strings.Split(path, "/")
	}
	folders := make(map[string]int) // place in items
	for i := range m.Files {
		f := &m.Files[i]
		if len(f.Path) <= len(above) && (!m.IsFile || path != "") || !hasPrefix(f.Path, above) {
			continue
		}
		l.files = append(l.files, i)
		if len(f.Path) <= len(above)+1 {
			item := Item{Path: strings.Join(f.Path, "/"), Size: f.Size, Files: 1, Index: f.Index}
			if len(f.Path) > 0 {
				item.Name = f.Path[len(above)]
			}
			l.of = append(l.of, len(l.items))
			l.items = append(l.items, item)
			continue
		}
		name := f.Path[len(above)]
		at, known := folders[name]
		if !known {
			at = len(l.items)
			folders[name] = at
			below := strings.Join(f.Path[:len(above)+1], "/")
			l.items = append(l.items, Item{Name: name, Path: below, IsFolder: true, Index: -1})
		}
		l.items[at].Size += f.Size
		l.items[at].Files++
		l.of = append(l.of, at)
	}
	l.sort()
	return l
}

// sort sorts the items.
func (l *folderList) sort() {
	order := make([]int, len(l.items)) // the items as they were, sorted
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return l.items[a].Compare(l.items[b]) })
	items, place := make([]Item, len(order)), make([]int, len(order))
	for to, from := range order {
		items[to], place[from] = l.items[from], to
	}
	for i, item := range l.of {
		l.of[i] = place[item]
	}
	l.items = items
}

func hasPrefix(path, above []string) bool {
	return len(path) >= len(above) && slices.Equal(path[:len(above)], above)
}

// Compare orders the items of a folder: folders first, then by name.
func (i Item) Compare(other Item) int {
	if i.IsFolder != other.IsFolder {
		if i.IsFolder {
			return -1
		}
		return 1
	}
	return cmp.Compare(i.Name, other.Name)
}

// cachedBytes counts what of a run of bytes is in the cache.
type cachedBytes struct {
	pieceLength int64
	states      []PieceState
	before      []int32 // how many pieces are cached before each, and before the end
}

// isHere says whether a piece takes part in what is cached, as it does in Torrent.Cached.
func isHere(s PieceState) bool { return s == PieceCached || s == PieceUnchecked }

func newCachedBytes(states []PieceState, m *Metainfo) cachedBytes {
	c := cachedBytes{pieceLength: m.pieceLength, states: states, before: make([]int32, len(states)+1)}
	for i, s := range states {
		c.before[i+1] = c.before[i]
		if isHere(s) {
			c.before[i+1]++
		}
	}
	return c
}

// of returns how many of the n bytes at off are cached.
func (c cachedBytes) of(off, n int64) int64 {
	if n == 0 {
		return 0
	}
	first, last := off/c.pieceLength, (off+n-1)/c.pieceLength
	if last >= int64(len(c.states)) {
		return 0
	}
	have := int64(c.before[last+1]-c.before[first]) * c.pieceLength
	if isHere(c.states[first]) {
		have -= off - first*c.pieceLength
	}
	if isHere(c.states[last]) {
		have -= (last+1)*c.pieceLength - (off + n)
	}
	return have
}
