// Package admin is the administration over HTTP: the pages and the JSON API. Below /fs/ it shows the tree that NFS clients see.
//
// Everything but /healthz, /login and static files needs a login, or "Authorization: Bearer <token>". GET and HEAD change nothing. Errors
// are problem+json (RFC 9457) with a sentence for people, or a page for who asks for one.
package admin

import (
	"cmp"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/access"
	"shoal/admin/guard"
	"shoal/admin/history"
	"shoal/admin/locale"
	"shoal/admin/logs"
	"shoal/torrents"
	"shoal/tree"
	"shoal/web"
)

// Options say what is administrated.
type Options struct {
	Library  *torrents.Library
	Archives torrents.Archives // of new routes that do not say
	Access   *access.Access    // who may use the site
	BasePath string            // where the site is, "/" or "/shoal"
	Version  string            // of the program

	AllowedHosts   []string       // that the site has beside local ones, see guard.Hosts
	TrustedProxies []netip.Prefix // of reverse proxies that tell who asks, see guard.Proxies

	Tree    *tree.Tree       // what /fs/ shows
	Inside  Archives         // those in torrents
	Clients func() []Client  // who has made NFS calls
	Readers func() []Reader  // who reads what now over NFS
	Export  Export           // how clients reach the NFS server
	History *history.History // nil is an empty one
	Metrics http.Handler     // for Prometheus
	// Requests counts the requests, for those metrics; nil if nobody wants to know.
	Requests *RequestMetrics

	// Settings and Warnings are what the environment says, and what was noticed about it; Libraries what others wrote of the program.
	Settings  []Setting
	Warnings  []string
	Libraries []Library

	// Done is closed when the server stops, which ends the streams; nil if it never does.
	Done <-chan struct{}

	Logger *slog.Logger
	Logs   *logs.Recent // the recent log; nil is an empty one
}

type server struct {
	library  *torrents.Library
	archives torrents.Archives
	access   *access.Access
	base     string // of every path; without a slash at its end
	version  string
	started  time.Time
	inside   Archives
	clients  func() []Client
	readers  func() []Reader
	history  *history.History
	metrics  http.Handler
	export   Export
	requests *RequestMetrics
	log      *slog.Logger
	logs     *logs.Recent

	settings  []Setting
	warnings  []string
	libraries []Library

	assets  *assets
	locales *locale.Locales
	pages   map[string]templates // by language

	tree    *tree.Tree
	done    <-chan struct{}
	streams streams
	ticks   ticks
	open    openPages

	transfers chan struct{} // has one for each request for the tree that is being answered
	fsReaders fsReaders

	swarmFacts swarmFacts
	filePlaces filePlaces
}

// New returns the site.
func New(opts Options) http.Handler {
	s := &server{
		library:  opts.Library,
		archives: opts.Archives,
		access:   opts.Access,
		base:     strings.TrimSuffix(opts.BasePath, "/"),
		version:  opts.Version,
		started:  time.Now(),
		inside:   opts.Inside,
		clients:  opts.Clients,
		history:  cmp.Or(opts.History, history.New(nil)),
		metrics:  opts.Metrics,
		export:   opts.Export,
		requests: cmp.Or(opts.Requests, NewRequestMetrics()),
		log:      opts.Logger,
		logs:     cmp.Or(opts.Logs, logs.NewRecent(0, 0)),

		settings: opts.Settings, warnings: opts.Warnings, libraries: opts.Libraries,
		done:  opts.Done,
		ticks: newTicks(),

		tree:      opts.Tree,
		transfers: make(chan struct{}, maxTransfers),
	}
	s.readers = s.allReaders(opts.Readers)
	s.loadPages()
	// Around the router, as mux calls nothing of its own for what no route takes.
	site := guard.Origins(compress(s.base, s.authenticate(s.routes())))
	return s.requests.count(guard.Headers(s.recovered(guard.Proxies(opts.TrustedProxies, guard.Hosts(opts.AllowedHosts, site)))))
}

// loadPages reads what pages are made of. All of it is in the binary, so that an error is a mistake of ours.
func (s *server) loadPages() {
	sub := func(files fs.FS, dir string) fs.FS {
		below, err := fs.Sub(files, dir)
		if err != nil {
			panic(err)
		}
		return below
	}
	var err error
	if s.assets, err = loadAssets(sub(web.Static, "static")); err != nil {
		panic(err)
	}
	if missing := s.assets.missing(); len(missing) > 0 {
		s.log.Warn("this binary was built without `make`, and its pages are plain", "missing", missing)
	}
	if s.locales, err = locale.Load(web.Locales, "locales"); err != nil {
		panic(err)
	}
	s.pages = make(map[string]templates)
	for _, l := range s.locales.All() {
		if s.pages[l.Tag.String()], err = s.loadTemplates(sub(web.Templates, "templates"), l); err != nil {
			panic(err)
		}
	}
}

// routes is every route of the site.
func (s *server) routes() *mux.Router {
	// A redirect from //healthz to /healthz would make a GET of a POST.
	site := mux.NewRouter().SkipClean(true)
	site.Use(s.requests.name(s.base))
	site.NotFoundHandler = s.noRoute(site)
	site.MethodNotAllowedHandler = site.NotFoundHandler
	r := site
	if s.base != "" {
		r = site.PathPrefix(s.base).Subrouter()
	}

	r.HandleFunc(healthPath, s.health).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc(metricsPath, s.serveMetrics).Methods(http.MethodGet, http.MethodHead)
	s.registerFS(r)

	api := r.PathPrefix("/api/v1").Subrouter()
	api.HandleFunc("/openapi.yaml", s.openAPI).Methods(http.MethodGet, http.MethodHead)
	s.registerRoutes(api)
	s.registerPreview(api)
	s.registerTorrents(api)
	s.registerLimits(api)
	s.registerSwarm(api)
	s.registerPrefetch(api)
	s.registerArchives(api)
	s.registerClients(api)
	s.registerWatch(api)
	s.registerLogs(api)
	s.registerSettings(api)
	s.registerEvents(api)

	r.HandleFunc(staticPath+"{hash}/{file:.+}", s.serveAsset).Methods(http.MethodGet, http.MethodHead)
	s.registerPages(r)
	return site
}

// noRoute answers what no route takes: 405 if another method would do, and 404 otherwise. It asks the
// router, as mux itself forgets a path that matched once a later route begins like it.
func (s *server) noRoute(site *mux.Router) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		} {
			var match mux.RouteMatch
			if site.Match(&http.Request{Method: method, URL: r.URL}, &match) && match.MatchErr == nil {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			s.notFound(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.methodNotAllowed(w, r)
	})
}

// Paths that others have to know.
const (
	healthPath  = "/healthz"
	metricsPath = "/metrics"
)

// health says that requests are served.
func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // the client may be gone
}

func (s *server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(web.OpenAPI) // the client may be gone
}

// recovered answers for a handler that panics. What it has begun to send is broken off, so that nobody takes it for all there is.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if err := recover(); err != nil {
				s.log.Error("a request made its handler panic", "method", r.Method, "path", r.URL.Path,
					"err", err, "stack", string(debug.Stack()))
				if a, ok := w.(*counted); ok && a.code != 0 {
					panic(http.ErrAbortHandler)
				}
				s.problem(w, problem{Status: http.StatusInternalServerError, Detail: internalError})
			}
		}()
		next.ServeHTTP(w, r)
	})
}
