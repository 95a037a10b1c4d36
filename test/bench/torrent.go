//go:build linux

package main

import (
	"fmt"
	"os"

	"github.com/anacrolix/torrent/metainfo"

	"shoal/test/complete"
)

// The torrents are complete before Shoal sees them, and the large file is the very inode that ganesha
// serves.

const pieceLength = 1 << 20

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
