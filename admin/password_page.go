package admin

import (
	"errors"
	"net/http"

	"github.com/gorilla/mux"

	"shoal/admin/access"
	"shoal/admin/guard"
)

func (s *server) registerPasswordForms(r *mux.Router) {
	r.HandleFunc("/settings/password", s.passwordForm).Methods(http.MethodPost)
	r.HandleFunc("/settings/logout", s.logOutEverywhere).Methods(http.MethodPost)
}

// passwordForm changes the password, which ends all sessions, and begins a new one for who did it.
func (s *server) passwordForm(w http.ResponseWriter, r *http.Request) {
	if err := readForm(w, r); err != nil {
		s.failPage(w, r, err)
		return
	}
	current, replacement := r.PostForm.Get("current"), r.PostForm.Get("new")
	addr := guard.ClientAddr(r)
	if err := s.access.ChangePassword(r.Context(), addr, current, replacement); err != nil {
		if errors.Is(err, access.ErrWrong) {
			err = &requestError{http.StatusUnauthorized, "The current password is wrong."}
		}
		s.refuseForm(w, r, err, func(v *settingsView, why string) { v.PasswordError = why })
		return
	}
	l := s.locale(r)
	cookie, err := s.access.LogIn(r.Context(), addr, s.access.User(), replacement)
	if err != nil { // too many at a time: he can do it himself
		s.setSession(w, r, "")
		s.redirect(w, r, s.url(loginPath), note{Text: l.T("settings.password_changed_login")})
		return
	}
	s.setSession(w, r, cookie)
	s.redirect(w, r, s.url("/settings"), note{Text: l.T("settings.password_changed")})
}

func (s *server) logOutEverywhere(w http.ResponseWriter, r *http.Request) {
	s.access.LogOutAll()
	s.setSession(w, r, "")
	s.redirect(w, r, s.url(loginPath), note{Text: s.locale(r).T("settings.logged_out")})
}
