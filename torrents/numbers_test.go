package torrents

import (
	"errors"
	"slices"
	"testing"
)

// TestNumbers takes file ids for what is inside files. They are the same after a restart, and nobody else gets them.
func TestNumbers(t *testing.T) {
	rec := newRecorder()
	opts := testOptions(t, rec)
	l := mustOpen(t, opts)
	folder := v1(t, "folder", file(1, "x.zip"), file(2, "y", "z.zip"))
	mustAdd(t, l, "r", folder)
	ih := infohashOf(t, folder)
	shown := rec.await(t, ih)
	if first := shown.FirstID + 1 + 2 + 1; shown.ArchiveIDs != first {
		t.Errorf("the files have the ids from %d on as folders, want %d: after those of the top, two files and a folder", shown.ArchiveIDs, first)
	}
	take := func(n Numbers, place string, want int) []IDRun {
		t.Helper()
		runs, err := n.Take(place, want)
		if err != nil {
			t.Fatal(err)
		}
		return runs
	}
	a := take(shown.Numbers, "0", 10)
	b := take(shown.Numbers, "1", 5)
	more := take(shown.Numbers, "0", 12)
	if len(a) != 1 || len(b) != 1 || len(more) != 2 || more[0] != a[0] || more[1].N != 2 {
		t.Errorf("taken were %+v, %+v and %+v", a, b, more)
	}
	if again := take(shown.Numbers, "0", 3); !slices.Equal(again, more) {
		t.Errorf("the same are %+v another time", again)
	}
	if least := shown.ArchiveIDs + 2; a[0].First < least {
		t.Errorf("taken was %d, which is below %d", a[0].First, least)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := shown.Numbers.Take("0", 100); !errors.Is(err, ErrClosed) {
		t.Errorf("taking some of a closed library: %v", err)
	}

	// Also when library.json is lost, which says which are taken.
	opts.Watcher = newRecorder()
	l = mustOpen(t, opts)
	n := Numbers{l, ih}
	if again := take(n, "0", 12); !slices.Equal(again, more) {
		t.Errorf("after a restart they are %+v", again)
	}
	for _, test := range []struct {
		id    uint64
		place string
		at    int
		ok    bool
	}{
		{a[0].First, "0", 0, true},
		{a[0].First + 9, "0", 9, true},
		{a[0].First + 10, "1", 0, true},
		{b[0].First + 4, "1", 4, true},
		{more[1].First + 1, "0", 11, true},
		{more[1].First + 2, "", 0, false},
		{a[0].First - 1, "", 0, false},
		{0, "", 0, false},
	} {
		if place, at, ok := n.Find(test.id); place != test.place || at != test.at || ok != test.ok {
			t.Errorf("the file id %d is %d of %q, %v; want %+v", test.id, at, place, ok, test)
		}
	}
	mustAdd(t, l, "r", tiny(t, "new", 2))
	if rec := l.entries[infohashOf(t, tiny(t, "new", 2))].record(); rec.FirstID < more[1].First+2 {
		t.Errorf("a torrent that is added has the file ids from %d on, which are taken up to %d", rec.FirstID, more[1].First+1)
	}
	if _, err := (Numbers{l, Infohash{9}}).Take("0", 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("taking some of a torrent that is not there: %v", err)
	}
	if _, err := n.Take("2", maxRun+1); err == nil {
		t.Error("one file got more than it may")
	}
}

// TestOldArchiveIDs has torrents that an earlier version has added: no file of them has the id of another one, as a folder.
func TestOldArchiveIDs(t *testing.T) {
	a, b := torrentRecord{FirstID: 5, IDs: 3}, torrentRecord{FirstID: 8, IDs: 3}
	if a.archiveIDs()+a.IDs > b.archiveIDs() || a.archiveIDs() < oldArchiveIDs {
		t.Errorf("they are from %d and from %d on", a.archiveIDs(), b.archiveIDs())
	}
}

func TestCheckRuns(t *testing.T) {
	for name, runs := range map[string][]IDRun{
		"not ascending": {{"0", 10, 5}, {"1", 14, 5}},
		"empty":         {{"0", 10, 0}},
		"negative":      {{"0", 10, -1}},
		"of the root":   {{"0", 1, 1}},
		"too many":      {{"0", 10, maxRun + 1}},
		"too high":      {{"0", 1 << 63, 1}},
	} {
		if checkRuns(runs) == nil {
			t.Errorf("%s: they are taken", name)
		}
	}
	if err := checkRuns([]IDRun{{"0", 10, 5}, {"1", 15, 1}}); err != nil {
		t.Error(err)
	}
}
