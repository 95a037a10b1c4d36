//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"
)

// changer is somebody at the API.
type changer struct {
	appliance *appliance
	items     []*item
	random    *rand.Rand

	removed, paused, dead, looked atomic.Int64
	unpausable                    atomic.Bool // the appliance knows no pauses
}

// run changes something every few seconds until ctx ends. The error is what no caller should see.
func (c *changer) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second + rand.N(6*time.Second)):
		}
		if err := c.once(ctx); err != nil {
			return err
		}
	}
}

// once does one thing. The process lives as long.
func (c *changer) once(ctx context.Context) error {
	c.appliance.using.RLock()
	defer c.appliance.using.RUnlock()
	switch it := c.items[c.random.IntN(len(c.items))]; c.random.IntN(5) {
	case 0:
		c.removed.Add(1)
		return it.change(func() error {
			if err := c.appliance.remove(ctx, it.infohash); err != nil {
				return err
			}
			time.Sleep(time.Duration(c.random.Int64N(int64(2 * time.Second))))
			return c.appliance.add(ctx, it.torrent)
		})
	case 1, 2:
		return it.change(func() error { return c.pause(ctx, it) })
	case 3:
		torrent, infohash, err := deadTorrent(c.random)
		if err != nil {
			return err
		}
		c.dead.Add(1)
		if err := c.appliance.add(ctx, torrent); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		return c.appliance.remove(ctx, infohash)
	default:
		return c.look(ctx)
	}
}

// pause pauses a torrent for a while.
func (c *changer) pause(ctx context.Context, it *item) error {
	if c.unpausable.Load() {
		return nil
	}
	err := c.appliance.pause(ctx, it.infohash, true)
	var refused *errStatus
	if errors.As(err, &refused) && refused.status == http.StatusMethodNotAllowed {
		c.unpausable.Store(true)
		return nil
	}
	if err != nil {
		return err
	}
	c.paused.Add(1)
	time.Sleep(time.Duration(c.random.Int64N(int64(3 * time.Second))))
	return c.appliance.pause(ctx, it.infohash, false)
}

// look asks for what the pages show.
func (c *changer) look(ctx context.Context) error {
	c.looked.Add(1)
	for _, path := range []string{"/api/v1/torrents?limit=100", "/api/v1/readers", "/api/v1/clients"} {
		if _, err := c.appliance.fetch(ctx, http.MethodGet, path, "", nil, http.StatusOK); err != nil {
			return err
		}
	}
	return nil
}

// change marks the time in which reads of it may fail.
func (it *item) change(do func() error) error {
	it.changes.Add(1)
	defer it.changes.Add(1)
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", it.name, err)
	}
	return nil
}
