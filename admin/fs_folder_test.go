package admin

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/tree"
)

// TestFSFolder has a folder word for word, as programs of others read it.
func TestFSFolder(t *testing.T) {
	s := newFSSite(t, map[string]tree.Content{"a & b.mkv": text("12345"), "sub\x00x": text("")})
	a := s.ask(t, http.MethodGet, "/fs/films/t/", "Accept", "application/json")
	const at = `"mtime":"2026-01-02T03:04:05.0`
	entries := regexp.MustCompile(at+`[0-9]*Z"`).ReplaceAllString(string(a.body), at+`Z"`) // that of folders tells how archives are shown
	entries = strings.ReplaceAll(entries, `"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05.0Z"`)
	if want := `{"entries":[{"name":"a \u0026 b.mkv","kind":"file","size":5,"cached":0,` + at + `Z"},` +
		`{"name":"box.zip","kind":"folder","size":0,"cached":0,` + at + `Z"},` +
		`{"name":"sub","kind":"folder","size":0,"cached":0,` + at + `Z"}],"total":3}` + "\n"; entries != strings.ReplaceAll(want, `\u0026`, "&") {
		t.Errorf("%s answers\n%s, want\n%s", a.what, entries, want)
	}
	page := string(s.ask(t, http.MethodGet, "/fs/films/t/").body)
	for _, row := range []string{
		`<tr><td><a href="../">../</a></td>`,
		`<tr><td><a href="a%20&amp;%20b.mkv" dir="auto">a &amp; b.mkv</a></td><td>2026-01-02 03:04</td><td>5</td></tr>`,
		`<tr><td><a href="sub/" dir="auto">sub/</a></td><td>2026-01-02 03:04</td><td>-</td></tr>`,
	} {
		if !strings.Contains(page, row) {
			t.Errorf("the page has no row %s:\n%s", row, page)
		}
	}
	if strings.Contains(page, `rel="next"`) || strings.Contains(string(s.ask(t, http.MethodGet, "/fs/").body), "../") {
		t.Error("the only page has a next one, or the root has one above")
	}
	kinds := make(map[string]string)
	for _, e := range decode[folderPage](t, s.ask(t, http.MethodGet, "/fs/films/t/box.zip/", "Accept", "application/json")).Entries {
		kinds[e.Name] = e.Kind
	}
	if kinds["inner"] != "folder" || kinds["good"] != "link" {
		t.Errorf("in the archive are %v", kinds)
	}
	for _, query := range []string{"?limit=0", "?limit=1001", "?limit=x", "?cursor=x"} {
		wantStatus(t, s.ask(t, http.MethodGet, "/fs/films/t/"+query), http.StatusBadRequest)
	}
}

// TestFSLargeFolder goes through the pages of a folder of 40,000 files, each of which comes quickly.
func TestFSLargeFolder(t *testing.T) {
	const total = 40_000
	files := make(map[string]tree.Content)
	for i := range total {
		files[fmt.Sprintf("many\x00file %05d.mkv", i)] = text("")
	}
	s := newFSSite(t, files)
	next := regexp.MustCompile(`<a href="([^"]*)" rel="next">`)
	links := regexp.MustCompile(`<a href="file%20([0-9]{5}).mkv"`)
	for what, header := range map[string][]string{"JSON": {"Accept", "application/json"}, "HTML": nil} {
		var names []string
		var took []time.Duration
		for query := ""; ; {
			begin := time.Now()
			a := s.ask(t, http.MethodGet, "/fs/films/t/many/"+query, header...)
			took = append(took, time.Since(begin))
			wantStatus(t, a, http.StatusOK)
			before, more := len(names), false
			if header != nil {
				page := decode[folderPage](t, a)
				for _, e := range page.Entries {
					names = append(names, e.Name[len("file "):][:5])
				}
				query, more = "?cursor="+page.Next, page.Next != ""
			} else {
				for _, m := range links.FindAllSubmatch(a.body, -1) {
					names = append(names, string(m[1]))
				}
				m := next.FindSubmatch(a.body)
				if more = m != nil; more {
					query = string(m[1])
				}
			}
			if n := len(names) - before; n != 1000 {
				t.Fatalf("%s: a page has %d entries, want 1000", what, n)
			}
			if !more {
				break
			}
		}
		if len(names) != total || !slices.IsSorted(names) || len(slices.Compact(names)) != total {
			t.Errorf("%s: the pages have %d names", what, len(names))
		}
		slices.Sort(took)
		t.Logf("%s: a page of 1,000 takes %v at the median, %v at least", what, took[len(took)/2], took[0])
		// It should be 100 ms, on a machine that is not busy, and without the race detector, which makes it five times as long.
		if took[0] > 300*time.Millisecond {
			t.Errorf("%s: a page takes %v at least", what, took[0])
		}
	}
}
