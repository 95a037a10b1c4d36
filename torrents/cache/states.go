package cache

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// The file of the states, <infohash>.pieces, has a header, a byte for each piece, and, if the torrent was closed
// and not touched since, a trailer. While a torrent is open and changing there is none, so that whatever ends the
// process, or the power, makes everything suspect. The trailer also has the size and the times of
// the data as they were: a file that was changed, or copied, or came back with an older disk, is suspect as well.
//
// A byte is only ever set after the data of its piece was written, and data of a piece that is set is never written over.
//
//	header    "shoalpc2", the length of a piece and the size of the torrent, 8 bytes each
//	states    a byte for each piece, of savedPresent, savedEdge and savedSuspect
//	trailer   size, mtime, ctime and inode of the data, 8 bytes each, and the CRC-32C of all before
//
// Numbers are little-endian. Format 1 ("shoalpc1") had neither the two numbers nor a trailer, and a byte that was 0 for a missing
// piece. It is read: everything in it is suspect.

const (
	headerSize  = 3 * 8
	trailerSize = 4*8 + 4

	magicSize   = 8
	magic1      = "shoalpc1"
	magic2      = "shoalpc2"
	maxStates   = 1 << 21 // more pieces than any torrent may have here
	maxSize     = 1 << 60 // larger than any torrent may be here, in bytes
	maxFileSize = headerSize + maxStates + trailerSize

	savedPresent byte = 1
	savedEdge    byte = 2 // head or tail of a large file
	savedSuspect byte = 4 // not checked since the last run that ended otherwise than by closing
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// saved is what the file of the states holds.
type saved struct {
	pieceLength, size int64
	states            []byte
	trailer           []byte // nil if there is none
	before            []byte // everything in front of the trailer
}

// parseStates reads a file of format 2.
func parseStates(b []byte) (s saved, ok bool) {
	if len(b) < headerSize || string(b[:magicSize]) != magic2 {
		return s, false
	}
	s.pieceLength = int64(binary.LittleEndian.Uint64(b[magicSize:]))
	s.size = int64(binary.LittleEndian.Uint64(b[2*magicSize:]))
	if s.pieceLength <= 0 || s.pieceLength > maxSize || s.size < 0 || s.size > maxSize || s.size/s.pieceLength >= maxStates {
		return s, false
	}
	n := int(s.size / s.pieceLength)
	if s.size%s.pieceLength != 0 {
		n++
	}
	if len(b) < headerSize+n {
		return s, false
	}
	s.before, s.states = b[:headerSize+n], b[headerSize:headerSize+n]
	if rest := b[headerSize+n:]; len(rest) == trailerSize {
		s.trailer = rest
	}
	return s, true
}

// parseStates1 reads a file of format 1 with n pieces.
func parseStates1(b []byte, n int) (states []byte, ok bool) {
	if len(b) != magicSize+n || string(b[:magicSize]) != magic1 {
		return nil, false
	}
	states = b[magicSize:]
	for i := range states {
		if states[i] != 0 {
			states[i] = savedPresent
		}
	}
	return states, true
}

// readAll reads a file of the states, as far as one may be large.
func readAll(f *os.File) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, maxFileSize))
}

func header(g *Geometry) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(magic2), uint64(g.PieceLength))
	return binary.LittleEndian.AppendUint64(b, uint64(g.Size))
}

func trailer(before []byte, data os.FileInfo) []byte {
	size, mtime, ctime, inode := fingerprint(data)
	var b []byte
	for _, n := range []int64{size, mtime, ctime, inode} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	sum := crc32.Update(crc32.Checksum(before, castagnoli), castagnoli, b)
	return binary.LittleEndian.AppendUint32(b, sum)
}

// isClean says whether all of it can be relied on with the data as it is.
func (s *saved) isClean(data os.FileInfo) bool {
	return s.trailer != nil && string(s.trailer) == string(trailer(s.before, data))
}

// statesFile is the file of the states, open.
type statesFile struct {
	file *os.File

	mu     sync.Mutex // held while the trailer is cut off, or all of it is written, which is rare
	soiled bool       // there is no trailer
	broken bool       // it could not be written, and is to be written anew
}

// load returns the states, nil if the file does not have those of the torrent, and whether all they say can be relied on
// with the data as it is.
func (f *statesFile) load(g *Geometry, data os.FileInfo) (states []byte, clean bool, err error) {
	b, err := readAll(f.file)
	if err != nil {
		return nil, false, err
	}
	f.soiled = true
	if old, ok := parseStates1(b, g.Pieces); ok {
		if err = f.write(g, old); isFull(err) {
			err = nil
		}
		return old, false, err
	}
	s, ok := parseStates(b)
	if !ok || s.pieceLength != g.PieceLength || s.size != g.Size || len(s.states) != g.Pieces {
		return nil, false, nil
	}
	if s.isClean(data) {
		f.soiled = false
		return s.states, true, nil
	}
	return s.states, false, f.file.Truncate(int64(len(s.before)))
}

// dirty says whether there is no trailer.
func (f *statesFile) dirty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.soiled
}

// soil cuts the trailer off.
func (f *statesFile) soil(g *Geometry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.soiled {
		return nil
	}
	if err := f.file.Truncate(int64(headerSize + g.Pieces)); err != nil {
		return err
	}
	f.soiled = true
	return nil
}

// rewrite makes the file anew, without a trailer.
func (f *statesFile) rewrite(g *Geometry, states []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.soiled = true
	return f.write(g, states)
}

func (f *statesFile) write(g *Geometry, states []byte) error {
	f.broken = true
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	if _, err := f.file.WriteAt(append(header(g), states...), 0); err != nil {
		return err
	}
	f.broken = false
	return nil
}

// isWhole says whether single states may be written.
func (f *statesFile) isWhole() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.broken
}

// save writes the states of some pieces, from first on. The trailer has to be off.
func (f *statesFile) save(first int, states []byte) error {
	_, err := f.file.WriteAt(states, int64(headerSize+first))
	return err
}

// finish writes all the states and a trailer, once the data is on disk.
func (f *statesFile) finish(g *Geometry, states []byte, data os.FileInfo) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := append(header(g), states...)
	if _, err := f.file.WriteAt(append(b, trailer(b, data)...), 0); err != nil {
		return err
	}
	f.soiled = false
	return nil
}
