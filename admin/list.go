package admin

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"shoal/torrents"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// listQuery is what a client wants to see of the torrents.
type listQuery struct {
	route, state, text string
	sort               func(torrents.Torrent) sortKey
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
var sorts = map[string]func(torrents.Torrent) sortKey{
	"name":      func(t torrents.Torrent) sortKey { return sortKey{Text: t.Name} },
	"route":     func(t torrents.Torrent) sortKey { return sortKey{Text: t.Route} },
	"state":     func(t torrents.Torrent) sortKey { return sortKey{Text: string(t.State)} },
	"size":      func(t torrents.Torrent) sortKey { return sortKey{Number: t.Size} },
	"cached":    func(t torrents.Torrent) sortKey { return sortKey{Number: t.Cached} },
	"added":     func(t torrents.Torrent) sortKey { return sortKey{Number: t.Added.UnixNano()} },
	"last_read": func(t torrents.Torrent) sortKey { return sortKey{Number: t.LastRead.Unix()} },
	"down_rate": func(t torrents.Torrent) sortKey { return sortKey{Number: t.DownRate} },
	"up_rate":   func(t torrents.Torrent) sortKey { return sortKey{Number: t.UpRate} },
}

var states = []torrents.State{
	torrents.StateMetadata, torrents.StateIdle, torrents.StateActive, torrents.StateComplete, torrents.StateFailed,
}

func parseListQuery(v url.Values) (listQuery, error) {
	q := listQuery{
		route: v.Get("route"), state: v.Get("state"), text: strings.ToLower(v.Get("q")),
	}
	if q.state != "" && !slices.Contains(states, torrents.State(q.state)) {
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
	type row struct {
		position
		torrent torrents.Torrent
	}
	var rows []row
	for _, t := range all {
		if q.matches(t) {
			rows = append(rows, row{position{q.sort(t), t.Infohash}, t})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return q.compare(a.position, b.position) })
	page := listPage{total: len(rows)}
	if q.after != nil {
		first, found := slices.BinarySearchFunc(rows, *q.after, func(r row, p position) int {
			return q.compare(r.position, p)
		})
		if found {
			first++
		}
		rows = rows[first:]
	}
	if len(rows) > q.limit {
		rows = rows[:q.limit]
		page.next = encodeCursor(rows[q.limit-1].position)
	}
	for _, r := range rows {
		page.torrents = append(page.torrents, r.torrent)
	}
	return page
}

func (q listQuery) matches(t torrents.Torrent) bool {
	return (q.route == "" || q.route == t.Route) &&
		(q.state == "" || q.state == string(t.State)) &&
		(q.text == "" || strings.Contains(strings.ToLower(t.Name), q.text) || strings.HasPrefix(t.Infohash.String(), q.text))
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
