package inflate

import (
	"runtime"
	"testing"
	"time"
)

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

// TestMemoryUnlocked does not have others wait for the cache while memory is given back.
func TestMemoryUnlocked(t *testing.T) {
	for what, free := range map[string]func(c *Cache, s *segment){
		"released":  func(_ *Cache, s *segment) { s.release() },
		"evicted":   func(c *Cache, s *segment) { c.keep(s); s.release(); c.charge(1 << 40) },
		"forgotten": func(c *Cache, s *segment) { c.keep(s); s.release(); c.forget(nil) },
	} {
		c := NewCache(3 * chunkLength)
		s := c.newSegment(segmentKey{nil, 0})
		s.length = int64(len(s.space()))
		chunks.mu.Lock() // as if memory was being given back, slowly
		freed := make(chan struct{})
		go func() {
			defer close(freed)
			free(c, s)
		}()
		took := make(chan struct{})
		go func() {
			defer close(took)
			for c.Stats().Used == chunkLength {
				time.Sleep(time.Millisecond)
			}
		}()
		select {
		case <-took:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the cache is locked meanwhile", what)
		}
		select {
		case <-freed:
			t.Errorf("%s: no memory is given back", what)
		default:
		}
		chunks.mu.Unlock()
		<-freed
		<-took
	}
}

// TestChunks has more memory free than is kept warm: it is found again, and holds what is written to it.
func TestChunks(t *testing.T) {
	var f freeChunks
	var used []*chunk
	for i := range 3 * maxWarm {
		c := f.get()
		c[0], c[chunkLength-1] = byte(i), byte(i)
		used = append(used, c)
	}
	for i, c := range used {
		if c[0] != byte(i) || c[chunkLength-1] != byte(i) {
			t.Fatalf("chunk %d is shared", i)
		}
		f.put(c)
	}
	if len(f.warm) != maxWarm || len(f.cold) != 2*maxWarm {
		t.Errorf("%d chunks are warm, and %d cold", len(f.warm), len(f.cold))
	}
	for _, c := range f.cold {
		if runtime.GOOS == "linux" && c[0]|c[chunkLength-1] != 0 {
			t.Fatal("what is cold takes memory still")
		}
	}
	seen := make(map[*chunk]bool)
	for range 3 * maxWarm {
		seen[f.get()] = true
	}
	if len(seen) != 3*maxWarm || len(f.warm)+len(f.cold) != 0 {
		t.Errorf("%d chunks came again, %d are left", len(seen), len(f.warm)+len(f.cold))
	}
}
