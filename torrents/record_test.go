package torrents

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestFormat1 opens a library that a version wrote which had format 1.
func TestFormat1(t *testing.T) {
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Routes = nil
	if err := os.CopyFS(opts.DataDir, os.DirFS("testdata/format1")); err != nil {
		t.Fatal(err)
	}
	album := Infohash{0x1d, 0xff, 0xb5, 0x80, 0xbf, 0x94, 0x7f, 0xc3, 0x80, 0x55, 0x05, 0xb4, 0xe5, 0x7c, 0xc0, 0x5e, 0xea, 0x6b, 0xea, 0x10}
	check := func(l *Library, rec *recorder) {
		t.Helper()
		if got := names(listed(l)); !slices.Equal(got, []string{"a link", "album"}) {
			t.Errorf("torrents %q", got)
		}
		for _, got := range listed(l) {
			if want := map[string]State{"a link": StateMetadata, "album": StateIdle}[got.Name]; got.State != want || got.Paused || got.Pinned {
				t.Errorf("%+v, want it %s", got, want)
			}
		}
		shown := rec.await(t, album)
		if rec.routes[shown.Route].Name != "films" || shown.FirstID != 4 || shown.Size != 20005 {
			t.Errorf("shown: %+v", shown)
		}
		if files := mustLoad(t, shown); len(files) != 2 {
			t.Errorf("%d files, want 2", len(files))
		}
		if got, want := l.Limits(), (Limits{Cache: Limit{Value: opts.CacheLimit}}); got != want {
			t.Errorf("limits %+v, want those of the options, %+v", got, want)
		}
	}
	l := mustOpen(t, opts)
	check(l, rec)
	// It has the new format from the start on, so that an older version does not overlook what comes.
	b, err := os.ReadFile(l.statePath())
	if err != nil || !strings.Contains(string(b), `"format": 2`) {
		t.Errorf("library.json is %s (%v), want format 2", b, err)
	}
	check(reopen(t, l))
}
