package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"shoal/archive"
	"shoal/archive/spool"
	"shoal/torrents"
	"shoal/tree"
)

// archives joins the archives in torrents with the tree, and tells the admin site of them.
type archives struct {
	dir   string // for what was learned of them
	log   *slog.Logger
	store atomic.Pointer[archive.Store] // nil before the library is open, as another process may use the folder of the cache until then

	ctx    context.Context //nolint:containedctx // ends with close; the parent of looks
	cancel context.CancelFunc
	tasks  sync.WaitGroup // looks

	mu     sync.Mutex
	inside map[torrents.Infohash]*archiveSet
	looks  map[*archive.Archive]*look // that were asked for over the API, and are under way
	closed bool
}

// newArchives returns those of a cache folder, whose store is not open yet.
func newArchives(cacheDir string, log *slog.Logger) *archives {
	a := &archives{
		dir: filepath.Join(cacheDir, indexFolder), log: log,
		inside: make(map[torrents.Infohash]*archiveSet), looks: make(map[*archive.Archive]*look),
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

var errNotOpen = errors.New("archives are not open yet")

// open opens the store, in folders of the library's cache and within its limit, and forgets the archives of torrents that are gone. workers
// is how many decode at a time.
func (a *archives) open(cfg *Config, library *torrents.Library, workers int) error {
	decoded := library.Lodge(spoolFolder, spoolShare, spoolKeeper{a})
	known := library.Lodge(indexFolder, indexShare, indexKeeper{a})
	opts := archive.Options{
		Dir: a.dir, Room: known, Limit: known.Limit,
		Segments: int64(cfg.ArchiveMemory), Workers: workers, Logger: a.log,
		Spool: spool.Options{Dir: filepath.Join(cfg.CacheDir, spoolFolder), Room: decoded, Limit: decoded.Limit, Log: a.log},
	}
	opts.Limits.Depth = cfg.ArchiveDepth
	if cfg.ArchiveCharset != auto {
		opts.Names.Charset = cfg.ArchiveCharset
	}
	store, err := archive.New(opts)
	if err != nil {
		return explainOpen(cfg, err)
	}
	a.store.Store(store)
	if err := forgetOthers(store, library); err != nil {
		opts.Logger.Warn("what is known of the archives of torrents that are gone cannot be removed", "err", err)
	}
	return nil
}

// close ends looks and reads.
func (a *archives) close() error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.tasks.Wait()
	if store := a.store.Load(); store != nil {
		return store.Close()
	}
	return nil
}

// stats are zero before the store is open.
func (a *archives) stats() archive.Stats {
	if store := a.store.Load(); store != nil {
		return store.Stats()
	}
	return archive.Stats{}
}

// put notes that a torrent is shown, and returns its archives.
func (a *archives) put(s *torrents.Shown) *archiveSet {
	a.mu.Lock()
	defer a.mu.Unlock()
	set := a.inside[s.Infohash]
	if set == nil {
		set = &archiveSet{of: a, ih: s.Infohash, files: make(map[int]*shownArchive), refused: make(map[string]struct{})}
		set.load = func() error {
			_, err := shownFiles(s, set)
			return err
		}
		a.inside[s.Infohash] = set
	}
	set.rename(s.Name)
	return set
}

// set returns the archives of a torrent; nil of one that is not shown.
func (a *archives) set(ih torrents.Infohash) *archiveSet {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inside[ih]
}

func (a *archives) remove(ih torrents.Infohash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.inside, ih)
}

// archiveSet is the archives of a torrent.
type archiveSet struct {
	of   *archives
	ih   torrents.Infohash
	load func() error // lists its files, and calls file for each

	mu      sync.Mutex
	name    string                // of the torrent as it is shown
	files   map[int]*shownArchive // by place in the metainfo, once its files were listed
	listed  bool
	refused map[string]struct{} // places of archives of which that is known
}

func (s *archiveSet) rename(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name = name
}

// file returns a file of the torrent as an archive of the tree, or nil if it has not the name of one. It is the same each time. path are
// the names from the top of the torrent down; of a torrent that is a single file there are none.
// isThere says, quickly, whether all of the file is in the cache.
func (s *archiveSet) file(
	index int, name string, path []string, isThere func() bool, files func() (archive.File, archive.Folder, error),
) tree.Archive {
	if !archive.IsArchive(name) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[index] == nil {
		place := strconv.Itoa(index)
		s.files[index] = &shownArchive{
			set: s, place: place, key: archiveKey(s.ih, index), name: name, path: path, isThere: isThere, files: files,
		}
	}
	return s.files[index]
}

// noteRefused notes that an archive was refused, or, with nil, that it is none of those any more. It says whether that is new.
func (s *archiveSet) noteRefused(place string, reason error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.refused[place]
	if reason == nil {
		delete(s.refused, place)
	} else {
		s.refused[place] = struct{}{}
	}
	return known != (reason != nil)
}

// members lists what is in an archive, as the tree has it. Should it be refused, that is logged when it was not before.
func (s *archiveSet) members(ctx context.Context, a *archive.Archive, place string, path []string) ([]tree.Member, error) {
	before := a.Refused()
	list, err := a.Members(ctx)
	if archive.Refuses(err) {
		if s.noteRefused(place, err) && before == nil {
			s.mu.Lock()
			name := s.name
			s.mu.Unlock()
			s.of.log.Warn("an archive stays a file", "torrent", s.ih, "name", name, "path", strings.Join(path, "/"), "err", err)
		}
		err = fmt.Errorf("%w: %w", tree.ErrNotArchive, err)
	}
	if err != nil {
		return nil, err
	}
	s.noteRefused(place, nil)
	shown := make([]tree.Member, len(list))
	for i := range list {
		m := &list[i]
		shown[i] = tree.Member{
			Parent: m.Parent, Name: m.Name, Size: m.Size, ModTime: m.ModTime, Dir: m.Dir, Run: m.Run, Link: m.Link, Hidden: m.Hidden,
		}
		if m.File != nil {
			shown[i].Content = memberContent{m.File}
		}
		if m.Archive != nil {
			shown[i].Archive = &nestedArchive{s, place + placeSeparator + strconv.Itoa(i), append(slices.Clip(path), pathInside(list, i)...), m.Archive}
		}
	}
	return shown, nil
}

// placeSeparator is between the place of an archive and those of archives in it: "12-5" is member 5 of the archive that is file 12. It
// needs no escape in a URL.
const placeSeparator = "-"

// pathInside returns the names of a member from the top of its archive down.
func pathInside(list []archive.Member, i int) []string {
	var names []string
	for ; i >= 0; i = list[i].Parent {
		names = append(names, list[i].Name)
	}
	slices.Reverse(names)
	return names
}

// shownArchive is a file of a torrent that can be shown as a folder.
type shownArchive struct {
	set        *archiveSet
	place, key string
	name       string
	path       []string
	isThere    func() bool
	files      func() (archive.File, archive.Folder, error)

	opened atomic.Pointer[archive.Archive]
	stays  atomic.Pointer[staysFile] // nil if that was not looked at
}

// staysFile is until when an archive is a file, by what is kept of it on the disk: nobody else changes that but who asks for a look.
type staysFile struct{ refused, incomplete bool }

func (s *shownArchive) open() (*archive.Archive, error) {
	if a := s.opened.Load(); a != nil {
		return a, nil
	}
	store := s.set.of.store.Load()
	if store == nil {
		return nil, errNotOpen
	}
	file, beside, err := s.files()
	if err != nil {
		return nil, err
	}
	s.opened.CompareAndSwap(nil, store.Archive(s.key, s.name, file, beside))
	return s.opened.Load(), nil
}

func (s *shownArchive) Members(ctx context.Context) ([]tree.Member, error) {
	a, err := s.open()
	if err != nil {
		return nil, err
	}
	return s.set.members(ctx, a, s.place, s.path)
}

// Shown goes by what is on the disk until somebody looks into the archive: the tree asks when a torrent is added, which is before the store
// is open for those that the library has from the beginning, and must not read the metainfo of each. It looks at the disk once, as the tree
// asks again and again, of thousands of files, whether they have become folders.
func (s *shownArchive) Shown() bool {
	stays := s.stays.Load()
	if stays == nil || !stays.refused && !stays.incomplete {
		now := s.keptAsFile()
		s.stays.CompareAndSwap(stays, now) // unless somebody asked for a look meanwhile
		stays = now
	}
	switch a := s.opened.Load(); {
	case stays.refused:
		return false
	case stays.incomplete && (s.set.of.store.Load() == nil || !s.isThere()):
		return false
	case a != nil:
		return a.Refused() == nil
	default:
		return true
	}
}

// keptAsFile looks at what is kept of the archive.
func (s *shownArchive) keptAsFile() *staysFile {
	if a := s.opened.Load(); a != nil {
		reason := a.Refused()
		s.set.noteRefused(s.place, reason)
		return &staysFile{refused: reason != nil, incomplete: !a.Shown()}
	}
	dir := s.set.of.dir
	reason := archive.WasRefused(dir, s.key)
	s.set.noteRefused(s.place, reason)
	return &staysFile{refused: reason != nil, incomplete: !archive.ShownBefore(dir, s.key, s.name)}
}

// lookedFor forgets what was kept of an archive that is no member of another, as somebody has asked for a look into it.
func (s *archiveSet) lookedFor(place string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index, err := strconv.Atoi(place); err == nil && s.files[index] != nil {
		s.files[index].stays.Store(new(staysFile))
	}
}

// nestedArchive is one in another.
type nestedArchive struct {
	set   *archiveSet
	place string
	path  []string
	inner *archive.Archive
}

func (n *nestedArchive) Members(ctx context.Context) ([]tree.Member, error) {
	return n.set.members(ctx, n.inner, n.place, n.path)
}

func (n *nestedArchive) Shown() bool {
	n.set.noteRefused(n.place, n.inner.Refused())
	return n.inner.Shown()
}

// memberContent is a member of an archive as the tree has it.
type memberContent struct{ archive.File }

var _ tree.Filed = memberContent{}

// Extent finds members that lie in the archive as they are.
func (c memberContent) Extent(off int64, n int) (file *os.File, at int64, done func(error), ok bool) {
	located, ok := c.File.(archive.Located)
	if !ok {
		return nil, 0, nil, false
	}
	f, at, ok := located.Locate(off, n)
	if !ok {
		return nil, 0, nil, false
	}
	of, ok := f.(torrentFile)
	if !ok {
		return nil, 0, nil, false
	}
	return of.file.Extent(at, n)
}

var _ archive.Holder = torrentFile{}

// torrentFile is a file of a torrent as something that an archive may lie in.
type torrentFile struct{ file *torrents.File }

func (f torrentFile) Size() int64 { return f.file.Size }

func (f torrentFile) Holds(off, n int64) bool { return f.file.Holds(off, n) }

func (f torrentFile) Ready(off int64, n int) bool { return f.file.Ready(off, n) }

func (f torrentFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return f.file.ReadAt(ctx, p, off)
}

func (f torrentFile) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	return f.file.Await(ctx, off, n, string(tree.ReaderOf(ctx)))
}

// folders find the files of a torrent by their names: an archive may ask for thousands of volumes, and a torrent may have a million files.
type folders struct {
	files []torrents.File

	mu     sync.Mutex
	byName map[string]map[string]*torrents.File // of each folder that was asked for
}

// siblings are the files in one folder of a torrent.
type siblings struct {
	of     *folders
	folder []string
}

func (s siblings) File(name string) (archive.File, bool) {
	f := s.of.in(s.folder)[name]
	return torrentFile{f}, f != nil
}

// in returns the files in a folder by name. They are not to be changed.
func (f *folders) in(folder []string) map[string]*torrents.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := strings.Join(folder, "/")
	if known := f.byName[key]; known != nil {
		return known
	}
	byName := make(map[string]*torrents.File)
	for i := range f.files {
		if last := len(f.files[i].Path) - 1; last >= 0 && slices.Equal(f.files[i].Path[:last], folder) {
			byName[f.files[i].Path[last]] = &f.files[i]
		}
	}
	if f.byName == nil {
		f.byName = make(map[string]map[string]*torrents.File)
	}
	f.byName[key] = byName
	return byName
}
