package torrents

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"shoal/torrents/cache"
)

// session is a torrent that is being read.
type session struct {
	meta     *Metainfo
	pieces   *cache.Pieces
	patience patience

	// damaged says that the cache could not be read where it should have been.
	damaged atomic.Bool

	// checking hashes what an earlier run has left while the torrent is in the swarm; see checkAll.
	checking sync.WaitGroup
	stop     chan struct{} // ends checking

	mu      sync.Mutex
	member  *member          // nil until a piece had to be fetched
	checks  bool             // checking has begun
	streams map[int]*streams // by place of the file in the metainfo
}

func (s *session) joined() *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member
}

// entered notes the torrent's place in the swarm. With seed, what an earlier run has left is hashed from now on, as peers
// can have only what is known to be right.
func (s *session) entered(m *member, seed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.member = m
	if seed && !s.checks {
		s.checks = true
		s.checking.Go(s.checkAll)
	}
}

// checkShare is the part of the time that checkAll leaves the disk to others.
const checkShare = 4

// checkAll hashes what an earlier run has left, one piece at a time, and rests in between. It ends with the session.
func (s *session) checkAll() {
	for piece := range s.pieces.Len() {
		if s.pieces.State(piece) != cache.Suspect {
			continue
		}
		begin := time.Now()
		if err := s.pieces.Check(context.Background(), cache.Span{First: piece, Last: piece}); err != nil {
			return // whoever reads the piece is told
		}
		select {
		case <-s.stop:
			return
		case <-time.After(checkShare * time.Since(begin)):
		}
	}
}

func (s *session) close() error {
	close(s.stop)
	s.checking.Wait()
	if m := s.joined(); m != nil {
		m.leave()
	}
	return s.pieces.Close()
}

// advance lets the read-ahead follow a read of n bytes at off of a file. It waits for nobody: the engine is told later.
// reader is who waits for the data, and empty if it is there.
func (s *session) advance(f *MetaFile, off, n int64, reader string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.streams[f.Index]
	if !ok {
		l = &streams{}
		s.streams[f.Index] = l
	}
	st, ended := l.read(off, n, s.meta.pieceLength, time.Now())
	for _, other := range ended {
		s.hold(other, cache.Span{First: 0, Last: -1})
	}
	if reader != "" {
		st.waits(reader)
		if st.reads == 1 {
			s.pause(l, st, reader)
		}
	}
	if s.member == nil {
		return
	}
	// No further than the file: whoever reads one file of a folder has not asked for the next.
	s.hold(st, s.meta.span(f, st.end, min(st.window, s.pieces.MaxAhead(), f.Size-st.end)))
}

// pause lets go of what those other streams of a file want ahead that are the reader's alone: he has gone on elsewhere, and waits
// for that. Should he come back, they go on. It needs s.mu.
func (s *session) pause(l *streams, at *stream, reader string) {
	for _, other := range l.list {
		if other != at && len(other.readers) == 1 && other.readers[0] == reader {
			s.hold(other, cache.Span{First: 0, Last: -1})
		}
	}
}

// hold replaces what a stream wants ahead. It needs s.mu.
func (s *session) hold(st *stream, next cache.Span) {
	old := st.held
	st.held = next
	if next.Len() == 0 || old.Len() == 0 || next.First > old.Last || old.First > next.Last {
		s.pieces.Want(next, cache.Ahead, 1, 0)
		s.pieces.Want(old, cache.Ahead, -1, 0)
		return
	}
	part := func(first, last, n int) { s.pieces.Want(cache.Span{First: first, Last: last}, cache.Ahead, n, 0) }
	part(next.First, old.First-1, 1)
	part(old.Last+1, next.Last, 1)
	part(old.First, next.First-1, -1)
	part(next.Last+1, old.Last, -1)
}

// rest ends the streams that nobody has read on since before.
func (s *session) rest(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for index, l := range s.streams {
		for _, st := range l.idle(before) {
			s.hold(st, cache.Span{First: 0, Last: -1})
		}
		if len(l.list) == 0 {
			delete(s.streams, index)
		}
	}
}

// gone ends the streams of a reader of a file, who has hung up.
func (s *session) gone(f *MetaFile, reader string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.streams[f.Index]
	if !ok || reader == "" {
		return
	}
	for _, st := range l.of(reader) {
		s.hold(st, cache.Span{First: 0, Last: -1})
	}
}

// tickets numbers those who wait, in the order in which they came.
var tickets atomic.Uint32

// wait returns when all the pieces are present, and keeps them so until release is called. m is the torrent's place in the swarm.
func (e *entry) wait(ctx context.Context, s *session, m *member, span cache.Span) (release func(), err error) {
	ticket := tickets.Add(1)
	s.pieces.Want(span, cache.Now, 1, ticket)
	defer s.pieces.Want(span, cache.Now, -1, ticket)
	s.patience.begin(time.Now())
	var gaveUp bool
	defer func() { s.patience.end(time.Now(), gaveUp) }()
	check := time.NewTicker(s.patience.interval())
	defer check.Stop()
	for !s.pieces.Hold(span) {
		// What could not be read, or not be evicted, is to be checked again.
		if err := s.pieces.Check(ctx, span); err != nil {
			return nil, err
		}
		piece := s.missing(span)
		select {
		case <-s.pieces.Done(piece):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-e.ctx.Done():
			return nil, e.ended()
		case <-m.paused:
			return nil, fmt.Errorf("torrent %s: %w", e.ih, ErrPaused)
		case <-m.broken:
			return nil, fmt.Errorf("write the cache: %w", m.cause)
		case now := <-check.C:
			if gaveUp = s.patience.over(now, m.lastReceived()); gaveUp {
				return nil, fmt.Errorf("torrent %s, piece %d: %w", e.ih, piece, ErrGaveUp)
			}
		}
	}
	return func() { s.pieces.Release(span) }, nil
}

// missing returns the first piece of a span that is not present.
func (s *session) missing(span cache.Span) int {
	for piece := span.First; piece < span.Last; piece++ {
		if s.pieces.State(piece) != cache.Present {
			return piece
		}
	}
	return span.Last
}
