package archive

import (
	"context"
	"fmt"
	"sync"
)

// lazy is a File that is only found out about when it is read: where the data of a zip member begins is not in the archive's directory.
type lazy struct {
	size    int64
	resolve func(ctx context.Context) (File, error)
	tasks   *sync.WaitGroup

	once flight[File]
}

var _ Located = (*lazy)(nil)

func (s *Store) newLazy(size int64, resolve func(ctx context.Context) (File, error)) *lazy {
	return &lazy{size: size, resolve: resolve, tasks: &s.tasks}
}

func (l *lazy) Size() int64 { return l.size }

func (l *lazy) file(ctx context.Context) (File, error) { return l.once.do(ctx, l.tasks, l.resolve) }

func (l *lazy) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	f, err := l.file(ctx)
	if err != nil {
		return 0, err
	}
	return f.ReadAt(ctx, p, off)
}

func (l *lazy) Ready(off int64, n int) bool {
	f, ok := l.once.get()
	return ok && f.Ready(off, n)
}

func (l *lazy) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	f, err := l.file(ctx)
	if err != nil {
		return nil, err
	}
	return f.Await(ctx, off, n)
}

func (l *lazy) Locate(off int64, n int) (f File, at int64, ok bool) {
	if f, ok := l.once.get(); ok {
		if located, ok := f.(Located); ok {
			return located.Locate(off, n)
		}
	}
	return nil, 0, false
}

// flight finds something out once, for all who ask meanwhile. It goes on while one of them waits. What is found is kept; an error is
// only kept if it will come again.
type flight[T any] struct {
	mu      sync.Mutex
	done    bool
	value   T
	refused error
	now     *attempt[T] // the one that is under way
}

type attempt[T any] struct {
	waiting int // guarded by flight.mu
	cancel  context.CancelFunc
	ended   chan struct{} // closed then
	value   T
	err     error
}

// get returns what was found.
func (f *flight[T]) get() (value T, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value, f.done
}

// failed returns the error that will come again, if there is one.
func (f *flight[T]) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// do returns what find returns, which runs on a goroutine among tasks. It waits for that no longer than ctx lasts.
func (f *flight[T]) do(ctx context.Context, tasks *sync.WaitGroup, find func(ctx context.Context) (T, error)) (T, error) {
	f.mu.Lock()
	if f.done || f.refused != nil {
		defer f.mu.Unlock()
		return f.value, f.refused
	}
	a := f.now
	if a == nil || a.waiting == 0 {
		a = f.begin(ctx, tasks, find)
	}
	a.waiting++
	f.mu.Unlock()

	select {
	case <-a.ended:
	case <-ctx.Done():
	}
	f.mu.Lock()
	if a.waiting--; a.waiting == 0 {
		a.cancel()
	}
	f.mu.Unlock()
	select {
	case <-a.ended:
		return a.value, a.err
	default:
		var none T
		return none, context.Cause(ctx)
	}
}

// guarded calls find, and makes an error of a panic: find parses what strangers made, and nobody else would catch it.
func guarded[T any](ctx context.Context, find func(ctx context.Context) (T, error)) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: reading it failed: %v", ErrFormat, p)
		}
	}()
	return find(ctx)
}

// begin starts an attempt, with the values of ctx and no end of its own. It needs f.mu. Its goroutine ends soon after the last of those
// who wait has gone, as find ends with its context.
func (f *flight[T]) begin(ctx context.Context, tasks *sync.WaitGroup, find func(ctx context.Context) (T, error)) *attempt[T] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &attempt[T]{cancel: cancel, ended: make(chan struct{})}
	f.now = a
	tasks.Go(func() {
		defer cancel()
		value, err := guarded(ctx, find)
		f.mu.Lock()
		defer f.mu.Unlock()
		a.value, a.err = value, err
		switch {
		case err == nil && !f.done:
			f.value, f.done = value, true
		case Refuses(err):
			f.refused = err
		}
		close(a.ended)
	})
	return a
}
