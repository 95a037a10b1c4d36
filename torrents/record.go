package torrents

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"shoal/torrents/cache"
)

// The library on disk, below Options.DataDir:
//
//	lock                     held while a process has the library open
//	library.json             routes, and the counter of file ids
//	torrents/<infohash>.json    a record per torrent
//	torrents/<infohash>.torrent its metainfo; not there while a magnet is unresolved
//	torrents/<infohash>.ids     file ids of what is inside its archives, as far as somebody has looked
//
// A record is written after the metainfo that it counts on, so a crash leaves at worst a .torrent
// without a record, which nobody was told is in the library.

// libraryFormat is the number of this layout. A library with a higher one is not opened, and one with a
// lower one gets this number before anything else is written. Since format 2 there are limits, sources,
// and torrents that are paused, pinned or named by the user.
const libraryFormat = 2

// libraryRecord is library.json.
type libraryRecord struct {
	Format int           `json:"format"`
	NextID uint64        `json:"next_id"` // the first file id never handed out
	Routes []routeRecord `json:"routes"`
	Limits limitsRecord  `json:"limits,omitzero"`
	Watch  watchRecord   `json:"watch,omitzero"`
}

func (s *libraryRecord) clone() *libraryRecord {
	c := *s
	c.Routes = slices.Clone(s.Routes)
	c.Watch = s.Watch.clone()
	return &c
}

// takeIDs hands out n file ids, and returns the first.
func (s *libraryRecord) takeIDs(n uint64) uint64 {
	first := s.NextID
	s.NextID += n
	return first
}

func (s *libraryRecord) route(name string) *routeRecord {
	i := slices.IndexFunc(s.Routes, func(r routeRecord) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Routes[i]
}

func (s *libraryRecord) byID(id uint64) *routeRecord {
	i := slices.IndexFunc(s.Routes, func(r routeRecord) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return &s.Routes[i]
}

type routeRecord struct {
	ID       uint64    `json:"id"`
	Name     string    `json:"name"`
	Archives Archives  `json:"archives"`
	Changed  time.Time `json:"changed"` // when its listing last changed
}

// torrentRecord is torrents/<infohash>.json. It has what a listing needs, so that starting with
// 10,000 torrents parses no metainfo.
type torrentRecord struct {
	Infohash Infohash  `json:"infohash"`
	Route    uint64    `json:"route"`
	Name     string    `json:"name"` // as shown in the route; unique there
	Added    time.Time `json:"added"`
	Magnet   string    `json:"magnet,omitempty"`
	Named    bool      `json:"named,omitempty"` // the name of an unresolved magnet is the user's, and stays
	Paused   bool      `json:"paused,omitempty"`
	Pinned   bool      `json:"pinned,omitempty"`
	sources            // beside those of the magnet or the metainfo
	// Source is the file of the watch folder that brought the torrent, and with which it goes.
	Source *sourceRecord `json:"source,omitempty"`

	// The rest is of the metainfo, and zero until it is known.
	FirstID     uint64    `json:"first_id,omitempty"` // file id of the torrent's top
	IsFile      bool      `json:"is_file,omitempty"`
	FileName    string    `json:"file_name,omitempty"` // of a single file, clean; see fileName
	Size        int64     `json:"size,omitempty"`      // in bytes
	Files       int       `json:"files,omitempty"`
	ModTime     time.Time `json:"mtime,omitzero"`
	PieceLength int64     `json:"piece_length,omitempty"` // in bytes
	Pieces      int       `json:"pieces,omitempty"`
	Length      int64     `json:"length,omitempty"`         // of all pieces, in bytes; not there in records of format 1
	Metainfo    int64     `json:"metainfo_bytes,omitempty"` // size of the .torrent file
	IDs         uint64    `json:"ids,omitempty"`            // how many file ids from FirstID on are its own
	ArchiveIDs  uint64    `json:"archive_ids,omitempty"`    // of them, the first of its files as folders; see archiveIDs
	Inner       []IDRun   `json:"inner,omitempty"`          // file ids that an earlier version took for what is inside files; see idsFile
}

// resolved says whether the metainfo is known.
func (r *torrentRecord) resolved() bool { return r.FirstID != 0 }

// readable says whether the record could be read. Of one that could not, only the infohash is known.
func (r *torrentRecord) readable() bool { return r.resolved() || r.Magnet != "" }

// holds says whether no other torrent of the route may have the name.
func (r *torrentRecord) holds(name string) bool { return (r.resolved() || r.Named) && r.Name == name }

// fill takes over what m says.
func (r *torrentRecord) fill(m *Metainfo, metainfoBytes int, firstID uint64) {
	r.FirstID, r.IDs = firstID, m.ids()
	r.ArchiveIDs = firstID + r.IDs - uint64(m.places)
	r.IsFile = m.IsFile
	if m.IsFile {
		r.FileName = m.Name
	}
	r.Size = m.Size
	r.Files = len(m.Files)
	r.PieceLength = m.pieceLength
	r.Pieces, r.Length = m.pieces, m.length
	r.Metainfo = int64(metainfoBytes)
	r.ModTime = m.Created
	if r.ModTime.IsZero() {
		r.ModTime = r.Added
	}
}

// fileName returns the name that the metainfo has for a single file. Records of earlier versions have only the one that it is shown under.
func (r *torrentRecord) fileName() string {
	if !r.IsFile {
		return ""
	}
	return cmp.Or(r.FileName, r.Name)
}

// geometry says how the torrent lies in the cache, without what only the metainfo knows.
func (r *torrentRecord) geometry() cache.Geometry {
	length := r.Length
	if length == 0 {
		length = int64(r.Pieces) * r.PieceLength
	}
	return cache.Geometry{PieceLength: r.PieceLength, Pieces: r.Pieces, Size: length}
}

// checkGeometry says whether the numbers of the record are those of a torrent, as others count on that.
func (r *torrentRecord) checkGeometry() error {
	if r.PieceLength <= 0 || r.PieceLength > maxPieceLength || r.Pieces < 0 || r.Pieces > maxPieces {
		return fmt.Errorf("the record has %d pieces of %d bytes", r.Pieces, r.PieceLength)
	}
	g := r.geometry()
	whole := int64(r.Pieces) * r.PieceLength
	if g.Size > whole || r.Pieces > 0 && g.Size <= whole-r.PieceLength || r.Size < 0 || r.Size > g.Size {
		return fmt.Errorf("the record has %d bytes in %d pieces of %d bytes", r.Size, r.Pieces, r.PieceLength)
	}
	return nil
}

func (l *Library) recordPath(ih Infohash) string {
	return filepath.Join(l.opts.DataDir, torrentsDir, ih.String()+".json")
}

func (l *Library) metainfoPath(ih Infohash) string {
	return filepath.Join(l.opts.DataDir, torrentsDir, ih.String()+".torrent")
}

const torrentsDir = "torrents"

func (l *Library) writeRecord(r *torrentRecord) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the record of %s: %w", r.Infohash, err)
	}
	if err := writeDurably(l.recordPath(r.Infohash), b); err != nil {
		return &WriteError{fmt.Errorf("write the record of %s: %w", r.Infohash, err)}
	}
	return nil
}

// readRecord reads one record. It fails if anything is wrong with it, or with the metainfo it counts
// on as far as that can be seen without reading it.
func (l *Library) readRecord(ih Infohash) (*torrentRecord, error) {
	b, err := os.ReadFile(l.recordPath(ih))
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	var r torrentRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	if r.Infohash != ih {
		return nil, fmt.Errorf("the record is that of %s", r.Infohash)
	}
	if !r.resolved() {
		if _, err := parseMagnet(r.Magnet); err != nil {
			return nil, fmt.Errorf("the record has neither metainfo nor a magnet link: %w", err)
		}
		return &r, nil
	}
	if err := r.checkGeometry(); err != nil {
		return nil, err
	}
	st, err := os.Stat(l.metainfoPath(ih))
	if err != nil {
		return &r, fmt.Errorf("look for the torrent file: %w", err)
	}
	if st.Size() != r.Metainfo {
		return &r, fmt.Errorf("the torrent file has %d bytes instead of %d", st.Size(), r.Metainfo)
	}
	return &r, nil
}

// loadMetainfo reads and parses the saved .torrent of r.
func (l *Library) loadMetainfo(r *torrentRecord) (*Metainfo, error) {
	b, err := os.ReadFile(l.metainfoPath(r.Infohash))
	if err != nil {
		return nil, fmt.Errorf("read the torrent file: %w", err)
	}
	m, err := ParseMetainfo(b)
	if err != nil {
		return nil, err
	}
	if m.Infohash != r.Infohash {
		return nil, fmt.Errorf("the torrent file is that of %s", m.Infohash)
	}
	if m.IsFile != r.IsFile || m.pieceLength != r.PieceLength || m.pieces != r.Pieces {
		return nil, fmt.Errorf("the torrent file and the record disagree")
	}
	return m, nil
}

// records lists the infohashes that have a record.
func (l *Library) records() ([]Infohash, error) {
	dir := filepath.Join(l.opts.DataDir, torrentsDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []Infohash
	for _, e := range entries {
		name := e.Name()
		stem, isRecord := strings.CutSuffix(name, ".json")
		if !isRecord {
			continue
		}
		ih, err := ParseInfohash(stem)
		if err != nil {
			l.log.Warn("a file in the library is not named after an infohash", "path", filepath.Join(dir, name))
			continue
		}
		list = append(list, ih)
	}
	return list, nil
}
