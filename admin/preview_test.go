package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"shoal/torrents"
)

type previewList struct {
	Previews []previewJSON `json:"previews"`
}

func (s *site) preview(t *testing.T, links ...string) answer {
	t.Helper()
	body, err := json.Marshal(map[string][]string{"links": links})
	if err != nil {
		t.Fatal(err)
	}
	return s.json(t, http.MethodPost, "/api/v1/torrents/preview", string(body))
}

func TestPreviewLinks(t *testing.T) {
	s := openSite(t)
	one := torrentFile("one.mkv", 40000)
	s.mustAdd(t, "films", one)
	before := s.state(t)
	a := s.preview(t, "magnet:?xt=urn:btih:"+someHash+"&dn=a+name&tr=http%3A%2F%2Ft%2Fannounce", strings.ToUpper(someHash),
		infohash(t, one).String(), "ftp://x/", "magnet:?dn=<script>", "http://")
	wantStatus(t, a, http.StatusOK)
	list := decode[previewList](t, a).Previews
	if len(list) != 6 {
		t.Fatalf("the previews are %s", a.body)
	}
	if p := list[0]; p.Kind != torrents.PreviewMagnet || p.Infohash.String() != someHash || p.Name != "a name" || p.Trackers != 1 ||
		p.Size != nil || p.Files != nil || p.Known != nil || p.SameAs != nil || p.Error != "" {
		t.Errorf("the preview of a magnet link is %+v", p)
	}
	if p := list[1]; p.Kind != torrents.PreviewInfohash || p.SameAs == nil || *p.SameAs != 0 || p.Error != "" {
		t.Errorf("the preview of the same torrent is %+v", p)
	}
	if p := list[2]; p.Known == nil || *p.Known != (previewKnownJSON{"films", "one.mkv", torrents.StateIdle}) || p.SameAs != nil {
		t.Errorf("the preview of a known torrent is %+v", p)
	}
	for i, p := range list[3:] {
		if !sentences.MatchString(p.Error) || p.Infohash != nil || p.FirstFiles == nil {
			t.Errorf("the preview of the wrong link %d is %+v", i, p)
		}
	}
	if got := s.state(t); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("after the previews the library is %v, and it was %v", got, before)
	}
}

func TestPreviewURLs(t *testing.T) {
	s := openSite(t)
	one := torrentFile("one.mkv", 40000)
	var asked atomic.Int64
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(one)
	}))
	t.Cleanup(served.Close)
	a := s.preview(t, slices.Repeat([]string{served.URL + "/one.torrent"}, maxPreviewURLs+1)...)
	wantStatus(t, a, http.StatusOK)
	list := decode[previewList](t, a).Previews
	for _, p := range list[:maxPreviewURLs] {
		if p.Error != "" || p.Name != "one.mkv" || p.Size == nil || *p.Size != 40000 || *p.Files != 1 ||
			!slices.Equal(p.FirstFiles, []previewFileJSON{{"one.mkv", 40000}}) {
			t.Errorf("the preview of a URL is %+v", p)
		}
	}
	if got := asked.Load(); got != maxPreviewURLs || list[maxPreviewURLs].Error == "" {
		t.Errorf("%d URLs were fetched, and the one beyond has %+v", got, list[maxPreviewURLs])
	}
}

func TestPreviewFiles(t *testing.T) {
	s := openSite(t)
	one := torrentFile("one.mkv", 40000)
	contentType, body := form(t, file("a.torrent", one), file("<b>.torrent", []byte("x")), file("c.torrent", one))
	a := s.do(t, http.MethodPost, "/api/v1/torrents/preview", contentType, bytes.NewReader(body))
	wantStatus(t, a, http.StatusOK)
	list := decode[previewList](t, a).Previews
	if len(list) != 3 || list[0].Name != "one.mkv" || list[0].Kind != torrents.PreviewTorrent || list[0].Error != "" ||
		list[1].Source != "<b>.torrent" || !sentences.MatchString(list[1].Error) || list[2].SameAs == nil {
		t.Errorf("the previews are %s", a.body)
	}
	if got := s.names(); len(got) != 0 {
		t.Errorf("the previews added %q", got)
	}
}

func TestPreviewBadly(t *testing.T) {
	s := openSite(t)
	for body, want := range map[string]int{
		`{}`: http.StatusBadRequest, `{"links": []}`: http.StatusBadRequest, `{"links": "x"}`: http.StatusBadRequest,
		`{"links": [` + strings.Repeat(`"x",`, maxPreviewLinks) + `"x"]}`:     http.StatusBadRequest,
		`{"links": ["` + strings.Repeat("x", maxPreviewBody) + `"]}`:          http.StatusRequestEntityTooLarge,
		`{"links": ["x"], "route": "films", "` + strings.Repeat("x", 9) + `"`: http.StatusBadRequest,
	} {
		wantStatus(t, s.json(t, http.MethodPost, "/api/v1/torrents/preview", body), want)
	}
	wantStatus(t, s.do(t, http.MethodPost, "/api/v1/torrents/preview", "text/plain", strings.NewReader("x")), http.StatusUnsupportedMediaType)
	contentType, body := form(t, inRoute("films"))
	wantStatus(t, s.do(t, http.MethodPost, "/api/v1/torrents/preview", contentType, bytes.NewReader(body)), http.StatusBadRequest)
}

// TestPreviewMany checks that 1,000 magnet links take no time: the best of a few tries counts, as the machine may be busy.
func TestPreviewMany(t *testing.T) {
	s := openSite(t)
	links := make([]string, maxPreviewLinks)
	for i := range links {
		links[i] = fmt.Sprintf("magnet:?xt=urn:btih:%040x&dn=name+%d%s", i, i, strings.Repeat("&tr=http%3A%2F%2Ft.example%2Fannounce", 10))
	}
	best := time.Hour
	for range 5 {
		start := time.Now()
		a := s.preview(t, links...)
		best = min(best, time.Since(start))
		wantStatus(t, a, http.StatusOK)
		if got := len(decode[previewList](t, a).Previews); got != len(links) {
			t.Fatalf("there are %d previews, want %d", got, len(links))
		}
	}
	t.Logf("%d magnet links: %v", len(links), best)
	if best > time.Second { // ten times what it should be, with the race detector, too
		t.Errorf("%d magnet links take %v", len(links), best)
	}
}

// TestAddInfohash adds by the infohash alone, and reads one route.
func TestAddInfohash(t *testing.T) {
	s := openSite(t)
	a := s.json(t, http.MethodPost, "/api/v1/torrents", `{"route": "films", "magnet": "`+strings.ToUpper(someHash)+`"}`)
	wantStatus(t, a, http.StatusCreated)
	if got := decode[row](t, a); got.Infohash != someHash || got.State != "metadata" {
		t.Errorf("the infohash adds %+v", got)
	}
	a = s.get(t, "/api/v1/routes/films")
	wantStatus(t, a, http.StatusOK)
	if got, want := decode[routeJSON](t, a), (routeJSON{"films", torrents.ArchivesFolder, 1}); got != want {
		t.Errorf("the route is %+v, want %+v", got, want)
	}
	wantStatus(t, s.get(t, "/api/v1/routes/absent"), http.StatusNotFound)
}
