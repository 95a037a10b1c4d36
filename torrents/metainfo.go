package torrents

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"

	"shoal/torrents/cache"
)

const (
	// MaxMetainfo is the largest .torrent file that is read, in bytes.
	MaxMetainfo = 16 << 20

	// maxFiles bounds what one .torrent makes us hold in memory; the largest seen in public have
	// some 100,000.
	maxFiles = 1 << 20
	// maxPieceLength is far above the 16 MiB to 128 MiB that clients make.
	maxPieceLength = 1 << 30
	// maxPieces is what a metainfo of that size has room for in version 1; in version 2 the number takes
	// no room there, but the engine takes 100 bytes for each.
	maxPieces = 1 << 20
)

// Metainfo is a .torrent file, checked, with its names cleaned.
type Metainfo struct {
	Infohash Infohash
	Name     string // clean
	IsFile   bool   // a single file, called Name
	Size     int64  // of the files that are shown, in bytes
	Files    []MetaFile
	Created  time.Time // zero if it does not say
	Private  bool      // BEP 27

	pieceLength int64
	pieces      int
	length      int64 // in its own order, padding included, in bytes
	places      int   // files in the metainfo, with those that are not shown
	folders     int
	raw         *metainfo.MetaInfo
	info        *metainfo.Info

	listed atomic.Pointer[folderList] // the folder that somebody looked into last, as sorting 40,000 files takes long
}

// MetaFile is one file of a torrent.
type MetaFile struct {
	Path   []string // clean; empty if the torrent is a single file
	Index  int      // place in the metainfo
	Offset int64    // of its first byte in the torrent's pieces
	Size   int64    // in bytes
}

// ParseMetainfo reads a .torrent file (BEP 3, 47, 52). It never trusts what it reads: the error is
// an *InputError that says what is wrong, whatever b is.
func ParseMetainfo(b []byte) (_ *Metainfo, err error) {
	// The bencode decoder works with reflection and panics; so far only within itself.
	defer func() {
		if r := recover(); r != nil {
			err = inputErrorf("the torrent file cannot be read: %v", r)
		}
	}()
	if len(b) > MaxMetainfo {
		return nil, inputErrorf("the torrent file is larger than %d MiB", MaxMetainfo>>20)
	}
	if err := scanBencode(b); err != nil {
		return nil, inputErrorf("the torrent file cannot be read: %v", err)
	}
	raw, err := metainfo.Load(bytes.NewReader(b))
	if err != nil {
		return nil, inputErrorf("the torrent file cannot be read: %v", err)
	}
	if len(raw.InfoBytes) == 0 {
		return nil, inputErrorf("the torrent file has no info dictionary")
	}
	info, err := decodeInfo(raw.InfoBytes)
	if err != nil {
		return nil, inputErrorf("the torrent's info dictionary cannot be read: %v", err)
	}
	m := &Metainfo{raw: raw, info: &info, pieceLength: info.PieceLength, Private: info.Private != nil && *info.Private}
	if err := m.readFiles(&info); err != nil {
		return nil, err
	}
	if info.HasV1() {
		m.Infohash = Infohash(raw.HashInfoBytes())
	} else {
		sum := sha256.Sum256(raw.InfoBytes)
		m.Infohash = Infohash(sum[:len(m.Infohash)])
	}
	// NFSv3 times are unsigned 32-bit seconds.
	if raw.CreationDate > 0 && raw.CreationDate <= math.MaxUint32 {
		m.Created = time.Unix(raw.CreationDate, 0)
	}
	return m, nil
}

// rawFile is a file as the metainfo has it.
type rawFile struct {
	path         []string
	offset, size int64
	hidden       bool // padding (BEP 47)
}

func (m *Metainfo) readFiles(info *metainfo.Info) error {
	var raw []rawFile
	var err error
	switch {
	case info.HasV2():
		raw, err = filesV2(info, m.raw.PieceLayers)
	default:
		raw, err = filesV1(info)
	}
	if err != nil {
		return err
	}
	if err := m.countPieces(info, raw); err != nil {
		return err
	}
	name := bestString(info.NameUtf8, info.Name)
	m.IsFile = isSingleFile(info, raw)
	if m.IsFile && info.HasV2() {
		name = raw[0].path[0]
	}
	m.Name = cleanName(name)
	m.places = len(raw)
	var top folder
	for i, f := range raw {
		if f.hidden {
			continue
		}
		if len(f.path) > maxDepth {
			return inputErrorf("the file %.60q is more than %d folders deep", path.Join(f.path...), maxDepth)
		}
		shown := MetaFile{Index: i, Offset: f.offset, Size: f.size}
		if !m.IsFile {
			shown.Path = top.path(f.path)
		}
		m.Files = append(m.Files, shown)
		m.Size += f.size
	}
	m.folders = top.count()
	return nil
}

// isSingleFile says whether the torrent is one file that belongs in the route itself. In a v2 tree
// that is a tree of one file, called like the torrent (BEP 52, "file tree").
func isSingleFile(info *metainfo.Info, files []rawFile) bool {
	if info.HasV2() {
		return len(files) == 1 && len(files[0].path) == 1 && files[0].path[0] == info.Name
	}
	return len(info.Files) == 0
}

func filesV1(info *metainfo.Info) ([]rawFile, error) {
	if info.PieceLength <= 0 || info.PieceLength > maxPieceLength {
		return nil, inputErrorf("the torrent's piece length is %d bytes", info.PieceLength)
	}
	if len(info.Files) > maxFiles {
		return nil, inputErrorf("the torrent has %d files, more than %d", len(info.Files), maxFiles)
	}
	if len(info.Files) == 0 {
		if info.Length < 0 {
			return nil, inputErrorf("the torrent's file has a length of %d bytes", info.Length)
		}
		return []rawFile{{size: info.Length}}, nil
	}
	files := make([]rawFile, len(info.Files))
	var offset int64
	for i, f := range info.Files {
		raw := slices.Clone(f.Path)
		if len(f.PathUtf8) == len(f.Path) {
			raw = slices.Clone(f.PathUtf8)
		}
		if f.Length < 0 || f.Length > math.MaxInt64-offset {
			return nil, inputErrorf("the file %.60q has a length of %d bytes", path.Join(raw...), f.Length)
		}
		files[i] = rawFile{path: raw, offset: offset, size: f.Length, hidden: strings.Contains(f.Attr, "p")}
		offset += f.Length
	}
	return files, nil
}

func (m *Metainfo) countPieces(info *metainfo.Info, files []rawFile) error {
	var end int64 // of the last byte
	for _, f := range files {
		end = max(end, f.offset+f.size)
	}
	pieces := (end + m.pieceLength - 1) / m.pieceLength
	if end > math.MaxInt64-m.pieceLength || pieces > maxPieces {
		return inputErrorf("the torrent has more than %d pieces", maxPieces)
	}
	if info.HasV1() && (len(info.Pieces)%20 != 0 || int64(len(info.Pieces)/20) != pieces) {
		return inputErrorf("the torrent has %d bytes of piece hashes for %d pieces", len(info.Pieces), pieces)
	}
	m.pieces, m.length = int(pieces), end
	if info.HasV1() {
		// Padding may follow the last file.
		for _, f := range info.Files {
			end -= f.Length
		}
		if len(info.Files) > 0 && end < 0 {
			m.length -= end
		}
		m.length = min(m.length, pieces*m.pieceLength)
	}
	return nil
}

const (
	// edgeLength is how much of a file's beginning, and of its end, scanners of libraries read.
	edgeLength = 1 << 20
	// edgeFile is how large a file has to be for that to be worth keeping apart.
	edgeFile = 16 << 20
)

// geometry says how the torrent lies in the cache.
func (m *Metainfo) geometry() cache.Geometry {
	g := cache.Geometry{PieceLength: m.pieceLength, Pieces: m.pieces, Size: m.length}
	for _, f := range m.Files {
		if f.Size >= edgeFile {
			g.Edges = append(g.Edges, m.span(&f, 0, edgeLength), m.span(&f, f.Size-edgeLength, edgeLength))
		}
	}
	return g
}

// span returns the pieces that hold the n bytes at off of a file.
func (m *Metainfo) span(f *MetaFile, off, n int64) cache.Span {
	if n <= 0 {
		return cache.Span{First: 0, Last: -1}
	}
	return cache.Span{
		First: int((f.Offset + off) / m.pieceLength),
		Last:  int((f.Offset + off + n - 1) / m.pieceLength),
	}
}

// ids returns how many file ids the torrent needs: for its top, files and folders, and files as folders.
func (m *Metainfo) ids() uint64 { return 1 + 2*uint64(m.places) + uint64(m.folders) }

// trackers returns the tiers of trackers (BEP 12), as far as maxTrackers goes.
func (m *Metainfo) trackers() [][]string {
	var list [][]string
	room := maxTrackers
	for _, tier := range m.raw.UpvertedAnnounceList() {
		tier = tier[:min(len(tier), room)]
		room -= len(tier)
		list = append(list, tier)
		if room == 0 {
			break
		}
	}
	return list
}

// tiers makes a tier of each tracker: a magnet link does not say which belong together.
func tiers(trackers []string) [][]string {
	list := make([][]string, len(trackers))
	for i, tracker := range trackers {
		list[i] = []string{tracker}
	}
	return list
}

// encodeMetainfo makes a .torrent file of what a magnet link gave and the swarm sent.
func encodeMetainfo(link magnetLink, infoBytes []byte, layers map[string]string) ([]byte, error) {
	mi := metainfo.MetaInfo{
		InfoBytes:   infoBytes,
		PieceLayers: layers,
		UrlList:     link.webSeeds,

		AnnounceList: tiers(link.trackers),
	}
	b, err := bencode.Marshal(mi)
	if err != nil {
		return nil, fmt.Errorf("encode the torrent file: %w", err)
	}
	return b, nil
}

func bestString(preferred, other string) string {
	if preferred != "" {
		return preferred
	}
	return other
}
