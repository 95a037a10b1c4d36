package main

import (
	"context"
	"log/slog"
	"time"

	"shoal/torrents"
	"shoal/tree"
)

// namespace shows the library in the tree.
type namespace struct {
	tree *tree.Tree
	log  *slog.Logger
}

var _ torrents.Watcher = namespace{}

func (n namespace) PutRoute(r torrents.Route) {
	if err := n.tree.PutRoute(tree.Route{ID: tree.RouteID(r.ID), Name: r.Name}, r.Changed); err != nil {
		n.log.Error("a route cannot be shown", "name", r.Name, "err", err)
	}
}

func (n namespace) RemoveRoute(id uint64) { n.tree.RemoveRoute(tree.RouteID(id), time.Now()) }

func (n namespace) PutTorrent(s torrents.Shown) {
	err := n.tree.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash(s.Infohash),
		Route:    tree.RouteID(s.Route),
		Name:     s.Name,
		IsFile:   s.IsFile,
		Size:     s.Size,
		ModTime:  s.ModTime,
		FirstID:  s.FirstID,
		Cached:   s.Cached,
		Files:    func() ([]tree.File, error) { return inside(s.Load) },
	}, s.Changed)
	if err != nil {
		n.log.Error("a torrent cannot be shown", "torrent", s.Infohash, "err", err)
	}
}

func (n namespace) RemoveTorrent(ih torrents.Infohash, at time.Time) {
	n.tree.RemoveTorrent(tree.Infohash(ih), at)
}

func inside(load func() ([]torrents.File, error)) ([]tree.File, error) {
	list, err := load()
	if err != nil {
		return nil, err
	}
	files := make([]tree.File, len(list))
	for i := range list {
		f := &list[i]
		files[i] = tree.File{Path: f.Path, Size: f.Size, Index: f.Index, Content: fileContent{f}}
	}
	return files, nil
}

// fileContent is a file of a torrent as the tree has it.
type fileContent struct{ *torrents.File }

var _ tree.Filed = fileContent{}

func (c fileContent) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	return c.File.Await(ctx, off, n, string(tree.ReaderOf(ctx)))
}
