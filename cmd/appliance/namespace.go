package main

import (
	"context"
	"log/slog"
	"time"

	"shoal/archive"
	"shoal/torrents"
	"shoal/tree"
)

// namespace shows the library in the tree.
type namespace struct {
	tree     *tree.Tree
	archives *archives
	log      *slog.Logger
}

// ways are how routes show archives.
var ways = map[torrents.Archives]tree.Archives{
	torrents.ArchivesOff:    tree.ArchivesOff,
	torrents.ArchivesFolder: tree.ArchivesFolder,
	torrents.ArchivesBoth:   tree.ArchivesBoth,
}

// numbers are torrents.Numbers as the tree has them.
type numbers struct{ torrents.Numbers }

func (n numbers) Take(place string, want int) ([]tree.Run, error) {
	runs, err := n.Numbers.Take(place, want)
	list := make([]tree.Run, len(runs))
	for i, r := range runs {
		list[i] = tree.Run{First: r.First, N: r.N}
	}
	return list, err
}

var _ torrents.Watcher = namespace{}

func (n namespace) PutRoute(r torrents.Route) {
	if err := n.tree.PutRoute(tree.Route{ID: tree.RouteID(r.ID), Name: r.Name, Archives: ways[r.Archives]}, r.Changed); err != nil {
		n.log.Error("a route cannot be shown", "name", r.Name, "err", err)
	}
}

func (n namespace) RemoveRoute(id uint64) { n.tree.RemoveRoute(tree.RouteID(id), time.Now()) }

func (n namespace) PutTorrent(s torrents.Shown) {
	t := tree.Torrent{
		Infohash: tree.Infohash(s.Infohash),
		Route:    tree.RouteID(s.Route),
		Name:     s.Name,
		IsFile:   s.IsFile,
		Size:     s.Size,
		ModTime:  s.ModTime,
		FirstID:  s.FirstID,
		Cached:   s.Cached,

		ArchiveIDs: s.ArchiveIDs,
		Numbers:    numbers{s.Numbers},
	}
	set := n.archives.put(&s)
	t.Files = func() ([]tree.File, error) { return shownFiles(&s, set) }
	if s.IsFile {
		// The name that the metainfo has, not one that the user gave it: that would make another archive of it, or none.
		isThere := func() bool { return s.Cached() == s.Size }
		t.Archive = set.file(0, s.FileName, nil, isThere, func() (archive.File, archive.Folder, error) {
			files, err := s.Load()
			if err != nil {
				return nil, nil, err
			}
			return torrentFile{&files[0]}, nil, nil
		})
	}
	if err := n.tree.PutTorrent(t, s.Changed); err != nil {
		n.log.Error("a torrent cannot be shown", "torrent", s.Infohash, "err", err)
	}
}

func (n namespace) RemoveTorrent(ih torrents.Infohash, at time.Time) {
	n.tree.RemoveTorrent(tree.Infohash(ih), at)
	n.archives.remove(ih)
}

// shownFiles lists the files of a torrent, whose archives are those of set: the torrent may be gone by then, and one with its infohash there
// again, whose archives do not lie in these files.
func shownFiles(s *torrents.Shown, set *archiveSet) ([]tree.File, error) {
	list, err := s.Load()
	if err != nil {
		return nil, err
	}
	beside := &folders{files: list}
	files := make([]tree.File, len(list))
	for i := range list {
		f := &list[i]
		files[i] = tree.File{Path: f.Path, Size: f.Size, Index: f.Index, Content: fileContent{f}}
		if last := len(f.Path) - 1; last >= 0 {
			isThere := func() bool { return f.Holds(0, f.Size) }
			files[i].Archive = set.file(f.Index, f.Path[last], f.Path, isThere, func() (archive.File, archive.Folder, error) {
				return torrentFile{f}, siblings{beside, f.Path[:last]}, nil
			})
		}
	}
	return files, nil
}

// fileContent is a file of a torrent as the tree has it.
type fileContent struct{ *torrents.File }

var _ tree.Filed = fileContent{}

func (c fileContent) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	return c.File.Await(ctx, off, n, string(tree.ReaderOf(ctx)))
}
