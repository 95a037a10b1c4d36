//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"

	"shoal/test/complete"
	"shoal/test/libtorrent"
)

const pieceLength = 1 << 20

// For the comparison with ganesha the torrents are complete before Shoal sees them, and the large file is
// the very inode that ganesha serves.

// fileTorrent makes the torrent of the large file, and its cache.
func fileTorrent(d *data, cache string) ([]byte, error) {
	info := metainfo.Info{PieceLength: pieceLength}
	if err := info.BuildFromFilePath(d.file()); err != nil {
		return nil, fmt.Errorf("make the torrent of the file: %w", err)
	}
	return complete.Put(&info, cache, func(path string) error { return os.Link(d.file(), path) })
}

// folderTorrent makes the torrent of the large folder, and its cache.
func folderTorrent(d *data, cache string) ([]byte, error) {
	files := make([]complete.File, d.entries)
	for i := range files {
		files[i] = complete.File{Path: entryName(i), Content: []byte{entryByte(i)}}
	}
	return complete.Torrent(cache, folderName, pieceLength, files...)
}

// source is a torrent that a seeder has.
type source struct {
	path     string // of the .torrent file
	content  []byte // of that file
	infohash string
	pieces   int
	length   int64 // of a piece, in bytes
}

// makeSource makes the torrent of a file with pieces of some length, into a file of dir.
func makeSource(file, dir string, length int64) (*source, error) {
	info := metainfo.Info{PieceLength: length}
	if err := info.BuildFromFilePath(file); err != nil {
		return nil, fmt.Errorf("make the torrent of %s: %w", file, err)
	}
	encoded, err := bencode.Marshal(info)
	if err != nil {
		return nil, err
	}
	meta := metainfo.MetaInfo{InfoBytes: encoded}
	s := &source{infohash: meta.HashInfoBytes().HexString(), pieces: info.NumPieces(), length: length}
	if s.content, err = bencode.Marshal(meta); err != nil {
		return nil, err
	}
	s.path = filepath.Join(dir, s.infohash+".torrent")
	return s, os.WriteFile(s.path, s.content, 0o644)
}

// seed has a seeder have a torrent, whose data is in dir.
func seed(seeds *libtorrent.Seeder, s *source, dir string) error {
	infohash, err := seeds.Add(s.path, dir)
	if err == nil && infohash != s.infohash {
		err = fmt.Errorf("the seeder knows %s as %s", s.infohash, infohash)
	}
	return err
}
