package torrents

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// TestManyNumbers looks into very many archives of a torrent: each costs a line in a file, not all that came before it.
func TestManyNumbers(t *testing.T) {
	const archives = 3000
	opts := testOptions(t, newRecorder())
	l := mustOpen(t, opts)
	meta := v1(t, "folder", file(1, "x.gz"))
	mustAdd(t, l, "r", meta)
	ih := infohashOf(t, meta)
	n := Numbers{l, ih}
	record, err := os.ReadFile(l.recordPath(ih))
	if err != nil {
		t.Fatal(err)
	}
	var runs []IDRun
	written := 0
	for i := range archives {
		before, err := os.Stat(l.statePath())
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.Take(strconv.Itoa(i), 2)
		if err != nil || len(got) != 1 || got[0].N != 2 {
			t.Fatalf("taken for %d: %+v, %v", i, got, err)
		}
		runs = append(runs, got...)
		if after, err := os.Stat(l.statePath()); err != nil || !os.SameFile(before, after) {
			written++
		}
	}
	if written != 1 {
		t.Errorf("library.json was written %d times for %d archives, want once", written, archives)
	}
	if after, err := os.ReadFile(l.recordPath(ih)); err != nil || !bytes.Equal(after, record) {
		t.Errorf("the record became %s (%v)", after, err)
	}
	if _, err := readIDs(l.idsPath(ih), nil); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	// A crash may leave a part of a line, of which nobody was told.
	f, err := os.OpenFile(l.idsPath(ih), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"place":"torn","first":1`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		opts.Watcher = newRecorder()
		l = mustOpen(t, opts)
		n = Numbers{l, ih}
		for i, run := range runs {
			if got, err := n.Take(run.Place, 2); err != nil || !slices.Equal(got, runs[i:i+1]) {
				t.Fatalf("after a restart those of %q are %+v, %v; want %+v", run.Place, got, err, run)
			}
		}
		got, err := n.Take("another", 1)
		if err != nil || got[0].First <= runs[len(runs)-1].First+1 {
			t.Fatalf("another one got %+v, %v", got, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l = mustOpen(t, opts)
	if err := l.Remove(ih); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.idsPath(ih)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a torrent that is removed its file ids are still there: %v", err)
	}
}

// TestNumbersDamaged: file ids that cannot be read are not given anew, as clients may have them.
func TestNumbersDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":       "{\"place\":\"0\",\"first\":90,\"n\":5}\nrubbish\n",
		"not ascending": "{\"place\":\"0\",\"first\":90,\"n\":5}\n{\"place\":\"1\",\"first\":91,\"n\":5}\n",
	} {
		t.Run(name, func(t *testing.T) {
			opts := testOptions(t, newRecorder())
			l := mustOpen(t, opts)
			meta := v1(t, "folder", file(1, "x.gz"))
			mustAdd(t, l, "r", meta)
			ih := infohashOf(t, meta)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(l.idsPath(ih), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, opts)
			if got, err := l.Torrent(ih); err != nil || got.State != StateFailed || !strings.Contains(got.Reason, "file ids") {
				t.Errorf("the torrent is %+v, %v", got, err)
			}
			pinned := true
			if got, err := l.ChangeTorrent(ih, TorrentChange{Pinned: &pinned}); err == nil && got.State != StateFailed {
				t.Errorf("a change made it %+v", got)
			}
			if b, err := os.ReadFile(l.idsPath(ih)); err != nil || string(b) != text {
				t.Errorf("the file became %q, %v", b, err)
			}
		})
	}
}

// TestNumbersUnread: the disk could not be read when the library was opened. Once it can, the file ids are those that clients have.
func TestNumbersUnread(t *testing.T) {
	opts := testOptions(t, newRecorder())
	l := mustOpen(t, opts)
	meta := v1(t, "folder", file(1, "x.gz"))
	mustAdd(t, l, "r", meta)
	ih := infohashOf(t, meta)
	first, err := Numbers{l, ih}.Take("0", 5)
	if err != nil {
		t.Fatal(err)
	}
	path := l.idsPath(ih)
	err = errors.Join(l.Close(), os.Rename(path, path+".away"), os.Mkdir(path, 0o700)) // root could read a file of any mode
	if err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, opts)
	if got, err := l.Torrent(ih); err != nil || got.State != StateFailed || !strings.Contains(got.Reason, path) {
		t.Errorf("the torrent is %+v, %v", got, err)
	}
	if err := errors.Join(os.Remove(path), os.Rename(path+".away", path)); err != nil {
		t.Fatal(err)
	}
	pinned := true
	if got, err := l.ChangeTorrent(ih, TorrentChange{Pinned: &pinned}); err != nil || got.State == StateFailed {
		t.Fatalf("a change made it %+v, %v", got, err)
	}
	for range 2 {
		n := Numbers{l, ih}
		if got, err := n.Take("0", 5); err != nil || !slices.Equal(got, first) {
			t.Errorf("they are %+v, %v; want %+v", got, err, first)
		}
		if _, err := n.Take("1", 5); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, opts)
	}
}

// TestOldNumbers has a record as an earlier version wrote it, with the file ids in it.
func TestOldNumbers(t *testing.T) {
	opts := testOptions(t, newRecorder())
	l := mustOpen(t, opts)
	meta := v1(t, "folder", file(1, "x.gz"))
	mustAdd(t, l, "r", meta)
	ih := infohashOf(t, meta)
	rec := l.entries[ih].record()
	old := IDRun{"0", rec.FirstID + rec.IDs, 7}
	rec.Inner = []IDRun{old}
	if err := errors.Join(l.writeRecord(&rec), l.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l = mustOpen(t, opts)
		n := Numbers{l, ih}
		if got, err := n.Take("0", 7); err != nil || !slices.Equal(got, []IDRun{old}) {
			t.Errorf("the old ones are %+v, %v; want %+v", got, err, old)
		}
		if got, err := n.Take("1", 2); err != nil || len(got) != 1 || got[0].First < old.First+7 {
			t.Errorf("new ones are %+v, %v", got, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldArchiveIDs has torrents that an earlier version has added: no file of them has the id of another one, as a folder.
func TestOldArchiveIDs(t *testing.T) {
	a, b := torrentRecord{FirstID: 5, IDs: 3}, torrentRecord{FirstID: 8, IDs: 3}
	if a.archiveIDs()+a.IDs > b.archiveIDs() || a.archiveIDs() < oldArchiveIDs {
		t.Errorf("they are from %d and from %d on", a.archiveIDs(), b.archiveIDs())
	}
}

func TestIDsInOrder(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, runs := range map[string][]IDRun{
		"not ascending": {{"0", 10, 5}, {"1", 14, 5}},
		"empty":         {{"0", 10, 0}},
		"negative":      {{"0", 10, -1}},
		"of the root":   {{"0", 1, 1}},
		"too many":      {{"0", 10, maxRun + 1}},
		"too high":      {{"0", 1 << 63, 1}},
	} {
		if f, err := readIDs(none, runs); err == nil || len(f.runs) != len(runs)-1 || f.next() > 15 {
			t.Errorf("%s: %+v are taken: %v", name, f.runs, err)
		}
	}
	if f, err := readIDs(none, []IDRun{{"0", 10, 5}, {"1", 15, 1}}); err != nil || f.next() != 16 {
		t.Errorf("%+v, %v", f, err)
	}
}
