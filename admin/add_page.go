package admin

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

var addPage = page{name: "add", scripts: []string{"add.js"}}

const (
	// maxFilesShown is how many files of a torrent a preview names.
	maxFilesShown = 20
	// maxOutcomesShown is how many torrents of each outcome are named.
	maxOutcomesShown = 100
)

func (s *server) registerAdd(r *mux.Router) {
	s.handlePage(r, "/add", addPage, s.viewAdd)
	r.HandleFunc("/add", s.postAdd).Methods(http.MethodPost)
}

// addView is the form for adding, with what it would add or has added.
type addView struct {
	Links    string // lines that are to be looked at, or mended
	Routes   []torrents.Route
	Route    string // the chosen one
	NewRoute string
	Error    string // what is wrong with the form
	Rest     int    // how many links were too many for one time
	Rows     []addRow
	Result   *addResult
}

// addRow is a link or a file that was looked at.
type addRow struct {
	Field, Value string // of its box, by which it comes back; no Field if it cannot be added
	Checked      bool
	Source       string
	Name         string
	Kind         torrents.PreviewKind
	Resolved     bool
	Size         int64 // in bytes
	Files        int
	FirstFiles   []previewFileJSON
	MoreFiles    int
	Private      bool
	Known        *knownTorrent
	Twin         bool   // one before is of the same torrent
	Unseen       bool   // it is a URL that was not fetched
	Again        bool   // it is a file too large to be kept in the page
	Error        string // a sentence
}

// knownTorrent is one that the library has.
type knownTorrent struct {
	Infohash, Route, Name string
}

// viewAdd shows the form, with a magnet link that the browser has been told to bring here. It is data: nothing is added, and nobody asked.
func (s *server) viewAdd(r *http.Request) (any, error) {
	query := r.URL.Query()
	f := addForm{links: appendLinks(nil, query.Get("uri")), route: query.Get("route")}
	if len(f.links) > 1 {
		f.links = f.links[:1] // who links here brings one
	}
	for _, link := range f.links {
		if kind, err := torrents.RecogniseLink(link); err == nil && kind == torrents.PreviewURL {
			f.links, f.rest = nil, f.links // fetched when somebody asks for that
		}
	}
	v, err := s.previewForm(r, &f, 0)
	if err != nil {
		return nil, err
	}
	v.Rest = 0
	return v, nil
}

// postAdd shows what would be added, or adds it.
func (s *server) postAdd(w http.ResponseWriter, r *http.Request) {
	f, err := readAddForm(w, r)
	if err != nil {
		s.failPage(w, r, err)
		return
	}
	if !f.add {
		v, err := s.previewForm(r, &f, maxPreviewURLs)
		if err != nil {
			s.failPage(w, r, err)
			return
		}
		s.render(w, r, http.StatusOK, &addPage, v)
		return
	}
	if s.refuseAdd(w, r, &f) {
		return
	}
	result := s.addAll(r, &f)
	if result.complete() {
		s.redirect(w, r, result.where(s), note{Text: s.locale(r).N("add.added", result.Added, result.Route)})
		return
	}
	v := s.newAddView(&f)
	v.Result = result
	v.Links = strings.Join(append(result.lines, f.rest...), "\n")
	status := http.StatusOK
	if result.Added+result.KnownCount == 0 {
		status = http.StatusBadRequest
	}
	s.render(w, r, status, &addPage, v)
}

// refuseAdd shows the form again, with what is in it, if nothing can be added as it is.
func (s *server) refuseAdd(w http.ResponseWriter, r *http.Request, f *addForm) bool {
	err := s.checkTarget(f.target())
	if err == nil && len(f.links)+len(f.files) == 0 {
		err = badRequest("There is nothing to add: give a link or a file.")
	}
	if err == nil {
		return false
	}
	p := s.problemOf(r, err)
	v, err := s.previewForm(r, f, 0)
	if err != nil {
		s.failPage(w, r, err)
		return true
	}
	v.Error = p.Detail
	s.render(w, r, p.Status, &addPage, v)
	return true
}

// newAddView is the form without links.
func (s *server) newAddView(f *addForm) *addView {
	v := &addView{Routes: s.library.Routes(), Route: f.route, NewRoute: f.newRoute, Rest: len(f.rest)}
	known := slices.ContainsFunc(v.Routes, func(r torrents.Route) bool { return r.Name == f.route })
	switch {
	case f.route != "" && !known && f.newRoute == "":
		v.NewRoute = f.route
	case len(v.Routes) == 0:
		v.NewRoute = cmp.Or(f.newRoute, exampleRoute)
	}
	return v
}

// previewForm looks at what a form would add. Links with mistakes stay in its text.
func (s *server) previewForm(r *http.Request, f *addForm, maxURLs int) (*addView, error) {
	v := s.newAddView(f)
	list, err := s.lookAtFiles(f.files)
	if err != nil {
		return nil, err
	}
	links, err := s.lookAtLinks(r.Context(), f.links, maxURLs)
	if err != nil {
		return nil, err
	}
	list = append(list, links...)
	markTwins(list)
	carried := 0
	var lines []string
	for i := range list {
		row := newAddRow(&list[i])
		switch {
		case i >= len(f.files):
			link := f.links[i-len(f.files)]
			if row.Error != "" {
				lines = append(lines, link)
				break
			}
			row.Field, row.Value = "links", link
		case row.Error == "":
			file := f.files[i]
			if carried += len(file.metainfo); carried > maxCarried || len(file.name) > maxField {
				carried -= len(file.metainfo)
				row.Again = true
				break
			}
			row.Field, row.Value = "carried", packFile(file)
		}
		v.Rows = append(v.Rows, row)
	}
	v.Links = strings.Join(append(lines, f.rest...), "\n")
	return v, nil
}

func newAddRow(p *previewJSON) addRow {
	row := addRow{
		Source: visible(p.Source), Name: p.Name, Kind: p.Kind, Private: p.Private,
		Twin: p.SameAs != nil, Unseen: p.unseen, Error: p.Error,
	}
	if row.Unseen {
		row.Error = ""
	}
	if p.Size != nil {
		row.Resolved, row.Size, row.Files = true, *p.Size, *p.Files
		row.FirstFiles = p.FirstFiles[:min(len(p.FirstFiles), maxFilesShown)]
		row.MoreFiles = row.Files - len(row.FirstFiles)
	}
	if p.Known != nil {
		row.Known = &knownTorrent{p.Infohash.String(), p.Known.Route, p.Known.Name}
	}
	if row.Name == "" && p.Infohash != nil {
		row.Name = p.Infohash.String()
	}
	row.Checked = row.Known == nil && !row.Twin
	return row
}
