package torrents

import (
	"errors"
	"testing"
)

func TestLimits(t *testing.T) {
	opts := testOptions(t, newRecorder())
	opts.CacheLimit, opts.Swarm.DownLimit = 1000, 2000
	l := mustOpen(t, opts)
	set := func(value int64) LimitChange { return LimitChange{Set: true, Value: &value} }
	for _, step := range []struct {
		change LimitsChange
		want   Limits
	}{
		{LimitsChange{}, Limits{Limit{1000, false}, Limit{2000, false}, Limit{0, false}}},
		{LimitsChange{Cache: set(5)}, Limits{Limit{5, true}, Limit{2000, false}, Limit{0, false}}},
		{LimitsChange{Down: set(0), Up: set(1 << 40)}, Limits{Limit{5, true}, Limit{0, true}, Limit{1 << 40, true}}},
		{LimitsChange{Down: LimitChange{Set: true}}, Limits{Limit{5, true}, Limit{2000, false}, Limit{1 << 40, true}}},
	} {
		got, err := l.ChangeLimits(step.change)
		if err != nil || got != step.want || got != l.Limits() {
			t.Errorf("%+v: %+v and then %+v (%v), want %+v", step.change, got, l.Limits(), err, step.want)
		}
	}
	var bad *InputError
	for _, change := range []LimitsChange{{Cache: set(-1)}, {Down: set(-1)}, {Up: set(-1)}, {Up: set(7), Down: set(-7)}} {
		if _, err := l.ChangeLimits(change); !errors.As(err, &bad) {
			t.Errorf("%+v: %v, want an InputError", change, err)
		}
	}
	before := l.Limits()
	l, _ = reopen(t, l)
	if got := l.Limits(); got != before {
		t.Errorf("after a restart %+v, want %+v", got, before)
	}
}
