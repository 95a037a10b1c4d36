package admin

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"testing"

	"shoal/tree"
)

// TestCVE_2008_0071_MalformedRange (and CVE-2008-7166): µTorrent and BitTorrent crashed by a Range header.
func TestCVE_2008_0071_MalformedRange(t *testing.T) {
	content := text(strings.Repeat("0123456789", 100))
	s := newFSSite(t, map[string]tree.Content{"x.mkv": content})
	for _, header := range []string{
		"bytes", "bytes=", "bytes=-", "bytes=--1", "bytes=a-b", "bytes=5-4", "bytes=-0", "bytes=1000-", "bytes=0x0-1", "bytes=+1-2",
		"bytes=99999999999999999999999-", "bytes=-99999999999999999999999", "bytes=9223372036854775807-9223372036854775807",
		"bytes=-9223372036854775808", "items=0-1", "bytes=0-0\x00", "=", ",", "bytes=,,,", "bytes=0-0,-", strings.Repeat("A", 4096),
		"bytes=" + strings.Repeat("0-,", 1000), "bytes=" + strings.Repeat("0-0,", 15_000) + "1-1", "bytes=" + strings.Repeat("0-999,", 16) + "0-",
	} {
		before := len(content.readers())
		a := s.ask(t, http.MethodGet, "/fs/films/t/x.mkv", "Range", header, "Accept", "application/json")
		switch a.status {
		case http.StatusRequestedRangeNotSatisfiable:
			if got := len(content.readers()); got != before {
				t.Errorf("%s with Range: %.40q read %d times", a.what, header, got-before)
			}
		case http.StatusOK, http.StatusPartialContent:
			if len(a.body) > 4000 {
				t.Errorf("%s with Range: %.40q answers %d with %d bytes", a.what, header, a.status, len(a.body))
			}
		default:
			t.Errorf("%s with Range: %.40q answers %d", a.what, header, a.status)
		}
	}
}

// TestCVE_2026_49245_ServedFilesNeverRun (and CVE-2025-52902, CVE-2026-34529): files of strangers that were shown inline in SFTPGo and
// File Browser had the powers of whoever was logged in.
func TestCVE_2026_49245_ServedFilesNeverRun(t *testing.T) {
	const page = `<script>alert(document.domain)</script>`
	inline := map[string]string{
		"a.mkv": "video/x-matroska", "a.MP4": "video/mp4", "a.mp3": "audio/mpeg", "a.jpg": "image/jpeg", "a.html.txt": "text/plain", "a.srt": "text/plain",
		"a.vtt": "text/vtt", "a.nfo": "text/plain",
	}
	attached := []string{
		"a.html", "a.HTM", "a.xhtml", "a.shtml", "a.svg", "a.svgz", "a.xml", "a.xsl", "a.rss", "a.pdf", "a.js", "a.mjs", "a.css", "a.swf", "a.wasm", "a.json", "a.mht",
		"a.exe", "a.jar", "a.hta", "a.eml", "a.ics", "a.txt.html", "noextension", "a.", ".html", "a.txt ", "a.unknown", "a.webmanifest", "a.m3u8", "a.zip.iso",
	}
	files := make(map[string]tree.Content)
	for name := range inline {
		files[name] = text(page)
	}
	for _, name := range attached {
		files[name] = text(page)
	}
	s := newFSSite(t, files)
	for name := range files {
		for _, query := range []string{"", "?download=1"} {
			for _, header := range [][]string{nil, {"Range", "bytes=0-9"}} {
				a := s.ask(t, http.MethodGet, "/fs/films/t/"+escapeName(name)+query, header...)
				mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
				if err != nil || a.status >= 300 {
					t.Errorf("%s answers %d, %v", a.what, a.status, err)
				}
				kind, params, err := mime.ParseMediaType(a.header.Get("Content-Disposition"))
				if err != nil || params["filename"] == "" {
					t.Errorf("%s answers with Content-Disposition: %q, %v", a.what, a.header.Get("Content-Disposition"), err)
				}
				wantType, isInline := inline[name]
				if !isInline {
					wantType = "application/octet-stream"
				}
				if mediaType != wantType || (kind == "inline") != (isInline && query == "") {
					t.Errorf("%s is %s of the type %q, want %q", a.what, kind, mediaType, wantType)
				}
				policy := strings.Split(a.header.Get("Content-Security-Policy"), "; ")
				if policy[0] != "sandbox" || policy[1] != "default-src 'none'" || a.header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
					t.Errorf("%s answers with the headers %q", a.what, a.header)
				}
			}
		}
	}
}

// hostileFiles are names of files, and of whoever made the torrent.
var hostileFiles = []string{
	`<script>alert(1)<script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, "javascript:alert(1)",
	"a\r\nSet-Cookie: x=y", `a"; filename="b.html`, "{{.Path}}", "<!--", "&lt;b&gt;", "\u202egpj.exe", strings.Repeat("ä", 127), "`x`$(y)", "?cursor=1", "#x", "%3Cb%3E", "data:text,x",
}

// TestCVE_2019_15782_ListingEscapesNames (and CVE-2017-6504): WebTorrent's listing of files over HTTP had names as they are.
func TestCVE_2019_15782_ListingEscapesNames(t *testing.T) {
	files := make(map[string]tree.Content)
	for _, name := range hostileFiles {
		files[name] = text("the file " + name)
	}
	s := newFSSite(t, files)
	page := s.ask(t, http.MethodGet, "/fs/films/t/")
	if got := page.header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("the page has the type %q", got)
	}
	for _, bad := range []string{"<script", "<img", "onerror=alert(1)>", "' onmouse", `href="javascript:`, `href="data:`, "<!--"} {
		if bytes.Contains(page.body, []byte(bad)) {
			t.Errorf("the page has %q as it is:\n%s", bad, page.body)
		}
	}
	list := decode[folderPage](t, s.ask(t, http.MethodGet, "/fs/films/t/", "Accept", "application/json"))
	for _, e := range list.Entries {
		if e.Kind == "folder" {
			continue
		}
		href := fmt.Sprintf(`<a href="%s" dir="auto">`, escapeName(e.Name))
		if !bytes.Contains(page.body, []byte(href)) && !strings.ContainsAny(e.Name, "'&+$") { // written as entities
			t.Errorf("the page has no %s", href)
		}
		a := s.ask(t, http.MethodGet, "/fs/films/t/"+escapeName(e.Name))
		if got, want := string(a.body), "the file "+e.Name; got != want {
			t.Errorf("%s answers %q, want %q", a.what, got, want)
		}
		value := a.header.Get("Content-Disposition")
		if strings.ContainsAny(value, "\r\n<>") || strings.Count(value, `"`) != 2 {
			t.Errorf("%q has the header %q", e.Name, value)
		}
		if _, params, err := mime.ParseMediaType(strings.Replace(value, "filename=", "ascii=", 1)); err != nil || params["filename"] != e.Name {
			t.Errorf("%q has the header %q, whose name is %q, %v", e.Name, value, params["filename"], err)
		}
	}
	if len(list.Entries) != len(files)+1 {
		t.Errorf("the folder has %d entries", len(list.Entries))
	}
}

// TestCVE_2017_1000420_LinksStayInside (and CVE-2026-54094, CVE-2026-55668): Syncthing and File Browser followed links out of what they share.
func TestCVE_2017_1000420_LinksStayInside(t *testing.T) {
	s := newFSSite(t, map[string]tree.Content{"ok.txt": text("beside the archive")})
	for name, want := range map[string]any{
		"good": hello, "again": hello, "folder/member.txt": hello, "above": "beside the archive",
		"out": 404, "absolute": 400, "loop": 400, "nowhere": 404, "good/": 404, "good/x": 404, "loop/x": 400, "out/passwd": 404,
	} {
		a := s.ask(t, http.MethodGet, "/fs/films/t/box.zip/"+name)
		if status, ok := want.(int); ok && a.status != status || !ok && string(a.body) != want {
			t.Errorf("%s answers %d %q, want %v", a.what, a.status, a.body, want)
		}
	}
}

// TestCVE_2024_36814_NoFilesOfTheMachine (and CVE-2017-9031, GHSL-2024-188, GHSL-2024-191, CVE-2026-41448, CVE-2026-59732, CVE-2026-71309;
// the backslashes of qBittorrent 4.5.0; the // and prefixes of CVE-2026-35605, CVE-2026-25890, CVE-2026-54097).
func TestCVE_2024_36814_NoFilesOfTheMachine(t *testing.T) {
	s := newFSSite(t, map[string]tree.Content{"ok.txt": text(hello)})
	for _, up := range []string{
		"../", "..%2f", "..%2F", "%2e%2e/", "%2e%2e%2f", "..%5c", `..\`, "%252e%252e%252f", "..%c0%af", "....//", "..;/", ".%00./", "%ef%bc%8e%ef%bc%8e/", "//", "./",
	} {
		for _, from := range []string{"/fs/", "/fs/films/", "/fs/films/t/", "/fs/films/t/box.zip/"} {
			for _, to := range []string{"etc/passwd", "go.mod", "films/t/ok.txt", "C:/Windows/win.ini", "api/v1/routes"} {
				for _, method := range []string{http.MethodGet, http.MethodHead} {
					if a := s.ask(t, method, from+strings.Repeat(up, 6)+to); a.status != http.StatusNotFound {
						t.Errorf("%s answers %d %.60q", a.what, a.status, a.body)
					}
				}
			}
		}
	}
}
