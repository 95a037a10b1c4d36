package torrents

import (
	"context"
	"fmt"
	"sync"
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

	// changing is held while the cache is opened or closed and the swarm joined or left. That takes
	// milliseconds: it waits for the local disk and the client, never for peers.
	changing sync.Mutex

	mu       sync.Mutex // guards what follows; held for moments only
	rec      torrentRecord
	failure  string // why the torrent cannot be used, in words
	lastRead time.Time
	cached   int // verified pieces while not open; unknownCount until counted
	session  *session
	users    int // reads that use the session
}

const unknownCount = -1

func (l *Library) newEntry(rec torrentRecord) *entry {
	e := &entry{lib: l, ih: rec.Infohash, route: rec.Route, rec: rec, cached: unknownCount}
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

// session is a torrent that is being read.
type session struct {
	meta   *Metainfo
	pieces *pieces
	demand demand

	mu      sync.Mutex
	member  *member         // nil until a piece had to be fetched
	streams map[int]*stream // by place of the file in the metainfo
	held    map[int]span    // what each stream has asked for ahead
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
	e.mu.Lock()
	e.failure = ""
	e.mu.Unlock()
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
	if err != nil {
		e.fail(err)
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	s.mu.Lock()
	s.member = m
	s.mu.Unlock()
	s.demand.reapply()
	return m, nil
}

// fetch waits until the pieces are verified.
func (e *entry) fetch(ctx context.Context, s *session, want span) error {
	m, err := e.join(s)
	if err != nil {
		return err
	}
	for piece := want.first; piece <= want.last; piece++ {
		s.demand.add(piece, urgencyNow, 1)
		defer s.demand.add(piece, urgencyNow, -1)
	}
	despair := newDespair(m, e.lib.opts.ReadGiveUp)
	defer despair.stop()
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
		case now := <-despair.check:
			if despair.at(now) {
				return fmt.Errorf("torrent %s, piece %d: %w", e.ih, piece, ErrGaveUp)
			}
		}
	}
	return nil
}

// despair tells when a torrent has received nothing for so long that waiting is of no use.
type despair struct {
	m        *member
	after    time.Duration // 0 is never
	ticker   *time.Ticker
	check    <-chan time.Time
	received int64
	since    time.Time
}

func newDespair(m *member, after time.Duration) *despair {
	d := &despair{m: m, after: after, received: m.received(), since: time.Now()}
	if after > 0 {
		d.ticker = time.NewTicker(max(after/10, time.Millisecond))
		d.check = d.ticker.C
	}
	return d
}

func (d *despair) at(now time.Time) bool {
	if r := d.m.received(); r != d.received {
		d.received, d.since = r, now
	}
	return now.Sub(d.since) >= d.after
}

func (d *despair) stop() {
	if d.ticker != nil {
		d.ticker.Stop()
	}
}

func (m *member) isBroken() bool { return isClosed(m.broken) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *session) joined() *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member
}

func (s *session) close() error {
	if m := s.joined(); m != nil {
		m.leave()
	}
	return s.pieces.close()
}

// advance takes a read of n bytes at off of a file, and says which pieces to fetch ahead of the
// next one.
func (s *session) advance(f *MetaFile, off, n int64) span {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.streams[f.Index]
	if !ok {
		st = &stream{}
		s.streams[f.Index] = st
	}
	ahead := st.advance(off, n, s.pieces.length)
	// No further than the file: whoever reads one file of a folder has not asked for the next.
	end := min(st.end+ahead, f.Size)
	if end <= st.end {
		return span{0, -1}
	}
	return span{s.piece(f, st.end), s.piece(f, end-1)}
}

// readAhead replaces what the stream of a file wants ahead.
func (s *session) readAhead(f *MetaFile, next span) {
	s.mu.Lock()
	old, ok := s.held[f.Index]
	if !ok {
		old = span{0, -1}
	}
	s.held[f.Index] = next
	s.mu.Unlock()
	for piece := next.first; piece <= next.last; piece++ {
		if !old.contains(piece) {
			s.demand.add(piece, urgencyAhead, 1)
		}
	}
	for piece := old.first; piece <= old.last; piece++ {
		if !next.contains(piece) {
			s.demand.add(piece, urgencyAhead, -1)
		}
	}
}

// piece returns the piece that holds the byte at off of a file.
func (s *session) piece(f *MetaFile, off int64) int { return int((f.Offset + off) / s.pieces.length) }

// State is what a torrent is doing.
type State string

// The states of a torrent.
const (
	StateMetadata State = "metadata" // a magnet link whose metadata is not known yet
	StateIdle     State = "idle"     // nobody reads it, so it is not in the swarm
	StateActive   State = "active"   // in the swarm
	StateComplete State = "complete" // all of it is in the cache
	StateFailed   State = "failed"   // it cannot be used; see Torrent.Reason
)

// Activity is what a torrent does in the swarm.
type Activity struct {
	Peers, Seeds     int   // connected
	DownRate, UpRate int64 // bytes per second
}

// Torrent describes a torrent of the library.
type Torrent struct {
	Infohash Infohash
	Name     string
	Route    string
	State    State
	Reason   string // why it failed, or what it waits for
	Size     int64  // in bytes; 0 while unknown
	Cached   int64  // bytes in the cache, counted in whole pieces
	Files    int
	Added    time.Time
	LastRead time.Time // zero if not since the start
	Activity
}

func (e *entry) describe(route string) Torrent {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := Torrent{
		Infohash: e.ih, Name: e.rec.Name, Route: route, Reason: e.failure,
		Size: e.rec.Size, Files: e.rec.Files, Added: e.rec.Added, LastRead: e.lastRead,
	}
	cached := e.cachedPieces()
	if cached == e.rec.Pieces {
		t.Cached = e.rec.Size
	} else {
		t.Cached = min(int64(cached)*e.rec.PieceLength, e.rec.Size)
	}
	var m *member
	if e.session != nil {
		m = e.session.joined()
	}
	if m != nil {
		t.Activity = m.activity()
	}
	switch {
	case e.failure != "":
		t.State = StateFailed
	case !e.rec.resolved():
		t.State, t.Reason = StateMetadata, "looking for the metadata in the swarm"
	case cached == e.rec.Pieces:
		t.State = StateComplete
	case m != nil:
		t.State = StateActive
	default:
		t.State = StateIdle
	}
	return t
}

// cachedPieces needs e.mu. Once after the start it reads the torrent's small .pieces file.
func (e *entry) cachedPieces() int {
	switch {
	case e.session != nil:
		return e.session.pieces.verified()
	case !e.rec.resolved():
		return 0
	case e.cached == unknownCount:
		e.cached = countCached(e.lib.opts.CacheDir, e.ih, e.rec.Pieces)
	}
	return e.cached
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
