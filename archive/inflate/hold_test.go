package inflate

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// TestHold reads what was held without waiting, though much else was decoded since, and finds that the memory is given back.
func TestHold(t *testing.T) {
	plain := sample(5, 16<<20)
	compressed := deflated(t, plain, 6)
	cache := NewCache(6 << 20)
	r := newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: int64(len(plain)), Cache: cache})
	const off, n = 3<<20 - 1000, 1 << 20
	release, err := r.Hold(t.Context(), off, n)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, r, 1<<20); !bytes.Equal(got, plain) {
		t.Fatal("content is wrong")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	b := make([]byte, n)
	if got, err := r.ReadAt(ended, b, off); got < n || err != nil || !bytes.Equal(b, plain[off:][:n]) {
		t.Errorf("what is held: %d bytes, or others; %v", got, err)
	}
	if s := cache.Stats(); s.Used > 6<<20 {
		t.Errorf("with what is held it takes %d bytes", s.Used)
	}
	release()
	readAll(t, r, 1<<20)
	if got, err := r.ReadAt(ended, b, off); !errors.Is(err, context.Canceled) {
		t.Errorf("what is no longer held: %d bytes, %v", got, err)
	}

	// More than half of the cache is not held.
	for at := int64(0); at < int64(len(plain)); at += n {
		release, err := r.Hold(t.Context(), at, n)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	if cache.held > 3<<20 || cache.held == 0 {
		t.Errorf("%d bytes are held, of a cache of 6 MiB", cache.held)
	}
	if release, err := r.Hold(t.Context(), int64(len(plain))-1, n); err != nil {
		t.Errorf("hold behind the end: %v", err)
	} else {
		release()
	}
	if _, err := r.Hold(ended, 0, n); !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("hold when nobody waits: %v", err)
	}
}
