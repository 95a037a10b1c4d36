package admin

import (
	"cmp"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"shoal/torrents"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// listQuery is what a client wants to see of the torrents.
type listQuery struct {
	route, state, text string
	hex                bool // text may be the beginning of an infohash
	sort               func(*torrents.Torrent) sortKey
	descending         bool
	limit              int
	after              *position // nil for the first page
}

// position is the place of a torrent in a sorted list. It is what a cursor holds.
type position struct {
	Key      sortKey           `json:"k"`
	Infohash torrents.Infohash `json:"i"`
}

// sortKey is what a list is sorted by: a number, then a text.
type sortKey struct {
	Number int64  `json:"n"`
	Text   string `json:"t"`
}

// sorts are the values of the parameter sort, each also with "-" in front.
var sorts = map[string]func(*torrents.Torrent) sortKey{
	"name":      func(t *torrents.Torrent) sortKey { return sortKey{Text: t.Name} },
	"route":     func(t *torrents.Torrent) sortKey { return sortKey{Text: t.Route} },
	"state":     func(t *torrents.Torrent) sortKey { return sortKey{Text: string(t.State)} },
	"size":      func(t *torrents.Torrent) sortKey { return sortKey{Number: t.Size} },
	"cached":    func(t *torrents.Torrent) sortKey { return sortKey{Number: t.Cached} },
	"added":     func(t *torrents.Torrent) sortKey { return sortKey{Number: t.Added.UnixNano()} },
	"last_read": func(t *torrents.Torrent) sortKey { return sortKey{Number: t.LastRead.Unix()} },
	"down_rate": func(t *torrents.Torrent) sortKey { return sortKey{Number: t.DownRate} },
	"up_rate":   func(t *torrents.Torrent) sortKey { return sortKey{Number: t.UpRate} },
}

func parseListQuery(v url.Values) (listQuery, error) {
	q := listQuery{
		route: v.Get("route"), state: v.Get("state"), text: strings.ToLower(v.Get("q")),
	}
	q.hex = strings.Trim(q.text, "0123456789abcdef") == ""
	if q.state != "" && !slices.Contains(torrents.States(), torrents.State(q.state)) {
		return q, badRequest("There is no state called %.40q.", q.state)
	}
	name := cmp.Or(v.Get("sort"), "name")
	name, q.descending = strings.CutPrefix(name, "-")
	var ok bool
	if q.sort, ok = sorts[name]; !ok {
		return q, badRequest("Torrents cannot be sorted by %.40q.", name)
	}
	var err error
	if q.limit, err = parseLimit(v.Get("limit"), defaultLimit); err != nil {
		return q, err
	}
	return q, decodeCursor(v.Get("cursor"), &q.after)
}

// listPage is a part of a list.
type listPage struct {
	torrents []torrents.Torrent
	total    int
	next     string
}

func (q listQuery) page(all []torrents.Torrent) listPage {
	var page listPage
	rows := firstRows{compare: q.compare, limit: q.limit + 1} // one more, to know whether there is more
	for i := range all {
		t := &all[i]
		if !q.matches(t) {
			continue
		}
		page.total++
		at := position{q.sort(t), t.Infohash}
		if q.after == nil || q.compare(at, *q.after) > 0 {
			rows.add(listRow{at, t})
		}
	}
	list := rows.sorted()
	if len(list) > q.limit {
		list = list[:q.limit]
		page.next = encodeCursor(list[q.limit-1].position)
	}
	for _, r := range list {
		page.torrents = append(page.torrents, *r.torrent)
	}
	return page
}

// listRow is a torrent and its place in a list.
type listRow struct {
	position
	torrent *torrents.Torrent
}

// firstRows keeps the first rows of a list, up to a limit, whatever the order in which they come: a page of
// 10,000 torrents needs no more sorting than that.
type firstRows struct {
	compare func(a, b position) int
	limit   int
	rows    []listRow // beyond limit, those that came since the last sorting
	full    bool      // there are limit sorted ones
}

func (f *firstRows) add(r listRow) {
	if f.full && f.compare(r.position, f.rows[f.limit-1].position) > 0 {
		return
	}
	if f.rows = append(f.rows, r); len(f.rows) >= 2*f.limit {
		f.rows, f.full = f.sorted(), true
	}
}

// sorted returns the first rows, in order.
func (f *firstRows) sorted() []listRow {
	slices.SortFunc(f.rows, func(a, b listRow) int { return f.compare(a.position, b.position) })
	return f.rows[:min(len(f.rows), f.limit)]
}

func (q listQuery) matches(t *torrents.Torrent) bool {
	return (q.route == "" || q.route == t.Route) &&
		(q.state == "" || q.state == string(t.State)) &&
		(q.text == "" || containsLower(t.Name, q.text) || q.hex && beginsWith(t.Infohash, q.text))
}

// containsLower says whether the lower case of s contains text, which is in lower case and not empty. It copies nothing of most names, as 10,000 are
// looked through for each list.
func containsLower(s, text string) bool {
	for at := range len(s) {
		if s[at] >= utf8.RuneSelf {
			return strings.Contains(strings.ToLower(s), text)
		}
	}
	first, other := text[0], upperASCII(text[0])
	for ; len(s) >= len(text); s = s[1:] {
		if s[0] != first && s[0] != other {
			continue
		}
		n := 1
		for n < len(text) && lowerASCII(s[n]) == text[n] {
			n++
		}
		if n == len(text) {
			return true
		}
	}
	return false
}

// beginsWith says whether the hexadecimal digits of an infohash begin with text.
func beginsWith(ih torrents.Infohash, text string) bool {
	var digits [2 * len(ih)]byte
	hex.Encode(digits[:], ih[:])
	return len(text) <= len(digits) && string(digits[:len(text)]) == text
}

func upperASCII(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

func lowerASCII(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func (q listQuery) compare(a, b position) int {
	c := cmp.Or(
		cmp.Compare(a.Key.Number, b.Key.Number),
		strings.Compare(a.Key.Text, b.Key.Text),
		slices.Compare(a.Infohash[:], b.Infohash[:]),
	)
	if q.descending {
		return -c
	}
	return c
}
