package torrents

import (
	"context"
	"errors"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

// noStorage is for torrents without one of their own: magnets, which store nothing.
type noStorage struct{}

func (noStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, errors.New("a magnet has no storage")
}

// cacheStorage lets the client keep a torrent in its pieces.
type cacheStorage struct{ p *pieces }

func (s cacheStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl { return cachePiece{s.p, p.Index()} },
		Close: func() error { return nil }, // the torrent's owner closes the pieces, not the client
	}, nil
}

type cachePiece struct {
	p     *pieces
	index int
}

func (c cachePiece) ReadAt(b []byte, off int64) (int, error) {
	return c.p.data.ReadAt(b, int64(c.index)*c.p.length+off)
}

func (c cachePiece) WriteAt(b []byte, off int64) (int, error) {
	return c.p.data.WriteAt(b, int64(c.index)*c.p.length+off)
}

func (c cachePiece) MarkComplete() error    { return c.p.setVerified(c.index) }
func (c cachePiece) MarkNotComplete() error { return c.p.setMissing(c.index) }

func (c cachePiece) Completion() storage.Completion {
	verified, known := c.p.state(c.index)
	return storage.Completion{Ok: known, Complete: verified}
}
