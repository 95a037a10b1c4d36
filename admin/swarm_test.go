package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"shoal/torrents"
)

func (s *site) torrentPath(ih fmt.Stringer, rest string) string {
	return "/api/v1/torrents/" + ih.String() + "/" + rest
}

// TestSwarmOfIdleTorrent has the answers word for word, as programs of others read them.
func TestSwarmOfIdleTorrent(t *testing.T) {
	s := openSite(t)
	withTracker := bytes.Replace(torrentFile("a.bin", 20_000), []byte("d4:info"), []byte("d8:announce13:http://x:1/an4:info"), 1)
	single := s.mustAdd(t, "films", withTracker)
	unresolved := torrents.Infohash{1}
	wantStatus(t, s.addMagnet(t, "films", magnet(unresolved.String(), "m")+"&tr=dht%3A%2F%2Fy"), http.StatusCreated)
	off := `"tier":0,"status":"off","message":"switched off","seeds":0,"leechers":0,"peers":0,"failures":0,"last":null,"next":null}`
	others := `{"kind":"dht","url":"",` + off + `,{"kind":"pex","url":"",` + off + `,{"kind":"lsd","url":"",` + off + `]}`
	for path, want := range map[string]string{
		s.torrentPath(single.Infohash, "files"): `{"files":[{"name":"a.bin","path":"","kind":"file","size":20000,"cached":0,"files":1,"index":0}],"total":1}`,
		s.torrentPath(single.Infohash, "peers"): `{"peers":[],"availability":null}`,
		s.torrentPath(single.Infohash, "trackers"): `{"trackers":[{"kind":"tracker","url":"http://x:1/an","tier":0,"status":"idle",` +
			`"message":"","seeds":0,"leechers":0,"peers":0,"failures":0,"last":null,"next":null},` + others,
		s.torrentPath(single.Infohash, "pieces"): "\x00\x00",

		s.torrentPath(unresolved, "files"):  `{"files":[],"total":0}`,
		s.torrentPath(unresolved, "peers"):  `{"peers":[],"availability":null}`,
		s.torrentPath(unresolved, "pieces"): "",
		s.torrentPath(unresolved, "trackers"): `{"trackers":[{"kind":"tracker","url":"dht://y","tier":0,"status":"off",` +
			`"message":"the tracker's URL has to begin with http://, https:// or udp://","seeds":0,"leechers":0,"peers":0,"failures":0,"last":null,"next":null},` + others,
	} {
		a := s.get(t, path)
		wantStatus(t, a, http.StatusOK)
		if got := strings.TrimSuffix(string(a.body), "\n"); got != want {
			t.Errorf("%s answers\n%s, want\n%s", a.what, got, want)
		}
	}
	a := s.get(t, s.torrentPath(single.Infohash, "pieces"))
	if got := a.header.Get("X-Piece-Length"); got != "16384" || a.header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%s answers with the headers %v", a.what, a.header)
	}
}

func TestSwarmOfNothing(t *testing.T) {
	s := openSite(t)
	known := s.mustAdd(t, "films", folderTorrent("a", 3)).Infohash
	for _, what := range []string{"files", "pieces", "peers", "trackers"} {
		wantStatus(t, s.get(t, "/api/v1/torrents/xyz/"+what), http.StatusBadRequest)
		wantStatus(t, s.get(t, "/api/v1/torrents/"+otherHash+"/"+what), http.StatusNotFound)
	}
	for query, want := range map[string]int{
		"":                                    http.StatusOK,
		"?path=sub":                           http.StatusOK,
		"?path=/sub/":                         http.StatusOK,
		"?path=other":                         http.StatusNotFound,
		"?path=sub/000":                       http.StatusNotFound, // a file
		"?path=..%2F..":                       http.StatusNotFound,
		"?path=%ff%00":                        http.StatusNotFound,
		"?limit=0":                            http.StatusBadRequest,
		"?limit=1001":                         http.StatusBadRequest,
		"?limit=x":                            http.StatusBadRequest,
		"?cursor=!":                           http.StatusBadRequest,
		"?cursor=bnVsbA":                      http.StatusBadRequest, // null
		"?cursor=eyJmIjoxfQ":                  http.StatusBadRequest,
		"?path=" + strings.Repeat("a/", 2000): http.StatusNotFound,
	} {
		wantStatus(t, s.get(t, s.torrentPath(known, "files")+query), want)
	}
}

// folderTorrent is a .torrent of n files of a byte in the folder sub, and one beside it.
func folderTorrent(name string, n int) []byte {
	var files strings.Builder
	for i := range n {
		fmt.Fprintf(&files, "d6:lengthi1e4:pathl3:sub3:%03dee", i)
	}
	files.WriteString("d6:lengthi1e4:pathl3:topee")
	return fmt.Appendf(nil, "d4:infod5:filesl%se4:name%d:%s12:piece lengthi16384e6:pieces20:hhhhhhhhhhhhhhhhhhhhee",
		files.String(), len(name), name)
}

func TestFilesPages(t *testing.T) {
	s := openSite(t)
	known := s.mustAdd(t, "films", folderTorrent("a", 25)).Infohash
	type page struct {
		Files []fileJSON `json:"files"`
		Total int        `json:"total"`
		Next  string     `json:"next"`
	}
	for _, limit := range []int{1, 7, 24, 25, 26} {
		var got, want []string
		for i := range 25 {
			want = append(want, fmt.Sprintf("sub/%03d", i))
		}
		query := url.Values{"path": {"sub"}, "limit": {strconv.Itoa(limit)}}
		for {
			a := s.get(t, s.torrentPath(known, "files")+"?"+query.Encode())
			wantStatus(t, a, http.StatusOK)
			p := decode[page](t, a)
			if p.Total != 25 || len(p.Files) > limit {
				t.Fatalf("%s answers with %d of %d files", a.what, len(p.Files), p.Total)
			}
			for _, f := range p.Files {
				got = append(got, f.Path)
			}
			if p.Next == "" || len(got) > 100 {
				break
			}
			query.Set("cursor", p.Next)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d there are %q, want %q", limit, got, want)
		}
	}
	// Folders are before files, on pages too.
	first := decode[page](t, s.get(t, s.torrentPath(known, "files")+"?limit=1"))
	second := decode[page](t, s.get(t, s.torrentPath(known, "files")+"?limit=1&cursor="+first.Next))
	if first.Files[0].Kind != "folder" || first.Files[0].Files != 25 || first.Files[0].Index != nil || second.Files[0].Name != "top" {
		t.Errorf("the first page has %+v, the second %+v", first.Files, second.Files)
	}
}

func TestStats(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "films", torrentFile("a", 5))
	s.mustAdd(t, "music", completeTorrent("b"))
	s.readers = []Reader{{}, {}}
	a := s.get(t, "/api/v1/stats")
	wantStatus(t, a, http.StatusOK)
	got := decode[statsJSON](t, a)
	if got.Uptime < 0 || got.Uptime > 60 {
		t.Errorf("up for %d s", got.Uptime)
	}
	if got.CacheUsed < got.Cached {
		t.Errorf("of the cache %d bytes are used, and %d are cached", got.CacheUsed, got.Cached)
	}
	want := statsJSON{
		Version: "v1", Uptime: got.Uptime, CacheLimit: testCacheLimit, Size: 5, Readers: 2,
		Torrents: map[torrents.State]int{"metadata": 0, "idle": 1, "active": 0, "complete": 1, "paused": 0, "failed": 0},
	}
	has, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if wants, err := json.Marshal(want); err != nil || !bytes.Equal(has, wants) {
		t.Errorf("the stats are\n%s, want\n%s", has, wants)
	}
}
