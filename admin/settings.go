package admin

import (
	"net/http"
	"slices"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

// Setting is a variable of the environment, as it is in force.
type Setting struct {
	Name   string        `json:"name"`
	Value  string        `json:"value"` // as it is written in the environment; without secrets, and empty for one that is a secret
	Group  string        `json:"group"` // of settings that are shown together
	Source SettingSource `json:"source"`
	Secret bool          `json:"secret"` // Value is never told
	Set    bool          `json:"set"`    // there is a value, a default one too
}

// SettingSource is where a setting comes from.
type SettingSource string

// Where settings come from.
const (
	SourceDefault     SettingSource = "default"
	SourceEnvironment SettingSource = "environment"
	SourceFile        SettingSource = "file" // the one that the variable with _FILE names
	SourceAPI         SettingSource = "api"  // changed while Shoal ran, here or by the API
)

// Library is what others wrote of the program.
type Library struct {
	Name, Version string
	Licence       string // by its SPDX identifier
}

// registerSettings is all about settings, passwords and tokens. A reader's token gets the settings, which have no secrets in them, and
// nothing else of it.
func (s *server) registerSettings(api *mux.Router) {
	api.HandleFunc("/settings", s.listSettings).Methods(http.MethodGet, http.MethodHead)
	s.registerTokens(s.adminsOnly(api))
}

func (s *server) listSettings(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", struct {
		Settings []Setting `json:"settings"`
		Warnings []string  `json:"warnings"`
	}{s.settingsInForce(), append([]string{}, s.warnings...)})
}

// settingsInForce are the settings that the program was started with, and instead of them limits that were changed since.
func (s *server) settingsInForce() []Setting {
	list := append([]Setting{}, s.settings...)
	limits := s.library.Limits()
	for name, limit := range map[string]torrents.Limit{
		"SHOAL_CACHE_LIMIT": limits.Cache, "SHOAL_BT_DOWN_LIMIT": limits.Down, "SHOAL_BT_UP_LIMIT": limits.Up,
	} {
		i := slices.IndexFunc(list, func(other Setting) bool { return other.Name == name })
		if i >= 0 && limit.Own {
			list[i].Value, list[i].Source, list[i].Set = sizeText(limit.Value), SourceAPI, true
		}
	}
	return list
}

// adminsOnly is a router for what not even reading is for the role read.
func (s *server) adminsOnly(r *mux.Router) *mux.Router {
	r = r.NewRoute().Subrouter()
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if who, _ := whoAsks(r); !isAdmin(who) {
				s.problemPage(w, r, forbidden(who))
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	return r
}
