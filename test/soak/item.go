//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

// item is a torrent that is read, with its content.
type item struct {
	torrent  []byte // the .torrent file
	infohash string
	name     string
	files    []file

	// changes counts when it was removed, added, paused and resumed, once before and once after it: while
	// that is odd or has changed, reads may fail.
	changes atomic.Int64
}

// file is a file of it.
type file struct {
	path     []string // in the route
	original *os.File
	size     int64
}

// pieceLengths are of the torrents, in turn.
var pieceLengths = []int64{64 << 10, 256 << 10, 1 << 20, 4 << 20}

// maxPiece is the longest of them.
const maxPiece = 4 << 20

// makeItems makes so many torrents of some size below dir: by turns a file, a folder of three files, and an archive. The
// sizes are odd, so that pieces and files end anywhere.
func makeItems(dir string, n int, size int64) (items []*item, err error) {
	for i := range n {
		it := &item{name: fmt.Sprintf("item %02d", i)}
		if err := it.makeContent(dir, i, size); err != nil {
			return nil, err
		}
		info := metainfo.Info{PieceLength: pieceLengths[i%len(pieceLengths)]}
		if err := info.BuildFromFilePath(filepath.Join(dir, it.name)); err != nil {
			return nil, fmt.Errorf("make the torrent of %s: %w", it.name, err)
		}
		if it.torrent, it.infohash, err = encode(info); err != nil {
			return nil, err
		}
		if err := os.WriteFile(it.torrentPath(dir), it.torrent, 0o644); err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	return items, nil
}

// makeContent makes the files of the item with a number.
func (it *item) makeContent(dir string, number int, size int64) (err error) {
	names := [][]string{{it.name}}
	switch number % 3 {
	case 1:
		names = [][]string{{it.name, "a.bin"}, {it.name, "b", "c.bin"}, {it.name, "d.bin"}}
	case 2:
		inside := filepath.Join(dir, "inside "+it.name)
		it.name += ".zip"
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		it.files, err = makeZip(filepath.Join(dir, it.name), inside, size, byte(number))
		return err
	}
	for j, path := range names {
		f := file{path: path, size: size/int64(len(names)) - 12345*int64(j+1)}
		if f.original, err = makeFile(filepath.Join(append([]string{dir}, path...)...), f.size, byte(number), byte(j)); err != nil {
			return err
		}
		it.files = append(it.files, f)
	}
	return nil
}

func (it *item) torrentPath(dir string) string { return filepath.Join(dir, it.name+".torrent") }

func makeFile(path string, size int64, seed ...byte) (*os.File, error) {
	var key [32]byte
	copy(key[:], seed)
	return writeFile(path, io.LimitReader(rand.NewChaCha8(key), size))
}

// writeFile makes a file of what from has.
func writeFile(path string, from io.Reader) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, from); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f, nil
}

// deadTorrent makes a torrent that nobody has.
func deadTorrent(r *rand.Rand) (torrent []byte, infohash string, err error) {
	info := metainfo.Info{Name: "dead " + strconv.FormatUint(r.Uint64(), 36), PieceLength: 1 << 20, Length: 50 << 20}
	info.Pieces = make([]byte, 50*metainfo.HashSize)
	return encode(info)
}

func encode(info metainfo.Info) (torrent []byte, infohash string, err error) {
	meta := metainfo.MetaInfo{}
	if meta.InfoBytes, err = bencode.Marshal(info); err != nil {
		return nil, "", err
	}
	torrent, err = bencode.Marshal(meta)
	return torrent, meta.HashInfoBytes().HexString(), err
}
