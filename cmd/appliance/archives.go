package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"shoal/archive"
	"shoal/archive/spool"
	"shoal/torrents"
	"shoal/tree"
)

// archives joins the archives in torrents with the tree.
type archives struct {
	store atomic.Pointer[archive.Store] // nil before the library is open, as nobody else may use the folder of the cache then
}

var errNotOpen = errors.New("archives are not open yet")

// open opens the store, in folders of the cache.
func (a *archives) open(cfg *Config, opts archive.Options) error {
	opts.Dir = filepath.Join(cfg.CacheDir, "index")
	opts.Spool = spool.Options{Dir: filepath.Join(cfg.CacheDir, "spool"), Limit: func() int64 { return int64(cfg.CacheLimit) }, Log: opts.Logger}
	store, err := archive.New(opts)
	if err != nil {
		return fmt.Errorf("%sCACHE_DIR: %w", prefix, err)
	}
	a.store.Store(store)
	return nil
}

func (a *archives) close() error {
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

// shown returns a file of a torrent as an archive of the tree, or nil if it has not the name of one.
func (a *archives) shown(ih torrents.Infohash, name string, index int, files func() (archive.File, archive.Folder, error)) tree.Archive {
	if !archive.IsArchive(name) {
		return nil
	}
	return &shownArchive{of: a, key: ih.String() + "/" + strconv.Itoa(index), name: name, files: files}
}

// shownArchive is a file of a torrent that can be shown as a folder.
type shownArchive struct {
	of        *archives
	key, name string
	files     func() (archive.File, archive.Folder, error)

	opened atomic.Pointer[archive.Archive]
}

func (s *shownArchive) open() (*archive.Archive, error) {
	if a := s.opened.Load(); a != nil {
		return a, nil
	}
	store := s.of.store.Load()
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
	return members(ctx, a)
}

func (s *shownArchive) Refused() bool {
	a, err := s.open()
	return err == nil && a.Refused() != nil
}

// nestedArchive is one in another.
type nestedArchive struct{ *archive.Archive }

func (n nestedArchive) Members(ctx context.Context) ([]tree.Member, error) {
	return members(ctx, n.Archive)
}
func (n nestedArchive) Refused() bool { return n.Archive.Refused() != nil }

// members lists what is in an archive, as the tree has it.
func members(ctx context.Context, a *archive.Archive) ([]tree.Member, error) {
	list, err := a.Members(ctx)
	if archive.Refuses(err) {
		err = fmt.Errorf("%w: %w", tree.ErrNotArchive, err)
	}
	if err != nil {
		return nil, err
	}
	shown := make([]tree.Member, len(list))
	for i := range list {
		m := &list[i]
		shown[i] = tree.Member{
			Parent: m.Parent, Name: m.Name, Size: m.Size, ModTime: m.ModTime, Dir: m.Dir, Run: m.Run, Link: m.Link,
		}
		if m.ModTime.IsZero() {
			shown[i].ModTime = time.Unix(0, 0)
		}
		if m.File != nil {
			shown[i].Content = memberContent{m.File}
		}
		if m.Archive != nil {
			shown[i].Archive = nestedArchive{m.Archive}
		}
	}
	return shown, nil
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

// torrentFile is a file of a torrent as something that an archive may lie in.
type torrentFile struct{ file *torrents.File }

func (f torrentFile) Size() int64 { return f.file.Size }

func (f torrentFile) Ready(off int64, n int) bool { return f.file.Ready(off, n) }

func (f torrentFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return f.file.ReadAt(ctx, p, off)
}

func (f torrentFile) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	return f.file.Await(ctx, off, n, string(tree.ReaderOf(ctx)))
}

// siblings are the files in one folder of a torrent.
type siblings struct {
	files  []torrents.File
	folder []string
}

func (s siblings) File(name string) (archive.File, bool) {
	for i := range s.files {
		f := &s.files[i]
		if above := len(f.Path) - 1; above >= 0 && f.Path[above] == name && path.Join(f.Path[:above]...) == strings.Join(s.folder, "/") {
			return torrentFile{f}, true
		}
	}
	return nil, false
}
