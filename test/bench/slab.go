//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

// slab is a storage for anacrolix/torrent: one file in the torrent's own order, read and written without
// mmap, and what is complete is in memory. It is the fastest of those that were tried, faster than all
// that come with the library.
type slab struct{ file *os.File }

func (s slab) OpenTorrent(_ context.Context, info *metainfo.Info, _ metainfo.Hash) (storage.TorrentImpl, error) {
	if err := s.file.Truncate(info.TotalLength()); err != nil {
		return storage.TorrentImpl{}, fmt.Errorf("make the slab: %w", err)
	}
	complete := make([]atomic.Bool, info.NumPieces())
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl {
			return slabPiece{s.file, int64(p.Index()) * info.PieceLength, &complete[p.Index()]}
		},
		Close: s.file.Close,
	}, nil
}

type slabPiece struct {
	file     *os.File
	at       int64
	complete *atomic.Bool
}

func (p slabPiece) ReadAt(b []byte, off int64) (int, error)  { return p.file.ReadAt(b, p.at+off) }
func (p slabPiece) WriteAt(b []byte, off int64) (int, error) { return p.file.WriteAt(b, p.at+off) }

func (p slabPiece) MarkComplete() error {
	p.complete.Store(true)
	return nil
}

func (p slabPiece) MarkNotComplete() error {
	p.complete.Store(false)
	return nil
}

func (p slabPiece) Completion() storage.Completion {
	return storage.Completion{Ok: true, Complete: p.complete.Load()}
}
