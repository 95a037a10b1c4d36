package admin

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/admin/logs"
	"shoal/tree"
)

// browseSite is a site whose tree has the files of a torrent "t" in the route films.
func browseSite(t *testing.T, files ...tree.File) *site {
	t.Helper()
	s := openSite(t)
	at := time.Now()
	if err := s.tree.PutRoute(tree.Route{ID: 2, Name: "films"}, at); err != nil {
		t.Fatal(err)
	}
	err := s.tree.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{0xab}, Route: 2, Name: "t", FirstID: 10, ModTime: at, Files: func() ([]tree.File, error) { return files, nil },
	}, at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func textFile(index int, path ...string) tree.File {
	return tree.File{Path: path, Size: int64(len(hello)), Index: index, Content: &fakeContent{data: []byte(hello)}}
}

func TestFilesPage(t *testing.T) {
	hostile := `<script>alert(1)" onload="x`
	s := browseSite(t, textFile(0, "x.mkv"), textFile(1, "song.mp3"), textFile(2, "a picture.png"), textFile(3, "sub", hostile), textFile(4, "page.html"))
	for _, test := range []struct {
		path       string
		has, hasNo []string
	}{
		{path: "/files/", has: []string{`href="/files/films"`}},
		{path: "/files", has: []string{`href="/files/films"`}},
		{path: "/files/films/", has: []string{`href="/files/films/t"`, `href="/torrents/ab00`}},
		{path: "/files/films/t/", has: []string{
			`href="/files/films/t/sub"`, `href="/files/films/t/x.mkv?play=1"`, `href="/fs/films/t/a%20picture.png"`, `href="/fs/films/t/page.html?download=1"`,
		}, hasNo: []string{`href="/fs/films/t/page.html"`}},
		{path: "/files/films/t/sub", has: []string{"&lt;script&gt;alert(1)"}, hasNo: []string{"<script>alert", `" onload`}},
		{path: "/files/films/t/sub/" + url.PathEscape(hostile), has: []string{"&lt;script&gt;alert(1)"}, hasNo: []string{"<script>alert", `" onload`}},
		{path: "/files/films/t/x.mkv", hasNo: []string{"<video"}},
		{path: "/files/films/t/x.mkv?play=1", has: []string{`<video class="media" src="/fs/films/t/x.mkv" controls preload="none">`}},
		{path: "/files/films/t/song.mp3?play=1", has: []string{`<audio class="media" src="/fs/films/t/song.mp3"`}},
		{path: "/files/films/t/a%20picture.png", has: []string{`<img class="media" src="/fs/films/t/a%20picture.png"`}},
		{path: "/files/films/t/page.html?play=1", hasNo: []string{"<video", "<audio", "<img class", "<iframe"}},
	} {
		a := s.browse(t, test.path, nil)
		wantStatus(t, a, http.StatusOK)
		for _, want := range test.has {
			if !bytes.Contains(a.body, []byte(want)) {
				t.Errorf("%s lacks %s", test.path, want)
			}
		}
		for _, bad := range test.hasNo {
			if bytes.Contains(a.body, []byte(bad)) {
				t.Errorf("%s has %s", test.path, bad)
			}
		}
	}
	for _, path := range []string{"/files/nothing", "/files/films/t/x.mkv/below", "/files/films//t", "/files/films/../films", "/files/films/t/%2e%2e"} {
		if a := s.browse(t, path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s answers %d, want %d", path, a.status, http.StatusNotFound)
		}
	}
}

// TestFilesPageByPage goes through a large folder, which has more pages than one, from page to page.
func TestFilesPageByPage(t *testing.T) {
	const folders, files = 150, 2*maxTreeRows + 30
	var list []tree.File
	var want []string
	for i := range folders {
		list = append(list, textFile(len(list), fmt.Sprintf("f%03d", i), "x"))
		want = append(want, fmt.Sprintf("f%03d", i))
	}
	for i := range files {
		list = append(list, textFile(len(list), fmt.Sprintf("a%03d.txt", i)))
		want = append(want, fmt.Sprintf("a%03d.txt", i))
	}
	s := browseSite(t, list...)
	var got []string
	for path := "/files/films/t/"; path != ""; {
		a := s.browse(t, path, nil)
		wantStatus(t, a, http.StatusOK)
		path = ""
		for line := range strings.SplitSeq(string(a.body), "\n") {
			if _, rest, ok := strings.Cut(line, `<th scope="row" class="name"><a href="/files/films/t/`); ok {
				name, _, _ := strings.Cut(rest, `"`)
				got = append(got, name)
			}
			if strings.Contains(line, `rel="next"`) {
				_, rest, _ := strings.Cut(line, `href="/files/films/t?cursor=`)
				cursor, _, _ := strings.Cut(rest, `" rel="next"`)
				_, cursor, _ = cutLast(cursor, `cursor=`)
				path = "/files/films/t?cursor=" + cursor
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages have %d entries, want %d: %q", len(got), len(want), got)
	}
}

// cutLast is strings.Cut around the last sep; all of s is behind it if there is none.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

func TestLogsPage(t *testing.T) {
	s := openSite(t)
	log := slog.New(logs.NewHandler(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}), s.recent))
	log.Info("something went well", "torrent", "<script>alert(1)</script>")
	log.Warn("something odd", "tracker", "http://t.example/announce?passkey=topsecret")
	for i := range maxRecordsShown + 5 {
		log.Debug("chatter", "n", i)
	}
	for _, test := range []struct {
		path       string
		has, hasNo []string
	}{
		{path: "/logs", has: []string{"chatter", "cursor="}, hasNo: []string{"something odd"}},
		{path: "/logs?level=info", has: []string{"something odd", "something went well", "&lt;script&gt;"}, hasNo: []string{"chatter", "topsecret", "<script>alert"}},
		{path: "/logs?level=warn", has: []string{"something odd"}, hasNo: []string{"something went well"}},
		{path: "/logs?q=went", has: []string{"something went well"}, hasNo: []string{"something odd"}},
		{path: "/logs?q=nothing+like+it", has: []string{"No entry matches."}},
	} {
		a := s.browse(t, test.path, nil)
		wantStatus(t, a, http.StatusOK)
		for _, want := range test.has {
			if !bytes.Contains(a.body, []byte(want)) {
				t.Errorf("%s lacks %s", test.path, want)
			}
		}
		for _, bad := range test.hasNo {
			if bytes.Contains(a.body, []byte(bad)) {
				t.Errorf("%s has %s", test.path, bad)
			}
		}
	}
	for _, query := range []string{"level=loud", "cursor=x", "q=" + strings.Repeat("a", maxFilterText+1)} {
		if a := s.browse(t, "/logs?"+query, nil); a.status != http.StatusBadRequest {
			t.Errorf("/logs?%.40s answers %d, want %d", query, a.status, http.StatusBadRequest)
		}
	}
}
