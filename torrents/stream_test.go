package torrents

import (
	"testing"
	"time"
)

// play reads a file in sequence up to a place, and returns the stream.
func play(l *streams, reader string, to int64) (s *stream) {
	const read = 1 << 20
	for off := int64(0); off < to; off += read {
		s, _ = l.read(off, read, 256<<10, time.Time{})
		s.waits(reader)
	}
	return s
}

// TestStreamOvertaken has a READ come before those that are in front of it.
func TestStreamOvertaken(t *testing.T) {
	var l streams
	s := play(&l, "tv", 32<<20)
	for _, off := range []int64{35 << 20, 33 << 20, 34 << 20, 32 << 20} {
		if got, ended := l.read(off, 1<<20, 256<<10, time.Time{}); got != s || len(ended) > 0 {
			t.Errorf("the read at %d MiB is of another stream, %d end", off>>20, len(ended))
		}
	}
	if s.end != 36<<20 || s.window != maxReadAhead {
		t.Errorf("the stream ends at %d with a window of %d bytes, want 36 MiB and %d", s.end, s.window, maxReadAhead)
	}
	if got, _ := l.read(200<<20, 1<<20, 256<<10, time.Time{}); got == s {
		t.Error("a read far away is of the same stream")
	}
}

// TestStreamOfTwo has two readers of a stream, of whom one hangs up.
func TestStreamOfTwo(t *testing.T) {
	var l streams
	s := play(&l, "tv", 8<<20)
	s.waits("phone")
	if ended := l.of("tv"); len(ended) > 0 {
		t.Error("the stream ends with one of its two readers")
	}
	if ended := l.of("nobody"); len(ended) > 0 {
		t.Error("the stream ends with somebody else")
	}
	if ended := l.of("phone"); len(ended) != 1 || ended[0] != s || len(l.list) > 0 {
		t.Errorf("%d streams end with the last reader, %d are left", len(ended), len(l.list))
	}
}
