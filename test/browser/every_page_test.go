//go:build linux

package browser_test

import (
	_ "embed"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// What a page may weigh, in bytes as they come, compressed, for who has seen none of the site's yet.
const (
	pageWeight   = 200 << 10 // with all that belongs to it
	answerWeight = 60 << 10  // alone
)

// harmless is a function that says what is wrong with how a page shows the words of strangers.
//
//go:embed harmless.js
var harmless string

// everyPage has the paths of all pages, as the router has them: a test of package admin sees to that.
//
//go:embed testdata/pages.txt
var everyPage string

// sight is a way to see a page.
type sight struct {
	page string        // as in everyPage; empty if it is none of those
	name string        // of what it shows
	path string        // where it is, with its query
	act  func(*person) // what to do there to see it; nil is nothing
}

// TestEveryPage looks at every page, with and without what hostile strangers have written: in both themes, in a large window and on a
// phone, whether all can use it, whether it is harmless, and what it weighs.
func TestEveryPage(t *testing.T) {
	s := meet(t)
	p := visit(t, "SHOAL_ADMIN_PASSWORD="+password, "SHOAL_BT_PEERS="+s.peer.Addr().String(), "SHOAL_FETCH_ALLOW_PRIVATE=true")
	p.NoCache()
	p.Allow("status 401: POST .*/login")
	p.lookAt(
		sight{"/login", "login", "/login?next=" + url.QueryEscape("javascript:window.hacked=1//"+withQuotes), nil},
		sight{"/login", "login-wrong", "/login", func(p *person) {
			p.Fill("User", withQuotes+withBidi)
			p.Fill("Password", "wrong")
			p.Click("Log in")
			p.AwaitText("wrong", soon)
		}},
	)
	p.logIn(password)
	p.AwaitText("Overview", soon)
	p.lookAt(
		sight{"/", "empty-overview", "/", nil},
		sight{"/torrents", "empty-torrents", "/torrents", nil},
		sight{"/routes", "empty-routes", "/routes", nil},
		sight{"/clients", "empty-clients", "/clients", nil},
		sight{"/files/{path}", "empty-files", "/files/", nil},
		sight{"/settings", "empty-settings", "/settings", nil},
	)

	p.Go("about:blank") // nobody may look while the appliance starts again
	l := fill(t, p.a, s)
	mountAs(t, p.a, cut(withImage+withBidi+withControl, 255), "/")
	mountAs(t, p.a, cut(withoutEnd, 255), "/"+hostileRoutes[2])
	readOverHTTP(t, p.a, "/fs"+l.film)
	readOverHTTP(t, p.a, "/fs"+l.zip+"/"+url.PathEscape(withHebrew))
	p.Go(p.home + "/torrents/" + l.metadata)
	p.In("#peers").AwaitText(mark, later)
	p.In("#trackers").AwaitText(mark, later)

	all := append(p.visits(l), p.formVisits(l)...)
	seen := []string{"/login"}
	for _, v := range all {
		seen = append(seen, v.page)
	}
	for page := range strings.Lines(everyPage) {
		if !slices.Contains(seen, strings.TrimSpace(page)) {
			t.Errorf("nobody has looked at %s: give it a visit", page)
		}
	}
	p.lookAt(all...)
	for _, w := range p.Weights() {
		if w.Bytes > pageWeight {
			t.Errorf("%s weighs %d bytes in %d requests, want at most %d", w.URL, w.Bytes, w.Requests, pageWeight)
		}
	}
}

// visits are the pages that have an address.
func (p *person) visits(l *hostileLibrary) []sight {
	torrent := func(infohash string) string { return "/torrents/" + infohash }
	query := func(pairs ...string) string {
		q := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return "?" + q.Encode()
	}
	p.Allow("status 404: GET .*(/nowhere|/torrents/0000)")
	p.Allow(`status 40[04]: GET .*(/connect\?host=hostile|/torrents\?sort=hostile)`)
	route := hostileRoutes[2]
	return []sight{
		{"/", "overview", "/", nil},
		{"/add", "add", "/add" + query("route", route), nil},
		{"/add", "add-magnet", "/add" + query("uri", "magnet:?xt=urn:btih:"+strings.Repeat("cd", 20)+"&dn="+url.QueryEscape(withBidi+withImage)), nil},
		{"/clients", "clients", "/clients", nil},
		{"/connect", "connect", "/connect" + query("host", "nas.local", "route", hostileRoutes[1]), nil},
		{"/connect", "connect-route", "/connect" + query("route", route), nil},
		{"/files", "files-top", "/files", nil},
		{"/files/{path}", "files-route", "/files/" + url.PathEscape(route), nil},
		{"/files/{path}", "files-zip", "/files" + l.zip, nil},
		{"/files/{path}", "files-film", "/files" + l.film, nil},
		{"/logs", "logs", "/logs" + query("q", "hostile\u202e<script>"), nil},
		{"/logs", "logs-all", "/logs", nil},
		{"/routes", "routes", "/routes", nil},
		{"/routes/{route}/delete", "route-delete", "/routes/" + url.PathEscape(route) + "/delete", nil},
		{"/settings", "settings", "/settings", nil},
		{"/torrents", "torrents", "/torrents" + query("sort", "name"), nil},
		{"/torrents", "torrents-filter", "/torrents" + query("q", cut(withQuotes+withBidi, 255), "route", hostileRoutes[1]), nil},
		{"/torrents/bulk", "torrents-bulk", "/torrents/bulk", nil},
		{"/torrents/{infohash}", "torrent-complete", torrent(l.complete), nil},
		{"/torrents/{infohash}", "torrent-idle", torrent(l.idle) + query("path", mark+"_<b>"), nil},
		{"/torrents/{infohash}", "torrent-paused", torrent(l.paused), nil},
		{"/torrents/{infohash}", "torrent-failed", torrent(l.failed), nil},
		{"/torrents/{infohash}", "torrent-metadata", torrent(l.metadata), nil},
		{"/torrents/{infohash}/delete", "torrent-delete", torrent(l.paused) + "/delete", nil},
		{"", "connect-wrong", "/connect" + query("host", withQuotes, "port", withBidi, "route", withScript), nil},
		{"", "torrents-wrong", "/torrents" + query("sort", withScript+withBidi+withHebrew), nil},
		{"", "no-torrent", torrent(strings.Repeat("0", 40)), nil},
		{"", "nowhere", "/nowhere/" + url.PathEscape(withImage+withBidi), nil},
	}
}

// formVisits are the pages that forms lead to.
func (p *person) formVisits(l *hostileLibrary) []sight {
	p.Allow("status 400: POST .*/(settings/tokens|add|routes)")
	links := strings.Join([]string{
		"magnet:?xt=urn:btih:" + strings.Repeat("ef", 20) + "&dn=" + url.QueryEscape(withScript+withBidi),
		"magnet:?xt=urn:btih:" + l.idle, "http://" + withQuotes + withBidi, withHebrew, withoutEnd,
	}, "\n")
	return []sight{
		{"/torrents/bulk", "torrents-delete", "/torrents", func(p *person) {
			p.ClickOn("[name=all]")
			p.In("#bulk").Click("Delete")
			p.AwaitText("Cancel", soon)
		}},
		{"/add", "add-preview", "/add", func(p *person) {
			p.Fill("Links", links)
			p.Click("Preview")
			p.AwaitText("already", soon)
		}},
		{"/add", "add-result", "/add", func(p *person) {
			p.Fill("Links", links)
			p.In("main").Click("Add")
			p.AwaitText("already", soon)
		}},
		{"", "token", "/settings", func(p *person) {
			p.Fill("Name", cut(mark+`<img src=x onerror=window.hacked=1>"'שלום`, 60))
			p.Click("Make it")
			p.AwaitText("Bearer", soon)
		}},
		{"/settings/tokens/{token}/delete", "token-delete", "/settings", func(p *person) {
			p.In("#tokens tr:has(bdi)").Follow("Remove")
			p.AwaitText("Cancel", soon)
		}},
		{"", "token-wrong", "/settings", func(p *person) {
			p.Fill("Name", withBidi)
			p.Press(kb.Enter)
			p.AwaitText("cannot be shown", soon)
		}},
		{"/routes", "routes-note", "/routes", func(p *person) {
			p.Fill("Name of the new route", withHebrew+"\u202e")
			p.Click("Create")
			p.AwaitText(withHebrew, soon)
		}},
		{"", "routes-wrong", "/routes", func(p *person) {
			p.Fill("Name of the new route", withScript+"/"+withBidi)
			p.Click("Create")
			p.AwaitText("cannot be the name", soon)
		}},
	}
}

// lookAt looks at pages.
func (p *person) lookAt(list ...sight) {
	p.t.Helper()
	for _, v := range list {
		p.Light()
		p.Resize(1280, 900)
		p.Go(p.home + v.path)
		if v.act != nil {
			v.act(p)
		}
		p.examine(v, 1280)
		p.Resize(390, 844)
		if v.act == nil {
			p.Go(p.home + v.path)
		}
		p.examine(v, 390)
	}
}

// examine looks at a page as it is now, in both themes.
func (p *person) examine(v sight, width int) {
	p.t.Helper()
	for _, theme := range []struct {
		name   string
		prefer func()
		check  func()
	}{{"dark", p.Dark, p.CheckAccessible}, {"light", p.Light, p.CheckColors}} {
		theme.prefer()
		theme.check()
		if os.Getenv("SCREENSHOTS") != "" { // else nobody keeps it, and it takes a while
			p.Screenshot(fmt.Sprintf("%s-%d-%s", v.name, width, theme.name))
		}
	}
	var page struct {
		Wrong         []string
		Width, Answer int
	}
	p.Eval(fmt.Sprintf(`({Wrong: (%s)(%q), Width: document.documentElement.scrollWidth,
		Answer: performance.getEntriesByType("navigation")[0].transferSize})`, harmless, mark), &page)
	for _, wrong := range page.Wrong {
		p.t.Errorf("%s: %s", v.name, wrong)
	}
	if page.Width > width {
		p.t.Errorf("%s is %d pixels wide in a window of %d", v.name, page.Width, width)
	}
	if page.Answer == 0 || page.Answer > answerWeight {
		p.t.Errorf("%s is an answer of %d bytes, want at most %d", v.name, page.Answer, answerWeight)
	}
}

// cut shortens a text to so many bytes.
func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }
