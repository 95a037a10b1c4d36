package inflate

import "testing"

func TestCacheKeepsWhatWasUsedLast(t *testing.T) {
	c := NewCache(3 * chunkLength)
	fill := func(start int64) {
		s := c.newSegment(segmentKey{nil, start})
		s.length = int64(len(s.space())) / 2
		c.keep(s)
		s.release()
	}
	for start := range int64(3) {
		fill(start)
	}
	inUse := c.get(segmentKey{nil, 0})
	fill(3)
	for start, want := range []bool{true, false, true, true} {
		if c.has(segmentKey{nil, int64(start)}) != want {
			t.Errorf("segment %d is kept: %v", start, !want)
		}
	}
	c.forget(nil)
	if used := c.Stats().Used; used != chunkLength || inUse.chunks == nil {
		t.Errorf("with one segment in use %d bytes are taken", used)
	}
	inUse.release()
	if used := c.Stats().Used; used != 0 {
		t.Errorf("with none in use %d bytes are taken", used)
	}
}
