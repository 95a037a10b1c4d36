// Package history keeps what a few figures of the appliance were, in a fixed amount of memory: each second of the last ten minutes,
// each ten seconds of the last day, and each five minutes of the last thirty days. It starts empty.
package history

import (
	"context"
	"math"
	"sync"
	"time"
)

// Sample is what there is at a moment.
type Sample struct {
	DownRate, UpRate float64 // of the swarm, in bytes per second
	Read             uint64  // bytes that clients were sent since the start; the history makes a rate of it
	CacheUsed        float64 // in bytes
	Readers, Peers   float64
}

// The series, in the order of their columns.
const (
	downRate = iota
	upRate
	readRate
	cacheUsed
	readers
	peers
	seriesCount
)

// names are those of the series.
var names = [seriesCount]string{"down_rate", "up_rate", "read_rate", "cache_used", "readers", "peers"}

// Series lists the names of the series.
func Series() []string { return names[:] }

const (
	// interval is the time between samples.
	interval = time.Second
	// late is how late a sample may be on a busy machine and still stand for the seconds before it. When more is missing, the
	// machine slept.
	late = 5 * time.Second
)

// ranges are what can be asked for: seconds of a value, and how many values.
var ranges = []struct {
	name         string
	step, length int64
}{
	{"10m", 1, 600},
	{"24h", 10, 8640},
	{"30d", 300, 8640},
}

// Ranges lists the names of what Range knows.
func Ranges() []string {
	var list []string
	for _, r := range ranges {
		list = append(list, r.name)
	}
	return list
}

// History is the figures of the past.
type History struct {
	sample func() Sample

	mu    sync.Mutex // held for moments
	rings []*ring
	last  time.Time // of the last sample, zero before the first
	since time.Duration
	read  uint64
	rate  float64 // of the last sample, in bytes per second
}

// New returns a history without a past. Run fills it.
func New(sample func() Sample) *History {
	h := &History{sample: sample}
	for _, r := range ranges {
		h.rings = append(h.rings, newRing(r.step, r.length))
	}
	return h
}

// Run takes a sample each second until ctx ends.
func (h *History) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		s := h.sample()
		h.add(time.Now(), s)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// add notes what there was at a time.
func (h *History) add(now time.Time, s Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	values := [seriesCount]float64{
		downRate: s.DownRate, upRate: s.UpRate, readRate: math.NaN(), cacheUsed: s.CacheUsed, readers: s.Readers, peers: s.Peers,
	}
	at, first := int64(0), int64(0)
	h.rate = 0
	if !h.last.IsZero() {
		passed := elapsed(h.last, now)
		if s.Read >= h.read && passed > 0 {
			h.rate = float64(s.Read-h.read) / passed.Seconds()
			values[readRate] = h.rate
		}
		before := h.second()
		h.since += passed
		at = h.second()
		first = at
		if passed <= late {
			first = min(before+1, at)
		}
	}
	h.last, h.read = now, s.Read
	for second := first; second <= at; second++ {
		for _, r := range h.rings {
			r.add(second, &values)
		}
	}
}

// ReadRate returns how many bytes per second clients were sent before the last sample; 0 while that is not known.
func (h *History) ReadRate() float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rate
}

// second is the number of the last sample's second since the first, rounded as the ticker may be early or late.
func (h *History) second() int64 { return int64(h.since.Round(interval) / interval) }

// elapsed is how much later b is than a, which were both now. The monotonic clock does not care when somebody sets the time, but stands
// still while the machine sleeps; then the other one is ahead.
func elapsed(a, b time.Time) time.Duration {
	return max(b.Sub(a), b.Round(0).Sub(a.Round(0)), 0)
}

// Columns are a range of the past: for each series its values, the oldest first, NaN where there are none.
type Columns struct {
	Start  time.Time     // of the first value
	Step   time.Duration // of each value, the mean over it
	Series map[string][]float32
}

// Range returns a range, one of Ranges, from when there is something on; false if there is no such range. Where it has more than
// so many points, some are put together: what is put together stays so from call to call.
func (h *History) Range(name string, points int) (Columns, bool) {
	for i, r := range ranges {
		if r.name != name {
			continue
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.columns(h.rings[i], int64(max(points, 1))), true
	}
	return Columns{}, false
}

// columns needs h.mu.
func (h *History) columns(r *ring, points int64) Columns {
	group := (r.length + points - 1) / points
	c := Columns{Step: time.Duration(r.step*group) * time.Second, Series: make(map[string][]float32, seriesCount)}
	from, to := r.first(), r.slot+1
	if r.empty() {
		from, to = 0, 0
	}
	from -= from % group
	for i, name := range names {
		c.Series[name] = r.means(i, from, to, group)
	}
	// By the time of the last sample, as the clock may have been set since the first.
	c.Start = h.last.Add(time.Duration(from*r.step-h.second()) * time.Second).Round(0)
	if h.last.IsZero() {
		c.Start = time.Time{}
	}
	return c
}
