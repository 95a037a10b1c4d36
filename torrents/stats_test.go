package torrents

import (
	"maps"
	"strings"
	"testing"
)

func TestStats(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"a": randomBytes(100_000)})
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, startPeer(t, s).addr))
	mustAdd(t, l, "r", s.metainfo)
	mustAdd(t, l, "r", tiny(t, "idle", 4))
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+strings.Repeat("ab", 20)); err != nil {
		t.Fatal(err)
	}
	if got := l.Stats(); len(got.Torrents) != len(States()) || got.Torrents[StateIdle] != 2 || got.Torrents[StateMetadata] != 1 ||
		got.Size != 100_005 || got.Cached != 0 || got.OpenFiles != 0 || got.Received != 0 {
		t.Errorf("at first the stats are %+v", got)
	}
	f := mustLoad(t, rec.await(t, s.infohash))[0]
	if _, err := f.ReadAt(t.Context(), make([]byte, 30_000), 0); err != nil {
		t.Fatal(err)
	}
	await(t, "the peer is counted", func() bool { return l.Stats().Peers == 1 })
	if got := l.Stats(); got.Torrents[StateIdle] != 1 || got.Torrents[StateActive] != 1 || got.Cached != 32<<10 ||
		got.OpenFiles != 2 || got.Received < 32<<10 || got.DownRate == 0 || got.Members < 1 {
		t.Errorf("after reading the stats are %+v", got)
	}
	if got, used := l.Activity(); got.Peers != 1 || got.DownRate == 0 || used < 32<<10 {
		t.Errorf("after reading the activity is %+v with a cache of %d bytes", got, used)
	}
	if _, err := l.Evict(s.infohash, ""); err != nil {
		t.Fatal(err)
	}
	if got := l.Stats().Evicted; !maps.Equal(got, map[string]int64{"room": 0, "request": 2, "removed": 0}) {
		t.Errorf("after 2 pieces were evicted on request, the evictions are %v", got)
	}
}
