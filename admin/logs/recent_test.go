package logs

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// filled is a log of records that are called m1, m2 and so on, of the levels debug, info, warning, error in turn.
func filled(n, maxRecords, maxBytes int) *Recent {
	recent := NewRecent(maxRecords, maxBytes)
	for i := 1; i <= n; i++ {
		recent.add(&Record{
			Level: slog.Level(4 * ((i - 1) % 4)), Message: fmt.Sprintf("m%d", i), Attrs: []Attr{{"Name", fmt.Sprintf("Value-%d", i%3)}},
		})
	}
	return recent
}

func ids(p Page) []uint64 {
	list := []uint64{}
	for _, r := range p.Records {
		list = append(list, r.ID)
	}
	return list
}

func TestRecords(t *testing.T) {
	recent := filled(12, 10, 1<<20)
	for _, test := range []struct {
		q    Query
		want []uint64
		next uint64
	}{
		{Query{}, []uint64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3}, 0},
		{Query{Level: slog.LevelError}, []uint64{12, 11, 8, 7, 4, 3}, 0}, // levels 8 and 12
		{Query{Limit: 3}, []uint64{12, 11, 10}, 10},
		{Query{Limit: 3, Before: 5}, []uint64{4, 3}, 0},
		{Query{Limit: 2, Before: 5}, []uint64{4, 3}, 0},
		{Query{After: 10}, []uint64{12, 11}, 0},
		{Query{After: 10, Limit: 1}, []uint64{12}, 12},
		{Query{After: 12}, []uint64{}, 0},
		{Query{Text: "M1"}, []uint64{12, 11, 10}, 0},
		{Query{Text: "name=value-1"}, []uint64{10, 7, 4}, 0},
		{Query{Text: "nothing"}, []uint64{}, 0},
	} {
		page := recent.Records(test.q)
		if got := ids(page); !slices.Equal(got, test.want) || page.Next != test.next {
			t.Errorf("%+v gives %v and then %d, want %v and %d", test.q, got, page.Next, test.want, test.next)
		}
	}
	if got := recent.Newest(); got != 12 {
		t.Errorf("the newest is %d, want 12", got)
	}
}

func TestBytesAreBounded(t *testing.T) {
	const limit = 64 << 10
	recent := NewRecent(1<<20, limit)
	log := slog.New(NewHandler(slog.NewTextHandler(new(bytes.Buffer), nil), recent))
	for i := range 1000 {
		log.Info("m", "value", strings.Repeat("x", i*10))
	}
	sum := 0
	for _, r := range recent.Records(Query{}).Records {
		sum += r.size()
	}
	if sum != recent.bytes || sum > limit || sum < limit/2 {
		t.Errorf("%d bytes are kept, counted as %d; want nearly %d", sum, recent.bytes, limit)
	}
	recent = NewRecent(10, 1)
	slog.New(NewHandler(slog.NewTextHandler(new(bytes.Buffer), nil), recent)).Info("m")
	if got := len(recent.Records(Query{}).Records); got != 1 {
		t.Errorf("%d records are kept, want at least the last", got)
	}
}

// TestLogWhileReading is for the race detector.
func TestLogWhileReading(t *testing.T) {
	recent := NewRecent(100, 1<<20)
	log := slog.New(NewHandler(slog.NewTextHandler(new(bytes.Buffer), nil), recent))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				log.With("a", 1).Info("m", "b", 2)
			}
		})
		all.Go(func() {
			var last uint64
			for last < 800 {
				page := recent.Records(Query{After: last, Text: "b=2"})
				if len(page.Records) == 0 {
					runtime.Gosched()
					continue
				}
				if got := ids(page); !slices.IsSortedFunc(got, func(a, b uint64) int { return int(b) - int(a) }) {
					t.Errorf("the records are %v", got)
				}
				last = page.Records[0].ID
			}
		})
	}
	all.Wait()
	if got := recent.Newest(); got != 800 {
		t.Errorf("the newest is %d, want 800", got)
	}
}

func BenchmarkSearch(b *testing.B) {
	recent := filled(DefaultRecords, DefaultRecords, DefaultBytes)
	for b.Loop() {
		recent.Records(Query{Text: "nothing", Limit: 100})
	}
}
