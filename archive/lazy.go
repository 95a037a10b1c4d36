package archive

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// lazy is a File that is only found out about when it is read: where the data of a zip member begins is not in the archive's directory.
type lazy struct {
	size    int64
	resolve func(ctx context.Context) (File, error)
	store   *Store

	once flight[File]
}

var _ Located = (*lazy)(nil)

func (s *Store) newLazy(size int64, resolve func(ctx context.Context) (File, error)) *lazy {
	return &lazy{size: size, resolve: resolve, store: s}
}

func (l *lazy) Size() int64 { return l.size }

func (l *lazy) file(ctx context.Context) (File, error) { return l.once.do(ctx, l.store, l.resolve) }

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

// Holds is false before somebody has read it.
func (l *lazy) Holds(off, n int64) bool {
	f, ok := l.once.get()
	return ok && holds(f, off, n)
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

// flight finds something out once, for all who ask meanwhile. It goes on while one of them waits, and for linger after the last one. What
// is found is kept; an error is only kept if it will come again.
type flight[T any] struct {
	linger time.Duration

	mu      sync.Mutex
	done    bool
	value   T
	refused error
	now     *attempt[T] // the one that is under way
}

type attempt[T any] struct {
	waiting int         // guarded by flight.mu
	leaving *time.Timer // while nobody waits; guarded by flight.mu
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

// retry forgets that error.
func (f *flight[T]) retry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = nil
}

// do returns what find returns, which runs on a goroutine of the store's. It waits for that no longer than ctx lasts.
func (f *flight[T]) do(ctx context.Context, s *Store, find func(ctx context.Context) (T, error)) (T, error) {
	f.mu.Lock()
	if f.done || f.refused != nil {
		defer f.mu.Unlock()
		return f.value, f.refused
	}
	a := f.now
	if a == nil {
		if a = f.begin(ctx, s, find); a == nil {
			defer f.mu.Unlock()
			return f.value, ErrClosed
		}
	}
	if a.waiting++; a.leaving != nil {
		a.leaving.Stop()
		a.leaving = nil
	}
	f.mu.Unlock()

	select {
	case <-a.ended:
	case <-ctx.Done():
	}
	f.leave(a)
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

// leave is called by who does not wait any more.
func (f *flight[T]) leave(a *attempt[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch a.waiting--; {
	case a.waiting > 0 || f.now != a:
	case f.linger == 0:
		f.give(a)
	default:
		a.leaving = time.AfterFunc(f.linger, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if a.waiting == 0 {
				f.give(a)
			}
		})
	}
}

// give gives an attempt up: the next who asks begins another one. It needs f.mu.
func (f *flight[T]) give(a *attempt[T]) {
	a.cancel()
	if f.now == a {
		f.now = nil
	}
}

// begin starts an attempt, with the values of ctx and no end of its own but the store's; nil if that has come. It needs f.mu. Its
// goroutine ends soon after it was given up, as find ends with its context.
func (f *flight[T]) begin(ctx context.Context, s *Store, find func(ctx context.Context) (T, error)) *attempt[T] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(s.ctx, cancel) //nolint:contextcheck // it ends with both
	a := &attempt[T]{cancel: cancel, ended: make(chan struct{})}
	runs := s.run(func() {
		defer cancel()
		defer unhook()
		value, err := guarded(ctx, find)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.now == a {
			f.now = nil
		}
		if a.leaving != nil {
			a.leaving.Stop()
		}
		switch {
		case err == nil && f.done: // by one that was given up, and ended well: all have the same
			value = f.value
		case err == nil:
			f.value, f.done = value, true
		case Refuses(err):
			f.refused = err
		}
		a.value, a.err = value, err
		close(a.ended)
	})
	if !runs {
		unhook()
		cancel()
		return nil
	}
	f.now = a
	return a
}
