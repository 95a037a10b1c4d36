package admin

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"shoal/admin/access"
)

func TestTokenPages(t *testing.T) {
	s := openSite(t)
	a := s.browse(t, "/settings/tokens", url.Values{"name": {`<b>"gräf"`}, "role": {"read"}})
	wantStatus(t, a, http.StatusCreated)
	wantTexts(t, a, "&lt;b&gt;", "shown only this once", `data-copy="secret"`)
	wantNoTexts(t, a, "<b>", "data-feed")
	secret := regexp.MustCompile(`shoal_[a-z0-9]+_[a-z0-9]+`).FindString(string(a.body))
	if who, ok := s.access.Bearer(secret); !ok || who.Role != access.RoleRead {
		t.Errorf("the secret %q is that of %+v", secret, who)
	}
	if strings.Contains(strings.Join(a.header.Values("Set-Cookie"), ""), "note") || a.header.Get("Location") != "" {
		t.Errorf("the answer has the headers %v, which may have the secret", a.header)
	}
	a = s.browse(t, "/settings", nil)
	id := s.access.Tokens()[0].ID
	wantTexts(t, a, "shoal_"+id+"…", "&lt;b&gt;", "just now", "/settings/tokens/"+id+"/delete")
	wantNoTexts(t, a, secret, "<b>")

	for _, test := range []struct{ name, role, want string }{
		{`<b>"gräf"`, "read", "already."},
		{"", "read", "The name is empty."},
		{"x", "root", "is none of admin, read and metrics."},
		{"a\u202eb", "read", "cannot be shown."},
	} {
		a := s.browse(t, "/settings/tokens", url.Values{"name": {test.name}, "role": {test.role}})
		wantStatus(t, a, http.StatusBadRequest)
		wantTexts(t, a, test.want, "<h1>Settings</h1>")
	}

	path := "/settings/tokens/" + id + "/delete"
	a = s.browse(t, path, nil)
	wantStatus(t, a, http.StatusOK)
	wantTexts(t, a, "Remove an API token?", "&lt;b&gt;")
	if len(s.access.Tokens()) != 1 {
		t.Error("asking has removed it")
	}
	if got := noteOf(t, s, s.browse(t, path, url.Values{})); got != `The API token <b>"gräf" is removed.` {
		t.Errorf("the note is %q", got)
	}
	if _, ok := s.access.Bearer(secret); ok {
		t.Error("the token is still good")
	}
	for _, form := range []url.Values{nil, {}} {
		wantStatus(t, s.browse(t, path, form), http.StatusNotFound)
	}
}

func TestTokensAPI(t *testing.T) {
	s := openSite(t)
	type list struct {
		Tokens []tokenJSON `json:"tokens"`
	}
	if got := decode[list](t, s.get(t, "/api/v1/tokens")); got.Tokens == nil || len(got.Tokens) > 0 {
		t.Errorf("at first there are the tokens %+v", got)
	}
	a := s.json(t, http.MethodPost, "/api/v1/tokens", `{"name": "sonarr", "role": "metrics"}`)
	wantStatus(t, a, http.StatusCreated)
	made := decode[newTokenJSON](t, a)
	if made.Name != "sonarr" || made.Role != access.RoleMetrics || made.LastUsed != nil || !strings.HasPrefix(made.Secret, made.Prefix+"_") {
		t.Errorf("the new token is %+v", made)
	}
	for _, body := range []string{``, `{}`, `{"name": "x"}`, `{"name": "sonarr", "role": "read"}`, `{"name": "x", "role": "read", "secret": "y"}`} {
		wantStatus(t, s.json(t, http.MethodPost, "/api/v1/tokens", body), http.StatusBadRequest)
	}
	if _, ok := s.access.Bearer(made.Secret); !ok {
		t.Error("the token is not good")
	}
	got := decode[list](t, s.get(t, "/api/v1/tokens"))
	if len(got.Tokens) != 1 || got.Tokens[0].ID != made.ID || got.Tokens[0].LastUsed == nil {
		t.Errorf("the tokens are %+v, want the one, used", got)
	}
	wantStatus(t, s.delete(t, "/api/v1/tokens/"+made.ID), http.StatusNoContent)
	wantStatus(t, s.delete(t, "/api/v1/tokens/"+made.ID), http.StatusNotFound)
	wantStatus(t, s.delete(t, "/api/v1/tokens/environment"), http.StatusNotFound)
	if _, ok := s.access.Bearer(made.Secret); ok {
		t.Error("the token is still good")
	}
}
