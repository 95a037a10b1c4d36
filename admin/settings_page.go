package admin

import (
	"net/http"
	"runtime"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/gorilla/mux"

	"shoal/admin/access"
	"shoal/torrents"
)

var settingsPage = page{name: "settings", parts: []string{"tokens"}}

// settingsAnswer is the page as the answer to a form that it did not take: nothing of it is live, as its address has no page.
var settingsAnswer = page{name: "settings"}

func (s *server) registerSettingsPage(r *mux.Router) {
	s.handlePage(r, "/settings", settingsPage, s.viewSettings)
	r.HandleFunc("/settings/limits", s.limitsForm).Methods(http.MethodPost)
	s.registerPasswordForms(r)
	s.registerTokenPages(r)
}

// settingsView is what is in force, and the forms to change it.
type settingsView struct {
	User          string
	PasswordSet   bool // by the environment
	PasswordError string

	Tokens           []access.Token
	EnvironmentToken bool
	Roles            []access.Role
	TokenName        string // what was typed
	TokenRole        access.Role
	TokenError       string

	Limits      []limitField
	Changed     []limitField // those that are not the environment's
	LimitsError string

	Groups   []settingGroup
	Warnings []string

	GoVersion string
	Libraries []Library
}

type settingGroup struct {
	Name     string
	Settings []settingRow
}

type settingRow struct {
	Setting

	Key string // of the text that says what it means
}

func (s *server) viewSettings(*http.Request) (any, error) { return s.settingsView(), nil }

func (s *server) settingsView() *settingsView {
	v := &settingsView{
		User: s.access.User(), PasswordSet: s.access.PasswordSet(),
		Tokens: s.access.Tokens(), Roles: []access.Role{access.RoleAdmin, access.RoleRead, access.RoleMetrics}, TokenRole: access.RoleRead,
		Limits:   limitFields(s.library.Limits()),
		Warnings: s.warnings, GoVersion: runtime.Version(), Libraries: s.libraries,
	}
	for _, f := range v.Limits {
		if f.Own {
			v.Changed = append(v.Changed, f)
		}
	}
	for _, setting := range s.settingsInForce() {
		if setting.Name == "SHOAL_API_TOKEN" {
			v.EnvironmentToken = setting.Set
		}
		if n := len(v.Groups); n == 0 || v.Groups[n-1].Name != setting.Group {
			v.Groups = append(v.Groups, settingGroup{Name: setting.Group})
		}
		group := &v.Groups[len(v.Groups)-1]
		key := strings.ToLower(strings.TrimPrefix(setting.Name, "SHOAL_"))
		group.Settings = append(group.Settings, settingRow{setting, key})
	}
	return v
}

// refuseForm answers a form of the page with the page, on which show puts why.
func (s *server) refuseForm(w http.ResponseWriter, r *http.Request, err error, show func(v *settingsView, why string)) {
	p := s.problemOf(r, err)
	retryAfter(w, err)
	if !wantsPage(r) {
		s.problem(w, p)
		return
	}
	v := s.settingsView()
	show(v, p.Detail)
	s.render(w, r, p.Status, &settingsAnswer, v)
}

// limitField is a limit in the form.
type limitField struct {
	Key  string // its name in the form, and in the API
	Text string // its value as it can be typed
	Own  bool   // it was changed, and is not the environment's
}

func limitFields(l torrents.Limits) []limitField {
	return []limitField{
		{"cache_limit", sizeText(l.Cache.Value), l.Cache.Own},
		{"down_limit", sizeText(l.Down.Value), l.Down.Own},
		{"up_limit", sizeText(l.Up.Value), l.Up.Own},
	}
}

// sizeText writes a number of bytes exactly, in the largest unit that does.
func sizeText(n int64) string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	unit := 0
	for n != 0 && n%1024 == 0 && unit < len(units)-1 {
		n /= 1024
		unit++
	}
	return strconv.FormatInt(n, 10) + units[unit]
}

// limitsForm changes the limits that are others than before, or makes the one that is to be reset the environment's again.
func (s *server) limitsForm(w http.ResponseWriter, r *http.Request) {
	if err := readForm(w, r); err != nil {
		s.failPage(w, r, err)
		return
	}
	change, err := readLimitsForm(r, limitFields(s.library.Limits()))
	if err == nil {
		_, err = s.library.ChangeLimits(change)
	}
	if err != nil {
		s.refuseForm(w, r, err, func(v *settingsView, why string) {
			v.LimitsError = why
			for i := range v.Limits {
				if typed, ok := r.PostForm[v.Limits[i].Key]; ok {
					v.Limits[i].Text = typed[0]
				}
			}
		})
		return
	}
	s.redirect(w, r, s.url("/settings")+"#limits", note{Text: s.locale(r).T("settings.limits_changed")})
}

func readLimitsForm(r *http.Request, now []limitField) (torrents.LimitsChange, error) {
	var change torrents.LimitsChange
	reset := r.PostForm.Get("reset")
	for i, to := range []*torrents.LimitChange{&change.Cache, &change.Down, &change.Up} {
		key := now[i].Key
		typed, ok := r.PostForm[key]
		switch {
		case reset == key:
			to.Set = true
		case !ok || reset != "" || typed[0] == now[i].Text:
		default:
			to.Set = true
			var err error
			if to.Value, err = readLimit(key, typed[0]); err != nil {
				return change, err
			}
		}
	}
	return change, nil
}

// limitNames are what limits are called in sentences.
var limitNames = map[string]string{
	"cache_limit": "The limit of the cache", "down_limit": "The limit of what is received", "up_limit": "The limit of what is sent",
}

// readLimit reads a size as a person types it; nil, the environment's, if there is none.
func readLimit(key, text string) (*int64, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil
	}
	size, err := humanize.ParseBytes(text)
	// It takes 1,5 for 15.
	if err != nil || size > 1<<63-1 || strings.Contains(text, ",") {
		return nil, badRequest("%s is %.60q, and has to be a size such as 10MiB or 1.5GiB, or 0.", limitNames[key], text)
	}
	value := int64(size)
	return &value, nil
}
