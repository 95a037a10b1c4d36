//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is what the process takes at a moment.
type sample struct {
	at          time.Time
	rss, heap   int64 // bytes
	goroutines  int64
	descriptors int64
	cpu         time.Duration
}

// takeSample asks the process itself, and the kernel. The API has to be in use, so that the process lives.
func (a *appliance) takeSample(ctx context.Context) (s sample, err error) {
	s.at = time.Now()
	pid := a.cmd.Process.Pid
	if s.rss, err = memory(pid); err != nil {
		return s, err
	}
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return s, err
	}
	s.descriptors = int64(len(descriptors))
	metrics, err := a.fetch(ctx, http.MethodGet, "/metrics", "", nil, http.StatusOK)
	if err != nil {
		return s, err
	}
	cpu, err := metric(metrics, "process_cpu_seconds_total")
	if err != nil {
		return s, err
	}
	s.cpu = time.Duration(cpu * float64(time.Second))
	for name, value := range map[string]*int64{
		"go_memstats_heap_inuse_bytes": &s.heap, "go_goroutines": &s.goroutines,
	} {
		number, err := metric(metrics, name)
		if err != nil {
			return s, err
		}
		*value = int64(number)
	}
	return s, nil
}

func memory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no memory", pid)
}

// metric finds a metric without labels.
func metric(metrics []byte, name string) (float64, error) {
	for line := range bytes.Lines(metrics) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			return strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// diskUse is how much of a disk is taken by what is below a folder, holes left out.
func diskUse(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return gone(err)
		}
		info, err := e.Info()
		if err != nil {
			return gone(err)
		}
		const block = 512 // stat(2)
		sum += info.Sys().(*syscall.Stat_t).Blocks * block
		return nil
	})
	return sum, err
}

// gone leaves out the error of a file that was removed in the meantime.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// growth is how a number went from the first quarter of a life to the last one.
type growth struct{ first, last int64 }

// grow compares the medians of both. The first tenth is left out, as a process has to fill its pools.
// It is not known of a life with few samples.
func grow(life []sample, number func(sample) int64) (growth, bool) {
	life = life[len(life)/10:]
	quarter := len(life) / 4
	if quarter < 3 {
		return growth{}, false
	}
	return growth{middle(life[:quarter], number), middle(life[len(life)-quarter:], number)}, true
}

func middle(samples []sample, number func(sample) int64) int64 {
	all := make([]int64, len(samples))
	for i, s := range samples {
		all[i] = number(s)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// exceeds says whether that is more than the ups and downs of a load that changes.
func (g growth) exceeds(spare int64) bool { return g.last > g.first+g.first/4+spare }
