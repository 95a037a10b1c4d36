package admin

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/torrents"
)

// orders are what the keys of the parameter sort mean; between equals the infohash decides.
var orders = map[string]func(a, b torrents.Torrent) int{
	"name":      func(a, b torrents.Torrent) int { return strings.Compare(a.Name, b.Name) },
	"route":     func(a, b torrents.Torrent) int { return strings.Compare(a.Route, b.Route) },
	"state":     func(a, b torrents.Torrent) int { return strings.Compare(string(a.State), string(b.State)) },
	"size":      func(a, b torrents.Torrent) int { return cmp.Compare(a.Size, b.Size) },
	"cached":    func(a, b torrents.Torrent) int { return cmp.Compare(a.Cached, b.Cached) },
	"added":     func(a, b torrents.Torrent) int { return a.Added.Compare(b.Added) },
	"last_read": func(a, b torrents.Torrent) int { return a.LastRead.Compare(b.LastRead) },
	"down_rate": func(a, b torrents.Torrent) int { return cmp.Compare(a.DownRate, b.DownRate) },
	"up_rate":   func(a, b torrents.Torrent) int { return cmp.Compare(a.UpRate, b.UpRate) },
}

// madeUp is a torrent like no library gives it, of few values, so that many are equal.
func madeUp(n int, random *rand.Rand) torrents.Torrent {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	t := torrents.Torrent{
		Infohash: torrents.Infohash{byte(random.Uint32()), byte(n >> 8), byte(n)},
		Name:     []string{"a", "B", "b", "ä", "<script>", "", "\u202e"}[random.IntN(7)],
		Route:    []string{"films", "music", ""}[random.IntN(3)],
		State:    torrents.States()[random.IntN(len(torrents.States()))],
		Size:     random.Int64N(3) << 40,
		Cached:   random.Int64N(3),
		Added:    day.Add(time.Duration(random.Int64N(3))),
		Activity: torrents.Activity{DownRate: random.Int64N(3), UpRate: random.Int64N(3)},
	}
	if random.IntN(3) > 0 {
		t.LastRead = day.Add(time.Duration(random.Int64N(3)) * time.Second)
	}
	return t
}

func madeUpList(n int, random *rand.Rand) []torrents.Torrent {
	list := make([]torrents.Torrent, n)
	for i := range list {
		list[i] = madeUp(i, random)
	}
	return list
}

func infohashes(list []torrents.Torrent) []torrents.Infohash {
	var all []torrents.Infohash
	for _, t := range list {
		all = append(all, t.Infohash)
	}
	return all
}

func mustParse(t *testing.T, v url.Values) listQuery {
	t.Helper()
	q, err := parseListQuery(v)
	if err != nil {
		t.Fatalf("the query %s: %v", v.Encode(), err)
	}
	return q
}

func TestSort(t *testing.T) {
	all := madeUpList(200, rand.New(rand.NewPCG(1, 2)))
	for key := range sorts {
		order, ok := orders[key]
		if !ok {
			t.Errorf("no test knows the order by %s; tell it here", key)
			continue
		}
		want := slices.SortedFunc(slices.Values(all), func(a, b torrents.Torrent) int {
			return cmp.Or(order(a, b), slices.Compare(a.Infohash[:], b.Infohash[:]))
		})
		got := mustParse(t, url.Values{"sort": {key}, "limit": {"1000"}}).page(all)
		if !slices.Equal(infohashes(got.torrents), infohashes(want)) {
			t.Errorf("sorted by %s the list is %+v, want %+v", key, got.torrents, want)
		}
		slices.Reverse(want)
		got = mustParse(t, url.Values{"sort": {"-" + key}, "limit": {"1000"}}).page(all)
		if !slices.Equal(infohashes(got.torrents), infohashes(want)) {
			t.Errorf("sorted by -%s the list is %+v, want %+v", key, got.torrents, want)
		}
	}
}

// TestPagesOfChangingList pages through a list in which torrents come and go between pages: each
// that was there all the time has to be on one page, and none on two.
func TestPagesOfChangingList(t *testing.T) {
	for key := range sorts {
		for _, sort := range []string{key, "-" + key} {
			random := rand.New(rand.NewPCG(3, 4))
			all := madeUpList(30, random)
			stays := make(map[torrents.Infohash]bool)
			for _, x := range all {
				stays[x.Infohash] = random.IntN(2) == 0
			}
			visits := make(map[torrents.Infohash]int)
			cursor := ""
			for page := 0; page == 0 || cursor != ""; page++ {
				got := mustParse(t, url.Values{"sort": {sort}, "limit": {"3"}, "cursor": {cursor}}).page(all)
				if got.total != len(all) {
					t.Errorf("by %s, page %d says that there are %d, want %d", sort, page, got.total, len(all))
				}
				for _, x := range got.torrents {
					visits[x.Infohash]++
				}
				cursor = got.next
				all = slices.DeleteFunc(all, func(x torrents.Torrent) bool {
					return !stays[x.Infohash] && random.IntN(3) == 0
				})
				if page < 5 {
					all = append(all, madeUp(1000+page, random))
				}
			}
			for ih, n := range visits {
				if n > 1 {
					t.Errorf("by %s, %s is on %d pages", sort, ih, n)
				}
			}
			for ih, stayed := range stays {
				if stayed && visits[ih] != 1 {
					t.Errorf("by %s, %s was always there, and is on %d pages, want 1", sort, ih, visits[ih])
				}
			}
		}
	}
}

func TestPageSizes(t *testing.T) {
	all := madeUpList(1001, rand.New(rand.NewPCG(5, 6)))
	for _, test := range []struct {
		limit     string
		have      int
		want      int
		wantsNext bool
	}{
		{"", 1001, 100, true},
		{"", 100, 100, false},
		{"", 0, 0, false},
		{"1", 1, 1, false},
		{"1", 2, 1, true},
		{"3", 3, 3, false},
		{"1000", 1001, 1000, true},
		{"1000", 1000, 1000, false},
	} {
		page := mustParse(t, url.Values{"limit": {test.limit}}).page(all[:test.have])
		if got := len(page.torrents); got != test.want {
			t.Errorf("limit %q of %d gives %d, want %d", test.limit, test.have, got, test.want)
		}
		if got := page.next != ""; got != test.wantsNext {
			t.Errorf("limit %q of %d has a next page: %t, want %t", test.limit, test.have, got, test.wantsNext)
		}
		if page.total != test.have {
			t.Errorf("limit %q of %d says that there are %d", test.limit, test.have, page.total)
		}
	}
}

// listSite has torrents in every state that does not need a reader.
func listSite(t *testing.T) *site {
	t.Helper()
	failed, err := torrents.ParseInfohash(otherHash)
	if err != nil {
		t.Fatal(err)
	}
	s := openSite(t, failedTorrent(t, failed))
	s.mustAdd(t, "films", torrentFile("Alien.mkv", 300))
	s.mustAdd(t, "films", torrentFile("aliens.mkv", 200))
	s.mustAdd(t, "music", torrentFile("ÄON.flac", 100))
	s.mustAdd(t, "music", completeTorrent("complete"))
	wantStatus(t, s.addMagnet(t, "music", magnet(someHash, "link")), http.StatusCreated)
	return s
}

func TestListFilters(t *testing.T) {
	s := listSite(t)
	for query, want := range map[string][]string{
		"":                              {"", "Alien.mkv", "aliens.mkv", "complete", "link", "ÄON.flac"},
		"route=&state=&q=&sort=&limit=": {"", "Alien.mkv", "aliens.mkv", "complete", "link", "ÄON.flac"},
		"route=films":                   {"Alien.mkv", "aliens.mkv"},
		"route=music":                   {"complete", "link", "ÄON.flac"},
		"route=Films":                   {},
		"route=nothing":                 {},
		"state=idle":                    {"Alien.mkv", "aliens.mkv", "ÄON.flac"},
		"state=complete":                {"complete"},
		"state=metadata":                {"link"},
		"state=failed":                  {""},
		"state=active":                  {},
		"q=ALIEN":                       {"Alien.mkv", "aliens.mkv"},
		"q=aliens":                      {"aliens.mkv"},
		"q=.mkv":                        {"Alien.mkv", "aliens.mkv"},
		"q=%C3%A4on":                    {"ÄON.flac"},
		"q=" + someHash[:7]:             {"link"},
		"q=" + strings.ToUpper(otherHash): {
			"",
		},
		"q=" + someHash[20:30]:       {}, // not at its beginning
		"q=.*":                       {},
		"q=%":                        {"", "Alien.mkv", "aliens.mkv", "complete", "link", "ÄON.flac"}, // no query at all
		"route=music&state=idle":     {"ÄON.flac"},
		"route=films&q=s&state=idle": {"aliens.mkv"},
		"route=music&q=alien":        {},
		"sort=-size&route=films":     {"Alien.mkv", "aliens.mkv"},
		"sort=size&route=films":      {"aliens.mkv", "Alien.mkv"},
		"state=idle&limit=1000":      {"Alien.mkv", "aliens.mkv", "ÄON.flac"},
		"colour=blue&q=link":         {"link"},
	} {
		a := s.get(t, "/api/v1/torrents?"+query)
		wantStatus(t, a, http.StatusOK)
		list := decode[torrentList](t, a)
		if got := list.names(); !slices.Equal(got, want) {
			t.Errorf("?%s gives %q, want %q", query, got, want)
		}
		if list.Total != len(want) || list.Next != "" {
			t.Errorf("?%s gives the total %d and the next page %q, want %d and none", query, list.Total, list.Next, len(want))
		}
		if len(want) == 0 && !strings.Contains(string(a.body), `"torrents":[]`) {
			t.Errorf("?%s gives %s, want an empty list", query, a.body)
		}
	}
}

func TestListBadly(t *testing.T) {
	s := openSite(t)
	for _, query := range []string{
		"limit=0", "limit=-1", "limit=1001", "limit=x", "limit=1.5", "limit=1e2", "limit=0x10", "limit=99999999999999999999",
		"limit=%201", "sort=x", "sort=-", "sort=--name", "sort=Name", "sort=name,size", "sort=infohash", "sort=%00",
		"state=x", "state=Idle", "state=stopped", "state=idle,active", "cursor=x", "cursor=!", "cursor=bnVsbA",
		"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"i": "x"}`)),
		"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"k": {"n": 1e400}}`)),
		"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`[]`)),
		"cursor=" + base64.StdEncoding.EncodeToString([]byte(`{"k": {"t": "??"}}`)),
		"cursor=" + strings.Repeat("A", 10000),
	} {
		if a := s.get(t, "/api/v1/torrents?"+query); a.status != http.StatusBadRequest {
			t.Errorf("?%.80s answers %d %s, want %d", query, a.status, a.body, http.StatusBadRequest)
		}
	}
}

// TestListSort checks over HTTP that every key is taken; TestSort checks what it does.
func TestListSort(t *testing.T) {
	s := listSite(t)
	known := make(map[string]torrents.Torrent)
	for _, x := range s.library.Torrents() {
		known[x.Infohash.String()] = x
	}
	for key, order := range orders {
		up := decode[torrentList](t, s.get(t, "/api/v1/torrents?sort="+key)).Torrents
		down := decode[torrentList](t, s.get(t, "/api/v1/torrents?sort=-"+key)).Torrents
		if len(up) != len(known) {
			t.Errorf("sorted by %s there are %d, want %d", key, len(up), len(known))
		}
		if !slices.IsSortedFunc(up, func(a, b row) int { return order(known[a.Infohash], known[b.Infohash]) }) {
			t.Errorf("sorted by %s the list is %+v", key, up)
		}
		slices.Reverse(down)
		if !slices.Equal(infohashesOf(up), infohashesOf(down)) {
			t.Errorf("sorted by -%s the list is, from its end, %+v, want %+v", key, down, up)
		}
	}
}

func infohashesOf(list []row) []string {
	var all []string
	for _, r := range list {
		all = append(all, r.Infohash)
	}
	return all
}

func TestListPages(t *testing.T) {
	s := openSite(t)
	remove := func(name string) {
		for _, x := range s.library.Torrents() {
			if x.Name == name {
				wantStatus(t, s.delete(t, "/api/v1/torrents/"+x.Infohash.String()), http.StatusNoContent)
			}
		}
	}
	for i := range 10 {
		s.mustAdd(t, "films", torrentFile(fmt.Sprintf("name %d", i), i+1))
	}
	var pages [][]string
	target := "/api/v1/torrents?limit=3&route=films"
	for cursor := ""; ; {
		list := decode[torrentList](t, s.get(t, target+"&cursor="+cursor))
		pages = append(pages, list.names())
		if cursor = list.Next; cursor == "" {
			break
		}
		if url.QueryEscape(cursor) != cursor {
			t.Errorf("the cursor %q has to be escaped in a query", cursor)
		}
		switch len(pages) {
		case 1: // the one that the cursor is about goes, and one comes before and one behind it
			remove("name 2")
			s.mustAdd(t, "films", torrentFile("name 1.5", 100))
			s.mustAdd(t, "films", torrentFile("name 2.5", 101))
		case 2: // one that was shown goes, and one that was not
			remove("name 0")
			remove("name 6")
		}
	}
	want := [][]string{
		{"name 0", "name 1", "name 2"},
		{"name 2.5", "name 3", "name 4"},
		{"name 5", "name 7", "name 8"},
		{"name 9"},
	}
	if !slices.EqualFunc(pages, want, slices.Equal) {
		t.Errorf("the pages are %q, want %q", pages, want)
	}
}

// FuzzListQuery: no query makes it panic, and a page never has more than its limit.
func FuzzListQuery(f *testing.F) {
	all := madeUpList(20, rand.New(rand.NewPCG(7, 8)))
	first, err := parseListQuery(url.Values{"limit": {"3"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("limit=3&sort=-size&cursor=" + first.page(all).next)
	f.Add("q=a&state=idle&route=films&limit=1000")
	f.Add("cursor=bnVsbA&limit=-1&sort=--")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := parseListQuery(values)
		if err != nil {
			if !sentences.MatchString(err.Error()) {
				t.Errorf("?%s fails with %q, want a sentence", query, err)
			}
			return
		}
		if page := q.page(all); len(page.torrents) > q.limit || page.total > len(all) {
			t.Errorf("?%s gives %d of %d torrents, of which there are %d", query, len(page.torrents), page.total, len(all))
		}
	})
}

func BenchmarkPageOfMany(b *testing.B) {
	all := madeUpList(10_000, rand.New(rand.NewPCG(5, 6)))
	for _, query := range []string{"", "sort=-size", "sort=added&cursor=eyJrIjp7Im4iOjAsInQiOiIifX0", "q=a&sort=-name"} {
		b.Run(query, func(b *testing.B) {
			v, err := url.ParseQuery(query)
			if err != nil {
				b.Fatal(err)
			}
			q, err := parseListQuery(v)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				q.page(all)
			}
		})
	}
}
