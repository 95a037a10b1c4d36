package torrents

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestAddMagnets(t *testing.T) {
	opts := testOptions(t, newRecorder())
	opts.Routes = []string{"r"}
	l := mustOpen(t, opts)
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+strings.Repeat("a", 40)+"&dn=known"); err != nil {
		t.Fatal(err)
	}
	unwritable := Infohash([]byte(strings.Repeat("\xbb", 20)))
	if err := os.Mkdir(l.recordPath(unwritable), 0o755); err != nil {
		t.Fatal(err)
	}
	links := []string{
		strings.Repeat("1", 40), "nonsense", "magnet:?xt=urn:btih:" + strings.Repeat("1", 40) + "&tr=http://t.example/announce",
		strings.Repeat("a", 40), unwritable.String(), "magnet:?xt=urn:btih:" + unwritable.String(), strings.Repeat("2", 40),
	}
	for i := range 100 {
		links = append(links, fmt.Sprintf("magnet:?xt=urn:btih:%040x&dn=n%03d", i+1000, i))
	}
	added, errs := l.AddMagnets("r", links)
	for i, want := range []string{"", "input", "exists", "exists", "write", "write", ""} {
		got := ""
		var input *InputError
		var exists *ExistsError
		var write *WriteError
		switch err := errs[i]; {
		case errors.As(err, &input):
			got = "input"
		case errors.As(err, &exists):
			got = "exists"
		case errors.As(err, &write):
			got = "write"
		case err != nil:
			got = err.Error()
		}
		if got != want {
			t.Errorf("adding %s fails with %q (%v), want %q", links[i], got, errs[i], want)
		}
	}
	if errs[2] != nil && errs[2].(*ExistsError).Trackers != 1 { //nolint:errorlint // it is the error itself
		t.Errorf("the second link to a torrent says %v, want that it brings a tracker", errs[2])
	}
	if err := errors.Join(errs[7:]...); err != nil {
		t.Error(err)
	}
	if added[7].Name != "n000" || added[7].Route != "r" || added[7].State != StateMetadata {
		t.Errorf("a link that was added is %+v", added[7])
	}
	before := names(listed(l))
	if len(before) != 103 {
		t.Errorf("there are %d torrents, want 103", len(before))
	}
	if _, errs := l.AddMagnets("nowhere", links[:2]); !errors.Is(errs[0], ErrNotFound) {
		t.Errorf("a missing route says %v", errs[0])
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, errs := l.AddMagnets("r", []string{strings.Repeat("3", 40)}); !errors.Is(errs[0], ErrClosed) {
		t.Errorf("a closed library says %v", errs[0])
	}
	if after := names(listed(mustOpen(t, opts))); !slices.Equal(after, before) {
		t.Errorf("after a restart the torrents are %q, want %q", after, before)
	}
}
