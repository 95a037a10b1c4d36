// Package admin is the administration over HTTP: the JSON API, and later the pages.
//
// Everything but /healthz needs "Authorization: Bearer <token>". GET and HEAD change nothing. Errors
// are problem+json (RFC 9457) with a sentence for people.
package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/history"
	"shoal/torrents"
	"shoal/web"
)

// Options say what is administrated.
type Options struct {
	Library  *torrents.Library
	Archives torrents.Archives // of new routes that do not say
	Token    string            // the bearer token; not empty
	BasePath string            // where the site is, "/" or "/shoal"
	Version  string            // of the program

	Inside  Archives        // those in torrents
	Clients func() []Client // who has made NFS calls
	Readers func() []Reader // who reads what now
	History *history.History
	Metrics http.Handler // for Prometheus

	Logger *slog.Logger
}

type server struct {
	library  *torrents.Library
	archives torrents.Archives
	token    [sha256.Size]byte
	base     string // of every path; without a slash at its end
	version  string
	started  time.Time
	inside   Archives
	clients  func() []Client
	readers  func() []Reader
	history  *history.History
	metrics  http.Handler
	log      *slog.Logger
}

// New returns the site.
func New(opts Options) http.Handler {
	s := &server{
		library:  opts.Library,
		archives: opts.Archives,
		token:    sha256.Sum256([]byte(opts.Token)),
		base:     strings.TrimSuffix(opts.BasePath, "/"),
		version:  opts.Version,
		started:  time.Now(),
		inside:   opts.Inside,
		clients:  opts.Clients,
		readers:  opts.Readers,
		history:  opts.History,
		metrics:  opts.Metrics,
		log:      opts.Logger,
	}
	return s.protect(s.authenticate(s.routes()))
}

// routes is every route of the site.
func (s *server) routes() *mux.Router {
	// A redirect from //healthz to /healthz would make a GET of a POST.
	site := mux.NewRouter().SkipClean(true)
	site.NotFoundHandler = s.noRoute(site)
	site.MethodNotAllowedHandler = site.NotFoundHandler
	r := site
	if s.base != "" {
		r = site.PathPrefix(s.base).Subrouter()
	}

	r.HandleFunc(healthPath, s.health).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/metrics", s.serveMetrics).Methods(http.MethodGet, http.MethodHead)

	api := r.PathPrefix("/api/v1").Subrouter()
	api.HandleFunc("/openapi.yaml", s.openAPI).Methods(http.MethodGet, http.MethodHead)
	s.registerRoutes(api)
	s.registerTorrents(api)
	s.registerLimits(api)
	s.registerSwarm(api)
	s.registerPrefetch(api)
	s.registerArchives(api)
	s.registerClients(api)
	s.registerWatch(api)
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

const healthPath = "/healthz"

// health says that requests are served.
func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // the client may be gone
}

func (s *server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(web.OpenAPI) // the client may be gone
}

// authenticate lets nobody in without the token, so that a new route needs it unless it is named
// here.
func (s *server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != s.base+healthPath && !s.authorized(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="shoal"`)
			s.problem(w, problem{
				Status: http.StatusUnauthorized,
				Detail: "This needs the header “Authorization: Bearer <token>” with the API token.",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(given[:], s.token[:]) == 1
}

// protect sets the headers that every response has, and answers for a handler that panics.
func (s *server) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		defer func() {
			if err := recover(); err != nil {
				s.log.Error("a request made its handler panic", "method", r.Method, "path", r.URL.Path,
					"err", err, "stack", string(debug.Stack()))
				s.problem(w, problem{Status: http.StatusInternalServerError, Detail: internalError})
			}
		}()
		next.ServeHTTP(w, r)
	})
}
