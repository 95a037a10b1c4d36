package torrents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"
)

// entry is a torrent of the library. Its cache is opened when somebody reads it, and it joins the
// swarm when a piece is missing; both end when nobody has read it for Options.Idle.
type entry struct {
	lib   *Library
	ih    Infohash
	route uint64

	// ctx ends when the torrent is removed or the library closed.
	ctx    context.Context //nolint:containedctx // the life of the entry, which many calls share
	cancel context.CancelFunc

	done func(error) // extentDone; made once, as each read has one

	// changing is held while the cache is opened or closed and the swarm joined or left. That waits
	// for the local disk and the engine, never for peers.
	changing sync.Mutex

	mu        sync.Mutex // guards what follows; held for moments only
	rec       torrentRecord
	failure   string // why the torrent cannot be used, in words
	readError string // why a read failed last, in words
	lastRead  time.Time
	cached    int // verified pieces while not open; unknownCount until counted
	session   *session
	users     int // reads that use the session
}

const unknownCount = -1

func (l *Library) newEntry(rec torrentRecord) *entry {
	e := &entry{lib: l, ih: rec.Infohash, route: rec.Route, rec: rec, cached: unknownCount}
	e.done = e.extentDone
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
	p, err := openPieces(e.lib.opts.CacheDir, e.ih, meta)
	if err != nil {
		return nil, err
	}
	s := &session{
		meta: meta, pieces: p,
		streams: make(map[int]*stream), held: make(map[int]span),
		patience: patience{after: e.lib.opts.ReadGiveUp},
	}
	s.demand.apply = func(piece int, u urgency) {
		if m := s.joined(); m != nil {
			m.want(piece, u)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.session = s
	e.users++
	e.lastRead = time.Now()
	return s, nil
}

func (e *entry) tryUse() *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session == nil {
		return nil
	}
	e.users++
	e.lastRead = time.Now()
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

// cacheFailed notes that the cache could not be read, and returns the error for that.
func (e *entry) cacheFailed(s *session, err error) error {
	s.damaged.Store(true)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the end of the cache is not that of the file
	}
	return e.readFailed(fmt.Errorf("read the cache: %w", err))
}

// extentDone ends the use of the session by whoever has sent a part of its cache. err is what he met: it
// may be about the cache, or about where he sent it.
func (e *entry) extentDone(err error) {
	defer e.release()
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.EIO) {
		return
	}
	e.mu.Lock()
	s := e.session
	e.mu.Unlock()
	if s != nil {
		_ = e.cacheFailed(s, err) // noted and logged; whoever reads this next is told
	}
}

// shows says whether the torrent is shown in its route under the name.
func (e *entry) shows(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rec.resolved() && e.rec.Name == name
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
	if s == nil || e.users > 0 || e.lastRead.After(before) {
		e.mu.Unlock()
		return nil
	}
	e.session = nil
	e.cached = s.pieces.verified()
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

// sync makes what was fetched so far survive a power cut.
func (e *entry) sync() error {
	e.mu.Lock()
	s := e.session
	e.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.pieces.sync()
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
	m := s.joined()
	switch {
	case e.ctx.Err() != nil:
		return nil, e.ended()
	case m != nil && !m.isBroken():
		return m, nil
	case m != nil:
		// The disk could not be written. Whoever comes now tries again.
		m.leave()
	}
	m, err := e.lib.swarm.join(s.meta, s.pieces, s.demand.nudge)
	if errors.Is(err, errMember) {
		// The magnet that was removed just now is about to leave.
		return nil, err
	}
	if err != nil {
		e.fail(err)
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	e.recovered()
	s.mu.Lock()
	s.member = m
	s.mu.Unlock()
	s.demand.reapply()
	return m, nil
}

// fetch waits until the pieces are verified.
func (e *entry) fetch(ctx context.Context, s *session, m *member, want span) (err error) {
	for piece := want.first; piece <= want.last; piece++ {
		s.demand.add(piece, urgencyNow, 1)
		defer s.demand.add(piece, urgencyNow, -1)
	}
	s.patience.begin(time.Now())
	defer func() { s.patience.end(time.Now(), errors.Is(err, ErrGaveUp)) }()
	check := time.NewTicker(s.patience.interval())
	defer check.Stop()
	for piece := want.first; piece <= want.last; {
		select {
		case <-s.pieces.wait(piece):
			piece++
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-e.ctx.Done():
			return e.ended()
		case <-m.broken:
			return fmt.Errorf("write the cache: %w", m.cause)
		case now := <-check.C:
			if s.patience.over(now, m.lastReceived()) {
				return fmt.Errorf("torrent %s, piece %d: %w", e.ih, piece, ErrGaveUp)
			}
		}
	}
	return nil
}

// load returns what is in the torrent, for the name space.
func (e *entry) load() ([]File, error) {
	meta, err := e.loadMetainfo()
	if err != nil {
		return nil, err
	}
	files := make([]File, len(meta.Files))
	for i, f := range meta.Files {
		files[i] = File{MetaFile: f, entry: e}
	}
	return files, nil
}
