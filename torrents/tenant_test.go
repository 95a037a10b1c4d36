package torrents

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// recordingKeeper notes what it is asked to remove.
type recordingKeeper struct {
	mu    sync.Mutex
	asked []string
}

func (k *recordingKeeper) note(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, fmt.Sprintf(format, args...))
}

func (k *recordingKeeper) Free(int64, time.Time, bool) int64 { return 0 }

func (k *recordingKeeper) Evict(ih Infohash, files []int) int64 {
	k.note("evict %v of %s", files, ih)
	return 5
}

func (k *recordingKeeper) Forget(ih Infohash) error {
	k.note("forget %s", ih)
	return nil
}

// TestTenant asks a tenant for what is evicted and removed, and counts what it has.
func TestTenant(t *testing.T) {
	s := newSample(t, "album", 32<<10, map[string][]byte{"a/1": randomBytes(1000), "a/2": randomBytes(50_000), "b": randomBytes(10)})
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, startPeer(t, s).addr))
	mustAdd(t, l, "r", s.metainfo)
	if got := l.Infohashes(); !slices.Equal(got, []Infohash{s.infohash}) {
		t.Errorf("the torrents are %v", got)
	}
	k := &recordingKeeper{}
	tenant := l.Lodge("keeper", 2, k)
	before := l.Stats().CacheUsed
	tenant.Add(4096)
	if got := l.Stats().CacheUsed - before; got != 4096 {
		t.Errorf("%d bytes more are used", got)
	}
	if got := l.Stats().Lodged; len(got) != 1 || got["keeper"] != 4096 {
		t.Errorf("tenants have %v", got)
	}
	for _, path := range []string{"a", "b", ""} {
		if freed, err := l.Evict(s.infohash, path); freed != 5 || err != nil {
			t.Errorf("evicting %q: %d bytes, %v", path, freed, err)
		}
	}
	if _, err := l.Evict(s.infohash, "nothing"); err == nil {
		t.Error("what is not there was evicted")
	}
	if err := l.Remove(s.infohash); err != nil {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprintf("evict [0 1] of %s", s.infohash), fmt.Sprintf("evict [2] of %s", s.infohash), fmt.Sprintf("evict [] of %s", s.infohash),
		fmt.Sprintf("forget %s", s.infohash),
	}
	if !slices.Equal(k.asked, want) {
		t.Errorf("asked for %q, want %q", k.asked, want)
	}
}
