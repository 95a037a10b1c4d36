//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// head says where and when, so that one can tell what the numbers are worth.
func (b *bench) head() {
	say(b.out, "%s, load average %s", time.Now().Format("2006-01-02 15:04:05 MST"), loadAverage())
	say(b.out, "%s; %d × %s; %s", kernel(), runtime.NumCPU(), processor(), runtime.Version())
	say(b.out, "The large file has %d MiB.", b.Size>>20)
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

func kernel() string {
	b, err := os.ReadFile("/proc/version")
	if err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// describe is one measurement in a line.
func describe(w workload, m measured) string {
	return fmt.Sprintf("%10.1f %-5s  p50 %8.3f ms  p99 %8.3f ms  CPU: server %6.3f s, client %6.3f s, in %6.3f s",
		w.rate(m), w.unit, ms(m.P50), ms(m.P99), m.ServerCPU.Seconds(), m.ClientCPU.Seconds(), m.Elapsed.Seconds())
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// values returns a number of each measurement of a workload by a server.
func (b *bench) values(workload, server string, number func(measured) float64) []float64 {
	var all []float64
	for _, r := range b.results {
		if r.workload == workload && r.server == server {
			all = append(all, number(r.measured))
		}
	}
	return all
}

// median returns the one in the middle.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// best and worst of a workload's rates.
func (w workload) best(all []float64) float64 {
	if w.lower {
		return slices.Min(all)
	}
	return slices.Max(all)
}

func (w workload) worst(all []float64) float64 {
	if w.lower {
		return slices.Max(all)
	}
	return slices.Min(all)
}

// CPU time for what is done, by the server and the client.
func serverCost(m measured) float64 { return cost(m, m.ServerCPU) }
func clientCost(m measured) float64 { return cost(m, m.ClientCPU) }

// cost is in seconds for a GB, or in microseconds for a call where no data is read in bulk.
func cost(m measured, cpu time.Duration) float64 {
	if m.Bytes >= largeRead*int64(m.Ops) && m.Ops > 0 {
		return cpu.Seconds() / (float64(m.Bytes) / 1e9)
	}
	return float64(cpu) / float64(time.Microsecond) / float64(m.Ops)
}

// table prints the medians of all rounds, and the extremes of the rate.
func (b *bench) table() {
	say(b.out, "")
	say(b.out, "%-13s %-8s %27s %-6s %9s %9s %9s %9s  (medians; CPU time in s/GB for large READs, in µs/call otherwise)",
		"", "", "median (worst … best)", "", "p50 ms", "p99 ms", "CPU", "of client")
	for _, w := range workloads() {
		for _, s := range b.servers {
			rates := b.values(w.name, s.target.Name, w.rate)
			if len(rates) == 0 {
				continue
			}
			number := func(of func(measured) float64) float64 { return median(b.values(w.name, s.target.Name, of)) }
			say(b.out, "%-13s %-8s %27s %-6s %9.3f %9.3f %9.3f %9.3f", w.name, s.target.Name,
				fmt.Sprintf("%.1f (%.1f … %.1f)", median(rates), w.worst(rates), w.best(rates)), w.unit,
				number(func(m measured) float64 { return ms(m.P50) }), number(func(m measured) float64 { return ms(m.P99) }),
				number(serverCost), number(clientCost))
		}
	}
}

// promise is what Shoal has to be, compared with ganesha.
type promise struct {
	workload string
	what     string
	number   func(measured) float64 // nil is the workload's rate
	limit    float64                // of Shoal's number divided by ganesha's
	atMost   bool
}

var promises = []promise{
	{workload: "read-1M-x8", what: "MB/s", limit: 1},
	{workload: "read-1M-x8", what: "CPU s/GB", number: serverCost, limit: 0.6, atMost: true},
	{workload: "read-4K-x64", what: "ops/s", limit: 3},
	{workload: "getattr-x64", what: "ops/s", limit: 4},
	{workload: "readdirplus", what: "time", limit: 0.1, atMost: true},
}

// judge prints whether the promises are kept, of what was measured.
func (b *bench) judge() {
	say(b.out, "")
	for _, p := range promises {
		ratio, ok := b.ratio(p)
		if !ok {
			continue
		}
		sign, kept := "≥", ratio >= p.limit
		if p.atMost {
			sign, kept = "≤", ratio <= p.limit
		}
		b.verdict(kept, "%-13s %-9s %s is %.2f × %s, has to be %s %.2f",
			p.workload, p.what, shoalName, ratio, ganeshaName, sign, p.limit)
	}
}

// ratio returns the median of Shoal divided by that of ganesha.
func (b *bench) ratio(p promise) (float64, bool) {
	number := p.number
	for _, w := range workloads() {
		if number == nil && w.name == p.workload {
			number = w.rate
		}
	}
	ours := b.values(p.workload, shoalName, number)
	theirs := b.values(p.workload, ganeshaName, number)
	if len(ours) == 0 || len(theirs) == 0 {
		return 0, false
	}
	return median(ours) / median(theirs), true
}
