package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

const (
	torrentsPath = "/torrents"

	// rowsPerPage is how many torrents the page of them shows, if its address does not say.
	rowsPerPage = 50
	// maxRowsPerPage is how many it shows at most; the API takes maxLimit.
	maxRowsPerPage = 200
)

var torrentsPage = page{name: "torrents", parts: []string{"list"}, scripts: []string{"torrents.js"}}

// registerTorrentsPage is the list of torrents, and what can be done to several of them. It comes before the page of a torrent, which
// takes "bulk" for an infohash.
func (s *server) registerTorrentsPage(r *mux.Router) {
	s.handlePage(r, torrentsPath, torrentsPage, s.viewTorrents)
	r.HandleFunc(torrentsPath+"/bulk", s.bulk).Methods(http.MethodPost)
	// The page that asks has this address, too, and somebody may go to it again.
	r.Handle(torrentsPath+"/bulk", http.RedirectHandler(s.url(torrentsPath), http.StatusSeeOther)).Methods(http.MethodGet, http.MethodHead)
}

// torrentsView is a page of the torrents that match a filter.
type torrentsView struct {
	Text, Sort, Limit string // of the filter, as they were asked for
	States            []choice
	Routes            []choice

	Columns  []column
	Rows     []torrentsRow
	Total    int // that match, on all pages
	Filtered bool
	Shown    string // the infohashes of the rows, with commas
	Here     string // the address of this page
	First    string // of the first page; empty if this is it
	Next     string // of the next page; empty if there is none
	Clear    string // of the list without a filter

	Empty        bool // there is no torrent, whatever the filter
	Examples     []example
	ExampleRoute string
}

// choice is an option of a select.
type choice struct {
	Name     string
	Selected bool
}

// column is the head of a column.
type column struct {
	Name, Class string
	Order       string // ascending or descending if the list is sorted by it
	Link        string // sorts by it; empty if that is not possible
}

type torrentsRow struct {
	torrents.Torrent
	Label string
	Why   string // it failed, in short
}

// torrentLabel is what to call a torrent: its name, or its infohash if it has none that can be read.
func torrentLabel(t *torrents.Torrent) string { return cmp.Or(t.Name, t.Infohash.String()) }

// maxWhy is how much of a reason a row says, in runes; the page of the torrent has all of it.
const maxWhy = 120

// torrentColumns are the columns, and what sorts by them. Who looks for the largest, fastest or newest wants these first.
var torrentColumns = []struct {
	name, class, sort string
	descending        bool
}{
	{name: "name", sort: "name"},
	{name: "route", class: "far", sort: "route"},
	{name: "state", sort: "state"},
	{name: "size", class: "n", sort: "size", descending: true},
	{name: "cached", sort: "cached", descending: true},
	{name: "down", class: "n", sort: "down_rate", descending: true},
	{name: "up", class: "n", sort: "up_rate", descending: true},
	{name: "peers", class: "n"},
	{name: "last_read", sort: "last_read", descending: true},
	{name: "added", sort: "added", descending: true},
}

func (s *server) viewTorrents(r *http.Request) (any, error) {
	asked := r.URL.Query()
	if asked.Get("limit") == "" {
		asked.Set("limit", strconv.Itoa(rowsPerPage))
	}
	q, err := parseListQuery(asked)
	if err != nil {
		return nil, err
	}
	q.limit = min(q.limit, maxRowsPerPage)
	list := s.listed(r, q)
	v := torrentsView{
		Text: asked.Get("q"), Sort: cmp.Or(asked.Get("sort"), "name"), Limit: r.URL.Query().Get("limit"),
		Total: list.total, Filtered: q.text != "" || q.route != "" || q.state != "", Clear: s.url(torrentsPath),
		Here: s.torrentsAddress(r, "cursor", asked.Get("cursor")), Empty: list.all == 0,
	}
	if v.Empty {
		v.Examples, v.ExampleRoute = examples, s.firstRoute()
		return v, nil
	}
	if !isStream(r) { // the filter is not live
		v.States, v.Routes = stateChoices(q.state), s.routeChoices(q.route)
	}
	v.Columns = s.torrentsColumns(r, v.Sort)
	v.Rows = make([]torrentsRow, len(list.torrents))
	shown := make([]string, len(list.torrents))
	for i := range list.torrents {
		t := &list.torrents[i]
		v.Rows[i] = torrentsRow{Torrent: *t, Label: torrentLabel(t)}
		if t.State == torrents.StateFailed {
			v.Rows[i].Why = shortened(t.Reason, maxWhy)
		}
		shown[i] = t.Infohash.String()
	}
	v.Shown = strings.Join(shown, ",")
	if q.after != nil {
		v.First = s.torrentsAddress(r)
	}
	if list.next != "" {
		v.Next = s.torrentsAddress(r, "cursor", list.next)
	}
	return v, nil
}

// shortened returns the first runes of a text, and a sign that there are more.
func shortened(text string, runes int) string {
	for i := range text {
		if runes--; runes < 0 {
			return text[:i] + "…"
		}
	}
	return text
}

// torrentsAddress is the address of the first page of the list that a request asks for, with other parameters in pairs.
func (s *server) torrentsAddress(r *http.Request, pairs ...any) string {
	asked := r.URL.Query()
	all := make([]any, 0, 10+len(pairs))
	for _, name := range []string{"q", "route", "state", "sort", "limit"} {
		all = append(all, name, asked.Get(name))
	}
	address, _ := query(s.url(torrentsPath), append(all, pairs...)...) // pairs
	return address
}

func (s *server) torrentsColumns(r *http.Request, sort string) []column {
	by, descending := strings.CutPrefix(sort, "-")
	columns := make([]column, len(torrentColumns))
	for i, c := range torrentColumns {
		col := column{Name: c.name, Class: c.class}
		down := c.descending
		if c.sort != "" && c.sort == by {
			col.Order = map[bool]string{false: "ascending", true: "descending"}[descending]
			down = !descending
		}
		if c.sort != "" {
			col.Link = s.torrentsAddress(r, "sort", map[bool]string{true: "-"}[down]+c.sort)
		}
		columns[i] = col
	}
	return columns
}

func stateChoices(selected string) []choice {
	var list []choice
	for _, state := range torrents.States() {
		list = append(list, choice{string(state), string(state) == selected})
	}
	return list
}

// routeChoices are the routes, and the one that is asked for even if there is none of that name.
func (s *server) routeChoices(selected string) []choice {
	var list []choice
	for _, route := range s.library.Routes() {
		list = append(list, choice{route.Name, route.Name == selected})
	}
	if selected != "" && !slices.Contains(list, choice{selected, true}) {
		list = append(list, choice{selected, true})
	}
	return list
}

// listed is a page of the torrents, and how many there are in all.
type listed struct {
	listPage
	all int
}

// listed returns what q asks for: as it is now, or as all streams see it in a tick.
func (s *server) listed(r *http.Request, q listQuery) listed {
	if !isStream(r) {
		list := s.library.Torrents()
		return listed{q.page(list), len(list)}
	}
	page, _ := inTick(&s.ticks, "list "+r.URL.RawQuery, func() (listed, error) {
		list := s.seenTorrents()
		return listed{q.page(list), len(list)}, nil
	})
	return page
}
