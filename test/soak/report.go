//go:build linux

package main

import (
	"context"
	"syscall"
	"time"
)

// report says how it goes.
func (s *soak) report(ctx context.Context) error {
	say(s.out, "%8s %9s %9s %10s %8s %5s %16s %7s  %s", "", "RSS MiB", "heap MiB", "goroutines", "fds", "CPU %",
		"disk (most) MiB", "MB/s", "READs; JUKEBOX, hung up, torn by restarts, refused while changed; removed, paused, dead, looked")
	bytes, cpu, at := int64(0), ownCPU(), time.Now()
	return every(ctx, s.opts.Report, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.life) == 0 {
			return nil // it has just been started
		}
		now, took := s.life[len(s.life)-1], time.Since(at).Seconds()
		// That of the appliance since its start, and of this program and its seeder's share of it since
		// the last report.
		first := s.life[0]
		use := 0.0
		if d := now.at.Sub(first.at); d > 0 {
			use = 100 * float64(now.cpu-first.cpu) / float64(d)
		}
		read, own := s.tally.bytes.Load(), ownCPU()
		say(s.out, "%8s %9d %9d %10d %8d %5.1f %8d (%5d) %7.1f  %d; %d, %d, %d, %d; %d, %d, %d, %d; soak itself takes %.1f %%", s.clock(),
			now.rss>>20, now.heap>>20, now.goroutines, now.descriptors, use, s.disk>>20, s.mostDisk>>20,
			float64(read-bytes)/1e6/took, s.tally.reads.Load(), s.tally.jukebox.Load(), s.tally.disconnects.Load(),
			s.tally.torn.Load(), s.tally.refused.Load(), s.changer.removed.Load(), s.changer.paused.Load(),
			s.changer.dead.Load(), s.changer.looked.Load(), 100*(own-cpu).Seconds()/took)
		bytes, cpu, at, s.mostDisk = read, own, time.Now(), s.disk
		return nil
	})
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// kinds are what must not grow while a process lives, and how much it may differ with what is done to it.
var kinds = []struct {
	name   string
	unit   string
	shift  int
	spare  int64
	number func(sample) int64
}{
	{"RSS", " MiB", 20, 32 << 20, func(s sample) int64 { return s.rss }},
	{"heap", " MiB", 20, 16 << 20, func(s sample) int64 { return s.heap }},
	{"goroutines", "", 0, 60, func(s sample) int64 { return s.goroutines }},
	{"descriptors", "", 0, 30, func(s sample) int64 { return s.descriptors }},
}

// judgeLife compares the first and the last quarter of the life that ends.
func (s *soak) judgeLife() {
	s.mu.Lock()
	life := s.life
	s.life = nil
	s.mu.Unlock()
	for _, k := range kinds {
		g, known := grow(life, k.number)
		if !known {
			say(s.out, "%s  a life of %d samples is too short to judge", s.clock(), len(life))
			return
		}
		if g.exceeds(k.spare) {
			s.fail("%s grew from %d%s to %d%s in a life", k.name, g.first>>k.shift, k.unit, g.last>>k.shift, k.unit)
		} else {
			say(s.out, "%s  %s went from %d%s to %d%s in a life", s.clock(), k.name, g.first>>k.shift, k.unit, g.last>>k.shift, k.unit)
		}
	}
}

// verdict says what was wrong, if anything.
func (s *soak) verdict() error {
	if s.everDisk > s.opts.Limit+maxPiece {
		s.fail("the cache took %d MiB of the disk, with a limit of %d", s.everDisk>>20, s.opts.Limit>>20)
	} else {
		say(s.out, "The cache took %d MiB of the disk at most, with a limit of %d.", s.everDisk>>20, s.opts.Limit>>20)
	}
	if s.tally.bytes.Load() == 0 {
		s.fail("nothing was read")
	}
	if s.changer.unpausable.Load() {
		say(s.out, "NOT TESTED: this appliance knows no pauses.")
	}
	say(s.out, "%.1f GB were read and compared, in %d READs.", float64(s.tally.bytes.Load())/1e9, s.tally.reads.Load())
	if len(s.failures) == 0 {
		say(s.out, "PASS")
		return nil
	}
	for _, f := range s.failures {
		say(s.out, "FAIL  %s", f)
	}
	return errReported
}
