package admin

import (
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"shoal/admin/access"
)

func (s *server) registerTokens(api *mux.Router) {
	api.HandleFunc("/tokens", s.listTokens).Methods(http.MethodGet, http.MethodHead)
	api.HandleFunc("/tokens", s.addToken).Methods(http.MethodPost)
	api.HandleFunc("/tokens/{token}", s.removeToken).Methods(http.MethodDelete)
}

// tokenJSON is an API token on the wire.
type tokenJSON struct {
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	Role     access.Role `json:"role"`
	Prefix   string      `json:"prefix"`
	Created  time.Time   `json:"created"`
	LastUsed *time.Time  `json:"last_used"`
}

// newTokenJSON is one that was just made, which is the only time that its secret is told.
type newTokenJSON struct {
	tokenJSON

	Secret string `json:"secret"`
}

func toTokenJSON(t access.Token) tokenJSON {
	j := tokenJSON{ID: t.ID, Name: t.Name, Role: t.Role, Prefix: t.Prefix, Created: t.Created.UTC()}
	if !t.LastUsed.IsZero() {
		used := t.LastUsed.UTC()
		j.LastUsed = &used
	}
	return j
}

func (s *server) listTokens(w http.ResponseWriter, _ *http.Request) {
	list := struct {
		Tokens []tokenJSON `json:"tokens"`
	}{Tokens: []tokenJSON{}}
	for _, t := range s.access.Tokens() {
		list.Tokens = append(list.Tokens, toTokenJSON(t))
	}
	writeJSON(w, http.StatusOK, "application/json", list)
}

func (s *server) addToken(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name string      `json:"name"`
		Role access.Role `json:"role"`
	}
	if err := readJSON(w, r, &body); err != nil {
		s.fail(w, r, err)
		return
	}
	secret, made, err := s.access.AddToken(body.Name, body.Role)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, "application/json", newTokenJSON{toTokenJSON(made), secret})
}

func (s *server) removeToken(w http.ResponseWriter, r *http.Request) {
	if err := s.access.RemoveToken(mux.Vars(r)["token"]); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
