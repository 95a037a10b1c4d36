package history

import (
	"context"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// all is more points than any range has.
const all = 10_000

// mustRange returns a range, whose columns have to be of one length.
func mustRange(t testing.TB, h *History, name string, points int) Columns {
	t.Helper()
	c, ok := h.Range(name, points)
	if !ok {
		t.Fatalf("there is no range %q", name)
	}
	if len(c.Series) != len(Series()) {
		t.Fatalf("the range %s has %d series, want %q", name, len(c.Series), Series())
	}
	for _, s := range Series() {
		if len(c.Series[s]) != len(c.Series["peers"]) {
			t.Fatalf("%s has %d values, peers %d", s, len(c.Series[s]), len(c.Series["peers"]))
		}
	}
	return c
}

// equal says whether two columns are equal, NaN to NaN.
func equal(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(a, b float32) bool { return a == b || a != a && b != b })
}

var gap = float32(math.NaN())

func TestRunSamplesEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		n := 0
		h := New(func() Sample {
			n++
			return Sample{DownRate: float64(n), UpRate: float64(2 * n), Read: uint64(1000 * n), CacheUsed: 1 << 40, Readers: 3, Peers: float64(n)}
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); h.Run(ctx) }()
		time.Sleep(4*time.Second + interval/2)
		c := mustRange(t, h, "10m", all)
		for name, want := range map[string][]float32{
			"down_rate": {1, 2, 3, 4, 5}, "up_rate": {2, 4, 6, 8, 10}, "read_rate": {gap, 1000, 1000, 1000, 1000},
			"cache_used": {1 << 40, 1 << 40, 1 << 40, 1 << 40, 1 << 40}, "readers": {3, 3, 3, 3, 3}, "peers": {1, 2, 3, 4, 5},
		} {
			if got := c.Series[name]; !equal(got, want) {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if !c.Start.Equal(began) || c.Step != time.Second {
			t.Errorf("the range begins at %v with steps of %v, want %v and 1s", c.Start, c.Step, began)
		}
		time.Sleep(20 * time.Second)
		if got, want := mustRange(t, h, "24h", all).Series["peers"], []float32{5.5, 15.5, 23}; !equal(got, want) {
			t.Errorf("by ten seconds peers are %v, want the means %v", got, want)
		}
		cancel()
		<-done
	})
}

func TestLengths(t *testing.T) {
	h := New(nil)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const seconds = 26 * 3600
	for i := range seconds {
		h.add(begin.Add(time.Duration(i)*time.Second), Sample{Peers: float64(i)})
	}
	for _, test := range []struct {
		name        string
		points      int
		length      int
		start       int // seconds after begin
		step        time.Duration
		first, last float32
	}{
		{"10m", all, 600, seconds - 600, time.Second, seconds - 600, seconds - 1},
		{"24h", all, 8640, seconds - 24*3600, 10 * time.Second, seconds - 24*3600 + 4.5, seconds - 5.5},
		{"30d", all, 26 * 12, 0, 5 * time.Minute, 149.5, seconds - 150.5},
		{"24h", 864, 864, seconds - 24*3600, 100 * time.Second, seconds - 24*3600 + 49.5, seconds - 50.5},
		{"10m", 600, 600, seconds - 600, time.Second, seconds - 600, seconds - 1},
		{"10m", 0, 1, seconds - 600, 600 * time.Second, seconds - 300.5, seconds - 300.5},
	} {
		c := mustRange(t, h, test.name, test.points)
		peers := c.Series["peers"]
		if len(peers) != test.length || c.Step != test.step || !c.Start.Equal(begin.Add(time.Duration(test.start)*time.Second)) {
			t.Errorf("%s in %d points has %d from %v by %v, want %d from %d s by %v",
				test.name, test.points, len(peers), c.Start, c.Step, test.length, test.start, test.step)
			continue
		}
		if peers[0] != test.first || peers[len(peers)-1] != test.last {
			t.Errorf("%s in %d points is %v … %v, want %v … %v", test.name, test.points, peers[0], peers[len(peers)-1], test.first, test.last)
		}
	}
}

// TestGaps: the times of samples, in seconds, and the values that follow.
func TestGaps(t *testing.T) {
	for name, test := range map[string]struct {
		at   []float64
		want []float32
	}{
		"none":           {nil, []float32{}},
		"one":            {[]float64{0}, []float32{1}},
		"on time":        {[]float64{0, 1.4, 2, 2.6}, []float32{1, 2, 3, 4}},
		"late":           {[]float64{0, 1, 4, 5}, []float32{1, 2, 3, 3, 3, 4}},
		"twice a second": {[]float64{0, 1, 1.2, 2}, []float32{1, 2.5, 4}},
		"sleep":          {[]float64{0, 1, 8, 9}, []float32{1, 2, gap, gap, gap, gap, gap, gap, 3, 4}},
		"long sleep":     {[]float64{0, 1e6, 1e6 + 1}, append(slices.Repeat([]float32{gap}, 598), 2, 3)},
	} {
		t.Run(name, func(t *testing.T) {
			h := New(nil)
			begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for i, at := range test.at {
				h.add(begin.Add(time.Duration(at*float64(time.Second))), Sample{Peers: float64(i + 1)})
			}
			if got := mustRange(t, h, "10m", all).Series["peers"]; !equal(got, test.want) {
				t.Errorf("peers are %v, want %v", got, test.want)
			}
		})
	}
}

// TestClockSetBack: the values go on one after another, and end at the time that it is now.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(nil)
		h.add(time.Now(), Sample{Peers: 1})
		time.Sleep(time.Second)
		h.add(time.Now(), Sample{Peers: 2})
		back := time.Now().Round(0).Add(-time.Hour) // has no monotonic time, so that it seems to be before
		h.add(back, Sample{Peers: 4})
		if got := mustRange(t, h, "10m", all).Series["peers"]; len(got) > 2 {
			t.Errorf("a clock that was set back makes %d values, want no more than before", len(got))
		}
		h.add(back.Add(time.Second), Sample{Peers: 5})
		c := mustRange(t, h, "10m", all)
		last := c.Start.Add(time.Duration(len(c.Series["peers"])-1) * c.Step)
		if !last.Equal(back.Add(time.Second)) {
			t.Errorf("the last value is of %v, want %v", last, back.Add(time.Second))
		}
	})
}

func TestReadRateOfACounterThatBeginsAgain(t *testing.T) {
	h := New(nil)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, read := range []uint64{500, 700, 100, 150} {
		h.add(begin.Add(time.Duration(i)*time.Second), Sample{Read: read})
	}
	if got, want := mustRange(t, h, "10m", all).Series["read_rate"], []float32{gap, 200, gap, 50}; !equal(got, want) {
		t.Errorf("the rate is %v, want %v", got, want)
	}
}

func TestUnknownRange(t *testing.T) {
	if _, ok := New(nil).Range("1y", all); ok {
		t.Error("there is a range of a year, and it should not be known")
	}
}
