package torrents

import (
	"cmp"
	"slices"
	"time"

	"shoal/torrents/cache"
)

const (
	// A stream reads ahead only after this many reads in sequence, of this many bytes together: scanners, seeks and
	// random reads fetch no more than they touch.
	provenReads = 2
	provenBytes = 256 << 10
	// The read-ahead grows to this, or to four pieces if that is more. Less makes streams slow on
	// long links, more makes seeks slow.
	maxReadAhead = 16 << 20
	// A read belongs to a stream as far behind the end of it. Further behind it is somebody else's, or read again.
	streamMemory = 32 << 20
	// A file has so many streams at a time. What is not yet proven goes first.
	maxStreams = 32
	// streamIdle is how long nobody may read on before the read-ahead is given up.
	streamIdle = 30 * time.Second
)

// streams follows the reads of one file. Reads that touch one another are one stream, whoever sends them and in whatever
// order: an NFS client has up to 16 of 1 MiB under way, and two clients may watch the same film.
type streams struct {
	list []*stream
}

// stream is a part of a file that was read without a gap.
type stream struct {
	readers    []string // who waited for it, the last of them at the end
	start, end int64    // in the file, in bytes
	reads      int
	window     int64      // how far to read ahead, in bytes
	held       cache.Span // pieces that are wanted ahead
	last       time.Time
}

// touches says whether a read is one of the stream's: READs overtake one another, as far as there is a window.
func (s *stream) touches(off, n int64) bool { return off <= s.end+s.window && off+n >= s.start }

// maxStreamReaders is how many readers of a stream are remembered.
const maxStreamReaders = 8

// waits notes who waits for the stream.
func (s *stream) waits(reader string) {
	s.readers = append(slices.DeleteFunc(s.readers, func(r string) bool { return r == reader }), reader)
	s.readers = s.readers[max(0, len(s.readers)-maxStreamReaders):]
}

// leave forgets a reader, and says whether the stream was his and is nobody's now.
func (s *stream) leave(reader string) bool {
	before := len(s.readers)
	s.readers = slices.DeleteFunc(s.readers, func(r string) bool { return r == reader })
	return before > 0 && len(s.readers) == 0
}

// read takes a read of n bytes at off, and returns the stream that it belongs to, and those that are given up for it.
func (l *streams) read(off, n, pieceLength int64, now time.Time) (s *stream, ended []*stream) {
	var touched []*stream
	l.list = slices.DeleteFunc(l.list, func(s *stream) bool {
		if s.touches(off, n) {
			touched = append(touched, s)
			return true
		}
		return false
	})
	if len(touched) == 0 {
		s = &stream{start: off, end: off, held: cache.Span{First: 0, Last: -1}}
	} else {
		s = slices.MaxFunc(touched, func(a, b *stream) int { return cmp.Compare(a.window, b.window) })
	}
	before := s.end
	for _, other := range touched {
		if other != s {
			s.start, s.end = min(s.start, other.start), max(s.end, other.end)
			s.reads += other.reads
			s.readers = append(other.readers, s.readers...)
			ended = append(ended, other)
		}
	}
	s.start, s.end = min(s.start, off), max(s.end, off+n)
	s.start = max(s.start, s.end-streamMemory)
	s.reads++
	s.last = now
	s.grow(s.end-before, pieceLength)
	if len(l.list) >= maxStreams {
		oldest := slices.MinFunc(l.list, func(a, b *stream) int {
			return cmp.Or(cmp.Compare(min(a.window, 1), min(b.window, 1)), a.last.Compare(b.last))
		})
		l.list = slices.DeleteFunc(l.list, func(s *stream) bool { return s == oldest })
		ended = append(ended, oldest)
	}
	l.list = append(l.list, s)
	return s, ended
}

// grow widens the window by twice what was read in sequence.
func (s *stream) grow(n, pieceLength int64) {
	switch {
	case s.reads < provenReads || s.end-s.start < provenBytes:
	case s.window == 0:
		s.window = pieceLength
	default:
		s.window = min(s.window+2*n, max(maxReadAhead, 4*pieceLength))
	}
}

// idle takes away those that nobody has read since before.
func (l *streams) idle(before time.Time) []*stream {
	return l.take(func(s *stream) bool { return s.last.Before(before) })
}

// of takes away those of a reader that nobody else reads.
func (l *streams) of(reader string) []*stream {
	return l.take(func(s *stream) bool { return s.leave(reader) })
}

func (l *streams) take(which func(*stream) bool) (taken []*stream) {
	l.list = slices.DeleteFunc(l.list, func(s *stream) bool {
		if which(s) {
			taken = append(taken, s)
			return true
		}
		return false
	})
	return taken
}
