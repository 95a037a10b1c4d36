package cache

import (
	"maps"
	"testing"
)

// TestEvictions counts pieces by why they went: of open torrents and of closed ones, of such that nobody has looked at since the start, too.
func TestEvictions(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir, 8*tenCost)
	check := func(what string, room, request, removed int64) {
		t.Helper()
		want := map[Reason]int64{ForRoom: room, OnRequest: request, OnRemoval: removed}
		if got := c.Evictions(); !maps.Equal(got, want) {
			t.Errorf("%s the evictions are %v, want %v", what, got, want)
		}
	}
	open := mustOpen(t, c, keyOf(0), ten)
	fill(t, open, Span{0, 9})
	check("at first", 0, 0, 0)
	freed, err := open.Evict(Span{2, 4})
	if err != nil || freed == 0 {
		t.Fatalf("evict: %d bytes, %v", freed, err)
	}
	there, _ := open.Counts()
	gone := int64(10 - there)
	check("after a request", 0, gone, 0)
	mustClose(t, open)

	if err := c.Remove(keyOf(0)); err != nil {
		t.Fatal(err)
	}
	check("after the removal", 0, gone, int64(there))

	unseen := mustOpen(t, c, keyOf(1), ten)
	fill(t, unseen, Span{0, 6})
	mustClose(t, unseen)
	c = openCache(t, dir, 8*tenCost)
	if err := c.Remove(keyOf(1)); err != nil {
		t.Fatal(err)
	}
	check("after the removal of what nobody has looked at", 0, 0, 7)
	if err := c.Remove(keyOf(2)); err != nil {
		t.Fatal(err)
	}
	check("after the removal of nothing", 0, 0, 7)

	closed := mustOpen(t, c, keyOf(3), ten)
	fill(t, closed, Span{0, 9})
	mustClose(t, closed)
	used := mustOpen(t, c, keyOf(4), ten)
	fill(t, used, Span{0, 9})
	c.SetLimit(blockSize / 2) // less than the files of an empty torrent
	await(t, "all pieces are evicted", func() bool {
		all := haveAll(c, &ten, 5)
		return all[3]+all[4] == 0
	})
	await(t, "all are counted", func() bool { return c.Evictions()[ForRoom] >= 20 })
	check("below the limit", 20, 0, 7)
}
