//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"shoal/test/libtorrent"
)

const (
	siteLooks  = 30   // at each page
	sitePieces = 600  // of the torrent that is read
	siteLinks  = 1000 // that are looked at, and added, at once

	maxPageTime    = 100 * time.Millisecond // the median
	maxPageWeight  = 200_000                // bytes, compressed, with all that it loads
	maxStreamsCost = 0.05                   // of a core
)

// runSite measures the admin site of a large library.
func (b *bench) runSite() error {
	say(b.out, "\nThe admin site of a library of %d torrents, of which two have %d files.", b.Torrents, b.Files)
	dir, remove, err := b.home()
	if err != nil {
		return err
	}
	defer remove()
	live, err := liveSource(dir, sitePieces)
	if err != nil {
		return err
	}
	seeds, err := libtorrent.Start(libtorrent.LargeBuffers, seederPort, loopback)
	if err != nil {
		return err
	}
	defer seeds.End()
	if err := seed(seeds, live, dir); err != nil {
		return err
	}
	library, err := b.makeSite(dir, live)
	if err != nil {
		return err
	}
	p, err := runShoal(b.setup, dir, "SHOAL_BT_PEERS="+seederAddr, "SHOAL_ADMIN_PASSWORD="+sitePassword)
	if err != nil {
		return err
	}
	defer p.end()
	v, err := newVisitor("")
	if err == nil {
		err = v.logIn()
	}
	if err != nil {
		return err
	}
	defer v.CloseIdleConnections()
	if err := b.visitAll(v, library); err != nil {
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	if err := b.openPages(p, library); err != nil {
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	if err := b.addLinks(v); err != nil {
		return fmt.Errorf("%w\n%s", err, p.tail())
	}
	most, err := memory(p.pid, "VmHWM")
	say(b.out, "Memory at most %d MiB.", most>>20)
	return err
}

// visitAll looks at each page many times.
func (b *bench) visitAll(v *visitor, library *siteLibrary) error {
	visits, err := v.visits(library)
	if err != nil {
		return err
	}
	say(b.out, "Each %d times, in ms; in KB, compressed: alone; in all with what it loads; of that the first events of its stream.\n%-44s %8s %8s %8s %8s %8s %8s",
		siteLooks, "", "first", "p50", "p95", "alone", "in all", "events")
	var slowest, heaviest visited
	for _, visit := range visits {
		seen, err := v.look(visit)
		if err != nil {
			return fmt.Errorf("%s: %w", visit.name, err)
		}
		say(b.out, "%-44s %8.1f %8.1f %8.1f %8.1f %8s %8s", visit.name, ms(seen.first), ms(seen.half), ms(seen.most),
			float64(seen.alone)/1e3, kilobytes(seen.all), kilobytes(seen.feed))
		if seen.half > maxPageTime {
			b.verdict(false, "site: %s takes %.0f ms (p50)", visit.name, ms(seen.half))
		}
		if seen.all > maxPageWeight {
			b.verdict(false, "site: %s weighs %d KB", visit.name, seen.all/1000)
		}
		if seen.half >= slowest.half {
			slowest = seen
		}
		if seen.all >= heaviest.all {
			heaviest = seen
		}
	}
	b.verdict(slowest.half <= maxPageTime, "site: the slowest page takes %.0f ms (p50, %s), has to be ≤ %d",
		ms(slowest.half), slowest.name, maxPageTime.Milliseconds())
	b.verdict(heaviest.all <= maxPageWeight, "site: the heaviest page weighs %d KB (%s), has to be ≤ %d",
		heaviest.all/1000, heaviest.name, maxPageWeight/1000)
	return nil
}

func kilobytes(n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", float64(n)/1e3)
}

// visited is what a page takes.
type visited struct {
	name              string
	first, half, most time.Duration // the first time, p50, p95
	alone, all, feed  int           // bytes; all and feed only of pages
}

func (v *visitor) look(visit visit) (seen visited, err error) {
	seen.name = visit.name
	times := make([]time.Duration, siteLooks)
	for i := range times {
		if visit.before != nil {
			if err := visit.before(); err != nil {
				return seen, err
			}
		}
		a, err := v.ask(visit)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("status %d: %.300s", a.status, a.body)
		}
		if err != nil {
			return seen, err
		}
		if times[i] = a.took; i > 0 {
			continue
		}
		seen.first, seen.alone = a.took, a.weight
		if visit.page {
			if seen.all, seen.feed, err = v.weigh(a); err != nil {
				return seen, err
			}
		}
	}
	seen.half, seen.most = percentile(times, 50), percentile(times, 95)
	return seen, nil
}

// navigation are the links of the menu, and rest the query of a link to the next page of a list.
var (
	navigation = regexp.MustCompile(`(?s)<ul class="places">(.*?)</ul>`)
	links      = regexp.MustCompile(`href="([^"]+)"`)
)

// visits are all pages, and the calls of the API that list something.
func (v *visitor) visits(l *siteLibrary) ([]visit, error) {
	var list []visit
	add := func(name, path string) { list = append(list, visit{name: name, path: path, page: true}) }
	menu, err := v.menu()
	if err != nil {
		return nil, err
	}
	for _, path := range menu {
		add("page "+path, path)
	}
	for _, query := range []string{
		"q=film+of+19", "q=%2801234", "state=idle", "state=metadata", "route=route-3&state=idle&q=1080p", "sort=-size", "sort=-added",
		"sort=-last_read", "limit=1000",
	} {
		add("page /torrents?"+query, "/torrents?"+query)
	}
	deep, err := deepCursor()
	if err != nil {
		return nil, err
	}
	add("page /torrents, deep", "/torrents?cursor="+deep)
	flat, tree, other := "/torrents/"+l.flat, "/torrents/"+l.tree, "/torrents/"+l.others[0]
	add("page of a torrent", other)
	add("page of the torrent that has a seeder", "/torrents/"+l.live.infohash)
	add("page that asks before deleting", other+"/delete")
	add("page of many files, flat", flat)
	add("page of many files, flat, deep", flat+"?cursor="+url.QueryEscape(fileCursor(l)))
	add("page of many files, tree", tree)
	add("page of many files, tree, a folder", tree+"?path=Season+00%2FDisc+2")
	cold := func() error { // what was looked at last is kept
		_, err := v.ask(visit{path: other})
		return err
	}
	list = append(list,
		visit{name: "page of many files, flat, after another one", path: flat, page: true, before: cold},
		visit{name: "page of many files, tree, after another one", path: tree, page: true, before: cold},
		visit{name: "page that asks before deleting 100", path: "/torrents/bulk", page: true, form: url.Values{"do": {"delete"}, "t": l.others}},
	)
	add("page /routes/…/delete", "/routes/route-3/delete")
	add("page /add?uri=", "/add?uri="+url.QueryEscape(siteMagnet(-2)))
	list = append(list, visit{name: "page of a preview", path: "/add", page: true, form: url.Values{"links": {siteMagnet(-2)}, "do": {"preview"}}})
	for _, path := range []string{"/fs/", "/fs/route-3/", "/fs/bench/" + flatName + "/", "/fs/bench/" + treeName + "/"} {
		add("page "+path, path)
	}
	for _, path := range []string{
		"routes", "torrents", "torrents?limit=1000", "torrents?sort=-size&route=route-3&q=1080p", "stats", "stats/history", "readers", "clients", "logs", "watch", "settings",
		"torrents/" + l.flat, "torrents/" + l.flat + "/files", "torrents/" + l.tree + "/files?path=Season+00", "torrents/" + l.flat + "/pieces",
		"torrents/" + l.flat + "/archives", "torrents/" + l.live.infohash + "/peers", "torrents/" + l.live.infohash + "/trackers",
	} {
		list = append(list, visit{name: "API " + strings.NewReplacer(l.flat, "flat", l.tree, "tree", l.live.infohash, "live").Replace(path), path: "/api/v1/" + path})
	}
	return append(list, visit{name: "/metrics", path: "/metrics"}), nil
}

// menu returns the pages that the menu leads to.
func (v *visitor) menu() ([]string, error) {
	a, err := v.ask(visit{path: "/"})
	if err != nil {
		return nil, err
	}
	places := navigation.Find(a.body)
	var list []string
	for _, match := range links.FindAllSubmatch(places, -1) {
		path := html.UnescapeString(string(match[1]))
		a, err := v.ask(visit{path: path})
		if err != nil {
			return nil, err
		}
		if a.status == http.StatusOK { // not all are there while the site is being built
			list = append(list, path)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("the menu leads nowhere: %.300s", a.body)
	}
	return list, nil
}

// deepCursor is the cursor of a page in the middle of the list.
func deepCursor() (string, error) {
	cursor := ""
	for range 5 {
		said, err := callShoal(http.MethodGet, "/api/v1/torrents?limit=1000&cursor="+url.QueryEscape(cursor), "", http.NoBody, http.StatusOK)
		if err != nil {
			return "", err
		}
		var page struct{ Next string }
		if err := json.Unmarshal(said, &page); err != nil {
			return "", err
		}
		if page.Next == "" {
			break
		}
		cursor = page.Next
	}
	return url.QueryEscape(cursor), nil
}

// fileCursor is the cursor behind the first files of the large folder.
func fileCursor(l *siteLibrary) string {
	said, err := callShoal(http.MethodGet, "/api/v1/torrents/"+l.flat+"/files?limit=100", "", http.NoBody, http.StatusOK)
	var page struct{ Next string }
	if err != nil || json.Unmarshal(said, &page) != nil {
		return "" // the first page
	}
	return page.Next
}

// addLinks looks at many links at once, and adds them.
func (b *bench) addLinks(v *visitor) error {
	list := make([]string, siteLinks)
	for i := range list {
		list[i] = siteMagnet(100_000 + i)
	}
	body, err := json.Marshal(map[string][]string{"links": list})
	if err != nil {
		return err
	}
	text := strings.Join(list, "\n")
	for _, visit := range []visit{
		{name: "preview by the API", path: "/api/v1/torrents/preview", json: string(body)},
		{name: "preview by the form", path: "/add", form: url.Values{"links": {text}, "do": {"preview"}}},
		{name: "adding by the form", path: "/add", form: url.Values{"links": {text}, "route": {"route-5"}, "do": {"add"}}},
		{name: "preview of what is known", path: "/add", form: url.Values{"links": {text}, "do": {"preview"}}},
	} {
		a, err := v.ask(visit)
		if err == nil && !slices.Contains([]int{http.StatusOK, http.StatusSeeOther}, a.status) {
			err = fmt.Errorf("%s: status %d: %.300s", visit.name, a.status, bytes.TrimSpace(a.body))
		}
		if err != nil {
			return err
		}
		say(b.out, "%d magnets, %s: %.0f ms, %.1f KB.", siteLinks, visit.name, ms(a.took), float64(a.weight)/1e3)
	}
	return nil
}
