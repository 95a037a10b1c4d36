package torrents

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"

	"shoal/torrents/cache"
)

// Workers is how many threads hash and write pieces. GOMAXPROCS should be larger by so many.
const Workers = cache.Workers

// noStorage is for torrents without one of their own: magnets, which store nothing.
type noStorage struct{}

func (noStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, errors.New("a magnet has no storage")
}

// cacheStorage lets the client keep a torrent in the cache.
type cacheStorage struct {
	p *cache.Pieces
	// unsure is the piece, plus one, that the client is told nothing is known of; see pipeline.kick.
	unsure   *atomic.Int64
	progress *progress
}

// progress counts what became of the data that came.
type progress struct {
	verified atomic.Int64 // pieces
	wasted   atomic.Int64 // bytes of pieces that had the wrong hash, or were not kept
}

func (s cacheStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl { return cachePiece{s, p.Index(), p.Length()} },
		Close: func() error { return nil }, // the torrent's owner closes the pieces, not the client
	}, nil
}

// cachePiece is a piece as the client knows it.
type cachePiece struct {
	cacheStorage

	index  int
	length int64 // without padding
}

var _ io.WriterTo = cachePiece{}

// ReadAt is for sending data to peers.
func (c cachePiece) ReadAt(b []byte, off int64) (int, error) { return c.p.ReadAt(c.index, b, off) }

func (c cachePiece) WriteAt(b []byte, off int64) (int, error) { return c.p.WriteAt(c.index, b, off) }

// WriteTo is for hashing.
func (c cachePiece) WriteTo(w io.Writer) (int64, error) { return c.p.Hash(c.index, w, c.length) }

func (c cachePiece) MarkComplete() error {
	if c.p.Verified(c.index) {
		c.progress.verified.Add(1)
	}
	return nil
}

func (c cachePiece) MarkNotComplete() error {
	c.progress.wasted.Add(c.length)
	c.p.Reset(c.index)
	return nil
}

// Completion never lets the client check anything by itself: what has to be checked is not complete for it until
// that is done.
func (c cachePiece) Completion() storage.Completion {
	if c.unsure.Load() == int64(c.index)+1 {
		return storage.Completion{}
	}
	return storage.Completion{Ok: true, Complete: c.p.State(c.index) == cache.Present}
}
