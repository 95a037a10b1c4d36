package admin

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"shoal/torrents"
)

// bulk sends the form of the list, which has to lead back with a note.
func (s *site) bulk(t *testing.T, form url.Values) note {
	t.Helper()
	form.Set("back", "/torrents?q=x")
	a := s.sendPage(t, http.MethodPost, "/torrents/bulk", form)
	wantStatus(t, a, http.StatusSeeOther)
	if to := a.header.Get("Location"); to != "/torrents?q=x" {
		t.Errorf("the form leads to %q", to)
	}
	r := &http.Request{Header: http.Header{"Cookie": a.header.Values("Set-Cookie")}}
	n := takeNote(httptest.NewRecorder(), r, "")
	if n == nil {
		t.Fatal("the form leaves no note")
	}
	return *n
}

func tickForm(list ...torrents.Torrent) url.Values {
	form := make(url.Values)
	for _, x := range list {
		form.Add("t", x.Infohash.String())
	}
	return form
}

func TestBulk(t *testing.T) {
	s := openSite(t)
	a, b := s.mustAdd(t, "films", torrentFile("a", 100)), s.mustAdd(t, "films", torrentFile("b", 100))
	c := s.mustAdd(t, "films", completeTorrent("c"))
	for _, step := range []struct {
		do, want string
		holds    func(torrents.Torrent) bool
	}{
		{"pause", "2 torrents are paused.", func(x torrents.Torrent) bool { return x.Paused }},
		{"resume", "2 torrents go on.", func(x torrents.Torrent) bool { return !x.Paused }},
		{"pin", "2 torrents are pinned.", func(x torrents.Torrent) bool { return x.Pinned }},
		{"unpin", "2 torrents are no longer pinned.", func(x torrents.Torrent) bool { return !x.Pinned }},
		{"evict", "The cache of 2 torrents was emptied.", func(x torrents.Torrent) bool { return x.Cached == 0 }},
		{"move", "2 torrents were moved.", func(x torrents.Torrent) bool { return x.Route == "music" }},
		{"prefetch", "2 torrents are being fetched.", func(torrents.Torrent) bool { return true }},
	} {
		form := tickForm(a, b, a)
		form.Set("do", step.do)
		form.Set("route", "music")
		if got := s.bulk(t, form); got.Text != step.want || got.Error {
			t.Errorf("%s says %q (error %v), want %q", step.do, got.Text, got.Error, step.want)
		}
		for _, x := range []torrents.Torrent{a, b} {
			if now, err := s.library.Torrent(x.Infohash); err != nil || !step.holds(now) {
				t.Errorf("after %s a torrent is %+v, %v", step.do, now, err)
			}
		}
		if now, err := s.library.Torrent(c.Infohash); err != nil || now.Paused || now.Pinned || now.Route != "films" {
			t.Errorf("%s changed a torrent without a tick: %+v, %v", step.do, now, err)
		}
	}
}

// TestBulkAll: “all on this page” is what the page has shown, whatever came since.
func TestBulkAll(t *testing.T) {
	s := openSite(t)
	a, b := s.mustAdd(t, "films", torrentFile("a", 100)), s.mustAdd(t, "films", torrentFile("b", 100))
	shown := a.Infohash.String() + "," + b.Infohash.String()
	if !bytes.Contains(s.page(t, "/torrents").body, []byte(`name="shown" value="`+shown+`"`)) {
		t.Fatal("the page does not say what it shows")
	}
	c := s.mustAdd(t, "films", torrentFile("c", 100))
	form := url.Values{"do": {"pause"}, "shown": {shown}}
	if got := s.bulk(t, form); !got.Error || got.Text != "Nothing was done: tick some torrents first." {
		t.Errorf("without ticks the note is %+v", got)
	}
	form.Set("all", "1")
	if got := s.bulk(t, form); got.Text != "2 torrents are paused." {
		t.Errorf("the note is %q", got.Text)
	}
	if now, _ := s.library.Torrent(c.Infohash); now.Paused {
		t.Error("a torrent that was not shown is paused")
	}
}

func TestBulkErrors(t *testing.T) {
	s := openSite(t)
	a := s.mustAdd(t, "films", torrentFile(`<i>"a`, 100))
	form := tickForm(a)
	for i := range 5 {
		form.Add("t", torrents.Infohash{byte(i + 1)}.String())
	}
	form.Set("do", "pin")
	got := s.bulk(t, form)
	if !got.Error || !strings.HasPrefix(got.Text, "1 torrent is pinned. With 5 it did not work. “0100") || !strings.HasSuffix(got.Text, "And 2 more.") {
		t.Errorf("the note is %+v", got)
	}
	form = tickForm(a)
	form.Set("do", "evict")
	if got := s.bulk(t, form); !got.Error || !strings.Contains(got.Text, `“<i>"a”: The torrent is pinned, `) {
		t.Errorf("to free what is pinned says %+v", got)
	}
}

func TestBulkRefuses(t *testing.T) {
	s := openSite(t)
	a := s.mustAdd(t, "films", torrentFile("a", 100))
	tooMany := make(url.Values)
	for i := range maxBulk + 1 {
		tooMany.Add("t", torrents.Infohash{byte(i >> 8), byte(i)}.String())
	}
	for want, form := range map[string]url.Values{
		"1000 is the most":                        tooMany,
		"cannot be changed by &#34;explode&#34;.": {"t": {a.Infohash.String()}, "do": {"explode"}},
		"Choose the route":                        {"t": {a.Infohash.String()}, "do": {"move"}},
		"There is no route called":                {"t": {a.Infohash.String()}, "do": {"move"}, "route": {"nowhere"}},
		"is not an infohash":                      {"t": {"x"}, "do": {"delete"}, "sure": {"1"}},
	} {
		if form.Get("do") == "" {
			form.Set("do", "delete")
		}
		got := s.sendPage(t, http.MethodPost, "/torrents/bulk", form)
		if got.status != http.StatusBadRequest || !strings.Contains(string(got.body), want) {
			t.Errorf("%s: the answer is %d %s", want, got.status, got.body)
		}
	}
	if got := s.names(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("what was refused left %q", got)
	}
}

func TestBulkDelete(t *testing.T) {
	s := openSite(t)
	script := `<script>alert(1)</script>`
	var list []torrents.Torrent
	for i := range 3 {
		list = append(list, s.mustAdd(t, "films", torrentFile(fmt.Sprint(script, i), 100)))
	}
	form := tickForm(list[0], list[1])
	form.Add("t", torrents.Infohash{7}.String()) // which somebody else has deleted
	form.Set("do", "delete")
	form.Set("back", "/torrents?state=idle")
	a := s.sendPage(t, http.MethodPost, "/torrents/bulk", form)
	wantStatus(t, a, http.StatusOK)
	page := string(a.body)
	for _, want := range []string{
		"Delete 2 torrents?", "&lt;script&gt;", `name="t" value="` + list[1].Infohash.String(), `href="/torrents?state=idle"`,
		`<input type="hidden" name="back" value="/torrents?state=idle">`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page that asks lacks %q", want)
		}
	}
	if strings.Contains(page, "<script>alert") || strings.Contains(page, list[2].Infohash.String()) || strings.Contains(page, `value="/torrents/bulk"`) {
		t.Errorf("the page that asks is %s", page)
	}
	if len(s.names()) != 3 {
		t.Fatalf("asking deleted: %q are left", s.names())
	}
	form = tickForm(list[0], list[1])
	form.Set("do", "delete")
	form.Set("sure", "1")
	if got := s.bulk(t, form); got.Text != "2 torrents were deleted." || got.Error {
		t.Errorf("the note is %+v", got)
	}
	if got := s.names(); !slices.Equal(got, []string{list[2].Name}) {
		t.Errorf("%q are left", got)
	}
}

// TestBulkLeadsBack only to this site.
func TestBulkLeadsBack(t *testing.T) {
	s := openSite(t)
	for back, want := range map[string]string{"": "/torrents", "//evil.example/": "/", "https://evil.example/": "/"} {
		a := s.sendPage(t, http.MethodPost, "/torrents/bulk", url.Values{"do": {"pause"}, "back": {back}})
		if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != want {
			t.Errorf("back to %q leads to %q, %d", back, got, a.status)
		}
	}
}

// TestBulkAddress: who goes to where the form was sent finds the list.
func TestBulkAddress(t *testing.T) {
	s := openSite(t)
	a := s.sendPage(t, http.MethodGet, "/torrents/bulk", nil)
	if to := a.header.Get("Location"); a.status != http.StatusSeeOther || to != "/torrents" {
		t.Errorf("the answer is %d to %q", a.status, to)
	}
}
