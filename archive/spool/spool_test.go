package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// content is what a member decodes to.
func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// codec stands for a decoder of b, whose source can be stopped and can fail.
type codec struct {
	b      []byte
	gate   chan int      // if not nil, how many bytes may go on
	pace   time.Duration // how long each read takes
	fail   atomic.Pointer[error]
	opened atomic.Int32  // times
	active atomic.Int32  // open now
	read   atomic.Int64  // bytes
	most   *atomic.Int32 // of active, shared by several
	all    *atomic.Int32
}

func (c *codec) open(ctx context.Context) (io.ReadCloser, error) {
	c.opened.Add(1)
	c.active.Add(1)
	if c.all != nil {
		if n := c.all.Add(1); n > c.most.Load() {
			c.most.Store(n)
		}
	}
	return &decoder{c: c, ctx: ctx, r: bytes.NewReader(c.b)}, nil
}

type decoder struct {
	c   *codec
	ctx context.Context
	r   *bytes.Reader
	may int
}

func (d *decoder) Read(p []byte) (int, error) {
	if err := d.c.fail.Load(); err != nil {
		return 0, *err
	}
	if d.c.gate != nil {
		if d.may == 0 {
			select {
			case d.may = <-d.c.gate:
			case <-d.ctx.Done():
				return 0, d.ctx.Err()
			}
		}
		p = p[:min(len(p), d.may)]
	}
	if d.c.pace > 0 {
		select {
		case <-time.After(d.c.pace):
		case <-d.ctx.Done():
			return 0, d.ctx.Err()
		}
	}
	n, err := d.r.Read(p)
	d.may = max(0, d.may-n)
	d.c.read.Add(int64(n))
	return n, err
}

func (d *decoder) Close() error {
	d.c.active.Add(-1)
	if d.c.all != nil {
		d.c.all.Add(-1)
	}
	return nil
}

var errDamaged = errors.New("damaged")

func open(t testing.TB, o Options) *Spool {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Limit == nil {
		o.Limit = func() int64 { return 1 << 30 }
	}
	o.Permanent = func(err error) bool { return errors.Is(err, errDamaged) }
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func member(t testing.TB, s *Spool, key string, size int, c *codec) *Member {
	t.Helper()
	m, err := s.Open(key, int64(size), c.open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func check(t testing.TB, m *Member, b []byte, off, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := make([]byte, n)
	got, err := m.ReadAt(ctx, p, int64(off))
	want := b[off:min(len(b), off+n)]
	if (err != nil && !errors.Is(err, io.EOF)) || errors.Is(err, io.EOF) != (off+n > len(b) || off == len(b)) || !bytes.Equal(p[:got], want) {
		t.Errorf("reading %d at %d: %d, %v", n, off, got, err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// awaitRest waits until a member is not being decoded any more, and may be evicted: its decoder is closed before that.
func awaitRest(t testing.TB, m *Member) {
	t.Helper()
	eventually(t, "the decoder goes on", func() bool {
		m.e.s.mu.Lock()
		defer m.e.s.mu.Unlock()
		return m.e.decoding == nil
	})
}

// receive takes from a channel what should come at once. It belongs on the test's own goroutine, as send does.
func receive[T any](t testing.TB, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		t.Fatal("nothing comes")
	}
	return v
}

// send hands over what should be taken at once.
func send[T any](t testing.TB, to chan<- T, v T) {
	t.Helper()
	select {
	case to <- v:
	case <-time.After(patience):
		t.Fatal("nobody takes it")
	}
}

func files(t testing.TB, dir string) (done, part int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case doneSuffix:
			done++
		case partSuffix:
			part++
		}
	}
	return done, part
}

// TestConcurrent has many goroutines read members larger than all the room in any order, with fewer decoders than members.
func TestConcurrent(t *testing.T) {
	const size, members = 600_000, 6
	var all, most atomic.Int32
	s := open(t, Options{Workers: 2, Limit: func() int64 { return 4 * fileSize(size) }, Ahead: 100_000})
	var wg sync.WaitGroup
	for i := range members {
		b := content(uint64(i), size)
		m := member(t, s, fmt.Sprint(i), size, &codec{b: b, all: &all, most: &most})
		for k := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), uint64(k)))
				for range 15 {
					p := make([]byte, 1+r.IntN(70_000))
					off := r.Int64N(size)
					n, err := m.ReadAt(t.Context(), p, off)
					switch {
					case errors.Is(err, ErrNoRoom): // all the others are being read
					case err != nil && !errors.Is(err, io.EOF) || n == 0 || !bytes.Equal(p[:n], b[off:][:n]):
						t.Errorf("member %d: reading %d at %d: %d, %v", i, len(p), off, n, err)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := most.Load(); n > 2 || n == 0 {
		t.Errorf("%d decoders at a time, want 2", n)
	}
	if n := s.Used(); n > 4*fileSize(size) {
		t.Errorf("%d bytes are in use", n)
	}
}

// TestOnce checks that a member is decoded no further than wanted, and once.
func TestOnce(t *testing.T) {
	b := content(1, 3<<20)
	c := &codec{b: b}
	s := open(t, Options{Ahead: 1 << 20})
	m := member(t, s, "a", len(b), c)
	if m.Ready(0, 1) || !m.Ready(int64(len(b)), 1) {
		t.Error("ready before it was read")
	}
	check(t, m, b, 100, 1000)
	eventually(t, "it is not decoded ahead", func() bool { return m.Ready(0, 1<<20) })
	time.Sleep(20 * time.Millisecond)
	if n := c.read.Load(); n > 1100+1<<20+chunk {
		t.Errorf("%d bytes decoded", n)
	}
	check(t, m, b, len(b)-10, 10)
	check(t, m, b, len(b)-10, 100)
	check(t, m, b, 0, len(b))
	if n := c.opened.Load(); n != 1 || c.read.Load() != int64(len(b)) {
		t.Errorf("opened %d times, %d bytes", n, c.read.Load())
	}
	if !m.Ready(0, int64(len(b))) || m.Ready(-1, 1) {
		t.Error("not ready after it was read")
	}
	if _, err := m.ReadAt(t.Context(), make([]byte, 1), -1); err == nil {
		t.Error("reading before the start")
	}
	if n, err := m.ReadAt(t.Context(), make([]byte, 1), int64(len(b))); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("reading at the end: %d, %v", n, err)
	}
}

// TestStalled shows what is decoded while the source has no more, and lets a read go whose context ends.
func TestStalled(t *testing.T) {
	b := content(2, 1<<20)
	c := &codec{b: b, gate: make(chan int, 1)}
	s := open(t, Options{})
	m := member(t, s, "a", len(b), c)
	c.gate <- 1000
	check(t, m, b, 0, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := m.ReadAt(ctx, make([]byte, 10), 5000)
		failed <- err
	}()
	eventually(t, "the source isn't asked", func() bool { return c.active.Load() == 1 })
	cancel()
	if err := receive(t, failed); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled read: %v", err)
	}
	check(t, m, b, 0, 1000)
	m.Close()
	if n := s.Evict("a", false); n == 0 {
		t.Error("nothing is evicted of what nobody has open")
	}
	eventually(t, "evicting it doesn't end the decoder", func() bool { return c.active.Load() == 0 })
	if _, err := m.ReadAt(t.Context(), make([]byte, 10), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("reading after closing: %v", err)
	}
}

// TestIdle ends a decoder that nobody needs, and goes on where it was.
func TestIdle(t *testing.T) {
	b := content(3, 2<<20)
	c := &codec{b: b}
	s := open(t, Options{Idle: 10 * time.Millisecond, Ahead: 1})
	m := member(t, s, "a", len(b), c)
	check(t, m, b, 0, 500_000)
	eventually(t, "the decoder stays", func() bool { return c.active.Load() == 0 })
	if !m.Ready(0, 500_000) {
		t.Error("what was decoded is lost")
	}
	check(t, m, b, 400_000, 500_000)
	if n := c.opened.Load(); n != 2 {
		t.Errorf("opened %d times", n)
	}
	check(t, m, b, 0, len(b))
}

// TestLeft decodes on for a reader that gave up and may come again, and no longer than that, though the source hangs.
func TestLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := content(3, 2<<20)
		c := &codec{b: b, gate: make(chan int)}
		s := open(t, Options{Idle: time.Minute})
		m := member(t, s, "a", len(b), c)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.ReadAt(ctx, make([]byte, 1), 2<<20-1); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled read: %v", err)
		}
		send(t, c.gate, chunk)
		synctest.Wait()
		if !m.Ready(0, chunk) {
			t.Error("what came after the reader left is not kept")
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if c.active.Load() != 1 {
			t.Error("the decoder has ended too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if c.active.Load() != 0 {
			t.Error("the decoder stays")
		}
	})
}

// TestPlace takes the only place from a decoder whose source hangs and whose readers have left, and no sooner.
func TestPlace(t *testing.T) {
	b := content(4, 1<<20)
	hung := &codec{b: b, gate: make(chan int)}
	other := &codec{b: b}
	s := open(t, Options{Workers: 1})
	m1, m2 := member(t, s, "hung", len(b), hung), member(t, s, "other", len(b), other)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := m1.ReadAt(ctx, make([]byte, 10), 0); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	eventually(t, "the source isn't asked", func() bool { return hung.active.Load() == 1 })
	wg.Go(func() { check(t, m2, b, 0, 100) })
	time.Sleep(20 * time.Millisecond)
	if other.opened.Load() != 0 {
		t.Error("two decoders with one place")
	}
	cancel()
	wg.Wait()
	check(t, m2, b, 0, len(b))
}

// TestPausedPlace takes the only place from a decoder that has nothing to do, long before it would end by itself.
func TestPausedPlace(t *testing.T) {
	b := content(4, 1<<20)
	first := &codec{b: b}
	s := open(t, Options{Workers: 1, Ahead: 1, Idle: time.Hour})
	m1, m2 := member(t, s, "first", len(b), first), member(t, s, "second", len(b), &codec{b: b})
	for off := 0; off < len(b)-1000; off += len(b) / 4 {
		check(t, m1, b, off, 100)
		check(t, m2, b, off, 100)
	}
	if n := first.opened.Load(); n < 2 { // what is ahead may be enough for some
		t.Errorf("opened %d times", n)
	}
}

// TestWrongSize remembers that a member has another size than claimed, and never shows its end.
func TestWrongSize(t *testing.T) {
	b := content(5, 400_000)
	for _, claim := range []int{1, 399_999, 400_001, 1 << 20} {
		t.Run(fmt.Sprint(claim), func(t *testing.T) {
			c := &codec{b: b}
			s := open(t, Options{})
			m := member(t, s, "a", claim, c)
			for range 2 {
				if _, err := m.ReadAt(t.Context(), make([]byte, 1), int64(claim-1)); !errors.Is(err, ErrSize) {
					t.Errorf("reading the end: %v", err)
				}
			}
			if _, err := m.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrSize) || m.Ready(0, 1) {
				t.Errorf("reading the start: %v", err)
			}
			if n := c.opened.Load(); n != 1 {
				t.Errorf("decoded %d times", n)
			}
			eventually(t, "its room isn't given back", func() bool { return s.Used() == 0 })
			if done, part := files(t, s.o.Dir); done+part != 0 {
				t.Errorf("%d + %d files", done, part)
			}
		})
	}
	s := open(t, Options{})
	m := member(t, s, "a", 10, &codec{b: b[:10]})
	if _, err := s.Open("a", 11, nil); !errors.Is(err, ErrSize) {
		t.Errorf("opening with two sizes: %v", err)
	}
	check(t, m, b[:10], 0, 10)
	m.Close()
	check(t, member(t, s, "a", 11, &codec{b: b[:11]}), b[:11], 0, 11)
	for _, size := range []int64{-1, maxSize + 1} {
		if _, err := s.Open("b", size, nil); !errors.Is(err, ErrSize) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	check(t, member(t, s, "empty", 0, &codec{}), nil, 0, 0)
}

// TestErrors remembers what will come again, and tries again after the rest.
func TestErrors(t *testing.T) {
	b := content(6, 500_000)
	lost := errors.New("no peers")
	for _, fail := range []error{lost, errDamaged} {
		t.Run(fail.Error(), func(t *testing.T) {
			c := &codec{b: b}
			s := open(t, Options{Ahead: 1})
			m := member(t, s, "a", len(b), c)
			check(t, m, b, 0, 1000)
			c.fail.Store(&fail)
			if _, err := m.ReadAt(t.Context(), make([]byte, 1), 499_999); !errors.Is(err, fail) {
				t.Errorf("got %v", err)
			}
			c.fail.Store(nil)
			if errors.Is(fail, lost) {
				check(t, m, b, 0, len(b))
			} else if _, err := m.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, fail) {
				t.Errorf("forgotten: %v", err)
			}
		})
	}
}

// TestNoBytes reads none, for which nothing is decoded.
func TestNoBytes(t *testing.T) {
	c := &codec{b: content(7, 1000)}
	m := member(t, open(t, Options{}), "a", len(c.b), c)
	for _, off := range []int64{0, 500} {
		if n, err := m.ReadAt(t.Context(), nil, off); n != 0 || err != nil {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
	if n := c.opened.Load(); n != 0 {
		t.Errorf("decoded %d times", n)
	}
}

// TestClose ends reads that wait.
func TestClose(t *testing.T) {
	b := content(10, 1000)
	c := &codec{b: b, gate: make(chan int)}
	s := open(t, Options{})
	m := member(t, s, "a", len(b), c)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := m.ReadAt(t.Context(), b, 0); !errors.Is(err, ErrClosed) {
			t.Errorf("waiting: %v", err)
		}
	})
	eventually(t, "the source isn't asked", func() bool { return c.active.Load() == 1 })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := m.ReadAt(t.Context(), b, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := s.Open("b", 1, c.open); !errors.Is(err, ErrClosed) {
		t.Errorf("opening: %v", err)
	}
	if done, part := files(t, s.o.Dir); done+part != 0 {
		t.Errorf("%d + %d files", done, part)
	}
}

// TestDiskFails tells the reader why nothing can be written, and goes on when it can.
func TestDiskFails(t *testing.T) {
	b := content(11, 1000)
	s := open(t, Options{})
	m := member(t, s, "a", len(b), &codec{b: b})
	dir := s.o.Dir
	s.o.Dir = filepath.Join(dir, "missing")
	if _, err := m.ReadAt(t.Context(), make([]byte, 10), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	s.o.Dir = dir
	check(t, m, b, 0, len(b))
}
