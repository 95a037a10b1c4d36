package inflate

import (
	"context"
	"io"
)

// Hold returns when n bytes from off on, as far as there are so many, can be read without waiting, and keeps them in the cache until
// release is called, once. Of all Readers together no more is held than half of the cache, as those for whom it is may be slow; what is
// over that may have to be decoded again. It waits, and fails, as ReadAt does.
func (r *Reader) Hold(ctx context.Context, off, n int64) (release func(), err error) {
	var held []*segment
	release = func() {
		for _, s := range held {
			r.cache.letGo(s)
		}
	}
	for end := off + n; off < end; {
		var s *segment
		if err = r.await(ctx, off); err == nil {
			s, err = r.segmentAt(ctx, off)
		}
		if err == io.EOF { //nolint:errorlint // a Source may wrap one that is not the end of the data
			break
		}
		if err != nil {
			release()
			return nil, err
		}
		off = s.end()
		if r.cache.hold(s) {
			held = append(held, s)
		}
		s.release()
	}
	return release, nil
}

// hold has one more use a segment, unless too much is held.
func (c *Cache) hold(s *segment) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held+s.memory() > c.limit/2 {
		return false
	}
	c.held += s.memory()
	s.users++
	return true
}

// letGo is the end of what hold began.
func (c *Cache) letGo(s *segment) {
	c.mu.Lock()
	c.held -= s.memory()
	c.mu.Unlock()
	s.release()
}
