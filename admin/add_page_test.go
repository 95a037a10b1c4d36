package admin

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/admin/locale"
	"shoal/torrents"
	"shoal/web"
)

// field is a field of a form that is no file.
func field(name, value string) part { return part{field: name, content: []byte(value)} }

// submit sends the form for adding as a browser does.
func (s *site) submit(t testing.TB, parts ...part) answer {
	t.Helper()
	contentType, body := form(t, parts...)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/add", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Accept", "text/html")
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	a := answer{"POST /add", rec.Code, rec.Header(), rec.Body.Bytes()}
	checkHeaders(t, a)
	return a
}

var (
	boxes = regexp.MustCompile(`<input type="checkbox" name="([a-z]+)" value="([^"]*)"( checked)?>`)
	lines = regexp.MustCompile(`(?s)<textarea name="links"[^>]*>(.*?)</textarea>`)
)

// ticked lists the fields that a page sends when nobody changes its boxes.
func ticked(a answer) []part {
	var parts []part
	for _, box := range boxes.FindAllStringSubmatch(string(a.body), -1) {
		if box[3] != "" {
			parts = append(parts, field(box[1], html.UnescapeString(box[2])))
		}
	}
	return parts
}

// typed is what is in the field for links.
func typed(t testing.TB, a answer) string {
	t.Helper()
	found := lines.FindSubmatch(a.body)
	if found == nil {
		t.Fatalf("%s answers without a field for links: %s", a.what, a.body)
	}
	return html.UnescapeString(string(found[1]))
}

func TestAddPage(t *testing.T) {
	s := openSite(t)
	a := s.browse(t, "/add?route=music", nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "<title>Add torrents – Shoal</title>", `<option value="films">`, `<option value="music" selected>`, `name="new_route" value=""`)
	wantNoTexts(t, a, "<table>")
}

// TestAddPageLink: a link that somebody was led here with is shown, and nothing more happens.
func TestAddPageLink(t *testing.T) {
	s := openSite(t)
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	link := magnet(strings.Repeat("a", 40), "A%20film")
	a := s.browse(t, "/add?uri="+url.QueryEscape(link), nil)
	wantStatus(t, a, http.StatusOK)
	if got := ticked(a); len(got) != 1 || string(got[0].content) != link || got[0].field != "links" {
		t.Errorf("the page would send %q, want the link", got)
	}
	wantTexts(t, a, "<bdi>A film</bdi>", "Magnet link")
	for _, uri := range []string{server.URL, "nonsense", "javascript:alert(1)"} {
		a := s.browse(t, "/add?uri="+url.QueryEscape(uri), nil)
		wantStatus(t, a, http.StatusOK)
		if got := typed(t, a); got != uri {
			t.Errorf("of %s the page shows %q", uri, got)
		}
		if got := ticked(a); len(got) > 0 {
			t.Errorf("of %s the page would send %q", uri, got)
		}
	}
	if asked {
		t.Error("to look at the page has fetched a URL")
	}
	if names := s.names(); len(names) > 0 {
		t.Errorf("to look at the page has added %q", names)
	}
}

func TestAddPreview(t *testing.T) {
	s := openSite(t)
	known := s.mustAdd(t, "films", torrentFile("known film", 5))
	fresh := strings.Repeat("b", 40)
	a := s.submit(t, field("links", magnet(fresh, "fresh")+"\r\nwrong line\n\n  "+fresh+"\n"+magnet(known.Infohash.String(), "k")),
		file("a.torrent", folderTorrent("a folder", 30)), file("bad.torrent", []byte("<html>")), part{"torrent", "", nil},
		field("route", "music"), field("new_route", " "), field("do", "preview"))
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "a folder", "31 files", "and 11 more", "wrong line", "bad.torrent", `href="/torrents/`+known.Infohash.String()+`"><bdi>films/known film</bdi>`,
		"the same torrent as one above", `<option value="music" selected>`)
	if got := typed(t, a); got != "wrong line" {
		t.Errorf("the field for links has %q, want the one with a mistake", got)
	}
	if got := s.names(); !slices.Equal(got, []string{"known film"}) {
		t.Errorf("a preview leaves the torrents %q", got)
	}
	sends := ticked(a)
	if len(sends) != 2 || sends[0].field != "carried" || sends[1].field != "links" {
		t.Fatalf("the page would send %q, want the file and the new link", sends)
	}
	a = s.submit(t, append(sends, field("links", ""), field("route", "music"), field("do", "add"))...)
	wantStatus(t, a, http.StatusSeeOther)
	if got := a.header.Get("Location"); got != "/torrents?route=music" {
		t.Errorf("after adding, the way leads to %s", got)
	}
	if got := s.names(); !slices.Equal(got, []string{"a folder", "fresh", "known film"}) {
		t.Errorf("the torrents are %q", got)
	}
}

func TestAdd(t *testing.T) {
	for _, test := range []struct {
		name   string
		form   url.Values
		status int
		to     string
		routes []string
		texts  []string
		typed  string
	}{
		{"one", url.Values{"links": {magnet(strings.Repeat("1", 40), "one")}, "route": {"films"}}, 303, "/torrents/" + strings.Repeat("1", 40), nil, nil, ""},
		{"infohash", url.Values{"links": {strings.Repeat("1", 40)}, "route": {"films"}}, 303, "/torrents/" + strings.Repeat("1", 40), nil, nil, ""},
		{"new route", url.Values{"links": {strings.Repeat("1", 40)}, "route": {"films"}, "new_route": {"a & b"}}, 303, "/torrents/" + strings.Repeat("1", 40), []string{"a & b", "films", "music"}, nil, ""},
		{"missing route", url.Values{"links": {strings.Repeat("1", 40)}, "route": {"series"}}, 303, "/torrents/" + strings.Repeat("1", 40), []string{"films", "music", "series"}, nil, ""},
		{"bad route", url.Values{"links": {strings.Repeat("1", 40)}, "new_route": {"a/b"}}, 400, "", nil, []string{"cannot be the name of a route", `value="a/b"`}, ""},
		{"no route", url.Values{"links": {strings.Repeat("1", 40)}}, 400, "", nil, []string{"The name of the route is missing."}, ""},
		{"nothing", url.Values{"links": {" \n"}, "route": {"films"}}, 400, "", nil, []string{"There is nothing to add"}, ""},
		{"unknown field", url.Values{"colour": {"blue"}}, 400, "", nil, []string{"There is no field called"}, ""},
		{"all wrong", url.Values{"links": {"x\ny"}, "new_route": {"empty"}}, 400, "", nil, []string{"2 could not be added", "is no magnet link"}, "x\ny"},
		{"some wrong", url.Values{"links": {strings.Repeat("1", 40) + "\nx"}, "route": {"films"}}, 200, "", nil, []string{"1 torrent was added to films.", "1 could not be added"}, "x"},
		{"known", url.Values{"links": {strings.Repeat("0", 39) + "9\n" + strings.Repeat("1", 40)}, "route": {"films"}}, 200, "", nil, []string{"1 torrent was added", "1 was there already", "<bdi>music/known</bdi>"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openSite(t)
			if _, err := s.library.AddMagnet("music", magnet(strings.Repeat("0", 39)+"9", "known")); err != nil {
				t.Fatal(err)
			}
			test.form.Set("do", "add")
			a := s.browse(t, "/add", test.form)
			wantStatus(t, a, test.status)
			if got := a.header.Get("Location"); got != test.to {
				t.Errorf("the way leads to %q, want %q", got, test.to)
			}
			wantTexts(t, a, test.texts...)
			want := test.routes
			if want == nil {
				want = []string{"films", "music"}
			}
			if got := s.routeNames(); !slices.Equal(got, want) {
				t.Errorf("the routes are %q, want %q", got, want)
			}
			if test.typed != "" {
				if got := typed(t, a); got != test.typed {
					t.Errorf("the field for links has %q, want %q", got, test.typed)
				}
			}
		})
	}
}

// TestAddFirst adds an example to a library that has nothing.
func TestAddFirst(t *testing.T) {
	s := openSite(t)
	for _, name := range s.routeNames() {
		if err := s.library.RemoveRoute(name, false); err != nil {
			t.Fatal(err)
		}
	}
	wantTexts(t, s.browse(t, "/add", nil), `name="new_route" value="films"`)
	a := s.browse(t, "/add", url.Values{"links": {examples[0].Magnet}, "route": {exampleRoute}, "do": {"add"}})
	wantStatus(t, a, http.StatusSeeOther)
	if got := s.routeNames(); !slices.Equal(got, []string{exampleRoute}) {
		t.Errorf("the routes are %q", got)
	}
	if got := s.names(); !slices.Equal(got, []string{"Sintel"}) {
		t.Errorf("the torrents are %q", got)
	}
}

func TestAddURLs(t *testing.T) {
	s := openSite(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(torrentFile(r.URL.Path[1:], 5))
	}))
	defer server.Close()
	var urls []string
	for i := range maxPreviewURLs + 2 {
		urls = append(urls, fmt.Sprintf("%s/file-%d", server.URL, i))
	}
	a := s.submit(t, field("links", strings.Join(urls, "\n")), field("do", "preview"))
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "file-0", "Not looked at: it is fetched when you add it.")
	if got := len(ticked(a)); got != len(urls) {
		t.Errorf("%d of %d URLs would be added", got, len(urls))
	}
	a = s.submit(t, append(ticked(a), field("links", server.URL+"/missing"), field("new_route", "web"), field("do", "add"))...)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "10 torrents were added to web.", "1 could not be added")
	if got := typed(t, a); got != server.URL+"/missing" {
		t.Errorf("the field for links has %q", got)
	}
	if got := len(s.names()); got != len(urls) {
		t.Errorf("there are %d torrents, want %d", got, len(urls))
	}
}

// TestAddLargeFiles: what is too large to be kept in the page has to be picked again.
func TestAddLargeFiles(t *testing.T) {
	s := openSite(t)
	large := torrentFile("large", int64(16384*(maxCarried/2/20)))
	large2 := torrentFile("large 2", int64(16384*(maxCarried/2/20+20)))
	a := s.submit(t, file("1.torrent", large), file("2.torrent", large2), file("3.torrent", torrentFile("small", 5)), field("do", "preview"))
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "Choose it again below")
	if got := len(ticked(a)); got != 2 {
		t.Errorf("%d files are in the page, want 2", got)
	}
	a = s.submit(t, field("carried", "!.!"), field("route", "films"), field("do", "add"))
	wantStatus(t, a, http.StatusBadRequest)
}

// TestAddMany adds as many links as can be added at once, and some more.
func TestAddMany(t *testing.T) {
	s := openSite(t)
	var list []string
	for i := range maxPreviewLinks + 3 {
		list = append(list, magnet(fmt.Sprintf("%040x", i+1), fmt.Sprintf("torrent-%d", i)))
	}
	links := field("links", strings.Join(list, "\n"))
	began := time.Now()
	a := s.submit(t, links, field("do", "preview"))
	wantStatus(t, a, http.StatusOK)
	t.Logf("a preview of %d links takes %v and has %d bytes", maxPreviewLinks, time.Since(began), len(a.body))
	wantTexts(t, a, "3 links were too many")
	if got := len(ticked(a)); got != maxPreviewLinks {
		t.Errorf("%d links would be added, want %d", got, maxPreviewLinks)
	}
	began = time.Now()
	a = s.submit(t, links, field("route", "films"), field("do", "add"))
	t.Logf("adding them takes %v", time.Since(began))
	wantStatus(t, a, http.StatusOK)
	if got, want := typed(t, a), strings.Join(list[maxPreviewLinks:], "\n"); got != want {
		t.Errorf("the field for links has %.200q, want %q", got, want)
	}
	if got := len(s.names()); got != maxPreviewLinks {
		t.Errorf("there are %d torrents, want %d", got, maxPreviewLinks)
	}
}

// TestAdvisory_qBittorrent_24726_AddPage: qBittorrent had titles of what was dropped or pasted run in its dialog for adding. Names of strangers are only
// shown.
func TestAdvisory_qBittorrent_24726_AddPage(t *testing.T) {
	s := openSite(t)
	for i, name := range append(slices.Clone(hostileFiles), strings.Repeat("<b>", 1400)) {
		link := magnet(fmt.Sprintf("%040x", i+1), url.QueryEscape(name))
		for _, do := range []string{"preview", "add", "add"} {
			a := s.submit(t, field("links", link+"\n"+strings.Map(func(r rune) rune {
				if r == '\n' || r == '\r' {
					return ' '
				}
				return r
			}, name)), file(name, []byte("<script>")), field("new_route", "<i>"), field("do", do))
			if a.status >= 500 {
				t.Errorf("%q is answered %d %s", name, a.status, a.body)
			}
			wantNoTexts(t, a, "<script>alert", "<b>", "<i>", "<img src=x", "\u202e</bdi>")
		}
	}
}

func FuzzUnpackFile(f *testing.F) {
	f.Add(packFile(uploadedFile{"a.torrent", []byte("d4:infodee")}))
	f.Add("!.!")
	f.Fuzz(func(t *testing.T, value string) {
		file, err := unpackFile(value)
		if err != nil {
			return
		}
		again, err := unpackFile(packFile(file))
		if err != nil || again.name != file.name || !bytes.Equal(again.metainfo, file.metainfo) {
			t.Errorf("%q comes back as %q, %v", file, again, err)
		}
	})
}

func TestAddAndRoutesHaveAllTexts(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	s := openSite(t, watchFolder(t, strings.Repeat("c", 40)))
	s.awaitWatch(t, `"added"`)
	s.mustAdd(t, "films", folderTorrent("f", 40))
	group := regexp.MustCompile(`\b(add|routes?|route_delete)\.[a-z_]+`)
	for _, path := range []string{"/add", "/add?uri=" + strings.Repeat("d", 40), "/routes", "/routes/films/delete", "/routes/music/delete"} {
		for _, language := range []string{"en", "de"} {
			a := s.browse(t, path, nil, "Accept-Language", language)
			wantStatus(t, a, http.StatusOK)
			missing := missingTexts(locales, a.body)
			for _, key := range group.FindAllString(string(a.body), -1) {
				if key != "add.js" {
					missing = append(missing, key)
				}
			}
			if len(missing) > 0 {
				t.Errorf("%s in %s shows the keys %q instead of texts", path, language, missing)
			}
		}
	}
	english := locales.All()[0]
	for _, kind := range []torrents.PreviewKind{torrents.PreviewMagnet, torrents.PreviewInfohash, torrents.PreviewURL, torrents.PreviewTorrent} {
		if key := "add.kind_" + string(kind); !english.Has(key) {
			t.Errorf("there is no text %s", key)
		}
	}
	for _, state := range []torrents.WatchState{torrents.WatchStarting, torrents.WatchLive, torrents.WatchPolling, torrents.WatchUnavailable} {
		if key := "routes.watch_" + string(state); !english.Has(key) {
			t.Errorf("there is no text %s", key)
		}
	}
}
