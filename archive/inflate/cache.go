package inflate

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// DefaultCacheLimit is a good limit of a Cache, in bytes.
const DefaultCacheLimit = 64 << 20

// Cache keeps decoded segments of all Readers, those used last, within a limit. What is being decoded or copied, and the windows of
// checkpoints, count as well; there must be room for them, so where they are more than the limit, no segments are kept.
type Cache struct {
	limit    int64
	inflated atomic.Int64

	mu       sync.Mutex
	used     int64 // bytes
	held     int64 // bytes of segments that are held, each as often as it is
	segments map[segmentKey]*list.Element
	order    list.List // of *segment, the one used last in front
	free     []*chunk  // of segments that nobody uses any more, until unlock
}

// segmentKey names a segment.
type segmentKey struct {
	reader *Reader
	start  int64
}

// NewCache returns a Cache of as many bytes.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, segments: make(map[segmentKey]*list.Element)}
}

// CacheStats is what a Cache can tell about itself.
type CacheStats struct {
	Used     int64 // bytes of memory that segments, decodes and checkpoints take
	Segments int   // segments that are kept
	Inflated int64 // bytes that were decoded, by all Readers, for whatever purpose
}

// Stats returns what there is now.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{Used: c.used, Segments: len(c.segments), Inflated: c.inflated.Load()}
}

// charge notes that n more bytes are taken, or fewer, and makes room.
func (c *Cache) charge(n int64) {
	c.mu.Lock()
	defer c.unlock()
	c.used += n
	c.shrink()
}

// unlock unlocks mu, and then gives free chunks back, as the system may take its time for each.
func (c *Cache) unlock() {
	free := c.free
	c.free = nil
	c.mu.Unlock()
	for _, unused := range free {
		chunks.put(unused)
	}
}

// shrink makes room. What somebody uses stays, as it would take its memory all the same. It needs c.mu, and then unlock.
func (c *Cache) shrink() {
	for e := c.order.Back(); c.used > c.limit && e != nil; {
		before := e.Prev()
		if e.Value.(*segment).users == 1 {
			c.evict(e)
		}
		e = before
	}
}

// isFull says whether more than the limit is taken.
func (c *Cache) isFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used > c.limit
}

// evict needs c.mu, and then unlock.
func (c *Cache) evict(e *list.Element) {
	s := c.order.Remove(e).(*segment)
	delete(c.segments, s.key)
	c.leave(s)
}

// leave needs c.mu, and then unlock.
func (c *Cache) leave(s *segment) {
	if s.users--; s.users > 0 {
		return
	}
	c.used -= s.memory()
	c.free = append(c.free, s.chunks...)
	s.chunks = nil
}

// newSegment returns an empty one, which the caller uses.
func (c *Cache) newSegment(key segmentKey) *segment {
	return &segment{cache: c, key: key, users: 1}
}

// get returns a segment if it is there. The caller uses it until it releases it.
func (c *Cache) get(key segmentKey) *segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.segments[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	s := e.Value.(*segment)
	s.users++
	return s
}

// has says whether a segment is there, and keeps its place in the order.
func (c *Cache) has(key segmentKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.segments[key] != nil
}

// keep puts a segment that is complete into the cache. The caller goes on using it.
func (c *Cache) keep(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.segments[s.key] == nil && c.used <= c.limit {
		s.users++
		c.segments[s.key] = c.order.PushFront(s)
	}
}

// share has n more use a segment, each of whom releases it.
func (c *Cache) share(s *segment, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.users += n
}

// forget drops the segments of a Reader.
func (c *Cache) forget(r *Reader) {
	c.mu.Lock()
	defer c.unlock()
	for key, e := range c.segments {
		if key.reader == r {
			c.evict(e)
		}
	}
}

// segment is a part of the uncompressed data. Who uses it may read it; only who made it fills it, before it is kept.
type segment struct {
	cache  *Cache
	key    segmentKey
	users  int // and the cache, if it keeps it; guarded by cache.mu
	chunks []*chunk
	length int64 // bytes
}

// memory returns how many bytes it takes.
func (s *segment) memory() int64 { return int64(len(s.chunks)) * chunkLength }

func (s *segment) end() int64 { return s.key.start + s.length }

func (s *segment) release() {
	s.cache.mu.Lock()
	defer s.cache.unlock()
	s.cache.leave(s)
	s.cache.shrink()
}

// space returns where the next bytes go, which is never nothing.
func (s *segment) space() []byte {
	if s.length == s.memory() {
		s.cache.charge(chunkLength)
		s.chunks = append(s.chunks, chunks.get())
	}
	return s.chunks[len(s.chunks)-1][s.length%chunkLength:]
}

// copyTo copies from an offset of the uncompressed data within the segment and returns how many bytes that were.
func (s *segment) copyTo(p []byte, off int64) (n int) {
	off -= s.key.start
	for n < len(p) && off < s.length {
		m := copy(p[n:], s.chunks[off/chunkLength][off%chunkLength:min(chunkLength, s.length-off/chunkLength*chunkLength)])
		n, off = n+m, off+int64(m)
	}
	return n
}

// cut ends the segment at an offset of the uncompressed data and returns one with the rest.
func (s *segment) cut(end int64) *segment {
	rest := s.cache.newSegment(segmentKey{s.key.reader, end})
	for off := end; off < s.end(); {
		n := s.copyTo(rest.space()[:min(int64(len(rest.space())), s.end()-off)], off)
		rest.length += int64(n)
		off += int64(n)
	}
	s.length = end - s.key.start
	s.trim()
	return rest
}

// trim gives back chunks that nothing is in.
func (s *segment) trim() {
	whole := int((s.length + chunkLength - 1) / chunkLength)
	if whole == len(s.chunks) {
		return
	}
	s.cache.charge(-int64(len(s.chunks)-whole) * chunkLength)
	for _, c := range s.chunks[whole:] {
		chunks.put(c)
	}
	s.chunks = s.chunks[:whole]
}
