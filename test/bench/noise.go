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

func (b *bench) usage() (usage, error) {
	u := usage{at: time.Now()}
	for _, pid := range []int{os.Getpid(), b.servers[0].pid, b.servers[1].pid} {
		t, err := cpuTime(pid)
		if err != nil {
			return u, err
		}
		u.ours += t
	}
	var clients syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &clients); err != nil {
		return u, fmt.Errorf("CPU time of the clients: %w", err)
	}
	u.ours += time.Duration(clients.Utime.Nano() + clients.Stime.Nano())
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
	after, err := b.usage()
	if err != nil {
		return err
	}
	there := after.at.Sub(before.at) * time.Duration(runtime.NumCPU())
	percent := func(part time.Duration) float64 { return 100 * max(0, part.Seconds()) / there.Seconds() }
	say(b.out, "round %d  others had %.1f %% of the CPUs, the hypervisor %.1f %%; load average %s", round+1,
		percent((after.all-before.all)-(after.ours-before.ours)), percent(after.stolen-before.stolen), loadAverage())
	return nil
}
