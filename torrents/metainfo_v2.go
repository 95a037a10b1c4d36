package torrents

import (
	"math"
	"path"
	"slices"

	"github.com/anacrolix/torrent/merkle"
	"github.com/anacrolix/torrent/metainfo"
)

// filesV2 lists the file tree of a v2 or hybrid torrent, in its order, each file beginning at a
// piece.
func filesV2(info *metainfo.Info, layers map[string]string) ([]rawFile, error) {
	if p := info.PieceLength; p < 1<<14 || p > maxPieceLength || p&(p-1) != 0 {
		return nil, inputErrorf("the torrent's piece length is %d bytes, which version 2 does not allow", p)
	}
	if err := info.FileTree.Validate(); err != nil {
		return nil, inputErrorf("the torrent's file tree is broken: %v", err)
	}
	if !info.FileTree.IsDir() {
		return nil, inputErrorf("the torrent's file tree is empty")
	}
	var total int64
	var tooLarge bool
	info.FileTree.Walk(nil, func(_ []string, node *metainfo.FileTree) {
		// A quarter of the range leaves room for rounding up to pieces.
		if n := node.File.Length; n < 0 || n > math.MaxInt64/4-total {
			tooLarge = true
		} else {
			total += n
		}
	})
	if tooLarge {
		return nil, inputErrorf("the torrent's files are larger than any disk")
	}
	var files []rawFile
	check := layerCheck{layers: layers, pieceLength: info.PieceLength, needed: !info.HasV1()}
	for f := range info.UpvertedFilesIter() {
		if len(files) == maxFiles {
			return nil, inputErrorf("the torrent has more than %d files", maxFiles)
		}
		if f.Length == 0 {
			// anacrolix/torrent v1.62.0 panics when it opens such a torrent.
			return nil, inputErrorf("the file %.60q is empty, which is not supported in torrents of version 2", path.Join(f.Path...))
		}
		if err := check.file(&f); err != nil {
			return nil, err
		}
		files = append(files, rawFile{path: f.Path, offset: f.TorrentOffset, size: f.Length})
	}
	return files, checkHybrid(info, files)
}

// layerCheck checks the piece layers of a torrent: the hashes of its pieces, which are beside the info
// dictionary (BEP 52, "piece layers"). anacrolix/torrent v1.62.0 panics while it downloads a torrent
// that lacks them, unless that is a hybrid.
type layerCheck struct {
	layers      map[string]string
	pieceLength int64
	needed      bool
	pad         *[32]byte // of a piece without data; made when it is first needed
}

func (c *layerCheck) file(f *metainfo.FileInfo) error {
	if f.Length <= c.pieceLength {
		return nil // its root is the hash of its only piece
	}
	name := path.Join(f.Path...)
	layer, ok := c.layers[string(f.PiecesRoot.Value[:])]
	if !ok {
		if c.needed {
			return inputErrorf("the torrent has no piece hashes for the file %.60q; for a magnet link of version 2, add the .torrent file instead", name)
		}
		return nil
	}
	hashes, err := merkle.CompactLayerToSliceHashes(layer)
	if pieces := (f.Length + c.pieceLength - 1) / c.pieceLength; err != nil || int64(len(hashes)) != pieces {
		return inputErrorf("the torrent has %d bytes of piece hashes for the %d pieces of the file %.60q", len(layer), pieces, name)
	}
	if c.pad == nil {
		pad := metainfo.HashForPiecePad(c.pieceLength)
		c.pad = &pad
	}
	if merkle.RootWithPadHash(hashes, *c.pad) != f.PiecesRoot.Value {
		return inputErrorf("the piece hashes of the file %.60q are not those that the torrent names", name)
	}
	return nil
}

// checkHybrid refuses a hybrid whose two halves disagree: what a client reads would depend on which
// one it believes.
func checkHybrid(info *metainfo.Info, v2 []rawFile) error {
	if !info.HasV1() {
		return nil
	}
	v1, err := filesV1(info)
	if err != nil {
		return err
	}
	var shown []rawFile
	for _, f := range v1 {
		if !f.hidden {
			shown = append(shown, f)
		}
	}
	if len(info.Files) == 0 {
		shown[0].path = []string{info.Name}
	}
	same := slices.EqualFunc(shown, v2, func(a, b rawFile) bool {
		// An empty file may stand on either side of the padding before it.
		return slices.Equal(a.path, b.path) && a.size == b.size && (a.offset == b.offset || a.size == 0)
	})
	if !same {
		return inputErrorf("the torrent's version 1 and version 2 parts list different files")
	}
	return nil
}
