package admin

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/admin/locale"
	"shoal/torrents"
	"shoal/web"
)

// manyRecords writes a library of n torrents, of which nothing is known but what is in their records.
func manyRecords(t testing.TB, n int) func(dataDir string) {
	t.Helper()
	return func(dataDir string) {
		dir := filepath.Join(dataDir, "torrents")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write := func(path, format string, args ...any) {
			if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(dataDir, "library.json"), `{"format": 2, "next_id": %d, "routes": [
			{"id": 2, "name": "films", "archives": "folder", "changed": "2026-01-02T03:04:05Z"},
			{"id": 3, "name": "music", "archives": "folder", "changed": "2026-01-02T03:04:05Z"}]}`, 100+2*n)
		for i := range n {
			metainfo := torrentFile(fmt.Sprintf("A.Film.Called.%05d.1080p.mkv", i), 1<<20+i)
			ih := infohash(t, metainfo)
			write(filepath.Join(dir, ih.String()+".torrent"), "%s", metainfo)
			write(filepath.Join(dir, ih.String()+".json"), `{"infohash": %q, "route": %d, "name": "A.Film.Called.%05d.1080p.mkv",
				"added": "2026-01-02T03:04:05Z", "first_id": %d, "is_file": true, "size": %d, "files": 1, "mtime": "2026-01-02T03:04:05Z",
				"piece_length": 16384, "pieces": %d, "metainfo_bytes": %d, "ids": 2}`,
				ih, 2+i%2, i, 100+2*i, 1<<20+i, (1<<20+i+16383)/16384, len(metainfo))
		}
	}
}

// shownNames are the names that a page of the list has, in order.
func shownNames(a answer) []string {
	names := []string{}
	for _, m := range regexp.MustCompile(`<td class="name"><a href="[^"]*"><bdi>([^<]*)</bdi>`).FindAllSubmatch(a.body, -1) {
		names = append(names, string(m[1]))
	}
	return names
}

// links are the addresses that the page asks for by htmx, which have to be those of its links.
func links(t *testing.T, a answer) []string {
	t.Helper()
	var all []string
	for _, m := range regexp.MustCompile(`<a href="([^"]*)" hx-get="([^"]*)">`).FindAllSubmatch(a.body, -1) {
		if !bytes.Equal(m[1], m[2]) {
			t.Errorf("a link leads to %s, and with JavaScript to %s", m[1], m[2])
		}
		all = append(all, strings.ReplaceAll(string(m[1]), "&amp;", "&"))
	}
	return all
}

func TestTorrentsPage(t *testing.T) {
	s := openSite(t)
	for i, name := range []string{"b", "a", "c"} {
		s.mustAdd(t, []string{"films", "music"}[i%2], torrentFile(name, 100*(i+1)))
	}
	for query, want := range map[string]struct {
		names []string
		has   string
	}{
		"":                        {[]string{"a", "b", "c"}, "3 torrents."},
		"?sort=-name":             {[]string{"c", "b", "a"}, `aria-sort="descending"><a href="/torrents?sort=name"`},
		"?sort=name":              {[]string{"a", "b", "c"}, `aria-sort="ascending"><a href="/torrents?sort=-name"`},
		"?sort=size":              {[]string{"b", "a", "c"}, `aria-sort="ascending"><a href="/torrents?sort=-size"`},
		"?route=films":            {[]string{"b", "c"}, "2 torrents match."},
		"?q=A":                    {[]string{"a"}, "1 torrent matches."},
		"?state=idle&route=music": {[]string{"a"}, `<option value="idle" selected>`},
		"?state=failed":           {[]string{}, "No torrent is like that."},
		"?route=gone&q=%22%3E":    {[]string{}, `value="&#34;&gt;"`},
		"?limit=2":                {[]string{"a", "b"}, "Next page"},
		"?q=&route=&state=&sort=": {[]string{"a", "b", "c"}, "3 torrents."},
	} {
		a := s.page(t, "/torrents"+query)
		wantStatus(t, a, http.StatusOK)
		if got := shownNames(a); !slices.Equal(got, want.names) {
			t.Errorf("%q shows %q, want %q", query, got, want.names)
		}
		if !strings.Contains(string(a.body), want.has) {
			t.Errorf("%q lacks %q", query, want.has)
		}
	}
}

// TestTorrentsPages goes from page to page, with a filter that has to stay.
func TestTorrentsPages(t *testing.T) {
	s := openSite(t)
	for i := range 7 {
		s.mustAdd(t, "films", torrentFile(fmt.Sprintf("film %d", i), 100))
	}
	s.mustAdd(t, "films", torrentFile("other", 100))
	var all []string
	address := "/torrents?q=film&sort=-name&limit=3"
	for pages := 1; ; pages++ {
		a := s.page(t, address)
		wantStatus(t, a, http.StatusOK)
		all = append(all, shownNames(a)...)
		list := links(t, a)
		if first := strings.Contains(string(a.body), "First page"); first != (pages > 1) {
			t.Errorf("page %d has a link to the first: %v", pages, first)
		}
		last := list[len(list)-1]
		if !strings.Contains(last, "cursor=") {
			if pages != 3 {
				t.Errorf("there are %d pages, want 3", pages)
			}
			break
		}
		if u, err := url.Parse(last); err != nil || u.Query().Get("q") != "film" || u.Query().Get("sort") != "-name" || u.Query().Get("limit") != "3" {
			t.Fatalf("the next page is %s, which loses the filter: %v", last, err)
		}
		address = last
	}
	if want := []string{"film 6", "film 5", "film 4", "film 3", "film 2", "film 1", "film 0"}; !slices.Equal(all, want) {
		t.Errorf("the pages show %q, want %q", all, want)
	}
}

func TestTorrentsPageRefuses(t *testing.T) {
	s := openSite(t)
	for _, query := range []string{"?state=lost", "?sort=luck", "?limit=0", "?limit=1001", "?cursor=!"} {
		a := s.sendPage(t, http.MethodGet, "/torrents"+query, nil)
		if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), `role="alert"`) {
			t.Errorf("%q answers %d without a sentence", query, a.status)
		}
	}
}

func TestTorrentsPageEmpty(t *testing.T) {
	a := openSite(t).page(t, "/torrents")
	for _, want := range []string{`href="/add"`, "Sintel", `name="route" value="films"`} {
		if !strings.Contains(string(a.body), want) {
			t.Errorf("the page of an empty library lacks %q", want)
		}
	}
	if bytes.Contains(a.body, []byte(`id="bulk"`)) {
		t.Error("the page of an empty library has actions")
	}
}

func TestTorrentsPageHostile(t *testing.T) {
	broken := torrents.Infohash{1}
	s := openSite(t, failedTorrent(t, broken))
	script := `<script>alert(1)</script>`
	for _, name := range []string{script, `"'onmouseover=alert(1) x="`, "a\u202egpj.exe", strings.Repeat("long ", 800)} {
		s.mustAdd(t, "films", torrentFile(name, 100))
	}
	a := s.page(t, "/torrents?q="+url.QueryEscape(script)+"&route="+url.QueryEscape(script))
	wantStatus(t, a, http.StatusOK)
	b := s.page(t, "/torrents")
	for _, page := range []answer{a, b} {
		for _, bad := range []string{"<script>alert", `"'onmouseover`, "\u202e"} {
			if bytes.Contains(page.body, []byte(bad)) {
				t.Errorf("the page has %q as it came", bad)
			}
		}
	}
	if got := len(shownNames(b)); got != 5 {
		t.Errorf("the page shows %d torrents, want 5", got)
	}
	if !bytes.Contains(b.body, []byte(`<small class="why" lang="en">`)) {
		t.Error("the page does not say why a torrent failed")
	}
	if !slices.Contains(shownNames(b), broken.String()) {
		t.Error("a torrent without a name is not called by its infohash")
	}
	if len(b.body) > 40_000 {
		t.Errorf("the page of long names has %d bytes", len(b.body))
	}
}

func TestTorrentsPageBelowBasePath(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "films", torrentFile("a", 100))
	s.handler = s.at("/shoal")
	a := s.page(t, "/shoal/torrents?limit=1")
	for _, want := range []string{`action="/shoal/torrents/bulk"`, `hx-get="/shoal/torrents"`, `href="/shoal/torrents?limit=1&amp;sort=-name"`} {
		if !bytes.Contains(a.body, []byte(want)) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestTorrentsPageHasAllTexts(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	s := openSite(t)
	s.mustAdd(t, "films", torrentFile("a", 100))
	for _, query := range []string{"", "?state=failed", "?limit=1"} {
		if missing := missingTexts(locales, s.page(t, "/torrents"+query).body); len(missing) > 0 {
			t.Errorf("%q shows the keys %q instead of texts", query, missing)
		}
	}
}

// TestTorrentsPageOfMany has as many torrents as tests can wait for; the page may not depend on how many there are.
func TestTorrentsPageOfMany(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes a library of many torrents")
	}
	const n = 2000
	s := openSite(t, manyRecords(t, n))
	var took []time.Duration
	var a answer
	for range 9 {
		begin := time.Now()
		a = s.page(t, "/torrents?sort=-size&q=film")
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	if got := len(shownNames(a)); got != rowsPerPage {
		t.Errorf("the page shows %d rows, want %d", got, rowsPerPage)
	}
	if !bytes.Contains(a.body, []byte("2,000 torrents match.")) {
		t.Error("the page does not say how many torrents match")
	}
	packed, err := gzipped(a.body, gzip.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("of %d torrents: %v at the median, %d bytes, %d compressed", n, took[len(took)/2], len(a.body), len(packed))
	if len(packed) > 60<<10 {
		t.Errorf("the page weighs %d bytes compressed, want at most 60 KiB", len(packed))
	}
	// Far more than it takes, even on a busy machine with the race detector.
	if took[len(took)/2] > time.Second {
		t.Errorf("the page takes %v at the median", took[len(took)/2])
	}
}

// TestTorrentsPageIsLive: while the page is open it is sent the rows of its filter, and how many there are.
func TestTorrentsPageIsLive(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "films", torrentFile("film a", 100))
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/torrents?q=film&sort=-name", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Accept", "text/event-stream")
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := &eventReader{bufio.NewReader(resp.Body), resp.Body.Close}
	// await reads until the rows are these. A row also changes as it grows older.
	await := func(total string, want ...string) {
		t.Helper()
		for {
			part := []byte(stream.want(t, "list")[0].data)
			if !bytes.HasPrefix(part, []byte(`<section id="list"`)) {
				t.Fatalf("the part is %s", part)
			}
			if slices.Equal(shownNames(answer{body: part}), want) && bytes.Contains(part, []byte(total)) {
				return
			}
		}
	}
	await("1 torrent matches.", "film a")
	s.mustAdd(t, "films", torrentFile("other", 100))
	b := s.mustAdd(t, "films", torrentFile("film b", 100))
	await("2 torrents match.", "film b", "film a")
	if err := s.library.Remove(b.Infohash); err != nil {
		t.Fatal(err)
	}
	await("1 torrent matches.", "film a")
}

// TestStreamKnowsThePage: the stream of a page sends nothing that the page came with, and is at the page's address.
func TestStreamKnowsThePage(t *testing.T) {
	for _, test := range []struct{ query, has, want string }{
		{"", "", "film b"},
		{"?q=film&sort=-name", "", "film b"},
		{"", "list=other", "film a"},
	} {
		s := openSite(t)
		begin := time.Now()
		s.mustAdd(t, "films", torrentFile("film a", 100))
		server := httptest.NewServer(s.handler)
		t.Cleanup(server.Close)
		page := s.sendPage(t, http.MethodGet, "/torrents"+test.query, nil)
		match := regexp.MustCompile(`data-has="([^"]+)"`).FindSubmatch(page.body)
		if match == nil {
			t.Fatalf("the page does not say what it has:\n%s", page.body)
		}
		address, err := url.Parse(server.URL + "/torrents" + test.query)
		if err != nil {
			t.Fatal(err)
		}
		values := address.Query()
		values.Set("has", cmp.Or(test.has, string(match[1])))
		address.RawQuery = values.Encode()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+testToken)
		r.Header.Set("Accept", "text/event-stream")
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if test.want == "film b" { // what is sent first has it, as nothing was before
			s.mustAdd(t, "films", torrentFile("film b", 100))
		}
		stream := &eventReader{bufio.NewReader(resp.Body), resp.Body.Close}
		part := stream.want(t, "list")[0].data
		// What was added just now is so for 5 seconds, and then the page has become another.
		if !strings.Contains(part, test.want) && time.Since(begin) < 4*time.Second || strings.Contains(part, "has=") {
			t.Errorf("%+v: the stream begins with %s", test, part)
		}
	}
}

// sendPage sends a form, or asks for a page if there is none, as a browser does, whatever the answer.
func (s *site) sendPage(t testing.TB, method, target string, form url.Values) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	resp := rec.Result()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{method + " " + target, resp.StatusCode, resp.Header, body}
	checkHeaders(t, a)
	return a
}
