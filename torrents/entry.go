package torrents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"shoal/torrents/cache"
)

// entry is a torrent of the library. Its cache is opened when somebody reads it, and it joins the
// swarm when a piece is missing; both end when nobody has read it for Options.Idle.
type entry struct {
	lib *Library
	ih  Infohash

	route  uint64 // guarded by Library.mu
	hidden bool   // it failed when the library was opened, and is not shown; guarded by Library.changing

	search *search // the last one for the metadata, nil if there was none; guarded by Library.changing

	// ctx ends when the torrent is removed or the library closed.
	ctx    context.Context //nolint:containedctx // the life of the entry, which many calls share
	cancel context.CancelFunc

	tally *cache.Tally // of the pieces that are in the cache

	// changing is held while the cache is opened or closed and the swarm joined or left. That waits
	// for the local disk and the engine, never for peers.
	changing sync.Mutex

	mu          sync.Mutex // guards what follows; held for moments only
	rec         torrentRecord
	ids         idsFile   // changed with Library.changing held as well
	failure     string    // why the torrent cannot be used, in words
	readError   string    // why a read failed last, in words
	lastRead    time.Time // by a client
	lastUse     time.Time // by anybody
	session     *session
	prefetching map[string]struct{} // paths that are being fetched ahead
	users       int                 // who use the session
}

func (l *Library) newEntry(rec torrentRecord) *entry {
	e := &entry{lib: l, ih: rec.Infohash, route: rec.Route, rec: rec, tally: l.cache.Tally(rec.Infohash.key())}
	e.ctx, e.cancel = context.WithCancel(l.ctx)
	return e
}

// ended says why e.ctx has.
func (e *entry) ended() error {
	if isClosed(e.lib.closing) {
		return ErrClosed
	}
	return fmt.Errorf("torrent %s: %w", e.ih, ErrNotFound)
}

// read is use for a client that reads, which is shown.
func (e *entry) read() (*session, error) {
	s, err := e.use()
	if err == nil {
		e.noteRead()
	}
	return s, err
}

// tryRead is read of a session that is open; nil if it is not.
func (e *entry) tryRead() *session {
	s := e.tryUse()
	if s != nil {
		e.noteRead()
	}
	return s
}

func (e *entry) noteRead() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastRead = e.lastUse
}

// use returns the session, opening it if need be. Each use is followed by a release.
func (e *entry) use() (*session, error) {
	if s := e.tryUse(); s != nil {
		return s, nil
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	if s := e.tryUse(); s != nil {
		return s, nil
	}
	if e.ctx.Err() != nil {
		return nil, e.ended()
	}
	meta, err := e.loadMetainfo()
	if err != nil {
		return nil, err
	}
	p, err := e.lib.cache.Open(e.ih.key(), meta.geometry(), newPieceHashes(meta).verify)
	if err != nil {
		return nil, err
	}
	s := &session{
		meta: meta, pieces: p,
		streams:  make(map[int]*streams),
		stop:     make(chan struct{}),
		patience: patience{after: e.lib.opts.ReadGiveUp},
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session = s
	e.users++
	e.lastUse = time.Now()
	return s, nil
}

func (e *entry) tryUse() *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session == nil {
		return nil
	}
	e.users++
	e.lastUse = time.Now()
	return e.session
}

// opened returns the session without using it; nil if there is none.
func (e *entry) opened() *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.session
}

func (e *entry) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users--
}

// fail notes and logs why the torrent cannot be used.
func (e *entry) fail(err error) {
	e.mu.Lock()
	news := e.failure != err.Error()
	e.failure = err.Error()
	e.mu.Unlock()
	if news {
		e.lib.log.Error("torrent failed", "torrent", e.ih, "err", err)
	}
}

// recovered takes back what fail noted.
func (e *entry) recovered() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failure = ""
}

// readFailed logs why a read failed, unless whoever wanted it went away, once for the same reason, and
// returns err.
func (e *entry) readFailed(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, ErrNotFound) || errors.Is(err, ErrClosed) {
		return err
	}
	e.mu.Lock()
	news := e.readError != err.Error()
	e.readError = err.Error()
	e.mu.Unlock()
	if news {
		e.lib.log.Warn("a read failed", "torrent", e.ih, "err", err)
	}
	return err
}

// readWorks takes back what readFailed noted.
func (e *entry) readWorks() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readError = ""
}

// cacheFailed notes that the cache could not be read, and returns the error for that. When it was closed under the read, because the
// torrent was removed or the library closed, nothing is wrong with it.
func (e *entry) cacheFailed(s *session, err error) error {
	if e.ctx.Err() != nil {
		return e.ended()
	}
	s.damaged.Store(true)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the end of the cache is not that of the file
	}
	return e.readFailed(fmt.Errorf("read the cache: %w", err))
}

// extentDone ends the use of the session by whoever has sent a part of its cache. err is what he met: it
// may be about the cache, or about where he sent it.
func (e *entry) extentDone(span cache.Span, err error) {
	defer e.release()
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.EIO) {
		return
	}
	if s := e.opened(); s != nil {
		s.pieces.Distrust(span)
		_ = e.cacheFailed(s, err) // noted and logged; whoever reads this next is told
	}
}

// loadMetainfo reads the torrent's metainfo from the disk, and notes whether that can be done. The
// error is ErrFailed.
func (e *entry) loadMetainfo() (*Metainfo, error) {
	e.mu.Lock()
	rec := e.rec
	e.mu.Unlock()
	meta, err := e.lib.loadMetainfo(&rec)
	if err != nil {
		e.fail(err)
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	e.recovered()
	return meta, nil
}

// rest closes the session if nobody has used it since before.
func (e *entry) rest(before time.Time) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	e.mu.Lock()
	s := e.session
	if s == nil || e.users > 0 || e.lastUse.After(before) {
		e.mu.Unlock()
		if s != nil {
			s.rest(time.Now().Add(-streamIdle))
		}
		return nil
	}
	e.session = nil
	e.mu.Unlock()
	return s.close()
}

// end ends the session, whoever uses it, for good.
func (e *entry) end() error {
	e.cancel()
	e.changing.Lock()
	defer e.changing.Unlock()
	e.mu.Lock()
	s := e.session
	e.session = nil
	e.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.close()
}

// joinPause is how long to wait for a place in the swarm that is being given up.
const joinPause = 100 * time.Millisecond

// joinSoon is join, and waits for the place if what had the same infohash before is about to leave it.
func (e *entry) joinSoon(ctx context.Context, s *session) (*member, error) {
	for {
		m, err := e.join(s) //nolint:contextcheck // what goes on beside ends when the torrent leaves the swarm
		if !errors.Is(err, errMember) {
			return m, err
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-e.ctx.Done():
			return nil, e.ended()
		}
	}
}

// join returns the torrent's place in the swarm, taking it if need be.
func (e *entry) join(s *session) (*member, error) {
	if m := s.joined(); m != nil && !m.isBroken() {
		return m, nil
	}
	e.changing.Lock()
	defer e.changing.Unlock()
	m, rec := s.joined(), e.record()
	switch {
	case e.ctx.Err() != nil:
		return nil, e.ended()
	case rec.Paused:
		return nil, fmt.Errorf("torrent %s: %w", e.ih, ErrPaused)
	case m != nil && !m.isBroken():
		return m, nil
	case m != nil:
		// The disk could not be written. Whoever comes now tries again.
		m.leave()
	}
	m, err := e.lib.swarm.join(s.meta, rec.sources, s.pieces)
	if errors.Is(err, errMember) {
		// The magnet that was removed just now is about to leave.
		return nil, err
	}
	if err != nil {
		e.fail(err)
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	e.recovered()
	s.entered(m, e.lib.swarm.opts.Seed)
	return m, nil
}

// fits says whether the cache may become large enough for reading the torrent, with ErrCacheTooSmall if not.
func (e *entry) fits(m *Metainfo) error {
	g := m.geometry()
	return e.lib.checkFits(&g, e.tally)
}

// checkFits is entry.fits for a torrent with these pieces, of which t, if not nil, counts those that are there.
func (l *Library) checkFits(g *cache.Geometry, t *cache.Tally) error {
	least, limit := l.cache.Least(g, maxHold, t), l.cache.Limit()
	if least <= limit {
		return nil
	}
	return fmt.Errorf("%w: pieces of %s need a cache of at least %s, and its limit is %s",
		ErrCacheTooSmall, sizeText(g.PieceLength), sizeText(least), sizeText(limit))
}

// cachedBytes returns how many of the n bytes at off of the torrent are in the cache.
func (e *entry) cachedBytes(off, n int64) int64 {
	e.mu.Lock()
	g := e.rec.geometry()
	e.mu.Unlock()
	switch have, known := e.tally.Pieces(); {
	case known && have == 0:
		return 0
	case known && have == g.Pieces:
		return n
	}
	_, bytes := e.lib.cache.Have(e.ih.key(), &g, off, off+n)
	return bytes
}

// load returns what is in the torrent, for the name space.
func (e *entry) load() ([]File, error) {
	meta, err := e.lib.browsed.metainfo(e)
	if err != nil {
		return nil, err
	}
	files := make([]File, len(meta.Files))
	for i, f := range meta.Files {
		files[i] = File{MetaFile: f, entry: e}
	}
	return files, nil
}
