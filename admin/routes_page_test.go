package admin

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/torrents"
)

func TestRoutesPage(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "music", torrentFile("a", 2<<20))
	s.mustAdd(t, "music", torrentFile("b", 1<<20))
	a := s.browse(t, "/routes", nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, `<bdi>films</bdi>`, `href="/torrents?route=music"`, `href="/connect?route=music"`, `<td class="n" data-label="Torrents">2</td>`, "3.0 MiB",
		`<code>/<bdi>music</bdi></code>`, `action="/routes/music"`, `value="both" selected`, `<section id="watch" hidden>`)
	for _, part := range routesPage.parts {
		if n := bytes.Count(a.body, []byte(` id="`+part+`"`)); n != 1 {
			t.Errorf("the page has %d elements for the part %s, want 1", n, part)
		}
	}
	for _, name := range s.routeNames() {
		if err := s.library.RemoveRoute(name, true); err != nil {
			t.Fatal(err)
		}
	}
	a = s.browse(t, "/routes", nil)
	wantTexts(t, a, "There is no route yet.", "Name of the new route")
	wantNoTexts(t, a, "<table>")
}

func TestRouteForms(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "films", torrentFile("a", 1))
	for _, test := range []struct {
		path   string
		form   url.Values
		status int
		to     string
		text   string
		routes string // afterwards
	}{
		{"/routes", url.Values{"name": {"series"}, "archives": {"off"}}, 303, "/routes", "", "films both? music series"},
		{"/routes", url.Values{"name": {"series"}, "archives": {"off"}}, 409, "", "There is a route called “series”", ""},
		{"/routes", url.Values{"name": {"a/b"}, "archives": {"off"}}, 400, "", "cannot be the name of a route", ""},
		{"/routes", url.Values{"name": {""}, "archives": {"off"}}, 400, "", "The route has no name.", ""},
		{"/routes", url.Values{"name": {"x"}, "archives": {"maybe"}}, 400, "", "has to be folder, both or off", ""},
		{"/routes/series", url.Values{"name": {"shows"}, "archives": {"both"}}, 303, "/routes", "", "films music shows"},
		{"/routes/series", url.Values{"name": {"shows"}, "archives": {"both"}}, 404, "", "series", ""},
		{"/routes/shows", url.Values{"name": {"films"}, "archives": {"both"}}, 409, "", "films", ""},
		{"/routes/shows", url.Values{"name": {".."}, "archives": {"both"}}, 400, "", "cannot be the name of a route", ""},
		{"/routes/nothing/delete", url.Values{}, 404, "", "nothing", ""},
		{"/routes/shows/delete", url.Values{}, 303, "/routes", "", "films music"},
		{"/routes/films/delete", url.Values{}, 303, "/routes/films/delete", "", "films music"},
		{"/routes/films/delete", url.Values{"torrents": {"move"}, "to": {"films"}}, 400, "", "choose another one", "films music"},
		{"/routes/films/delete", url.Values{"torrents": {"move"}, "to": {"nowhere"}}, 400, "", "There is no route called", "films music"},
		{"/routes/films/delete", url.Values{"torrents": {"move"}, "to": {"music"}}, 303, "/routes", "", "music"},
		{"/routes/music/delete", url.Values{"torrents": {"delete"}}, 303, "/routes", "", ""},
	} {
		a := s.browse(t, test.path, test.form)
		if a.status != test.status {
			t.Fatalf("%s with %v answers %d %s, want %d", a.what, test.form, a.status, a.body, test.status)
		}
		if got := a.header.Get("Location"); got != test.to {
			t.Errorf("%s with %v leads to %q, want %q", a.what, test.form, got, test.to)
		}
		text := html.UnescapeString(string(a.body))
		if !strings.Contains(text, strings.NewReplacer("“", `"`, "”", `"`).Replace(test.text)) {
			t.Errorf("%s with %v answers without %q: %s", a.what, test.form, test.text, text)
		}
		if want := strings.Fields(strings.ReplaceAll(test.routes, "both? ", "")); test.routes != "" && !slices.Equal(s.routeNames(), want) {
			t.Errorf("after %s with %v the routes are %q, want %q", a.what, test.form, s.routeNames(), want)
		}
		if test.path == "/routes/films/delete" && test.status == http.StatusSeeOther && test.to == "/routes" {
			if got := s.torrents(); len(got) != 1 || got[0].Route != "music" {
				t.Errorf("the torrents are %+v, want one in music", got)
			}
		}
	}
	if n := len(s.torrents()) + len(s.routeNames()); n != 0 {
		t.Errorf("%d routes and torrents are left", n)
	}
}

func TestRouteDeletePage(t *testing.T) {
	s := openSite(t)
	s.mustAdd(t, "films", torrentFile("a", 5<<20))
	a := s.browse(t, "/routes/films/delete", nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "1 torrent of 5.0 MiB is in it", `value="move"`, `<option value="music">`, `value="delete"`)
	wantTexts(t, s.browse(t, "/routes/music/delete", nil), "No torrent is in it")
	wantStatus(t, s.browse(t, "/routes/nothing/delete", nil), http.StatusNotFound)
	if got := s.routeNames(); !slices.Equal(got, []string{"films", "music"}) {
		t.Errorf("to be asked leaves the routes %q", got)
	}
	if err := s.library.RemoveRoute("music", false); err != nil {
		t.Fatal(err)
	}
	wantNoTexts(t, s.browse(t, "/routes/films/delete", nil), `value="move"`)
}

func TestRoutesPageWatch(t *testing.T) {
	s := openSite(t, watchFolder(t, strings.Repeat("c", 40)))
	s.awaitWatch(t, `"added"`)
	a := s.browse(t, "/routes", nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "from the watch folder: <bdi>films</bdi>", "1 added, 2 with an error", "films/broken.torrent")
	if n := bytes.Count(a.body, []byte("from the watch folder:")); n != 1 {
		t.Errorf("%d routes are marked, want films alone", n)
	}
	wantTexts(t, s.browse(t, "/routes/films/delete", nil), "Its folder films in the watch folder stays")
}

// TestRoutesPageHostile: every name comes back from the page as it is, and does nothing there.
func TestRoutesPageHostile(t *testing.T) {
	s := openSite(t)
	for _, name := range hostileNames {
		a := s.browse(t, "/routes", url.Values{"name": {name}, "archives": {"folder"}})
		wantStatus(t, a, http.StatusSeeOther)
		a = s.browse(t, "/routes", nil)
		wantStatus(t, a, http.StatusOK)
		if !strings.Contains(html.UnescapeString(string(a.body)), `name="name" value="`+name+`"`) {
			t.Errorf("the page has no field with the name %q", name)
		}
		wantNoTexts(t, a, "<script>alert", "<img src=x")
		path := "/routes/" + url.PathEscape(name)
		wantStatus(t, s.browse(t, path, url.Values{"name": {name}, "archives": {"off"}}), http.StatusSeeOther)
		a = s.browse(t, path+"/delete", nil)
		wantStatus(t, a, http.StatusOK)
		wantNoTexts(t, a, "<script>alert", "<img src=x")
		wantStatus(t, s.browse(t, path+"/delete", url.Values{}), http.StatusSeeOther)
	}
	if got := s.routeNames(); !slices.Equal(got, []string{"films", "music"}) {
		t.Errorf("the routes are %q", got)
	}
}

// TestRoutesPageMany: a page of many routes is made quickly, as it is made again and again.
func TestRoutesPageMany(t *testing.T) {
	s := openSite(t)
	for i := range 200 {
		if _, err := s.library.AddRoute(fmt.Sprintf("%d %s", i, strings.Repeat("ä", 120)), torrents.ArchivesOff); err != nil {
			t.Fatal(err)
		}
	}
	best := time.Hour
	for range 5 {
		began := time.Now()
		a := s.browse(t, "/routes", nil)
		best = min(best, time.Since(began))
		wantStatus(t, a, http.StatusOK)
		if n := bytes.Count(a.body, []byte("<tr id=")); n != 202 {
			t.Fatalf("the page has %d routes, want 202", n)
		}
	}
	if t.Logf("the page takes %v", best); best > time.Second { // ten times what it should, as the machine may be busy
		t.Errorf("the page takes %v", best)
	}
}
