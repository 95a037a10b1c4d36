package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/torrents"
)

// row has the members that CONTRACT promises of a torrent, and their types.
type row struct {
	Infohash        string     `json:"infohash"`
	Name            string     `json:"name"`
	Route           string     `json:"route"`
	State           string     `json:"state"`
	Reason          string     `json:"reason"`
	Size            int64      `json:"size"`
	Cached          int64      `json:"cached"`
	Files           int        `json:"files"`
	Peers           int        `json:"peers"`
	Seeds           int        `json:"seeds"`
	DownRate        int64      `json:"down_rate"`
	UpRate          int64      `json:"up_rate"`
	Added           time.Time  `json:"added"`
	LastRead        *time.Time `json:"last_read"`
	Paused          bool       `json:"paused"`
	Pinned          bool       `json:"pinned"`
	ArchivesRefused int        `json:"archives_refused"`
}

var members = []string{
	"added", "archives_refused", "cached", "down_rate", "files", "infohash", "last_read", "name", "paused", "peers", "pinned", "reason", "route",
	"seeds", "size", "state", "up_rate",
}

type torrentList struct {
	Torrents []row  `json:"torrents"`
	Total    int    `json:"total"`
	Next     string `json:"next"`
}

func (l torrentList) names() []string {
	names := []string{}
	for _, r := range l.Torrents {
		names = append(names, r.Name)
	}
	return names
}

const (
	someHash  = "0123456789abcdef0123456789abcdef01234567"
	otherHash = "fedcba9876543210fedcba9876543210fedcba98"
)

func magnet(infohash, name string) string { return "magnet:?xt=urn:btih:" + infohash + "&dn=" + name }

// addMagnet posts a magnet link.
func (s *site) addMagnet(t testing.TB, route, link string) answer {
	t.Helper()
	body, err := json.Marshal(map[string]string{"route": route, "magnet": link})
	if err != nil {
		t.Fatal(err)
	}
	return s.json(t, http.MethodPost, "/api/v1/torrents", string(body))
}

// checkRow checks a torrent in an answer against what is wanted, the time of adding aside.
func checkRow(t *testing.T, a answer, want row) row {
	t.Helper()
	got := decode[row](t, a)
	all := decode[map[string]any](t, a)
	if has := slices.Sorted(maps.Keys(all)); !slices.Equal(has, members) {
		t.Errorf("%s answers with the members %q, want %q", a.what, has, members)
	}
	if age := time.Since(got.Added); age < 0 || age > time.Hour {
		t.Errorf("%s answers that it was added at %v, want now", a.what, got.Added)
	}
	reasoned := want.State == string(torrents.StateMetadata) || want.State == string(torrents.StatePaused)
	if reasoned != (got.Reason != "") {
		t.Errorf("%s answers with the state %s and the reason %q", a.what, got.State, got.Reason)
	}
	result := got
	got.Added, got.Reason = want.Added, want.Reason
	if got != want {
		t.Errorf("%s answers %+v, want %+v", a.what, got, want)
	}
	return result
}

func TestAddMagnet(t *testing.T) {
	s := openSite(t)
	for _, test := range []struct {
		link, infohash, name string
	}{
		{magnet(someHash, "A+name"), someHash, "A name"},
		{"magnet:?xt=urn:btih:" + strings.ToUpper(otherHash), otherHash, "magnet " + otherHash},
		// The same in base 32, as old clients write it.
		{"magnet:?xt=urn:btih:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", strings.Repeat("0", 39) + "1", "magnet " + strings.Repeat("0", 39) + "1"},
		// By a version 2 infohash (BEP 52), of which the first 20 bytes count.
		{"magnet:?xt=urn:btmh:1220" + strings.Repeat("ab", 32), strings.Repeat("ab", 20), "magnet " + strings.Repeat("ab", 20)},
	} {
		a := s.addMagnet(t, "films", test.link)
		wantStatus(t, a, http.StatusCreated)
		want := row{Infohash: test.infohash, Name: test.name, Route: "films", State: "metadata"}
		added := checkRow(t, a, want)
		if added.Reason == "" {
			t.Errorf("adding %q answers without a reason, want what it waits for", test.link)
		}
		target := location(t, "/api/v1/torrents", a)
		if want := "/api/v1/torrents/" + test.infohash; target != want {
			t.Errorf("adding %q answers with the Location %s, want %s", test.link, target, want)
		}
		found := s.get(t, target)
		wantStatus(t, found, http.StatusOK)
		if got := decode[row](t, found); got != added {
			t.Errorf("GET %s answers %+v, and adding it %+v", target, got, added)
		}
	}
}

func TestAddMagnetBadly(t *testing.T) {
	s := openSite(t)
	before := s.state(t)
	for _, link := range []string{
		"", "x", "http://example.org/x.torrent", someHash + "0", strings.Repeat("0", 40), "magnet:", "magnet:?", "magnet:?dn=name", "magnet:?xt=urn:btih:",
		"magnet:?xt=urn:btih:123", "magnet:?xt=urn:btih:" + strings.Repeat("z", 40), "magnet:?xt=urn:sha1:" + someHash,
		"magnet:?xt=urn:btih:" + someHash + "0", "magnet:?xt=urn:btmh:1220abcd", "MAGNET\n:?xt=urn:btih:" + someHash,
		magnet(someHash, strings.Repeat("n", 64<<10)),
	} {
		if a := s.addMagnet(t, "films", link); a.status != http.StatusBadRequest {
			t.Errorf("adding %.80q answers %d %s, want %d", link, a.status, a.body, http.StatusBadRequest)
		}
	}
	good := magnet(someHash, "name")
	for _, body := range []string{
		``, `{`, `null`, `[]`, `{}`, `"` + good + `"`,
		`{"magnet": "` + good + `"}`,
		`{"route": "", "magnet": "` + good + `"}`,
		`{"route": null, "magnet": "` + good + `"}`,
		`{"route": "nothing", "magnet": "` + good + `"}`,
		`{"route": "Films", "magnet": "` + good + `"}`,
		`{"route": ["films"], "magnet": "` + good + `"}`,
		`{"route": "films"}`,
		`{"route": "films", "magnet": null}`,
		`{"route": "films", "magnet": ["` + good + `"]}`,
		`{"route": "films", "magnet": "` + good + `", "paused": true}`,
		`{"route": "films", "magnet": "` + good + `"} {}`,
	} {
		a := s.json(t, http.MethodPost, "/api/v1/torrents", body)
		if a.status != http.StatusBadRequest {
			t.Errorf("adding %s answers %d %s, want %d", body, a.status, a.body, http.StatusBadRequest)
		}
	}
	if after := s.state(t); !maps.Equal(before, after) {
		t.Errorf("adding what is wrong changed the library from %q to %q", before, after)
	}
}

func TestAddByURL(t *testing.T) {
	s := openSite(t)
	one := torrentFile("one.mkv", 40000)
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/one.torrent":
			_, _ = w.Write(one)
		case "/magnet":
			w.Header().Set("Location", magnet(someHash, "name"))
			w.WriteHeader(http.StatusSeeOther)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(served.Close)
	add := func(route, link string) answer {
		return s.json(t, http.MethodPost, "/api/v1/torrents", `{"route": "`+route+`", "url": "`+link+`"}`)
	}
	a := add("films", served.URL+"/one.torrent")
	wantStatus(t, a, http.StatusCreated)
	added := checkRow(t, a, row{
		Infohash: infohash(t, one).String(), Name: "one.mkv", Route: "films", State: "idle", Size: 40000, Files: 1,
	})
	if found := s.get(t, location(t, "/api/v1/torrents", a)); decode[row](t, found) != added {
		t.Errorf("GET of the Location answers %s, and adding it %+v", found.body, added)
	}
	wantStatus(t, add("films", served.URL+"/one.torrent"), http.StatusConflict)
	wantStatus(t, add("music", served.URL+"/magnet"), http.StatusCreated)
	before := s.names()
	for _, bad := range []answer{
		add("films", served.URL+"/absent.torrent"), add("films", "file:///etc/passwd"), add("films", "one.torrent"),
		add("nothing", served.URL+"/one.torrent"), add("", served.URL+"/one.torrent"),
		s.json(t, http.MethodPost, "/api/v1/torrents",
			`{"route": "films", "url": "`+served.URL+`/one.torrent", "magnet": "`+magnet(someHash, "name")+`"}`),
	} {
		wantStatus(t, bad, http.StatusBadRequest)
	}
	if got := s.names(); !slices.Equal(got, before) {
		t.Errorf("after what is wrong the torrents are %q, want %q", got, before)
	}
}

func TestUpload(t *testing.T) {
	s := openSite(t)
	one, two := torrentFile("one.mkv", 40000), completeTorrent("two")
	a := s.upload(t, inRoute("films"), file("1.torrent", one))
	wantStatus(t, a, http.StatusCreated)
	added := checkRow(t, a, row{
		Infohash: infohash(t, one).String(), Name: "one.mkv", Route: "films", State: "idle", Size: 40000, Files: 1,
	})
	found := s.get(t, location(t, "/api/v1/torrents", a))
	wantStatus(t, found, http.StatusOK)
	if got := decode[row](t, found); got != added {
		t.Errorf("GET of the Location answers %+v, and adding it %+v", got, added)
	}
	// The order of the fields does not matter, nor a file's name.
	a = s.upload(t, file("../../etc/passwd", two), inRoute("music"))
	wantStatus(t, a, http.StatusCreated)
	checkRow(t, a, row{Infohash: infohash(t, two).String(), Name: "two", Route: "music", State: "complete", Files: 1})
}

func TestUploadSeveral(t *testing.T) {
	s := openSite(t)
	a := s.upload(t,
		file("b.torrent", torrentFile("b", 1)), inRoute("films"),
		file("a.torrent", torrentFile("a", 2)), file("a.torrent", torrentFile("a", 3)))
	wantStatus(t, a, http.StatusCreated)
	list := decode[struct {
		Torrents []row `json:"torrents"`
	}](t, a).Torrents
	names := torrentList{Torrents: list}.names()
	// In the order of the form; the second of a name gets a part of its infohash.
	want := []string{"b", "a", "a [" + infohash(t, torrentFile("a", 3)).String()[:8] + "]"}
	if !slices.Equal(names, want) {
		t.Errorf("adding three answers %q, want %q", names, want)
	}
	for _, added := range list {
		found := s.get(t, "/api/v1/torrents/"+added.Infohash)
		wantStatus(t, found, http.StatusOK)
		if got := decode[row](t, found); got != added {
			t.Errorf("%s answers %+v, and adding it %+v", found.what, got, added)
		}
	}
}

func TestUploadAllOrNothing(t *testing.T) {
	s := openSite(t)
	known := torrentFile("known", 1)
	s.mustAdd(t, "music", known)
	before := s.state(t)
	good, other := file("good.torrent", torrentFile("good", 2)), file("other.torrent", torrentFile("other", 3))
	bad := file("bad.torrent", []byte("<html>Not found</html>"))
	to := inRoute("films")
	for _, test := range []struct {
		what  string
		parts []part
		want  int
		says  string
	}{
		{"a file that is no torrent", []part{to, good, other, bad}, http.StatusBadRequest, `"bad.torrent"`},
		{"a file that is no torrent first", []part{to, bad, good}, http.StatusBadRequest, `"bad.torrent"`},
		{"an empty file", []part{to, good, file("empty.torrent", nil)}, http.StatusBadRequest, `"empty.torrent"`},
		{"a torrent without info", []part{to, good, file("no.torrent", []byte("de"))}, http.StatusBadRequest, `"no.torrent"`},
		{"a torrent that is known", []part{to, good, file("k.torrent", known)}, http.StatusConflict, `"k.torrent"`},
		{"twins", []part{to, good, other, file("twin.torrent", good.content)}, http.StatusBadRequest, `"twin.torrent"`},
		{"no file", []part{to}, http.StatusBadRequest, "torrent"},
		{"nothing", nil, http.StatusBadRequest, "torrent"},
		{"no route", []part{good}, http.StatusBadRequest, "route"},
		{"an empty route", []part{inRoute(""), good}, http.StatusBadRequest, "route"},
		{"an unknown route", []part{inRoute("nothing"), good}, http.StatusBadRequest, `"nothing"`},
		{"a route that is too long", []part{inRoute(strings.Repeat("r", maxField+1)), good}, http.StatusBadRequest, `"route"`},
		{"an unknown field", []part{to, good, {field: "paused", content: []byte("1")}}, http.StatusBadRequest, `"paused"`},
		{"an unknown file", []part{to, good, {"torrents", "x", good.content}}, http.StatusBadRequest, `"torrents"`},
		{"a field without a name", []part{to, good, {content: []byte("1")}}, http.StatusBadRequest, `""`},
		{"a file that is too large", []part{to, good, file("large.torrent", make([]byte, torrents.MaxMetainfo+1))}, http.StatusBadRequest, `"large.torrent"`},
	} {
		a := s.upload(t, test.parts...)
		if a.status != test.want {
			t.Errorf("an upload with %s answers %d %.300s, want %d", test.what, a.status, a.body, test.want)
			continue
		}
		if p := decode[problem](t, a); !strings.Contains(p.Detail, test.says) {
			t.Errorf("an upload with %s answers %q, want %s named", test.what, p.Detail, test.says)
		}
		if after := s.state(t); !maps.Equal(before, after) {
			t.Fatalf("an upload with %s left the torrents %q, want the known one alone", test.what, s.names())
		}
	}
}

func TestBrokenForms(t *testing.T) {
	s := openSite(t)
	contentType, body := form(t, inRoute("films"), file("good.torrent", torrentFile("good", 1)))
	for _, test := range []struct {
		what, contentType string
		body              []byte
	}{
		{"no boundary", "multipart/form-data", body},
		{"another boundary", "multipart/form-data; boundary=other", body},
		{"a broken boundary", "multipart/form-data; boundary=\"", body},
		{"no end", contentType, body[:len(body)-10]},
		{"half a file", contentType, body[:len(body)/2]},
		{"no body", contentType, nil},
		{"other content", contentType, []byte(`{"route": "films"}`)},
	} {
		a := s.do(t, http.MethodPost, "/api/v1/torrents", test.contentType, bytes.NewReader(test.body))
		if a.status != http.StatusBadRequest {
			t.Errorf("a form with %s answers %d %s, want %d", test.what, a.status, a.body, http.StatusBadRequest)
		}
	}
	if got := s.names(); len(got) > 0 {
		t.Errorf("after broken forms the torrents are %q, want none", got)
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestTooLargeUpload(t *testing.T) {
	s := openSite(t)
	contentType, whole := form(t, inRoute("films"), file("good.torrent", torrentFile("good", 1)))
	_, boundary, _ := strings.Cut(contentType, "boundary=")
	end := []byte("\r\n--" + boundary + "--\r\n")
	begin := bytes.TrimSuffix(whole, end)
	another := fmt.Sprintf("\r\n--%s\r\nContent-Disposition: form-data; name=\"torrent\"; filename=\"x\"\r\n\r\n", boundary)
	body := []io.Reader{bytes.NewReader(begin)}
	for range maxUpload/torrents.MaxMetainfo + 1 {
		body = append(body, strings.NewReader(another), io.LimitReader(zeros{}, torrents.MaxMetainfo-1000))
	}
	body = append(body, bytes.NewReader(end))
	a := s.do(t, http.MethodPost, "/api/v1/torrents", contentType, io.MultiReader(body...))
	wantStatus(t, a, http.StatusRequestEntityTooLarge)
	// Nor is what comes before the first part, or after the last, a way around the limit.
	for what, body := range map[string]io.Reader{
		"before": io.MultiReader(io.LimitReader(zeros{}, maxUpload), bytes.NewReader(whole)),
		"inside": io.MultiReader(strings.NewReader(another[2:]), io.LimitReader(zeros{}, 10*maxUpload)),
	} {
		a := s.do(t, http.MethodPost, "/api/v1/torrents", contentType, body)
		if a.status < 400 || a.status >= 500 {
			t.Errorf("an upload with too much %s answers %d %s, want 4xx", what, a.status, a.body)
		}
	}
	if got := s.names(); len(got) > 0 {
		t.Errorf("after uploads that are too large the torrents are %q, want none", got)
	}
}

func TestAddKnown(t *testing.T) {
	s := openSite(t)
	known := torrentFile("known", 1)
	ih := s.mustAdd(t, "music", known).Infohash.String()
	wantStatus(t, s.addMagnet(t, "music", magnet(someHash, "link")), http.StatusCreated)
	for _, test := range []struct {
		a        answer
		infohash string
		name     string
	}{
		{s.upload(t, inRoute("films"), file("k.torrent", known)), ih, "known"},
		{s.upload(t, inRoute("music"), file("k.torrent", known)), ih, "known"},
		{s.addMagnet(t, "films", magnet(ih, "other")), ih, "known"},
		{s.addMagnet(t, "films", magnet(strings.ToUpper(ih), "other")), ih, "known"},
		{s.addMagnet(t, "films", magnet(someHash, "other")), someHash, "link"},
	} {
		wantStatus(t, test.a, http.StatusConflict)
		p := decode[problem](t, test.a)
		if p.Infohash != test.infohash || p.Route != "music" || p.Name != test.name {
			t.Errorf("adding what is known answers %+v, want infohash %s, route music, name %s", p, test.infohash, test.name)
		}
	}
	if got, want := s.names(), []string{"known", "link"}; !slices.Equal(got, want) {
		t.Errorf("afterwards the torrents are %q, want %q", got, want)
	}
}

// TestAddFailed: a torrent whose record cannot be read has no name and no route, and is known all the
// same.
func TestAddFailed(t *testing.T) {
	known := torrentFile("known", 1)
	ih := infohash(t, known)
	s := openSite(t, failedTorrent(t, ih))
	for _, a := range []answer{
		s.addMagnet(t, "films", magnet(ih.String(), "name")),
		s.upload(t, inRoute("films"), file("k.torrent", known)),
	} {
		wantStatus(t, a, http.StatusConflict)
		if p := decode[problem](t, a); p.Infohash != ih.String() || !strings.Contains(p.Detail, ih.String()) {
			t.Errorf("adding a torrent that failed answers %+v, want its infohash %s", p, ih)
		}
	}
	// It can be removed, and added again.
	wantStatus(t, s.delete(t, "/api/v1/torrents/"+ih.String()), http.StatusNoContent)
	wantStatus(t, s.upload(t, inRoute("films"), file("k.torrent", known)), http.StatusCreated)
}

func TestGetTorrent(t *testing.T) {
	s := openSite(t)
	added := s.mustAdd(t, "films", torrentFile("a", 100))
	ih := added.Infohash.String()
	for _, path := range []string{ih, strings.ToUpper(ih)} {
		a := s.get(t, "/api/v1/torrents/"+path)
		wantStatus(t, a, http.StatusOK)
		checkRow(t, a, row{Infohash: ih, Name: "a", Route: "films", State: "idle", Size: 100, Files: 1})
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		for _, path := range []string{
			"x", ih[1:], ih + "0", strings.Repeat("g", 40), "%00", strings.Repeat("%C3%BC", 20), "%3Cscript%3E", " " + ih[1:],
		} {
			a := s.do(t, method, "/api/v1/torrents/"+strings.ReplaceAll(path, " ", "%20"), "", nil)
			if a.status != http.StatusBadRequest {
				t.Errorf("%s answers %d %s, want %d", a.what, a.status, a.body, http.StatusBadRequest)
			}
		}
		wantStatus(t, s.do(t, method, "/api/v1/torrents/"+someHash, "", nil), http.StatusNotFound)
	}
	if got := s.names(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("afterwards the torrents are %q, want a", got)
	}
}

// TestGetTorrentThatIsRead checks the members that only reading sets.
func TestGetTorrentThatIsRead(t *testing.T) {
	s := openSite(t)
	added := s.mustAdd(t, "films", torrentFile("a", 100))
	s.watcher.mu.Lock()
	shown := s.watcher.shown[added.Infohash]
	s.watcher.mu.Unlock()
	files, err := shown.Load()
	if err != nil {
		t.Fatal(err)
	}
	// A reader that leaves soon: the torrent is in the swarm from then on.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := files[0].ReadAt(ctx, make([]byte, 1), 0); err == nil {
		t.Fatal("data that nobody has was read")
	}
	a := s.get(t, "/api/v1/torrents/"+added.Infohash.String())
	wantStatus(t, a, http.StatusOK)
	got := decode[row](t, a)
	if got.State != "active" || got.LastRead == nil || time.Since(*got.LastRead) > time.Hour {
		t.Errorf("a torrent that is read is %+v, want it active and read just now", got)
	}
	list := decode[torrentList](t, s.get(t, "/api/v1/torrents?state=active"))
	if names := list.names(); !slices.Equal(names, []string{"a"}) {
		t.Errorf("the active torrents are %q, want a", names)
	}
}

func TestRemoveTorrent(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", torrentFile("a", 1)).Infohash.String()
	s.mustAdd(t, "films", torrentFile("b", 2))
	wantStatus(t, s.addMagnet(t, "films", magnet(someHash, "c")), http.StatusCreated)
	for _, path := range []string{strings.ToUpper(ih), someHash} {
		a := s.delete(t, "/api/v1/torrents/"+path)
		wantStatus(t, a, http.StatusNoContent)
		if len(a.body) > 0 {
			t.Errorf("%s answers 204 with the body %q", a.what, a.body)
		}
		wantStatus(t, s.get(t, "/api/v1/torrents/"+path), http.StatusNotFound)
		wantStatus(t, s.delete(t, "/api/v1/torrents/"+path), http.StatusNotFound)
	}
	if got := s.names(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("afterwards the torrents are %q, want b", got)
	}
	wantStatus(t, s.upload(t, inRoute("music"), file("a.torrent", torrentFile("a", 1))), http.StatusCreated)
}

// straight is what becomes of a name in a metainfo that turns the direction of writing.
var straight = strings.NewReplacer("\u202e", "_")

func TestHostileTorrentNames(t *testing.T) {
	s := openSite(t)
	for i, name := range hostileNames {
		content := torrentFile(name, i+1)
		name := straight.Replace(name)
		a := s.upload(t, inRoute("films"), file(name, content))
		wantStatus(t, a, http.StatusCreated)
		wantName(t, a, name, decode[row](t, a).Name)
		found := s.get(t, location(t, "/api/v1/torrents", a))
		wantName(t, found, name, decode[row](t, found).Name)
		again := s.upload(t, inRoute("films"), file(name, content))
		wantStatus(t, again, http.StatusConflict)
		wantName(t, again, name, decode[problem](t, again).Name)
		s.upload(t, inRoute("films"), file(name, []byte("bad"))) // whose name is in the problem
	}
	a := s.get(t, "/api/v1/torrents?limit=1000")
	got := decode[torrentList](t, a).names()
	var want []string
	for _, name := range hostileNames {
		want = append(want, straight.Replace(name))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the torrents are %q, want %q", got, want)
	}
}

// patch changes a torrent.
func (s *site) patch(t testing.TB, infohash, body string) answer {
	t.Helper()
	return s.json(t, http.MethodPatch, "/api/v1/torrents/"+infohash, body)
}

func TestChangeTorrent(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", torrentFile("a.mkv", 1)).Infohash.String()
	s.mustAdd(t, "music", torrentFile("a.mkv", 2))
	want := row{Infohash: ih, Name: "a.mkv", Route: "films", State: "idle", Size: 1, Files: 1}
	for _, test := range []struct {
		body   string
		change func()
	}{
		{`{}`, func() {}},
		{`{"route": "music"}`, func() { want.Route, want.Name = "music", "a ["+ih[:8]+"].mkv" }},
		{`{"name": "<b>ü"}`, func() { want.Name = "<b>ü" }},
		{`{"route": "films", "name": "c", "pinned": true}`, func() { want.Route, want.Name, want.Pinned = "films", "c", true }},
		{`{"paused": true}`, func() { want.Paused, want.State = true, "paused" }},
		{`{"pinned": false}`, func() { want.Pinned = false }},
	} {
		a := s.patch(t, strings.ToUpper(ih), test.body)
		wantStatus(t, a, http.StatusOK)
		test.change()
		changed := checkRow(t, a, want)
		if got := decode[row](t, s.get(t, "/api/v1/torrents/"+ih)); got != changed {
			t.Errorf("after %s it is %+v, and was answered as %+v", test.body, got, changed)
		}
	}
	paused := decode[torrentList](t, s.get(t, "/api/v1/torrents?state=paused"))
	if names := paused.names(); !slices.Equal(names, []string{"c"}) {
		t.Errorf("paused are %q, want c", names)
	}
}

func TestChangeTorrentBadly(t *testing.T) {
	unreadable := infohash(t, torrentFile("unreadable", 9))
	s := openSite(t, failedTorrent(t, unreadable))
	ih := s.mustAdd(t, "films", torrentFile("a", 1)).Infohash.String()
	taken := s.mustAdd(t, "films", torrentFile("taken", 2)).Infohash.String()
	before := s.get(t, "/api/v1/torrents/"+ih)
	for _, test := range []struct{ body, names string }{
		{``, "body"},
		{`[]`, "body"},
		{`{`, "body"},
		{`{"colour": 1, "paused": true}`, "colour"},
		{`{"paused": null}`, "paused"},
		{`{"paused": "true"}`, "paused"},
		{`{"paused": true, "pinned": 1}`, "pinned"},
		{`{"name": null}`, "name"},
		{`{"name": 1}`, "name"},
		{`{"name": "", "paused": true}`, "name"},
		{`{"name": "x/y"}`, "x/y"},
		{`{"name": "` + strings.Repeat("n", 256) + `"}`, "nnn"},
		{`{"route": null}`, "route"},
		{`{"route": ""}`, "route"},
		{`{"route": ["music"]}`, "route"},
		{`{"route": "nothing", "pinned": true}`, "nothing"},
		{`{"paused": true} {}`, "body"},
	} {
		a := s.patch(t, ih, test.body)
		if a.status != http.StatusBadRequest || !strings.Contains(decode[problem](t, a).Detail, test.names) {
			t.Errorf("PATCH %.80s answers %d %s, want %d and %q named", test.body, a.status, a.body, http.StatusBadRequest, test.names)
		}
	}
	a := s.patch(t, ih, `{"name": "taken", "paused": true}`)
	wantStatus(t, a, http.StatusConflict)
	if p := decode[problem](t, a); p.Route != "films" || p.Name != "taken" || p.Infohash != taken {
		t.Errorf("a name that is taken: %+v, want films, taken and its infohash", p)
	}
	wantStatus(t, s.patch(t, unreadable.String(), `{"paused": true}`), http.StatusConflict)
	wantStatus(t, s.patch(t, someHash, `{"paused": true}`), http.StatusNotFound)
	wantStatus(t, s.patch(t, "x", `{"paused": true}`), http.StatusBadRequest)
	if after := s.get(t, "/api/v1/torrents/"+ih); string(after.body) != string(before.body) {
		t.Errorf("afterwards it is %s, want %s as before", after.body, before.body)
	}
}

// TestUploadForMagnet: a .torrent file makes a torrent of a link, alone and together with others.
func TestUploadForMagnet(t *testing.T) {
	s := openSite(t)
	for _, more := range [][]part{nil, {file("other.torrent", torrentFile("other", 1))}} {
		name := fmt.Sprint("linked ", len(more))
		linked := torrentFile(name, 2)
		wantStatus(t, s.addMagnet(t, "music", magnet(infohash(t, linked).String(), "x")), http.StatusCreated)
		a := s.upload(t, append(more, inRoute("films"), file("l.torrent", linked))...)
		wantStatus(t, a, http.StatusCreated)
		found := s.get(t, "/api/v1/torrents/"+infohash(t, linked).String())
		checkRow(t, found, row{Infohash: infohash(t, linked).String(), Name: name, Route: "films", State: "idle", Size: 2, Files: 1})
	}
}

func TestAddKnownWithTrackers(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "music", torrentFile("known", 1)).Infohash.String()
	for _, want := range []string{"it got 1 tracker and 0 web seeds that it lacked", "already in route"} {
		a := s.addMagnet(t, "films", magnet(ih, "x")+"&tr=http%3A%2F%2F127.0.0.1%3A1%2Fa")
		wantStatus(t, a, http.StatusConflict)
		if p := decode[problem](t, a); !strings.Contains(p.Detail, want) || p.Infohash != ih {
			t.Errorf("a known torrent with a tracker answers %+v, want %q", p, want)
		}
	}
}
