package torrents

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// The cache on disk, below Options.CacheDir:
//
//	<infohash>.data    the torrent's bytes in its own order, a sparse file
//	<infohash>.pieces  a byte per piece (pieceState), after a header
//
// Each byte of .pieces is right on its own, so it is written in place. pieceWritten goes there as
// soon as a piece is verified; it survives the death of the process but promises nothing after a
// power cut, as the data may not have reached the disk. pieceSynced goes there once fsync says that
// it has. Pieces that are only pieceWritten when the cache is opened are checked again before use.

type pieceState byte

const (
	pieceMissing pieceState = 0
	pieceWritten pieceState = 1
	pieceSynced  pieceState = 2
)

const piecesHeader = "shoalpc1"

// pieces is the cache of one torrent, open. It is safe for concurrent use; reading and writing data
// takes no lock.
type pieces struct {
	length int64 // of a piece, in bytes
	data   *os.File
	states *os.File

	mu      sync.Mutex
	have    []pieceState          // verified in this run, or synced in an earlier one
	suspect map[int]struct{}      // written in an earlier run and not yet checked again
	count   int                   // of those verified
	done    map[int]chan struct{} // closed when the piece is verified
	dirty   []int                 // written since the last sync
}

// openPieces opens or creates the cache of a torrent.
func openPieces(dir string, ih Infohash, m *Metainfo) (*pieces, error) {
	p := &pieces{
		length:  m.pieceLength,
		have:    make([]pieceState, m.pieces),
		suspect: make(map[int]struct{}),
		done:    make(map[int]chan struct{}),
	}
	var err error
	if p.data, err = os.OpenFile(dataPath(dir, ih), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, fmt.Errorf("open the cache: %w", err)
	}
	if p.states, err = os.OpenFile(piecesPath(dir, ih), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("open the cache: %w", err), p.data.Close())
	}
	if err := p.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the cache: %w", err), p.close())
	}
	return p, nil
}

func dataPath(dir string, ih Infohash) string   { return filepath.Join(dir, ih.String()+".data") }
func piecesPath(dir string, ih Infohash) string { return filepath.Join(dir, ih.String()+".pieces") }

// load reads the states. What does not fit the torrent is begun anew: the cache may be deleted at
// any time.
func (p *pieces) load() error {
	saved, err := readPieceStates(p.states, len(p.have))
	if err != nil {
		return err
	}
	if saved == nil {
		fresh := append([]byte(piecesHeader), make([]byte, len(p.have))...)
		if err := p.states.Truncate(0); err != nil {
			return err
		}
		_, err := p.states.WriteAt(fresh, 0)
		return err
	}
	st, err := p.data.Stat()
	if err != nil {
		return err
	}
	for i, state := range saved {
		// A piece that begins past the end of the data was lost with it.
		if state == pieceMissing || int64(i)*p.length >= st.Size() {
			continue
		}
		if state == pieceSynced {
			p.have[i] = pieceSynced
			p.count++
		} else {
			p.suspect[i] = struct{}{}
		}
	}
	return nil
}

// readPieceStates returns the states of n pieces, or nil if r does not hold those.
func readPieceStates(r io.ReaderAt, n int) ([]pieceState, error) {
	b := make([]byte, len(piecesHeader)+n+1)
	got, err := r.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if got != len(b)-1 || string(b[:len(piecesHeader)]) != piecesHeader {
		return nil, nil
	}
	states := make([]pieceState, n)
	for i, s := range b[len(piecesHeader):got] {
		if pieceState(s) <= pieceSynced {
			states[i] = pieceState(s)
		}
	}
	return states, nil
}

// countCached returns how many pieces the cache of a torrent that is not open holds. A cache that
// cannot be read holds none.
func countCached(dir string, ih Infohash, n int) int {
	f, err := os.Open(piecesPath(dir, ih))
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	states, err := readPieceStates(f, n)
	if err != nil {
		return 0
	}
	count := 0
	for _, s := range states {
		if s != pieceMissing {
			count++
		}
	}
	return count
}

// removeCached frees the cache of a torrent that is not open.
func removeCached(dir string, ih Infohash) error {
	return removeDurably(dataPath(dir, ih), piecesPath(dir, ih))
}

// ready says whether the pieces first to last are all verified.
func (p *pieces) ready(first, last int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := first; i <= last; i++ {
		if p.have[i] == pieceMissing {
			return false
		}
	}
	return true
}

// complete says whether every piece is verified.
func (p *pieces) complete() bool { return p.verified() == len(p.have) }

// verified returns how many pieces are.
func (p *pieces) verified() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// wait returns a channel that is closed once the piece is verified.
func (p *pieces) wait(piece int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.have[piece] != pieceMissing {
		return closed
	}
	c, ok := p.done[piece]
	if !ok {
		c = make(chan struct{})
		p.done[piece] = c
	}
	return c
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// state tells whether a piece is verified, and whether that is known at all: not so for one that was
// written in an earlier run, which is to be checked first.
func (p *pieces) state(piece int) (verified, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, suspect := p.suspect[piece]
	return p.have[piece] != pieceMissing, !suspect
}

// setVerified notes that the bytes of a piece, as they were written, have the right hash.
func (p *pieces) setVerified(piece int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.suspect, piece)
	if p.have[piece] != pieceMissing {
		return nil
	}
	if err := p.store(piece, pieceWritten); err != nil {
		return err
	}
	p.have[piece] = pieceWritten
	p.count++
	p.dirty = append(p.dirty, piece)
	if c, ok := p.done[piece]; ok {
		close(c)
		delete(p.done, piece)
	}
	return nil
}

// setMissing notes that a piece has to be fetched.
func (p *pieces) setMissing(piece int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.suspect, piece)
	if p.have[piece] != pieceMissing {
		p.have[piece] = pieceMissing
		p.count--
	}
	return p.store(piece, pieceMissing)
}

func (p *pieces) store(piece int, s pieceState) error {
	_, err := p.states.WriteAt([]byte{byte(s)}, int64(len(piecesHeader)+piece))
	return err
}

// sync makes what was verified so far survive a power cut. It waits for the disk.
func (p *pieces) sync() error {
	p.mu.Lock()
	batch := p.dirty
	p.dirty = nil
	p.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	if err := p.data.Sync(); err != nil {
		return fmt.Errorf("sync the cache: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, piece := range batch {
		if p.have[piece] != pieceWritten {
			continue
		}
		if err := p.store(piece, pieceSynced); err != nil {
			return fmt.Errorf("sync the cache: %w", err)
		}
		p.have[piece] = pieceSynced
	}
	return nil
}

// close waits for reads and writes that are under way. Later ones fail with os.ErrClosed.
func (p *pieces) close() error {
	return errors.Join(p.sync(), p.data.Close(), p.states.Close())
}
