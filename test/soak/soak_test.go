//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"shoal/test/debian"
	"shoal/test/libtorrent"
)

// TestSoak runs it for seconds, with a restart, and a cache that has room for everything.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the appliance and takes seconds of the clock")
	}
	debian.Install(t, libtorrent.Package)
	var out bytes.Buffer
	err := start(t.Context(), []string{
		"-dir", t.TempDir(), "-for", "6s", "-report", "2s", "-life", "3s", "-size", "4", "-rate", "20", "-seed", "1",
	}, &out)
	t.Logf("it printed:\n%s", &out)
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"serves again after", "were read and compared", "\nPASS\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
}

func TestGrow(t *testing.T) {
	life := func(numbers ...int64) (samples []sample) {
		for _, n := range numbers {
			for range 10 {
				samples = append(samples, sample{at: time.Time{}, heap: n})
			}
		}
		return samples
	}
	heap := func(s sample) int64 { return s.heap }
	for _, tt := range []struct {
		name  string
		life  []sample
		known bool
		grew  bool
	}{
		{"nothing", nil, false, false},
		{"too short", life(5)[:9], false, false},
		{"level", life(100, 100, 100, 100), true, false},
		{"fills its pools", life(10, 100, 100, 100, 100, 100, 100, 100, 100, 100), true, false},
		{"up and down", life(100, 120, 90, 120), true, false},
		{"grows", life(100, 120, 140, 160), true, true},
		{"shrinks", life(160, 140, 120, 100), true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, known := grow(tt.life, heap)
			if known != tt.known || known && g.exceeds(10) != tt.grew {
				t.Errorf("%+v, known %v", g, known)
			}
		})
	}
}
