package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"
)

// How pages look is kept in cookies of the browser.

const appearanceAge = 365 * 24 * time.Hour

func (s *server) registerAppearance(r *mux.Router) {
	r.HandleFunc("/appearance", s.changeAppearance).Methods(http.MethodPost)
}

// changeAppearance takes a theme and a language, and leads back.
func (s *server) changeAppearance(w http.ResponseWriter, r *http.Request) {
	if err := readForm(w, r); err != nil {
		s.failPage(w, r, err)
		return
	}
	if theme := r.PostForm.Get("theme"); theme == "auto" || theme == "light" || theme == "dark" {
		s.setAppearance(w, themeCookie, theme)
	}
	for _, l := range s.locales.All() {
		if r.PostForm.Get("language") == l.Tag.String() {
			s.setAppearance(w, languageCookie, l.Tag.String())
		}
	}
	s.redirect(w, r, s.local(r.PostForm.Get("back")), note{})
}

func (s *server) setAppearance(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: s.base + "/", MaxAge: int(appearanceAge.Seconds()), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// local is an address of this site that a form has brought along, or the first page if it leads elsewhere.
func (s *server) local(address string) string {
	home := s.base + "/"
	// A browser takes //host and /\host for another machine, and goes up where a path says so.
	if !strings.HasPrefix(address, home) || strings.HasPrefix(address, "//") ||
		strings.ContainsFunc(address, func(c rune) bool { return c == '\\' || c < ' ' || c == 0x7f }) {
		return home
	}
	if u, err := url.Parse(address); err != nil || u.Host != "" || u.Scheme != "" || slices.Contains(strings.Split(u.Path, "/"), "..") {
		return home
	}
	return address
}
