package inflate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// testLimit is for everything that a test waits for.
const testLimit = 60 * time.Second

// gate is a Source that has bytes up to a limit only, and waits or fails behind.
type gate struct {
	memory

	mu    sync.Mutex
	limit int64
	err   error         // nil: it waits
	moved chan struct{} // closed when limit or err change
	asked chan struct{} // somebody waits
}

// receive takes from a channel what should come at once. It belongs on the test's own goroutine.
func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(testLimit):
		t.Fatal("nothing comes")
	}
	return v
}

func newGate(content []byte, limit int64) *gate {
	return &gate{memory: content, limit: limit, moved: make(chan struct{}), asked: make(chan struct{}, 100)}
}

func (g *gate) set(limit int64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit, g.err = limit, err
	close(g.moved)
	g.moved = make(chan struct{})
}

func (g *gate) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	for {
		g.mu.Lock()
		limit, err, moved := g.limit, g.err, g.moved
		g.mu.Unlock()
		if off < limit {
			return g.memory.ReadAt(ctx, p[:min(int64(len(p)), limit-off)], off)
		}
		if err != nil {
			return 0, err
		}
		select {
		case g.asked <- struct{}{}:
		default: // enough are there
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

var errSwarm = errors.New("no peer has it")

func TestErrorsOfTheSourceAreNotRemembered(t *testing.T) {
	plain := sample(5, 2<<20)
	compressed := deflated(t, plain, 6)
	for _, limit := range []int{0, 1, 5000, len(compressed) / 3, len(compressed) / 2, len(compressed) - 1} {
		source := newGate(compressed, int64(limit))
		source.set(int64(limit), errSwarm)
		r := small(newReader(t, Options{Source: source, Compressed: int64(len(compressed)), Size: int64(len(plain))}))
		p := make([]byte, len(plain))
		n, err := r.ReadAt(t.Context(), p, 0)
		if !errors.Is(err, errSwarm) || errors.Is(err, ErrFormat) || r.Damage() != nil {
			t.Fatalf("with %d bytes there, error is %v, damage %v", limit, err, r.Damage())
		}
		if !bytes.Equal(p[:n], plain[:n]) {
			t.Fatalf("with %d bytes there, %d bytes are wrong", limit, n)
		}
		source.set(int64(len(compressed)), nil)
		readSome(t, r, plain, rand.New(rand.NewPCG(1, 1)), 20)

		r.cache.charge(1 << 40) // all segments go
		r.cache.charge(-1 << 40)
		source.set(int64(limit), errSwarm)
		if _, err := r.ReadAt(t.Context(), p[:10], int64(len(plain)-10)); !errors.Is(err, errSwarm) || errors.Is(err, ErrFormat) {
			t.Fatalf("decoding again with %d bytes there, error is %v", limit, err)
		}
		source.set(int64(len(compressed)), nil)
		readSome(t, r, plain, rand.New(rand.NewPCG(1, 1)), 5)
	}
}

func TestEachWaitEndsWithItsContext(t *testing.T) {
	plain := sample(5, 3<<20)
	compressed := deflated(t, plain, 6)
	source := newGate(compressed, 1000)
	r := newReader(t, Options{Source: source, Compressed: int64(len(compressed)), Size: int64(len(plain))})
	r.idle = time.Millisecond
	for _, isIndexed := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), testLimit)
		first, leave := context.WithCancel(ctx)
		impatient, patient := make(chan error, 1), make(chan error, 1)
		p := make([]byte, 100)
		go func() {
			_, err := r.ReadAt(first, make([]byte, 100), 2<<20)
			impatient <- err
		}()
		receive(t, source.asked)
		go func() {
			_, err := r.ReadAt(ctx, p, 2<<20+5)
			patient <- err
		}()
		for !r.isWantedBy(2) {
			if time.Sleep(time.Millisecond); ctx.Err() != nil {
				t.Fatalf("indexed %v: two read, and nobody waits for both", isIndexed)
			}
		}
		leave()
		if err := receive(t, impatient); !errors.Is(err, context.Canceled) {
			t.Errorf("indexed %v: who left got %v", isIndexed, err)
		}
		select {
		case err := <-patient:
			t.Errorf("indexed %v: who stayed got %v", isIndexed, err)
		case <-time.After(20 * time.Millisecond):
		}
		source.set(int64(len(compressed)), nil)
		if err := receive(t, patient); err != nil || !bytes.Equal(p, plain[2<<20+5:][:100]) {
			t.Errorf("indexed %v: who stayed got %v", isIndexed, err)
		}
		cancel()
		awaitRest(t, r) // what still decodes would hold its segment, and ask the gate
		source.set(1000, nil)
		r.cache.charge(1 << 40) // all segments go
		r.cache.charge(-1 << 40)
		for len(source.asked) > 0 {
			<-source.asked
		}
	}
}

// isWantedBy says whether as many wait, in one way or the other.
func (r *Reader) isWantedBy(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.flights {
		n -= f.wanted
	}
	return len(r.waiting) >= n
}

// TestPassGoesOn checks that what was decoded is not decoded again when all who waited left, and others come.
func TestPassGoesOn(t *testing.T) {
	plain := sample(5, 3<<20)
	compressed := deflated(t, plain, 6)
	source := newGate(compressed, 0)
	r := newReader(t, Options{Source: source, Compressed: int64(len(compressed)), Size: int64(len(plain))})
	for limit := int64(0); limit < int64(len(compressed)); limit += 70_001 {
		source.set(limit, nil)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := r.ReadAt(ctx, make([]byte, 1), int64(len(plain)-1))
			left <- err
		}()
		receive(t, source.asked)
		cancel()
		if err := receive(t, left); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	source.set(int64(len(compressed)), nil)
	readSome(t, r, plain, rand.New(rand.NewPCG(1, 1)), 10)
	if inflated := r.cache.Stats().Inflated; inflated > int64(len(plain))*11/10 {
		t.Errorf("%d bytes were inflated for %d", inflated, len(plain))
	}
}

func TestRestEnds(t *testing.T) {
	plain := sample(5, 3<<20)
	compressed := deflated(t, plain, 6)
	r := newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: int64(len(plain))})
	r.idle = time.Millisecond
	if _, err := r.ReadAt(t.Context(), make([]byte, 1), 0); err != nil {
		t.Fatal(err)
	}
	awaitRest(t, r)
	readSome(t, r, plain, rand.New(rand.NewPCG(1, 1)), 10)
}

// awaitRest waits until nothing decodes any more: its idle time is over, too.
func awaitRest(t *testing.T, r *Reader) {
	t.Helper()
	for deadline := time.Now().Add(testLimit); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		isOver := r.pass == nil && r.resting == nil && len(r.flights) == 0 && len(r.packing) == 0
		r.mu.Unlock()
		if isOver {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the decoder of the first pass is kept for ever")
		}
	}
}

func TestCloseEndsWaits(t *testing.T) {
	plain := sample(5, 2<<20)
	compressed := deflated(t, plain, 6)
	source := newGate(compressed, 100)
	r := newReader(t, Options{Source: source, Compressed: int64(len(compressed)), Size: int64(len(plain))})
	errs := make(chan error, 3)
	for i := range 3 {
		go func() {
			_, err := r.ReadAt(t.Context(), make([]byte, 10), int64(i)<<19)
			errs <- err
		}()
	}
	receive(t, source.asked)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := receive(t, errs); !errors.Is(err, ErrClosed) {
			t.Errorf("a read that waited got %v", err)
		}
	}
	if used := r.cache.Stats().Used; used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

func TestReady(t *testing.T) {
	plain := sample(5, 6<<20)
	compressed := deflated(t, plain, 6)
	size := int64(len(plain))
	r := newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: size})
	if r.Ready(0, 1) || !r.Ready(size, 10) || !r.Ready(5, 0) {
		t.Error("before the first read, it is wrong about what is ready")
	}
	if _, err := r.ReadAt(t.Context(), make([]byte, 1), size-1); err != nil {
		t.Fatal(err)
	}
	if !r.Ready(0, size) || !r.Ready(0, size*2) {
		t.Error("after all was decoded, it is not ready")
	}
	r.cache.charge(1 << 40)
	r.cache.charge(-1 << 40)
	if r.Ready(0, 1) || r.Ready(size-1, 1) {
		t.Error("without a cache, it is ready")
	}
	for off := int64(0); off < size; off += 300_000 {
		start, stop := r.locate(off).from.in/8, r.locate(min(off+1000, size)-1).stop
		if length := stop - start; length > int64(len(compressed))/2 {
			t.Errorf("%d: needs %d bytes of %d", off, length, len(compressed))
		}
		r.source = only{memory(compressed), start, stop}
		p := make([]byte, min(1000, size-off))
		if _, err := r.ReadAt(t.Context(), p, off); err != nil || !bytes.Equal(p, plain[off:][:len(p)]) {
			t.Errorf("%d: a read of the segments fails: %v", off, err)
		}
	}
}

// only is a Source that has some bytes only.
type only struct {
	memory
	from, to int64
}

func (o only) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < o.from || off+int64(len(p)) > o.to {
		return 0, fmt.Errorf("%d bytes at %d are not among those from %d to %d", len(p), off, o.from, o.to)
	}
	return o.memory.ReadAt(ctx, p, off)
}
