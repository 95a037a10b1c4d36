package admin

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/access"
	"shoal/admin/guard"
)

const (
	sessionCookie = "shoal_session"

	loginPath  = "/login"
	staticPath = "/static/"

	// sessionAge is how long a browser keeps the cookie; a session that is not used ends earlier.
	sessionAge = 30 * 24 * time.Hour

	// maxLogin is the largest form of the login, in bytes: everybody may send one.
	maxLogin = 32 << 10
)

// whoKey is that of who asks, in the context of a request.
type whoKey struct{}

// whoAsks returns who asks; nobody on pages for everybody.
func whoAsks(r *http.Request) (access.Who, bool) {
	who, ok := r.Context().Value(whoKey{}).(access.Who)
	return who, ok
}

// authenticate lets nobody in who is not known, so that a new route needs a login unless it is named here.
func (s *server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, known := s.identify(r)
		switch {
		case s.forEverybody(r.URL.Path):
		case !known:
			s.askForLogin(w, r)
			return
		case !mayAsk(who.Role, r.Method, strings.TrimPrefix(r.URL.Path, s.base)):
			s.problemPage(w, r, forbidden(who))
			return
		}
		if known {
			r = r.WithContext(context.WithValue(r.Context(), whoKey{}, who))
		}
		next.ServeHTTP(w, r)
	})
}

// identify says who asks: by an API token, or by the cookie of a session. A token that is wrong is not made good by a cookie. Basic and
// Digest are for a reverse proxy with a login of its own, as browsers send it them with every request.
func (s *server) identify(r *http.Request) (access.Who, bool) {
	if header := r.Header.Get("Authorization"); header != "" {
		switch scheme, token, _ := strings.Cut(header, " "); strings.ToLower(scheme) {
		case "bearer":
			return s.access.Bearer(token)
		case "basic", "digest":
		default:
			return access.Who{}, false
		}
	}
	return s.access.Session(cookieValue(r, sessionCookie))
}

// stillAllowed says whether who asked for an answer that takes long may still have it.
func (s *server) stillAllowed(r *http.Request) bool {
	who, ok := whoAsks(r)
	return ok && s.access.Valid(who)
}

// forEverybody says whether a path needs no login.
func (s *server) forEverybody(path string) bool {
	path, ok := strings.CutPrefix(path, s.base)
	return ok && (path == healthPath || path == loginPath || strings.HasPrefix(path, staticPath))
}

// mayAsk says what a role may do.
func mayAsk(role access.Role, method, path string) bool {
	switch role {
	case access.RoleAdmin:
		return true
	case access.RoleRead:
		return method == http.MethodGet || method == http.MethodHead
	case access.RoleMetrics:
		return path == metricsPath && (method == http.MethodGet || method == http.MethodHead)
	}
	return false
}

// isAdmin says whether somebody may do all that there is.
func isAdmin(who access.Who) bool { return who.Role == access.RoleAdmin }

// forbidden is for who may not do what he asks for.
func forbidden(who access.Who) problem {
	return problem{
		Title: http.StatusText(http.StatusForbidden), Status: http.StatusForbidden,
		Detail: "The API token “" + who.Name + "” has the role “" + string(who.Role) + "”, which may not do this.",
	}
}

// askForLogin answers who is not known: with the login to a person, and 401 to a program.
func (s *server) askForLogin(w http.ResponseWriter, r *http.Request) {
	if wantsPage(r) && r.Header.Get("HX-Request") == "" {
		to := s.base + loginPath
		if r.Method == http.MethodGet && r.URL.Path != s.base+"/" {
			to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	h := w.Header()
	h.Set("WWW-Authenticate", `Bearer realm="shoal"`)
	if r.Header.Get("HX-Request") != "" {
		h.Set("HX-Refresh", "true") // the whole page, which leads to the login
	}
	s.problem(w, problem{
		Status: http.StatusUnauthorized,
		Detail: "This needs a login, or the header “Authorization: Bearer <token>” with an API token.",
	})
}

var loginPage = page{name: "login"}

// loginView is the form of the login.
type loginView struct {
	User, Next, Error string
}

func (s *server) registerLogin(r *mux.Router) {
	r.HandleFunc(loginPath, s.showLogin).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc(loginPath, s.logIn).Methods(http.MethodPost)
	r.HandleFunc("/logout", s.logOut).Methods(http.MethodPost)
}

func (s *server) showLogin(w http.ResponseWriter, r *http.Request) {
	next := r.URL.Query().Get("next")
	if _, known := whoAsks(r); known {
		http.Redirect(w, r, s.local(next), http.StatusSeeOther)
		return
	}
	s.render(w, r, http.StatusOK, &loginPage, loginView{Next: next})
}

func (s *server) logIn(w http.ResponseWriter, r *http.Request) {
	if err := readFormUpTo(w, r, maxLogin); err != nil {
		s.failPage(w, r, err)
		return
	}
	cookie, err := s.access.LogIn(r.Context(), guard.ClientAddr(r), r.PostForm.Get("user"), r.PostForm.Get("password"))
	s.requests.Login(loginResult(err))
	if err != nil {
		p := s.problemOf(r, err)
		retryAfter(w, err)
		if !wantsPage(r) {
			s.problem(w, p)
			return
		}
		s.render(w, r, p.Status, &loginPage, loginView{r.PostForm.Get("user"), r.PostForm.Get("next"), p.Detail})
		return
	}
	s.access.LogOut(cookieValue(r, sessionCookie)) // the one before, which nobody would end otherwise
	s.setSession(w, r, cookie)
	http.Redirect(w, r, s.local(r.PostForm.Get("next")), http.StatusSeeOther)
}

func loginResult(err error) LoginResult {
	if err == nil {
		return LoginOK
	}
	if errors.Is(err, access.ErrWrong) {
		return LoginWrong
	}
	return LoginBlocked
}

// retryAfter tells programs when to try again, if err says so (RFC 9110, 10.2.3).
func retryAfter(w http.ResponseWriter, err error) {
	if many, ok := errors.AsType[*access.TooManyError](err); ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(1, math.Ceil(many.After.Seconds())))))
	}
}

// setSession gives the browser the cookie of a session. Over plain HTTP, which is what there is on a local network without a proxy, it
// cannot be Secure.
func (s *server) setSession(w http.ResponseWriter, r *http.Request, cookie string) {
	c := &http.Cookie{
		Name: sessionCookie, Value: cookie, Path: s.base + "/", MaxAge: int(sessionAge.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: guard.Scheme(r) == "https",
	}
	if cookie == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func (s *server) logOut(w http.ResponseWriter, r *http.Request) {
	s.access.LogOut(cookieValue(r, sessionCookie))
	s.setSession(w, r, "")
	http.Redirect(w, r, s.base+loginPath, http.StatusSeeOther)
}

// userName is who is logged in; empty on pages for everybody.
func (s *server) userName(r *http.Request) string {
	who, _ := whoAsks(r)
	return who.Name
}
