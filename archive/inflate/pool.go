package inflate

import (
	"context"
	"fmt"
)

// Pool limits how many decode at the same time, for all Readers together.
type Pool struct {
	cores   chan struct{} // who computes
	decodes chan struct{} // who has memory for what it decodes, perhaps waiting for the Source meanwhile
}

// NewPool returns a Pool for as many cores, in which as many decodes may have begun. Each takes memory for a segment, 1 MiB as a rule.
func NewPool(cores, decodes int) *Pool {
	return &Pool{cores: make(chan struct{}, max(1, cores)), decodes: make(chan struct{}, max(1, cores, decodes))}
}

// Inner returns a Pool for Readers whose Sources are Readers of this one: of as many cores, which are the same, and as many decodes of
// its own. A decode waits for its Source, so if both had their places from one Pool, all could be taken by those that wait.
func (p *Pool) Inner() *Pool {
	return &Pool{cores: p.cores, decodes: make(chan struct{}, cap(p.decodes))}
}

// begin waits until one more decode may begin. Who called it calls end.
func (p *Pool) begin(ctx context.Context) error { return enter(ctx, p.decodes) }

func (p *Pool) end() { <-p.decodes }

func enter(ctx context.Context, room chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait to decode: %w", err)
	}
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait to decode: %w", ctx.Err())
	}
}

// turn is the right of one goroutine to compute. It is given back while that waits.
type turn struct {
	pool *Pool
	held bool
}

func (t *turn) take(ctx context.Context) error {
	if t.held || t.pool == nil {
		return nil
	}
	err := enter(ctx, t.pool.cores)
	t.held = err == nil
	return err
}

func (t *turn) giveBack() {
	if t.held {
		t.held = false
		<-t.pool.cores
	}
}
