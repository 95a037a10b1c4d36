package admin

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
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

// browse asks for a page of a torrent, or sends a form, as a browser does.
func (s *site) browse(t testing.TB, target string, form url.Values, header ...string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if form != nil {
		r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	r.Header.Set("Accept", "text/html")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	a := answer{r.Method + " " + target, rec.Code, rec.Header(), rec.Body.Bytes()}
	checkHeaders(t, a)
	return a
}

func wantTexts(t testing.TB, a answer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !bytes.Contains(a.body, []byte(text)) {
			t.Errorf("%s answers without %q", a.what, text)
		}
	}
}

func wantNoTexts(t testing.TB, a answer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if bytes.Contains(a.body, []byte(text)) {
			t.Errorf("%s answers with %q", a.what, text)
		}
	}
}

func TestTorrentPage(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", bytes.Replace(folderTorrent("a film", 3), []byte("d4:info"), []byte("d8:announce21:http://x.org/announce4:info"), 1)).Infohash
	path := "/torrents/" + ih.String()
	a := s.browse(t, path, nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "<title>a film – Shoal</title>", `<code id="path">/films/a film</code>`, ih.String(), "Nobody is reading this torrent.",
		"magnet:?xt=urn:btih:"+ih.String()+"&amp;dn=a%20film&amp;tr=http%3A%2F%2Fx.org%2Fannounce<", "not in the swarm", "http://x.org/announce",
		`href="/fs/films/a%20film/top"`, `href="`+path+`?path=sub"`, `value="a film"`, `data-pieces="/api/v1/torrents/`+ih.String()+`/pieces"`,
		`aria-label="Map of 1 piece: 100 % missing"`, `<button name="paused" value="true"`)
	for _, part := range torrentPage.parts {
		if n := bytes.Count(a.body, []byte(` id="`+part+`"`)); n != 1 {
			t.Errorf("the page has %d elements for the part %s, want 1", n, part)
		}
	}
	sub := s.browse(t, path+"?path=sub", nil)
	wantStatus(t, sub, http.StatusOK)
	wantTexts(t, sub, `href="/fs/films/a%20film/sub/000"`, "3 entries", `name="folder" value="sub"`, `value="sub/001"`)
	wantNoTexts(t, sub, `value="top"`)
}

func TestTorrentPagesHaveAllTexts(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	s, ih := shelved(t)
	s.readers = []Reader{{Protocol: ProtocolNFS, Client: netip.MustParseAddr("10.0.0.2"), Path: "/films/a/top", Infohash: ih, Size: 1}}
	unresolved := torrents.Infohash{1}
	wantStatus(t, s.addMagnet(t, "films", magnet(unresolved.String(), "m")), http.StatusCreated)
	paused := s.mustAdd(t, "films", torrentFile("p", 5)).Infohash
	if _, err := s.library.ChangeTorrent(paused, torrents.TorrentChange{Paused: new(true), Pinned: new(true)}); err != nil {
		t.Fatal(err)
	}
	complete := s.mustAdd(t, "films", completeTorrent("c")).Infohash
	for _, known := range []torrents.Infohash{ih, unresolved, paused, complete} {
		for _, path := range []string{"/torrents/" + known.String(), "/torrents/" + known.String() + "/delete"} {
			for _, language := range []string{"en", "de"} {
				a := s.browse(t, path, nil, "Accept-Language", language)
				wantStatus(t, a, http.StatusOK)
				wantTexts(t, a, `<html lang="`+language+`"`)
				if missing := missingTexts(locales, a.body); len(missing) > 0 {
					t.Errorf("%s in %s shows the keys %q instead of texts", path, language, missing)
				}
				if found := regexp.MustCompile(`\btorrent(_delete)?\.[a-z_]+`).FindAllString(string(a.body), -1); len(slices.DeleteFunc(found,
					func(key string) bool { return key == "torrent.js" })) > 0 {
					t.Errorf("%s in %s shows the keys %q instead of texts", path, language, found)
				}
			}
		}
	}
	// Each state that the API may tell of has a word.
	english := locales.All()[0]
	var keys []string
	for _, state := range torrents.States() {
		keys = append(keys, "no_peers_"+string(state))
	}
	for _, state := range ArchiveStates() {
		keys = append(keys, "archive_"+string(state))
	}
	for _, name := range pieceNames {
		keys = append(keys, "piece_"+name)
	}
	for _, status := range []torrents.TrackerStatus{torrents.TrackerIdle, torrents.TrackerAnnouncing, torrents.TrackerOK, torrents.TrackerFailed, torrents.TrackerOff} {
		keys = append(keys, "tracker_"+string(status))
	}
	for _, found := range []torrents.PeerSource{
		torrents.FoundByTracker, torrents.FoundByDHT, torrents.FoundByPEX, torrents.FoundByLSD,
		torrents.FoundIncoming, torrents.FoundFixed, torrents.FoundWebSeed,
	} {
		keys = append(keys, "found_"+strings.ReplaceAll(string(found), " ", "_"))
	}
	for _, flag := range []torrents.PeerFlag{torrents.FlagSeed, torrents.FlagChoking, torrents.FlagInterested, torrents.FlagWanted} {
		keys = append(keys, "flag_"+string(flag))
	}
	for _, key := range keys {
		if !english.Has("torrent." + key) {
			t.Errorf("there is no text torrent.%s", key)
		}
	}
}

func TestTorrentPageOfUnresolved(t *testing.T) {
	s := openSite(t)
	ih := torrents.Infohash{1}
	wantStatus(t, s.addMagnet(t, "films", magnet(ih.String(), "a name")), http.StatusCreated)
	a := s.browse(t, "/torrents/"+ih.String(), nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "Looking for the metadata in the swarm.", "The files are known once a peer has sent the metadata.", `value="a name"`)
	wantNoTexts(t, a, "<canvas", `id="path"`, "/prefetch", "/evict", "/fs/")
}

func TestTorrentPageOfFailed(t *testing.T) {
	ih := torrents.Infohash{7}
	s := openSite(t, failedTorrent(t, ih))
	a := s.browse(t, "/torrents/"+ih.String(), nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, `class="note bad" lang="en"`, "The torrent has failed", "failed</span>")
}

func TestTorrentPageOfNothing(t *testing.T) {
	s := openSite(t)
	known := s.mustAdd(t, "films", folderTorrent("a", 3)).Infohash.String()
	for target, want := range map[string]int{
		otherHash: http.StatusNotFound, "xyz": http.StatusBadRequest, otherHash + "/delete": http.StatusNotFound,
		known + "?path=other": http.StatusNotFound, known + "?path=..%2F..": http.StatusNotFound, known + "?path=%ff%00": http.StatusNotFound,
		known + "?cursor=!": http.StatusBadRequest, known + "?cursor=bnVsbA": http.StatusBadRequest, known + "?archives=x": http.StatusBadRequest,
	} {
		a := s.browse(t, "/torrents/"+target, nil)
		wantStatus(t, a, want)
		wantTexts(t, a, "<h1>That did not work</h1>")
	}
}

// hostile are names that a page must show and not obey, as far as names of files may be like that.
var hostile = []string{
	"<script>alert(1)<", `"onmouseover="alert(1)`, "'><img src=x onerror=alert(1)>", "\u202egnp.exe", "a&amp;b", "{{.}}", "javascript:alert(1)",
	"${alert(1)}", "?path=x#y%2F", strings.Repeat("a", 255),
}

// TestCVE_2021_3427_TorrentPage: Deluge showed what torrents say as it is.
func TestCVE_2021_3427_TorrentPage(t *testing.T) {
	s := openSite(t)
	for i, name := range hostile {
		var files strings.Builder
		for j, inside := range hostile {
			fmt.Fprintf(&files, "d6:lengthi1e4:pathl%d:%s%d:%see", len(name), name, len(inside)+1, fmt.Sprint(j)+inside)
		}
		// The length makes another torrent of each.
		metainfo := fmt.Appendf(nil, "d4:infod5:filesl%se4:name%d:%s12:piece lengthi%de6:pieces20:hhhhhhhhhhhhhhhhhhhhee",
			files.String(), len(name), name, 16384<<i)
		added, err := s.library.AddMetainfo("films", metainfo)
		if err != nil {
			t.Fatal(err)
		}
		s.inside.of = added.Infohash
		s.inside.list = []Archive{{Place: "0", Path: name, State: ArchiveRefused, Reason: name}}
		s.readers = []Reader{{Client: netip.MustParseAddr("10.0.0.2"), Protocol: ProtocolNFS, Path: "/films/" + name, Infohash: added.Infohash}}
		path := "/torrents/" + added.Infohash.String()
		top := s.browse(t, path, nil)
		folder := regexp.MustCompile(`href="([^"]*\?path=[^"]*)"`).FindSubmatch(top.body)
		if folder == nil {
			t.Fatalf("the page of %q has no folder", name)
		}
		for _, a := range []answer{top, s.browse(t, html.UnescapeString(string(folder[1])), nil), s.browse(t, path+"/delete", nil)} {
			wantStatus(t, a, http.StatusOK)
			wantNoTexts(t, a, "<script>alert", "<img src=x", `"onmouseover`, `href="javascript`)
			if !bytes.Contains(a.body, []byte("<bdi>"+htmlText(added.Name)+"</bdi>")) {
				t.Errorf("%s does not show the name %q", a.what, added.Name)
			}
		}
	}
}

// htmlText is a text as html/template writes it.
func htmlText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "+", "&#43;").Replace(text)
}

// TestTorrentPageOfManyFiles follows a folder of 40,000 files from page to page for a while.
func TestTorrentPageOfManyFiles(t *testing.T) {
	s := openSite(t)
	const files = 40_000
	var b strings.Builder
	for i := range files {
		fmt.Fprintf(&b, "d6:lengthi1e4:pathl3:sub9:%05d.txtee", i)
	}
	ih := s.mustAdd(t, "films", fmt.Appendf(nil, "d4:infod5:filesl%se4:name1:a12:piece lengthi16384e6:pieces60:%see", b.String(), strings.Repeat("h", 60))).Infohash
	target := "/torrents/" + ih.String() + "?path=sub"
	next := regexp.MustCompile(`href="([^"]*cursor=[^"]*)#files"[^>]*>Next page`)
	rows := regexp.MustCompile(`formaction=`)
	for page := range 3 {
		start := time.Now()
		a := s.browse(t, target, nil)
		t.Logf("page %d took %v", page, time.Since(start))
		wantStatus(t, a, http.StatusOK)
		wantTexts(t, a, "40,000 entries", fmt.Sprintf(">%05d.txt<", page*folderRows), fmt.Sprintf(">%05d.txt<", (page+1)*folderRows-1))
		wantNoTexts(t, a, fmt.Sprintf(">%05d.txt<", (page+1)*folderRows))
		if n := len(rows.FindAll(a.body, -1)); n != folderRows {
			t.Errorf("page %d has %d rows, want %d", page, n, folderRows)
		}
		if packed, err := gzipped(a.body, gzip.DefaultCompression); err != nil || len(packed) > 40<<10 {
			t.Errorf("page %d has %d bytes when packed, %v", page, len(packed), err)
		}
		found := next.FindSubmatch(a.body)
		if found == nil {
			t.Fatalf("page %d leads to no other", page)
		}
		target = html.UnescapeString(string(found[1]))
	}
	last := "/torrents/" + ih.String() + "?path=sub&cursor=" + encodeCursor(fileCursor{Name: "39998.txt"})
	a := s.browse(t, last, nil)
	wantTexts(t, a, ">39999.txt<", "First page")
	wantNoTexts(t, a, ">39998.txt<", "Next page")
}

func TestTorrentPageReaders(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", folderTorrent("a", 3)).Infohash // sub/000, sub/001, sub/002 and top have a byte each
	other := s.mustAdd(t, "films", torrentFile("b", 100)).Infohash
	client := netip.MustParseAddr("10.0.0.2")
	s.readers = []Reader{
		{Protocol: ProtocolNFS, Client: client, Path: "/films/a/sub/002", Infohash: ih, Size: 1, Offset: 1, BytesRead: 1},
		{Protocol: ProtocolHTTP, Client: client, Path: "/films/a/sub/x.zip/inside", Infohash: ih, Size: 5},
		{Protocol: ProtocolNFS, Client: client, Path: "/films/b", Infohash: other, Size: 100, Offset: 60},
	}
	a := s.browse(t, "/torrents/"+ih.String(), nil)
	wantTexts(t, a, `<tr data-at="2" data-client="10.0.0.2" data-file="sub/002">`, "<bdi>sub/x.zip/inside</bdi>")
	wantNoTexts(t, a, `data-at="0"`, `data-at="60"`)
	wantTexts(t, s.browse(t, "/torrents/"+other.String(), nil), `<tr data-at="60" data-client="10.0.0.2" data-file="b">`)
}

func TestTorrentPageArchives(t *testing.T) {
	s, ih := shelved(t)
	path := "/torrents/" + ih.String()
	a := s.browse(t, path, nil)
	wantTexts(t, a, "5 archives", "<bdi>a.zip/b.zip</bdi>", "archive is not supported: encrypted", "2 entries inside", `name="archive" value="0-1"`)
	wantNoTexts(t, a, `name="archive" value="0"`, `name="archive" value="12"`)
	rest := s.browse(t, path+"?archives=3", nil)
	wantTexts(t, rest, "<bdi>d.rar</bdi>", "First page")
	wantNoTexts(t, rest, "<bdi>c.tar.gz</bdi>")
	done := s.browse(t, path+"/look", url.Values{"archive": {"0-1"}})
	wantStatus(t, done, http.StatusSeeOther)
	if want := []string{"0-1"}; !slices.Equal(s.inside.looked, want) {
		t.Errorf("%q were looked into, want %q", s.inside.looked, want)
	}
	for place, want := range map[string]int{"": http.StatusBadRequest, "x": http.StatusBadRequest, "7": http.StatusNotFound} {
		wantStatus(t, s.browse(t, path+"/look", url.Values{"archive": {place}}), want)
	}
	s.inside.err = ErrBusy
	wantStatus(t, s.browse(t, path+"/look", url.Values{"archive": {"0"}}), http.StatusTooManyRequests)
	wantNoTexts(t, s.browse(t, "/torrents/"+s.mustAdd(t, "films", torrentFile("none", 1)).Infohash.String(), nil), `id="archives"`)
}

func TestPiecesAgain(t *testing.T) {
	s := openSite(t)
	small := s.mustAdd(t, "films", torrentFile("small", 20_000)).Infohash
	large := s.mustAdd(t, "films", torrentFile("large", 10_000*16384)).Infohash
	for ih, want := range map[torrents.Infohash]int{small: 2, large: 10_000} {
		path := s.torrentPath(ih, "pieces")
		a := s.browse(t, path, nil, "Accept-Encoding", "gzip")
		body := a.body
		if packed := a.header.Get("Content-Encoding") == "gzip"; packed != (want >= minPacked) {
			t.Errorf("%s is packed: %v", a.what, packed)
		} else if packed {
			r, err := gzip.NewReader(bytes.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
		if len(body) != want || len(s.get(t, path).body) != want {
			t.Errorf("%s has %d pieces, want %d", a.what, len(body), want)
		}
		tag := a.header.Get("ETag")
		again := s.browse(t, path, nil, "If-None-Match", tag)
		if again.status != http.StatusNotModified || len(again.body) > 0 {
			t.Errorf("%s with the tag %s answers %d with %d bytes", a.what, tag, again.status, len(again.body))
		}
		wantStatus(t, s.browse(t, path, nil, "If-None-Match", `W/"other"`), http.StatusOK)
	}
}

func TestMagnetOf(t *testing.T) {
	row := func(address string) torrents.Tracker {
		return torrents.Tracker{Kind: torrents.KindTracker, URL: address}
	}
	trackers := []torrents.Tracker{
		row("udp://t.org:80"), row("http://t.org/0123456789abcdef/announce"), row("https://t.org/announce?passkey=1"),
		row("https://me:secret@t.org/announce"),
		{Kind: torrents.KindDHT},
		row("nonsense"),
	}
	got := magnetOf(&torrents.Torrent{Infohash: torrents.Infohash{1}, Name: "a+b & c", Resolved: true}, trackers)
	const want = "magnet:?xt=urn:btih:0100000000000000000000000000000000000000&dn=a%2Bb%20%26%20c&tr=udp%3A%2F%2Ft.org%3A80"
	if got != want {
		t.Errorf("the link is\n%s, want\n%s", got, want)
	}
}
