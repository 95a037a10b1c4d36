package admin

import (
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"shoal/admin/history"
)

// sampled is the past of some seconds. It is called in a bubble of synctest.
func sampled(t *testing.T, seconds int, sample func(second int) history.Sample) *history.History {
	t.Helper()
	n := 0
	h := history.New(func() history.Sample { n++; return sample(n) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second-time.Millisecond)
	defer cancel()
	h.Run(ctx)
	return h
}

// pastJSON is historyJSON as clients see it.
type pastJSON struct {
	Start, Step int64
	Series      map[string][]*float64
}

func TestHistory(t *testing.T) {
	s := openSite(t)
	synctest.Test(t, func(t *testing.T) {
		s.history = sampled(t, 120, func(n int) history.Sample {
			return history.Sample{DownRate: float64(n) * 1e6, Read: uint64(n) * 1e9, CacheUsed: 20 << 30, Readers: float64(n % 2)}
		})
	})
	s.handler = s.at("/")
	past := decode[pastJSON](t, s.get(t, "/api/v1/stats/history"))
	if past.Step != 1 || past.Start != time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() {
		t.Errorf("the history begins at %d by %d s, want the start of the bubble by 1", past.Start, past.Step)
	}
	got, want := slices.Sorted(maps.Keys(past.Series)), slices.Sorted(slices.Values(history.Series()))
	if !slices.Equal(got, want) {
		t.Errorf("the history has the series %q, want %q", got, want)
	}
	read := past.Series["read_rate"]
	if len(read) != 120 || read[0] != nil || read[1] == nil || *read[1] != 1e9 {
		t.Errorf("the rate of reads has %d values and begins %v, want 120, null and then 1e9", len(read), read[:2])
	}
	if used := past.Series["cache_used"][0]; used == nil || *used != 20<<30 {
		t.Errorf("the cache is %v, want 20 GiB", used)
	}

	past = decode[pastJSON](t, s.get(t, "/api/v1/stats/history?range=24h&points=864"))
	if down := past.Series["down_rate"]; past.Step != 100 || len(down) != 2 || *down[1] != 110.5e6 {
		t.Errorf("by %d s the rates are %d, want 2 by 100 s, the last one of 110.5e6", past.Step, len(down))
	}
	for _, query := range []string{"range=1y", "points=0", "points=10001", "points=x", "range=%3Cscript%3E"} {
		wantStatus(t, s.get(t, "/api/v1/stats/history?"+query), http.StatusBadRequest)
	}
}

func TestHistoryWithoutAPast(t *testing.T) {
	a := openSite(t).get(t, "/api/v1/stats/history?range=30d")
	past := decode[pastJSON](t, a)
	if past.Start != 0 || len(past.Series) != len(history.Series()) {
		t.Errorf("without a past there is %s", a.body)
	}
}

func TestColumnsAreShort(t *testing.T) {
	list := jsonList{0, 1.0 / 3, 999.99, 1000.5, 1 << 40, float32(math.NaN())}
	b, err := list.MarshalJSON()
	if want := "[0,0.33,999.99,1000,1099511627776,null]"; err != nil || string(b) != want {
		t.Errorf("%v is %s (%v), want %s", list, b, err, want)
	}
}
