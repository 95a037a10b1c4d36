package inflate

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

// counting is a Source that counts reads, and returns less than it was asked for while it is told to.
type counting struct {
	Source

	mu    sync.Mutex
	reads int
	short int // bytes, or 0
	fails error
}

func (c *counting) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if c.fails != nil {
		return 0, c.fails
	}
	if c.short > 0 {
		p = p[:min(len(p), c.short)]
	}
	return c.Source.ReadAt(ctx, p, off)
}

// TestOneReadForASegment has a random read take what it needs of the Source at once, so that nobody takes it for a stream.
func TestOneReadForASegment(t *testing.T) {
	plain := sample(3, 12<<20)
	compressed := deflated(t, plain, 6)
	source := &counting{Source: memory(compressed)}
	open := func(index []byte) (*Reader, *Cache) {
		cache := NewCache(4 << 20)
		return newReader(t, Options{Source: source, Compressed: int64(len(compressed)), Size: int64(len(plain)), Cache: cache, Index: index}), cache
	}
	r, _ := open(nil)
	if got := readAll(t, r, 1<<20); !bytes.Equal(got, plain) {
		t.Fatal("content is wrong")
	}
	index, _ := r.Index()
	r, cache := open(index)
	random := rand.New(rand.NewPCG(1, 1))
	for _, short := range []int{0, 100_000, 1000} {
		source.short = short
		for range 10 {
			source.reads = 0
			off := random.Int64N(int64(len(plain)) - 1)
			var b [1]byte
			if n, err := r.ReadAt(t.Context(), b[:], off); n < 1 || err != nil || b[0] != plain[off] {
				t.Fatalf("at %d: %x, %v, want %x", off, b, err, plain[off])
			}
			if short == 0 && source.reads > 1 {
				t.Errorf("a read at %d takes %d reads of the compressed data, want one at the most", off, source.reads)
			}
		}
	}
	// An error of the Source is handed on, and is not remembered.
	away := errors.New("away")
	source.short, source.fails = 0, away
	cache.charge(DefaultCacheLimit) // all segments go
	cache.charge(-DefaultCacheLimit)
	var b [1]byte
	if _, err := r.ReadAt(t.Context(), b[:], 5<<20); !errors.Is(err, away) {
		t.Errorf("read while the Source fails: %v", err)
	}
	source.fails = nil
	if _, err := r.ReadAt(t.Context(), b[:], 5<<20); err != nil || b[0] != plain[5<<20] {
		t.Errorf("read when the Source is there again: %x, %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if s := cache.Stats(); s.Used != 0 {
		t.Errorf("when all is closed it takes %d bytes", s.Used)
	}
}
