package admin

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/torrents"
)

// watchFolder makes a watch folder beside the data folder, with a magnet in films and a broken file.
func watchFolder(t testing.TB, infohash string) func(dataDir string) {
	t.Helper()
	return func(dataDir string) {
		films := filepath.Join(dataDir, "..", "watch", "films")
		if err := os.MkdirAll(films, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{
			"a.magnet": magnet(infohash, "a"), "broken.torrent": "<html>", "../<top>.magnet": "",
		} {
			if err := os.WriteFile(filepath.Join(films, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// awaitWatch polls the watch folder until its files are no longer new, and returns the answer without
// the folder's path.
func (s *site) awaitWatch(t testing.TB, has string) string {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		a := s.get(t, "/api/v1/watch")
		wantStatus(t, a, http.StatusOK)
		got := strings.ReplaceAll(string(a.body), filepath.Join(s.dataDir, "..", "watch"), "/watch")
		if strings.Contains(got, has) && !strings.Contains(got, "waiting") {
			return strings.TrimSuffix(got, "\n")
		}
		if time.Now().After(end) {
			t.Fatalf("the watch folder is %s after 20 s, want %s in it", got, has)
		}
	}
}

// TestWatch has the answer word for word, as programs of others read it.
func TestWatch(t *testing.T) {
	infohash := strings.Repeat("ab", 20)
	s := openSite(t, watchFolder(t, infohash))
	const rest = `,` +
		`{"path":"films/broken.torrent","state":"broken","error":"the torrent file cannot be read: `
	row := func(state string) string {
		return `{"path":"films/a.magnet","state":"` + state + `","infohash":"` + infohash + `"}`
	}
	const begins = `{"dir":"/watch","state":"watching","reason":"","files":[` +
		`{"path":"<top>.magnet","state":"broken","error":"this is in no sub-folder, so there is no route for it"},`
	if got, want := s.awaitWatch(t, "added"), begins+row("added")+rest; !strings.HasPrefix(got, want) {
		t.Errorf("the watch folder is\n%s, want it to begin with\n%s", got, want)
	}
	wantStatus(t, s.delete(t, "/api/v1/torrents/"+infohash), http.StatusNoContent)
	if got, want := s.awaitWatch(t, `"removed"`), begins+row("removed")+rest; !strings.HasPrefix(got, want) {
		t.Errorf("after its removal the watch folder is\n%s, want it to begin with\n%s", got, want)
	}
	if a := openSite(t).get(t, "/api/v1/watch"); string(a.body) != `{"dir":"","state":"off","reason":"","files":[]}`+"\n" {
		t.Errorf("without a watch folder: %s", a.body)
	}
}

// TestWatchStates compares the states in openapi.yaml with those of the library.
func TestWatchStates(t *testing.T) {
	for schema, want := range map[string][]string{
		"Watch": {
			string(torrents.WatchOff), string(torrents.WatchStarting), string(torrents.WatchLive), string(torrents.WatchPolling),
			string(torrents.WatchUnavailable),
		},
		"WatchFile": {
			string(torrents.WatchFileWaiting), string(torrents.WatchFileAdded), string(torrents.WatchFileRemoved),
			string(torrents.WatchFileBroken),
		},
	} {
		got := describedTexts(t, "components", "schemas", schema, "properties", "state", "enum")
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("openapi.yaml: %s has the states %q, want %q", schema, got, want)
		}
	}
}
