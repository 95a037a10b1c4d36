package inflate

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// idleLimit is how long the first pass may rest before its decoder is given up. It takes some 200 KiB, and what it has decoded of a
// segment that is not complete.
const idleLimit = 60 * time.Second

// Reader reads anywhere in the uncompressed data of one Source. Its methods may be called at the same time.
type Reader struct {
	source     Source
	compressed int64 // bytes
	size       int64 // bytes, or UnknownSize
	format     Format
	cache      *Cache
	pool       *Pool

	spacing int64 // of checkpoints, in bytes of uncompressed data
	longest int64 // of segments, in bytes

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup // all goroutines of the Reader

	packing chan struct{} // has room for one: who makes a window small beside the first pass

	mu       sync.Mutex
	isClosed bool
	points   []point // the first is the beginning
	cut      int64   // what is before was decoded once, and is in segments
	isWhole  bool    // nothing is behind cut
	damage   error   // what is wrong with the data behind cut
	wrong    error   // what is wrong with a checksum
	charged  int64   // bytes that the checkpoints take
	flights  map[int64]*flight
	tail     *decoder // stands behind a segment without a checkpoint at its end
	waiting  map[*wait]struct{}
	pass     *pass     // that goes on, if any
	last     *pass     // that began last, for the next one to wait for
	resting  *frontier // where it goes on, or nil: at the last checkpoint
	rest     *time.Timer
	idle     time.Duration // idleLimit, but in tests
}

// Open returns a Reader, without reading. Sizes that are impossible are an ErrFormat.
func Open(o Options) (*Reader, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	size := o.Size
	if size == UnknownSize {
		size = o.Compressed * usualRatio
	}
	r := &Reader{
		source: o.Source, compressed: o.Compressed, size: o.Size, format: o.Format, cache: o.Cache, pool: o.Pool,
		spacing: spacing(size), flights: make(map[int64]*flight), waiting: make(map[*wait]struct{}), idle: idleLimit,
		points: []point{{isHeader: o.Format == Gzip}},
	}
	r.packing = make(chan struct{}, 1)
	r.longest = longest(r.spacing)
	if err := r.load(o.Index); err != nil {
		r.points = r.points[:1]
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.charge()
	return r, nil
}

// charge accounts for the memory of the checkpoints. It needs mu, or a Reader that nobody else knows yet.
func (r *Reader) charge() {
	const pointLength = 80 // bytes, without windows
	total := int64(cap(r.points)) * pointLength
	for i := range r.points {
		total += int64(cap(r.points[i].packed) + cap(r.points[i].raw))
	}
	r.recharge(total - r.charged)
}

func (r *Reader) recharge(n int64) {
	r.charged += n
	r.cache.charge(n)
}

// Close ends all reads and decodes, waits for them, and drops what the cache has. The Index can be asked for afterwards.
func (r *Reader) Close() error {
	r.mu.Lock()
	r.isClosed = true
	for w := range r.waiting {
		r.wake(w, ErrClosed)
	}
	r.mu.Unlock()
	r.cancel()
	r.running.Wait()

	r.mu.Lock()
	defer r.mu.Unlock()
	r.giveUpRest()
	if r.tail != nil {
		r.tail.giveBack()
		r.tail = nil
	}
	r.cache.forget(r)
	r.recharge(-r.charged)
	return nil
}

// Size returns how many bytes of uncompressed data there are, if that is known.
func (r *Reader) Size() (size int64, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.length()
}

// length needs mu.
func (r *Reader) length() (size int64, known bool) {
	switch {
	case r.size != UnknownSize:
		return r.size, true
	case r.isWhole:
		return r.cut, true
	}
	return 0, false
}

// Damage returns what is wrong with the data, an ErrFormat, if that is known. What is before can be read; after a wrong checksum of a
// gzip member, everything.
func (r *Reader) Damage() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damage == nil {
		return r.wrong
	}
	return r.damage
}

// ReadAt is that of io.ReaderAt. It waits for the Source, for its turn to decode, and, the first time, until everything before was
// decoded, but no longer than ctx lasts. Errors are those of the Source and of ctx, wrapped, ErrFormat and ErrClosed.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("inflate: offset %d is negative", off)
	}
	for n < len(p) {
		at := off + int64(n)
		if err := r.await(ctx, at); err != nil {
			return n, err
		}
		s, err := r.segmentAt(ctx, at)
		if err != nil {
			return n, err
		}
		n += s.copyTo(p[n:], at)
		s.release()
	}
	return n, nil
}

// Ready says whether n bytes from off on can be had without waiting. What is behind the end of the data needs none.
func (r *Reader) Ready(off, n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := off + n
	if size, known := r.length(); known {
		end = min(end, size)
	}
	for off < end {
		if off >= r.cut {
			return r.damage != nil
		}
		p := r.locate(off)
		if !r.cache.has(segmentKey{r, p.start}) {
			return false
		}
		off = p.end
	}
	return true
}

// locate finds the segment of an offset before cut. It needs mu.
func (r *Reader) locate(off int64) place {
	return locate(r.points, r.cut, r.longest, r.compressed, off)
}

// wait is for a place that the first pass has not come to.
type wait struct {
	off   int64
	ready chan struct{} // closed when it is decoded, or never will be
	err   error
}

// wake needs mu.
func (r *Reader) wake(w *wait, err error) {
	delete(r.waiting, w)
	w.err = err
	close(w.ready)
}

// await waits until the first pass is past off. At the end of the data it is io.EOF.
func (r *Reader) await(ctx context.Context, off int64) error {
	r.mu.Lock()
	switch size, known := r.length(); {
	case r.isClosed:
		r.mu.Unlock()
		return ErrClosed
	case off < r.cut:
		r.mu.Unlock()
		return nil
	case r.damage != nil:
		defer r.mu.Unlock()
		return r.damage
	case known && off >= size:
		r.mu.Unlock()
		return io.EOF
	}
	w := &wait{off: off, ready: make(chan struct{})}
	r.waiting[w] = struct{}{}
	if r.pass == nil {
		r.begin() //nolint:contextcheck // it is for others as well, and ends when the last one leaves
	}
	r.mu.Unlock()

	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, stillWaits := r.waiting[w]; !stillWaits {
		return w.err
	}
	delete(r.waiting, w)
	if len(r.waiting) == 0 {
		r.pass.cancel()
		r.pass = nil
	}
	return fmt.Errorf("wait for byte %d of compressed data: %w", off, ctx.Err())
}
