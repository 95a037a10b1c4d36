package admin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/guard"
	"shoal/admin/locale"
	"shoal/torrents"
)

// page is what is shown at an address. Its template has the page's name, and defines "content", and for each part a template of the
// part's name, which has one element with the part's name as its id: that is what is sent again while the page is open, when it
// has become another.
type page struct {
	name    string   // of its template, of its texts, and in the navigation
	nav     string   // its entry in the navigation, if that is not its name
	parts   []string // what is live
	scripts []string // static files beside those that every page has

	// ofClient says that it depends on the address of who asks.
	ofClient bool
}

// viewFunc returns what the template of a page shows. It runs again and again while the page is open and has parts, so it asks for what all
// pages show by seenTorrents, seenStats, seenReaders and seenClients, which look once in a tick.
type viewFunc func(*http.Request) (any, error)

// titled is a view that knows a better title than the page's.
type titled interface{ title() string }

// frame is what layout and page are made of.
type frame struct {
	Page    string // the entry in the navigation
	Title   string
	Lang    string
	Theme   string // auto, light or dark
	User    string // who is logged in; empty on pages for everybody
	Note    *note
	Parts   []string // that are live
	Has     string   // what stands for the parts as they are on the page, for its stream
	Scripts []string
	Locales []*locale.Locale
	Version string
	Here    string // the address of the page, with its query; of the page that its form was on, if this is the answer to one

	// Generated says that the password is the one that Shoal made.
	Generated bool

	View any
}

// note is what the page before has to say on the next one.
type note struct {
	Text  string `json:"t"`
	Error bool   `json:"e,omitempty"`
}

const (
	themeCookie    = "shoal_theme"
	languageCookie = "shoal_language"
	noteCookie     = "shoal_note"

	// maxNote is the longest note, in bytes of JSON, which has 6 for each < of a name, so that it fits a cookie.
	maxNote = 2000
)

// registerPages is everything that is for people.
func (s *server) registerPages(r *mux.Router) {
	s.handlePage(r, "/", overviewPage, s.viewOverview)
	s.registerAdd(r)
	s.registerRoutePages(r)
	s.registerTorrentsPage(r) // before the page of a torrent, whose path begins like it
	s.registerTorrentPage(r)
	s.registerAppearance(r)
	s.registerLogin(r)
	s.registerConnect(r)
	s.registerClientsPage(r)
	s.registerSettingsPage(s.adminsOnly(r))
	s.registerFilesPage(r)
	s.registerLogsPage(r)
}

// handlePage puts a page at a path.
func (s *server) handlePage(r *mux.Router, path string, p page, view viewFunc) {
	r.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept, Accept-Language, Cookie")
		if len(p.parts) > 0 && isStream(r) {
			s.streamPage(w, knownParts(r), &p, view)
			return
		}
		s.ticks.renew() // whoever comes from a form sees what it did
		v, err := view(r)
		if err != nil {
			s.failPage(w, r, err)
			return
		}
		s.render(w, r, http.StatusOK, &p, v)
	}).Methods(http.MethodGet, http.MethodHead)
}

// locale is the language of a request.
func (s *server) locale(r *http.Request) *locale.Locale {
	return s.locales.Find(cookieValue(r, languageCookie), r.Header.Get("Accept-Language"))
}

func cookieValue(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *server) frame(r *http.Request, p *page, view any) *frame {
	l := s.locale(r)
	f := &frame{
		Page: p.nav, Title: l.T(p.name + ".title"), Lang: l.Tag.String(), Theme: "auto", User: s.userName(r),
		Parts: p.parts, Scripts: p.scripts, Locales: s.locales.All(), Version: s.version, Here: s.here(r), View: view,
	}
	if f.Page == "" {
		f.Page = p.name
	}
	if theme := cookieValue(r, themeCookie); theme == "light" || theme == "dark" {
		f.Theme = theme
	}
	if v, ok := view.(titled); ok {
		f.Title = locale.Isolate(v.title())
	}
	f.Generated = f.User != "" && s.access.Generated()
	return f
}

// here is the address that leads to the page that somebody looks at: that of the request, or of the page with the form that it sends, as
// nobody can go to where forms are sent.
func (s *server) here(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.URL.RequestURI()
	}
	if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
		return s.local(from.RequestURI())
	}
	return s.base + "/"
}

// render answers with a page.
func (s *server) render(w http.ResponseWriter, r *http.Request, status int, p *page, view any) {
	f := s.frame(r, p, view)
	f.Note = takeNote(w, r, s.base)
	var b bytes.Buffer
	parts, err := s.pageParts(p, f)
	if err == nil {
		f.Has = eventID(parts)
		err = s.pages[f.Lang][p.name].ExecuteTemplate(&b, "layout.html", f)
	}
	if err != nil {
		s.log.Error("a page cannot be made", "page", p.name, "err", err)
		http.Error(w, internalError, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may be gone
}

// knownParts is the request of a page's stream, which tells what the page came with in the parameter has, as one that comes again tells what
// it has got. The parameter is no part of the page's address.
func knownParts(r *http.Request) *http.Request {
	query := r.URL.Query()
	has := query.Get("has")
	if has == "" {
		return r
	}
	query.Del("has")
	r = r.Clone(r.Context())
	r.URL.RawQuery = query.Encode()
	if r.Header.Get(lastEventID) == "" {
		r.Header.Set(lastEventID, has)
	}
	return r
}

// streamPage sends the parts of a page that have become others, until the page is left. They are made once in a tick for all who look at
// the same address in the same language, if they all see the same.
func (s *server) streamPage(w http.ResponseWriter, r *http.Request, p *page, view viewFunc) {
	key := s.streamKey(r, p)
	shown, leave := s.open.enter(key)
	defer leave()
	s.stream(w, r, func() ([]fragment, error) {
		return inTick(&s.ticks, key, func() ([]fragment, error) {
			v, err := view(r)
			if err != nil {
				return nil, err
			}
			return shown.show(s.frame(r, p, v), func(f *frame) ([]fragment, error) { return s.pageParts(p, f) })
		})
	})
}

// streamKey is the same for all who see the same on a page.
func (s *server) streamKey(r *http.Request, p *page) string {
	who, _ := whoAsks(r)
	// With the role, as a token may be called like the user.
	key := []string{"page", p.name, s.locale(r).Tag.String(), string(who.Role), who.Name, r.URL.RequestURI()}
	if p.ofClient {
		key = append(key, guard.ClientAddr(r).String())
	}
	return strings.Join(key, "\x00")
}

// pageParts are the parts of a page.
func (s *server) pageParts(p *page, f *frame) ([]fragment, error) {
	parts := make([]fragment, 0, len(p.parts))
	for _, name := range p.parts {
		var b bytes.Buffer
		if err := s.pages[f.Lang][p.name].ExecuteTemplate(&b, name, f); err != nil {
			return nil, err
		}
		parts = append(parts, fragment{Name: name, Data: b.Bytes(), sum: sumOf(b.Bytes())})
	}
	return parts, nil
}

// failPage answers with an error as a page, or as a problem to who asks for no page.
func (s *server) failPage(w http.ResponseWriter, r *http.Request, err error) {
	s.problemPage(w, r, s.problemOf(r, err))
}

func (s *server) problemPage(w http.ResponseWriter, r *http.Request, p problem) {
	if !wantsPage(r) {
		s.problem(w, p)
		return
	}
	s.render(w, r, p.Status, &page{name: "error"}, p)
}

// eventStream is the type of streams (HTML, 9.2), which browsers ask for in these words.
const eventStream = "text/event-stream"

// isStream says whether what is asked for is the live parts of a page only.
func isStream(r *http.Request) bool { return r.Header.Get("Accept") == eventStream }

// wantsPage says whether a request comes from somebody who looks at pages.
func wantsPage(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// redirect leads on to another page, after a form was done. What is to be said there is a text of the request's language.
func (s *server) redirect(w http.ResponseWriter, r *http.Request, to string, n note) {
	if n.Text != "" {
		b, _ := json.Marshal(n) // it has nothing that JSON cannot encode
		for len(b) > maxNote {
			n.Text = strings.ToValidUTF8(n.Text[:min(len(n.Text), maxNote)/2], "") + "…"
			b, _ = json.Marshal(n)
		}
		http.SetCookie(w, &http.Cookie{
			Name: noteCookie, Value: base64.RawURLEncoding.EncodeToString(b), Path: s.base + "/",
			HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(time.Minute.Seconds()),
		})
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// takeNote returns the note that the page before has left, if any, and takes it away.
func takeNote(w http.ResponseWriter, r *http.Request, base string) *note {
	value := cookieValue(r, noteCookie)
	if value == "" || len(value) > 4*maxNote {
		return nil
	}
	http.SetCookie(w, &http.Cookie{Name: noteCookie, Path: base + "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	b, err := base64.RawURLEncoding.DecodeString(value)
	var n note
	if err != nil || json.Unmarshal(b, &n) != nil {
		return nil
	}
	return &n
}

// maxForm is the largest form without files, in bytes.
const maxForm = 1 << 20

// readForm reads a form without files.
func readForm(w http.ResponseWriter, r *http.Request) error { return readFormUpTo(w, r, maxForm) }

// readFormUpTo is readForm for a form of up to limit bytes.
func readFormUpTo(w http.ResponseWriter, r *http.Request, limit int64) error {
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType != "application/x-www-form-urlencoded" {
		return &requestError{http.StatusUnsupportedMediaType, "The body has to be a form."}
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	return nil
}

// form is a handler of a form: what it returns is where to go then, and what to say there; or why not.
func (s *server) form(handle func(r *http.Request) (to string, n note, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := readForm(w, r); err != nil {
			s.failPage(w, r, err)
			return
		}
		to, n, err := handle(r)
		if err != nil {
			s.failPage(w, r, err)
			return
		}
		s.redirect(w, r, to, n)
	}
}

// infohashOf is the torrent that a path names.
func infohashOf(r *http.Request) (torrents.Infohash, error) {
	return torrents.ParseInfohash(mux.Vars(r)["infohash"])
}
