package archive

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// workClock ends a context after some time of work. While data is waited for it stands still.
type workClock struct {
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	left    time.Duration
	running time.Time // since when
	waits   int       // that go on
	timer   *time.Timer
}

type workClockKey struct{}

// limitWork returns a context that ends after as much work with ErrLimit as its cause. Reads by readerAt with it are no work. Who calls it
// calls stop.
func limitWork(ctx context.Context, limit time.Duration) (bound context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &workClock{cancel: cancel, left: limit, running: time.Now()}
	c.timer = time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w: it takes more than %v to list it", ErrLimit, limit)) })
	return context.WithValue(ctx, workClockKey{}, c), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timer.Stop()
		c.waits++ // of what was learned from ctx something may go on
		cancel(nil)
	}
}

func workClockOf(ctx context.Context) *workClock {
	c, _ := ctx.Value(workClockKey{}).(*workClock)
	return c
}

// pause stops the clock until as many calls of goOn. There may be no clock.
func (c *workClock) pause() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits++; c.waits == 1 {
		c.timer.Stop()
		c.left -= time.Since(c.running)
	}
}

func (c *workClock) goOn() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits--; c.waits == 0 {
		c.running = time.Now()
		c.timer.Reset(max(c.left, 0))
	}
}
