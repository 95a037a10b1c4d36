package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// readOnce opens a member for one read, as clients do who know no open files.
func readOnce(ctx context.Context, s *Spool, c *codec, off, n int) ([]byte, error) {
	m, err := s.Open("a", int64(len(c.b)), c.open)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	p := make([]byte, n)
	got, err := m.ReadAt(ctx, p, int64(off))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return p[:got], err
}

// TestReopened decodes once what is read in order, or by several at a time, and opened for each read.
func TestReopened(t *testing.T) {
	const piece = 64 << 10
	for name, readers := range map[string]int{"in order": 1, "by several": 8} {
		t.Run(name, func(t *testing.T) {
			c := &codec{b: content(1, 16<<20)}
			s := open(t, Options{})
			var next atomic.Int64
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					for off := next.Add(piece) - piece; off < int64(len(c.b)); off = next.Add(piece) - piece {
						b, err := readOnce(t.Context(), s, c, int(off), piece)
						if err != nil || !bytes.Equal(b, c.b[off:off+piece]) {
							t.Errorf("at %d: %d bytes, %v", off, len(b), err)
						}
					}
				})
			}
			wg.Wait()
			if n, read := c.opened.Load(), c.read.Load(); n != 1 || read != int64(len(c.b)) {
				t.Errorf("opened %d times, %d bytes decoded of %d", n, read, len(c.b))
			}
		})
	}
}

// TestRemembered decodes once what cannot be decoded, though it is opened for each read, until somebody asks for another attempt. What is
// kept of that has a limit.
func TestRemembered(t *testing.T) {
	s := open(t, Options{})
	c := &codec{b: content(8, 1000)}
	c.fail.Store(&errDamaged)
	read := func(want int32) {
		t.Helper()
		for range 3 {
			if _, err := readOnce(t.Context(), s, c, 999, 1); !errors.Is(err, errDamaged) {
				t.Errorf("got %v", err)
			}
		}
		if n := c.opened.Load(); n != want {
			t.Errorf("decoded %d times, want %d", n, want)
		}
	}
	read(1)
	s.Retry("b")
	read(1)
	s.Retry("a")
	read(2)
	for i := range maxRemembered + 10 {
		m, err := s.Open(fmt.Sprint("b/", i), 1000, c.open)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, errDamaged) {
			t.Fatalf("got %v", err)
		}
		m.Close()
	}
	known := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.entries)
	}
	eventually(t, "too many are known", func() bool { return known() <= maxRemembered+1 })
	s.Evict("b", false)
	if n := known(); n != 0 {
		t.Errorf("%d members are known after all were evicted", n)
	}
}

// TestComesAgain has a client give up again and again before what it reads is decoded. Each time there is more, until it is there.
func TestComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &codec{b: content(2, 5<<20), pace: 10 * time.Second}
		s := open(t, Options{})
		attempts := 0
		for {
			attempts++
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
			b, err := readOnce(ctx, s, c, len(c.b)-10, 10)
			cancel()
			if err == nil {
				if !bytes.Equal(b, c.b[len(c.b)-10:]) {
					t.Error("other bytes")
				}
				break
			}
			if !errors.Is(err, context.DeadlineExceeded) || attempts == 10 {
				t.Fatalf("attempt %d: %v", attempts, err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := c.opened.Load(); n != 1 || attempts < 3 || attempts > 5 {
			t.Errorf("opened %d times, for %d attempts", n, attempts)
		}
	})
}

// TestPlayed reads slowly, so that all is there before it is read, for longer than a decoder stays when nobody reads.
func TestPlayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &codec{b: content(3, 8<<20)}
		s := open(t, Options{Ahead: 1 << 20, Idle: time.Minute})
		for off := 0; off < len(c.b); off += 64 << 10 {
			if b, err := readOnce(t.Context(), s, c, off, 64<<10); err != nil || !bytes.Equal(b, c.b[off:off+64<<10]) {
				t.Fatalf("at %d: %v", off, err)
			}
			time.Sleep(20 * time.Second)
		}
		if n := c.opened.Load(); n != 1 {
			t.Errorf("opened %d times", n)
		}
	})
}

// TestStays ends a decoder that rests when nobody has read for a while, and not sooner.
func TestStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &codec{b: content(4, 8<<20)}
		s := open(t, Options{Ahead: 1, Idle: time.Minute})
		for _, off := range []int{1 << 20, 0, 1000} {
			if _, err := readOnce(t.Context(), s, c, off, 10); err != nil {
				t.Fatal(err)
			}
			time.Sleep(59 * time.Second)
			synctest.Wait()
			if c.active.Load() != 1 {
				t.Fatal("it has ended too early")
			}
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if c.active.Load() != 0 {
			t.Error("it is still there")
		}
	})
}
