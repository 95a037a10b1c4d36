package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/torrents"
	"shoal/tree"
)

var fsEpoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fakeContent is the content of a file, which may fail or wait.
type fakeContent struct {
	data   []byte
	failAt int64 // from where on err is returned, if that is set
	err    error
	wait   <-chan struct{} // nil is for ever
	waits  bool
	gone   chan error // is sent why a wait ended too early

	mu    sync.Mutex
	reads []string // who reads what
}

func (c *fakeContent) Ready(int64, int) bool { return !c.waits && c.err == nil }

func (c *fakeContent) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	c.mu.Lock()
	c.reads = append(c.reads, fmt.Sprintf("%s %d+%d", tree.ReaderOf(ctx), off, n))
	c.mu.Unlock()
	if c.err != nil && off >= c.failAt {
		return nil, c.err
	}
	if c.waits {
		select {
		case <-c.wait:
		case <-ctx.Done():
			if c.gone != nil {
				c.gone <- ctx.Err()
			}
			return nil, ctx.Err()
		}
	}
	return func() {}, nil
}

func (c *fakeContent) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(c.data).ReadAt(p, off)
}

func (c *fakeContent) readers() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.reads)
}

// fakeArchive has the members that it is.
type fakeArchive []tree.Member

func (a fakeArchive) Members(context.Context) ([]tree.Member, error) { return a, nil }
func (a fakeArchive) Shown() bool                                    { return true }

// fakeNumbers are file ids of one archive.
type fakeNumbers uint64

func (n fakeNumbers) Take(_ string, count int) ([]tree.Run, error) {
	return []tree.Run{{First: uint64(n), N: count}}, nil
}

func (n fakeNumbers) Find(id uint64) (place string, at int, ok bool) {
	return "0", int(id) - int(n), id >= uint64(n)
}

// fsSite is a site whose tree has the route films, and in it a folder "t" with files and the archive "box.zip".
type fsSite struct {
	*site
}

const hello = "hello, this is a file"

// newFSSite makes a site whose torrent has files by name, and an archive with links.
func newFSSite(t testing.TB, files map[string]tree.Content) *fsSite {
	t.Helper()
	s := &fsSite{site: &site{log: &testLog{}, tree: tree.New(fsEpoch), access: openAccess(t, filepath.Join(t.TempDir(), "data"))}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, to string) tree.Member {
		return tree.Member{Parent: -1, Name: name, Link: to, Size: int64(len(to))}
	}
	box := fakeArchive{
		{Parent: -1, Name: "inner", Dir: true},
		{Parent: 0, Name: "member.txt", Size: int64(len(hello)), Content: &fakeContent{data: []byte(hello)}},
		link("good", "inner/member.txt"), link("folder", "./inner"), link("again", "folder/../good"), link("loop", "loop"),
		link("out", "../../../../../../../../etc/passwd"), link("absolute", "/etc/passwd"), link("above", "../ok.txt"), link("nowhere", "nothing"),
	}
	var list []tree.File
	for i, name := range slices.Sorted(maps.Keys(files)) {
		size := int64(len(hello))
		if c, ok := files[name].(*fakeContent); ok {
			size = int64(len(c.data))
		}
		list = append(list, tree.File{Path: strings.Split(name, "\x00"), Size: size, Index: i, Content: files[name]})
	}
	list = append(list, tree.File{Path: []string{"box.zip"}, Size: 5, Index: len(list), Content: &fakeContent{data: []byte("PK..!")}, Archive: box})
	must(s.tree.PutRoute(tree.Route{ID: 2, Name: "films", Archives: tree.ArchivesFolder}, fsEpoch))
	must(s.tree.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{0xab}, Route: 2, Name: "t", FirstID: 10, ModTime: fsEpoch, ArchiveIDs: 1_000_000, Numbers: fakeNumbers(2_000_000),
		Files: func() ([]tree.File, error) { return list, nil },
	}, fsEpoch))
	s.handler = s.at("/")
	return s
}

func text(s string) *fakeContent { return &fakeContent{data: []byte(s)} }

// ask asks for a path below /fs/, and checks what holds for every answer. header are names and values.
func (s *fsSite) ask(t testing.TB, method, target string, header ...string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	r.Header.Set("Authorization", "Bearer "+testToken)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, r)
	a := answer{method + " " + target, rec.Code, rec.Header(), rec.Body.Bytes()}
	if got := a.header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("%s answers with X-Content-Type-Options: %q", a.what, got)
	}
	if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || strings.Contains(got, "script-src") {
		t.Errorf("%s answers with the policy %q", a.what, got)
	}
	if a.status >= 400 {
		if wantsJSON(r) {
			checkProblem(t, a)
		} else if got := a.header.Get("Content-Type"); got != plainText || !sentences.Match(bytes.TrimSuffix(a.body, []byte("\n"))) {
			t.Errorf("%s answers %d with %q of the type %q, want a sentence", a.what, a.status, a.body, got)
		}
		if got := a.header.Get("Cache-Control") + a.header.Get("ETag"); got != "no-store" {
			t.Errorf("%s answers %d with Cache-Control and ETag %q", a.what, a.status, got)
		}
	}
	if !s.elsewhere {
		checkDocumented(t, r, a)
	}
	return a
}

// TestFSPaths asks for what is there, and for what only looks like it.
func TestFSPaths(t *testing.T) {
	s := newFSSite(t, map[string]tree.Content{
		"ok.txt": text(hello), "100% %2f #?;&+.txt": text("odd"), `back\slash`: text("backslash"), "a\nb": text("line feed"), "größe": text("ö"),
		"sub\x00x": text("in a folder"), "...": text("dots"), "a:b": text("colon"),
	})
	for target, want := range map[string]any{ // a body, a status, or where a redirect leads
		"/fs/films/t/ok.txt": hello, "/fs/films/t/o%6B.txt": hello, "/fs/%66ilms/t/ok.txt": hello,
		"/fs/films/t/100%25%20%252f%20%23%3F%3B&+.txt": "odd", "/fs/films/t/back%5Cslash": "backslash", `/fs/films/t/back\slash`: "backslash",
		"/fs/films/t/a%0Ab": "line feed", "/fs/films/t/gr%C3%B6%C3%9Fe": "ö", "/fs/films/t/sub/x": "in a folder", "/fs/films/t/...": "dots",
		"/fs/films/t/a:b": "colon", "/fs/films/t/box.zip/inner/member.txt": hello,

		"/fs/films": "/fs/films/", "/fs/films/t/sub?x=1&y=2": "/fs/films/t/sub/?x=1&y=2", "/fs/films/t/box.zip": "/fs/films/t/box.zip/",
		"/fs/films/t/box.zip/folder": "/fs/films/t/box.zip/folder/",

		"/fs/films/": 200, "/fs/films/t/": 200, "/fs/films/t/box.zip/folder/": 200,

		"/fs//": 404, "/fs//films/": 404, "/fs/films//t/": 404, "/fs/films/t//ok.txt": 404, "/fs/films//": 404,
		"/fs/films/t/ok.txt/": 404, "/fs/films/t/ok.txt/x": 404, "/fs/film": 404, "/fs/filmsx/t/ok.txt": 404, "/fs/FILMS/": 404,
		"/fs/films%2Ft/ok.txt": 404, "/fs/films%2ft%2fok.txt": 404, "/fs/films/t/sub%2Fx": 404, "/fs%2Ffilms/": 404, "/%66s/films/": 404,
		"/fs/films/t/100%25%20%2f%20%23%3F%3B&+.txt": 404, "/fs/films/t/100%25%20/%20%23%3F%3B&+.txt": 404, "/fs/films/t/o%256B.txt": 404,
		"/fs/.": 404, "/fs/..": 404, "/fs/../": 404, "/fs/films/.": 404, "/fs/films/./t/": 404, "/fs/films/../films/": 404,
		"/fs/%2e%2e/": 404, "/fs/films/%2e/t/ok.txt": 404, "/fs/films/.%2e/films/": 404, "/fs/%252e%252e/": 404,
		"/fs/films/t/ok.txt%00": 404, "/fs/films%00/": 404, "/fs/films/t/%FF%FE": 404, "/fs/films/t/%C0%AF": 404, "/fs/" + strings.Repeat("x", 5000): 404,
		"/fs/films%5Ct%5Cok.txt": 404, `/fs/films\t\ok.txt`: 404, "/fs/..%5C..%5Cetc%5Cpasswd": 404, "/fs/films/t/box.zip/inner%2Fmember.txt": 404,
	} {
		a := s.ask(t, http.MethodGet, target)
		switch want := want.(type) {
		case int:
			if a.status != want {
				t.Errorf("%s answers %d %q, want %d", a.what, a.status, a.body, want)
			}
		case string:
			if strings.HasPrefix(want, "/") {
				if got := a.header.Get("Location"); a.status != http.StatusMovedPermanently || got != want {
					t.Errorf("%s answers %d with the Location %q, want %q", a.what, a.status, got, want)
				}
			} else if a.status != http.StatusOK || string(a.body) != want {
				t.Errorf("%s answers %d %q, want %q", a.what, a.status, a.body, want)
			}
		}
	}
}

// TestFSBelowBasePath has a base path that has to be encoded.
func TestFSBelowBasePath(t *testing.T) {
	s := newFSSite(t, map[string]tree.Content{"ok.txt": text(hello)})
	s.moveTo("/a site")
	if a := s.ask(t, http.MethodGet, "/a%20site/fs/films/t/ok.txt"); a.status != 200 || string(a.body) != hello {
		t.Errorf("%s answers %d %q", a.what, a.status, a.body)
	}
	if a := s.ask(t, http.MethodGet, "/a%20site/fs/films"); a.header.Get("Location") != "/a%20site/fs/films/" {
		t.Errorf("%s leads to %q", a.what, a.header.Get("Location"))
	}
}

// TestFSRanges reads parts of a file.
func TestFSRanges(t *testing.T) {
	content := text("0123456789")
	s := newFSSite(t, map[string]tree.Content{"x.mkv": content, "y.mkv": text("0123456789")})
	const target = "/fs/films/t/x.mkv"
	whole := s.ask(t, http.MethodGet, target)
	etag := whole.header.Get("ETag")
	if !strings.HasPrefix(etag, `"`) || etag == s.ask(t, http.MethodGet, "/fs/films/t/y.mkv").header.Get("ETag") {
		t.Errorf("the ETag is %q, want a strong one that no other file has", etag)
	}
	for _, test := range []struct {
		header []string
		status int
		body   string
	}{
		{nil, 200, "0123456789"},
		{[]string{"Range", "bytes=2-4"}, 206, "234"},
		{[]string{"Range", "bytes=7-"}, 206, "789"},
		{[]string{"Range", "bytes=-2"}, 206, "89"},
		{[]string{"Range", "bytes=8-99"}, 206, "89"},
		{[]string{"Range", "bytes=0-18446744073709551615"}, 416, ""},
		{[]string{"Range", "bytes=10-"}, 416, ""},
		{[]string{"Range", "bytes=2-4", "If-Range", etag}, 206, "234"},
		{[]string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, "0123456789"},
		{[]string{"Range", "bytes=2-4", "If-Range", "W/" + etag}, 200, "0123456789"},
		{[]string{"If-None-Match", etag}, 304, ""},
		{[]string{"If-Match", `"other"`}, 412, ""},
	} {
		a := s.ask(t, http.MethodGet, target, append(test.header, "Accept", "application/json")...)
		if a.status != test.status || test.body != "" && string(a.body) != test.body {
			t.Errorf("%s with %q answers %d %q, want %d %q", a.what, test.header, a.status, a.body, test.status, test.body)
		}
		if got := a.header.Get("Content-Range"); slices.Contains(test.header, "bytes=10-") && got != "bytes */10" {
			t.Errorf("%s with %q answers with Content-Range: %q", a.what, test.header, got)
		}
	}
	a := s.ask(t, http.MethodGet, target, "Range", "bytes=1-2,5-6")
	_, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for form := multipart.NewReader(bytes.NewReader(a.body), params["boundary"]); ; {
		p, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(b))
	}
	if want := []string{"12", "56"}; !slices.Equal(parts, want) {
		t.Errorf("two ranges are %q, want %q", parts, want)
	}
}

// TestFSHeadReadsNothing: HEAD is what players and rclone do with each file.
func TestFSHeadReadsNothing(t *testing.T) {
	content := text("<html>")
	s := newFSSite(t, map[string]tree.Content{"x": content})
	for _, header := range [][]string{nil, {"Range", "bytes=1-2"}} {
		a := s.ask(t, http.MethodHead, "/fs/films/t/x", header...)
		if want := map[bool]string{true: "6", false: "2"}[header == nil]; a.header.Get("Content-Length") != want || a.status >= 300 {
			t.Errorf("%s answers %d with %q", a.what, a.status, a.header)
		}
	}
	if got := content.readers(); got != nil {
		t.Errorf("HEAD read %q", got)
	}
}

// TestFSErrors: what keeps a file from being read is told as long as nothing of it was sent.
func TestFSErrors(t *testing.T) {
	files := make(map[string]tree.Content)
	want := map[string]int{"paused": 409, "failed": 409, "gave up": 504, "closed": 503, "removed": 404, "other": 500}
	for name, err := range map[string]error{
		"paused": torrents.ErrPaused, "failed": torrents.ErrFailed, "gave up": torrents.ErrGaveUp, "closed": torrents.ErrClosed,
		"removed": torrents.ErrNotFound, "other": io.ErrUnexpectedEOF,
	} {
		c := text(hello)
		c.err = fmt.Errorf("read: %w", err)
		files[name] = c
	}
	s := newFSSite(t, files)
	for name, status := range want {
		for _, accept := range []string{"application/json", "text/html, application/json;q=0.5", "text/html", "*/*"} {
			for _, ranges := range []string{"", "bytes=3-"} {
				a := s.ask(t, http.MethodGet, "/fs/films/t/"+url.PathEscape(name), "Accept", accept, "Range", ranges)
				if a.status != status || a.header.Get("Content-Range") != "" {
					t.Errorf("%s answers %d %q, want %d", a.what, a.status, a.body, status)
				}
			}
		}
	}
	if a := s.ask(t, http.MethodGet, "/fs/films/t/box.zip/loop"); a.status != 400 {
		t.Errorf("%s answers %d", a.what, a.status)
	}
	for range maxTransfers {
		s.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/fs/", nil))
	}
	wantStatus(t, s.ask(t, http.MethodGet, "/fs/"), http.StatusOK) // the places are free again
}

// TestFSFull has as many requests as may be.
func TestFSFull(t *testing.T) {
	s := &server{log: slog.New(slog.DiscardHandler), transfers: make(chan struct{}, 1)}
	s.transfers <- struct{}{}
	rec := httptest.NewRecorder()
	s.serveFS(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/fs/", nil))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("beyond the limit the answer is %d", rec.Code)
	}
}

// TestFSIsRead: who reads a file is a reader, and is named to what fetches it.
func TestFSIsRead(t *testing.T) {
	content := text("0123456789")
	s := newFSSite(t, map[string]tree.Content{"x.mkv": content})
	s.readers = []Reader{{Protocol: ProtocolNFS, Path: "/over NFS"}}
	s.ask(t, http.MethodGet, "/fs/films/t/x.mkv", "Range", "bytes=2-4")
	s.ask(t, http.MethodGet, "/fs/films/t/x.mkv", "Range", "bytes=5-6")
	if got, want := content.readers(), []string{"192.0.2.1 2+3", "192.0.2.1 5+2"}; !slices.Equal(got, want) {
		t.Errorf("read was %q, want %q", got, want)
	}
	list := decode[struct{ Readers []Reader }](t, s.get(t, "/api/v1/readers")).Readers
	if len(list) != 2 || list[1].Path != "/over NFS" {
		t.Fatalf("the readers are %+v", list)
	}
	r := list[0]
	if r.Protocol != ProtocolHTTP || r.Client.String() != "192.0.2.1" || r.Path != "/films/t/x.mkv" || r.Infohash != (torrents.Infohash{0xab}) ||
		r.Size != 10 || r.Offset != 7 || r.BytesRead != 5 || r.LastRead.Before(r.Since) {
		t.Errorf("the reader is %+v", r)
	}
	s.tree.RemoveTorrent(tree.Infohash{0xab}, fsEpoch)
	if list := decode[struct{ Readers []Reader }](t, s.get(t, "/api/v1/readers")).Readers; len(list) != 1 {
		t.Errorf("after the torrent was removed the readers are %+v", list)
	}
}

// FuzzFSPath: a path leads to what has these names, or nowhere.
func FuzzFSPath(f *testing.F) {
	for _, path := range []string{
		"films/t/ok.txt", "films/t/box.zip/again", "films/t/box.zip/out", "films/../films", "films%2ft", "%2e%2e/", "films//t", "films/t/ok.txt%00", "%", "//",
	} {
		f.Add(path)
	}
	files := newFSSite(f, map[string]tree.Content{"ok.txt": text(hello), "%2f": text("")})
	s := &server{tree: files.tree}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI("/fs/" + path)
		if err != nil {
			return // no browser can ask for it
		}
		names, isFolder, err := s.splitPath(u, fsPath)
		if err != nil {
			return
		}
		for _, name := range names {
			if tree.CheckName(name) != nil {
				t.Fatalf("%q has the name %q", path, name)
			}
		}
		again := s.pathFS(names)
		if isFolder {
			again += "/"
		}
		back, err := url.ParseRequestURI(again)
		if err != nil {
			t.Fatalf("%q is written %q: %v", path, again, err)
		}
		if got, folder, err := s.splitPath(back, fsPath); err != nil || !slices.Equal(got, names) || folder != isFolder {
			t.Fatalf("%q has the names %q, which are written %q, which has %q, %v", path, names, again, got, err)
		}
		node, err := findNode(t.Context(), s.tree, names)
		if err == nil && !slices.Contains(names, "box.zip") && !slices.Equal(node.Path(), names) {
			t.Fatalf("%q leads to %q", path, node.Path())
		}
	})
}
