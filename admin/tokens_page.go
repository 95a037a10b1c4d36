package admin

import (
	"net/http"
	"slices"

	"github.com/gorilla/mux"

	"shoal/admin/access"
)

var (
	tokenPage       = page{name: "token", nav: "settings"}
	tokenDeletePage = page{name: "token_delete", nav: "settings"}
)

func (s *server) registerTokenPages(r *mux.Router) {
	r.HandleFunc("/settings/tokens", s.tokenForm).Methods(http.MethodPost)
	s.handlePage(r, "/settings/tokens/{token}/delete", tokenDeletePage, s.viewTokenDelete)
	r.HandleFunc("/settings/tokens/{token}/delete", s.form(s.deleteToken)).Methods(http.MethodPost)
}

// tokenView is a token that was just made, with its secret.
type tokenView struct {
	access.Token

	Secret string
}

// tokenForm makes a token, and answers with its secret: that is in no address, which a history would keep, and in no cookie.
func (s *server) tokenForm(w http.ResponseWriter, r *http.Request) {
	if err := readForm(w, r); err != nil {
		s.failPage(w, r, err)
		return
	}
	name, role := r.PostForm.Get("name"), access.Role(r.PostForm.Get("role"))
	secret, made, err := s.access.AddToken(name, role)
	if err != nil {
		s.refuseForm(w, r, err, func(v *settingsView, why string) { v.TokenError, v.TokenName, v.TokenRole = why, name, role })
		return
	}
	s.render(w, r, http.StatusCreated, &tokenPage, tokenView{made, secret})
}

// viewTokenDelete asks whether a token is to be removed.
func (s *server) viewTokenDelete(r *http.Request) (any, error) { return s.findToken(r) }

func (s *server) deleteToken(r *http.Request) (to string, n note, err error) {
	t, err := s.findToken(r)
	if err == nil {
		err = s.access.RemoveToken(t.ID)
	}
	if err != nil {
		return "", note{}, err
	}
	return s.url("/settings") + "#tokens", note{Text: s.locale(r).T("token_delete.done", t.Name)}, nil
}

// findToken is the token that a path names.
func (s *server) findToken(r *http.Request) (access.Token, error) {
	tokens := s.access.Tokens()
	i := slices.IndexFunc(tokens, func(t access.Token) bool { return t.ID == mux.Vars(r)["token"] })
	if i < 0 {
		return access.Token{}, access.ErrNotFound
	}
	return tokens[i], nil
}
