//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is who had the CPUs so far.
type usage struct {
	at     time.Time
	ours   time.Duration // the servers, the clients and this program
	all    time.Duration // every program, and the kernel
	stolen time.Duration // taken by the hypervisor
}

func readUsage() (usage, error) {
	u := usage{at: time.Now()}
	// All that runs in the namespaces is of this program, and there is nothing else in /proc.
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return u, err
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			t, _ := cpuTime(pid) // one that has just ended is counted below
			u.ours += t
		}
	}
	var ended syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &ended); err != nil {
		return u, fmt.Errorf("CPU time of the clients: %w", err)
	}
	u.ours += time.Duration(ended.Utime.Nano() + ended.Stime.Nano())
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return u, err
	}
	// The first line of proc_stat(5): cpu user nice system idle iowait irq softirq steal.
	fields := strings.Fields(string(stat))
	for i := 1; i <= 8; i++ {
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/stat: %w", err)
		}
		const tick = time.Second / 100 // USER_HZ, on every machine
		switch spent := time.Duration(ticks) * tick; i {
		case 4, 5: // nobody
		case 8:
			u.stolen += spent
		default:
			u.all += spent
		}
	}
	return u, nil
}

// noise prints how much of the CPUs others had in a round: what was measured lacks that.
func (b *bench) noise(round int, before usage) error {
	after, err := readUsage()
	if err != nil {
		return err
	}
	there := after.at.Sub(before.at) * time.Duration(runtime.NumCPU())
	percent := func(part time.Duration) float64 { return 100 * max(0, part.Seconds()) / there.Seconds() }
	say(b.out, "round %d  others had %.1f %% of the CPUs, the hypervisor %.1f %%; load average %s", round+1,
		percent((after.all-before.all)-(after.ours-before.ours)), percent(after.stolen-before.stolen), loadAverage())
	return nil
}
