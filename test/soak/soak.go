//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"shoal/test/libtorrent"
)

const (
	itemCount   = 8
	sampleEvery = 5 * time.Second
	// diskEvery is how often the disk is looked at.
	diskEvery = 200 * time.Millisecond
)

// soak is a run.
type soak struct {
	opts      options
	out       io.Writer
	appliance *appliance
	changer   *changer
	tally     tally
	begin     time.Time

	mu       sync.Mutex
	life     []sample
	disk     int64 // now
	mostDisk int64 // since the last report
	everDisk int64
	failures []string
}

// run does it all.
func run(ctx context.Context, opts options, out io.Writer) error {
	say(out, "%v with %d clients, %d torrents of %d MiB, a cache of %d MiB, seed %d.",
		opts.For, opts.Clients, itemCount, opts.Size>>20, opts.Limit>>20, opts.Seed)
	source := filepath.Join(opts.Dir, "source")
	items, err := makeItems(source, itemCount, opts.Size)
	if err != nil {
		return err
	}
	peer, err := freePorts(1)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(peer[0])
	if err != nil {
		return err
	}
	seeds, err := libtorrent.Start(libtorrent.LargeBuffers, port, "127.0.0.1")
	if err != nil {
		return err
	}
	defer seeds.End()
	for _, it := range items {
		if _, err := seeds.Add(it.torrentPath(source), source); err != nil {
			return err
		}
	}
	a, err := newAppliance(opts, peer[0])
	if err != nil {
		return err
	}
	s := &soak{opts: opts, out: out, appliance: a, begin: time.Now()}
	s.changer = &changer{appliance: a, items: items, random: s.random(1)}
	return s.run(ctx, items)
}

// random is for one of those who act. What they do depends on the machine, too.
func (s *soak) random(who uint64) *rand.Rand { return rand.New(rand.NewPCG(s.opts.Seed, who)) }

// run starts the appliance and everybody who uses it, and ends them.
func (s *soak) run(ctx context.Context, items []*item) error {
	if _, err := s.appliance.start(ctx); err != nil {
		return err
	}
	for _, it := range items {
		if err := s.appliance.add(ctx, it.torrent); err != nil {
			return errors.Join(err, s.appliance.end(syscall.SIGKILL))
		}
	}
	// Without a deadline, which rate.Limiter would give up before.
	using, stop := context.WithCancel(ctx)
	defer stop()
	defer time.AfterFunc(s.opts.For, stop).Stop()
	var users sync.WaitGroup
	act := func(who string, do func(context.Context) error) {
		users.Go(func() {
			if err := do(using); err != nil {
				s.fail("%s: %v", who, err)
				stop()
			}
		})
	}
	limiter := rate.NewLimiter(rate.Limit(s.opts.Rate), maxRead)
	for i := range s.opts.Clients {
		r := &reader{
			appliance: s.appliance, items: items, limiter: limiter, tally: &s.tally,
			random: s.random(uint64(100 + i)), scratch: make([]byte, maxRead),
		}
		act(fmt.Sprintf("client %d", i), r.run)
	}
	act("API", s.changer.run)
	act("sample", s.sample)
	act("disk", s.watchDisk)
	act("report", s.report)
	act("restart", s.restart)
	users.Wait()
	s.judgeLife()
	if err := s.appliance.end(syscall.SIGTERM); err != nil {
		s.fail("the end: %v", err)
	}
	return s.verdict()
}

func (s *soak) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
	say(s.out, "%s  FAIL  "+format, append([]any{s.clock()}, args...)...)
}

func (s *soak) clock() time.Duration { return time.Since(s.begin).Round(time.Second) }

// every calls do again and again until ctx ends.
func every(ctx context.Context, pause time.Duration, do func(context.Context) error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := do(ctx); err != nil {
				return err
			}
		}
	}
}

// restart ends the process after each of its lives, in turn as an operator does and as a crash does, and
// starts it again.
func (s *soak) restart(ctx context.Context) error {
	kill := false
	return every(ctx, s.opts.Life, func(ctx context.Context) error {
		if time.Until(s.begin.Add(s.opts.For)) < s.opts.Life/2 {
			return nil // the last one lives a little longer
		}
		s.appliance.using.Lock()
		defer s.appliance.using.Unlock()
		s.judgeLife() // nobody takes a sample of this one any more
		sig := syscall.SIGTERM
		if kill {
			sig = syscall.SIGKILL
		}
		kill = !kill
		begin := time.Now()
		if err := s.appliance.end(sig); err != nil {
			return err
		}
		ended := time.Since(begin)
		started, err := s.appliance.start(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		say(s.out, "%s  %v: ended in %.2f s, serves again after %.2f s", s.clock(), sig, ended.Seconds(), started.Seconds())
		return nil
	})
}

func (s *soak) sample(ctx context.Context) error {
	return every(ctx, sampleEvery, func(ctx context.Context) error {
		s.appliance.using.RLock()
		defer s.appliance.using.RUnlock()
		taken, err := s.appliance.takeSample(ctx)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.life = append(s.life, taken)
		return nil
	})
}

func (s *soak) watchDisk(ctx context.Context) error {
	return every(ctx, diskEvery, func(context.Context) error {
		used, err := diskUse(s.appliance.cache())
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.disk, s.mostDisk, s.everDisk = used, max(s.mostDisk, used), max(s.everDisk, used)
		return nil
	})
}
