package torrents

import (
	"sync"
	"sync/atomic"
)

// session is a torrent that is being read.
type session struct {
	meta     *Metainfo
	pieces   *pieces
	demand   demand
	patience patience

	// damaged says that the cache could not be read where it should have been.
	damaged atomic.Bool

	mu      sync.Mutex
	member  *member            // nil until a piece had to be fetched
	streams map[int]*stream    // by place of the file in the metainfo
	held    map[int]span       // what each stream has asked for ahead
	soon    map[*MetaFile]span // what follow will ask for
	closed  bool

	following sync.WaitGroup // the goroutine that works off soon, if any
}

func (s *session) joined() *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member
}

func (s *session) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.following.Wait()
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

// readAheadSoon is readAhead for whoever must not wait for the engine, which may be busy with any torrent:
// it is done beside. Without a place in the swarm it does nothing.
func (s *session) readAheadSoon(f *MetaFile, next span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, held := s.held[f.Index]
	if s.member == nil || s.closed || held && s.soon == nil && old == next {
		return
	}
	if s.soon == nil {
		s.soon = make(map[*MetaFile]span)
		s.following.Go(s.follow)
	}
	s.soon[f] = next
}

// follow asks for what readAheadSoon was told, until there is nothing more.
func (s *session) follow() {
	for {
		s.mu.Lock()
		todo := s.soon
		if len(todo) == 0 {
			s.soon = nil // the next one starts anew
			s.mu.Unlock()
			return
		}
		s.soon = make(map[*MetaFile]span)
		s.mu.Unlock()
		for f, next := range todo {
			s.readAhead(f, next)
		}
	}
}

// piece returns the piece that holds the byte at off of a file.
func (s *session) piece(f *MetaFile, off int64) int { return int((f.Offset + off) / s.pieces.length) }
