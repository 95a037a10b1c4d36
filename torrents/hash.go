package torrents

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync"

	"github.com/anacrolix/torrent/merkle"
	"github.com/anacrolix/torrent/metainfo"
)

// pieceHashes checks pieces by the hashes of a torrent: by those of version 1 (BEP 3) if it has them, and by those of version 2
// (BEP 52) otherwise.
type pieceHashes struct {
	meta  *Metainfo
	files func() []metainfo.FileInfo // of version 2, in their order
}

func newPieceHashes(m *Metainfo) *pieceHashes {
	return &pieceHashes{m, sync.OnceValue(func() []metainfo.FileInfo { return slices.Collect(m.info.UpvertedFilesIter()) })}
}

// verify says whether the bytes of a piece, which r has, are right.
func (h *pieceHashes) verify(piece int, r io.Reader) (bool, error) {
	if h.meta.info.HasV1() {
		sum := sha1.New()
		if _, err := io.Copy(sum, r); err != nil {
			return false, err
		}
		return bytes.Equal(sum.Sum(nil), h.meta.info.Pieces[piece*sha1.Size:(piece+1)*sha1.Size]), nil
	}
	return h.verifyV2(piece, r)
}

// verifyV2 finds the file that the piece is of: in version 2 each begins with a piece of its own.
func (h *pieceHashes) verifyV2(piece int, r io.Reader) (bool, error) {
	files, length := h.files(), h.meta.pieceLength
	start := int64(piece) * length
	i := sort.Search(len(files), func(i int) bool { return files[i].TorrentOffset+files[i].Length > start })
	if i == len(files) {
		return false, fmt.Errorf("piece %d is of no file", piece)
	}
	f := &files[i]
	within := start - f.TorrentOffset
	sum := merkle.NewHash()
	if _, err := io.Copy(sum, io.LimitReader(r, min(length, f.Length-within))); err != nil {
		return false, err
	}
	root := f.PiecesRoot.Value[:]
	if f.Length <= length {
		return bytes.Equal(sum.Sum(nil), root), nil
	}
	layer := h.meta.raw.PieceLayers[string(root)]
	at := int(within/length) * len(root)
	if at+len(root) > len(layer) {
		return false, fmt.Errorf("piece %d has no hash", piece)
	}
	return string(sum.SumMinLength(nil, int(length))) == layer[at:at+len(root)], nil
}
