// Package complete makes torrents whose bytes are there before Shoal sees them: they are put where an
// earlier run of it would have left them, with the note that they were verified and synced (see
// torrents/cache.go). Only the download is skipped. What is read goes through the real library, tree and
// handles.
//
// The cache may be filled while the appliance runs, but before it is given the torrent.
package complete

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

const (
	piecesMark  = "shoalpc1"
	pieceSynced = 2
)

// File is a file of a torrent.
type File struct {
	Path    string // with slashes; empty for the only file of a torrent without folders
	Content []byte
}

// Torrent returns a torrent of files. Its bytes are in the cache of an appliance afterwards, unless cache
// is "": then it is one that nobody has.
func Torrent(cache, name string, pieceLength int64, files ...File) ([]byte, error) {
	info := metainfo.Info{Name: name, PieceLength: pieceLength}
	var content []byte
	for _, f := range files {
		content = append(content, f.Content...)
		if f.Path == "" {
			info.Length = int64(len(f.Content))
			continue
		}
		info.Files = append(info.Files, metainfo.FileInfo{
			Length: int64(len(f.Content)), Path: strings.Split(f.Path, "/"),
		})
	}
	var err error
	if info.Pieces, err = metainfo.GeneratePieces(bytes.NewReader(content), pieceLength, nil); err != nil {
		return nil, fmt.Errorf("hash %s: %w", name, err)
	}
	if cache == "" {
		return encode(&info, func(metainfo.Hash) error { return nil })
	}
	return Put(&info, cache, func(path string) error { return os.WriteFile(path, content, 0o644) })
}

// Put returns a torrent, and makes its cache: put has to put its bytes at a path.
func Put(info *metainfo.Info, cache string, put func(path string) error) ([]byte, error) {
	return encode(info, func(hash metainfo.Hash) error {
		base := filepath.Join(cache, hash.HexString())
		states := slices.Concat([]byte(piecesMark), bytes.Repeat([]byte{pieceSynced}, info.NumPieces()))
		return errors.Join(put(base+".data"), os.WriteFile(base+".pieces", states, 0o644))
	})
}

func encode(info *metainfo.Info, fill func(metainfo.Hash) error) ([]byte, error) {
	encoded, err := bencode.Marshal(info)
	if err != nil {
		return nil, err
	}
	mi := metainfo.MetaInfo{InfoBytes: encoded}
	if err := fill(mi.HashInfoBytes()); err != nil {
		return nil, err
	}
	return bencode.Marshal(mi)
}
