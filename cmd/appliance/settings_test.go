package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"shoal/admin"
	"shoal/admin/locale"
	"shoal/cmd/appliance/licences"
	"shoal/web"
)

// settingsOf are the settings of an environment, by name.
func settingsOf(t *testing.T, environ ...string) map[string]admin.Setting {
	t.Helper()
	cfg, mistakes := parseConfig(environ)
	if len(mistakes) > 0 {
		t.Fatalf("%q has the mistakes %q", environ, mistakes)
	}
	all := make(map[string]admin.Setting)
	for _, s := range cfg.settings() {
		all[s.Name] = s
	}
	return all
}

func TestSettings(t *testing.T) {
	const secret = "s3cret-s3cret-s3cret"
	for _, test := range []struct {
		assignment, name, value string
		source                  admin.SettingSource
		secret, set             bool
	}{
		{"", "CACHE_LIMIT", "20GiB", admin.SourceDefault, false, true},
		{"", "CACHE_DIR", "data/cache", admin.SourceDefault, false, true},
		{"", "BT_PROXY", "", admin.SourceDefault, false, false},
		{"", "API_TOKEN", "", admin.SourceDefault, true, false},
		{"DATA_DIR=/srv/shoal", "CACHE_DIR", "/srv/shoal/cache", admin.SourceDefault, false, true},
		{"CACHE_LIMIT=20GiB", "CACHE_LIMIT", "20GiB", admin.SourceEnvironment, false, true},
		{"CACHE_LIMIT=", "CACHE_LIMIT", "20GiB", admin.SourceDefault, false, true},
		{"ROUTES= films , music,", "ROUTES", "films,music", admin.SourceEnvironment, false, true},
		{"API_TOKEN=" + secret, "API_TOKEN", "", admin.SourceEnvironment, true, true},
		{"API_TOKEN_FILE=" + inFile(t, secret), "API_TOKEN", "", admin.SourceFile, true, true},
		{"ADMIN_PASSWORD=" + secret, "ADMIN_PASSWORD", "", admin.SourceEnvironment, true, true},
		{"LOG_LEVEL_FILE=" + inFile(t, "debug\n"), "LOG_LEVEL", "debug", admin.SourceFile, false, true},
		{"BT_PROXY=socks5://me:" + secret + "'@proxy:1080", "BT_PROXY", "socks5://…@proxy:1080", admin.SourceEnvironment, false, true},
		{"BT_PROXY=http://" + secret + "@[::1]:80", "BT_PROXY", "http://…@[::1]:80", admin.SourceEnvironment, false, true},
		{"BT_BLOCKLIST=https://list.example/?list=a&pin=" + secret, "BT_BLOCKLIST", "https://list.example/…", admin.SourceEnvironment, false, true},
		{
			"BT_EXTRA_TRACKERS=https://a.example/" + secret + "/announce, udp://b.example:80,https://c.example/announce?x=" + secret +
				",https://d.example/announce", "BT_EXTRA_TRACKERS",
			"https://a.example/…,udp://b.example:80,https://c.example/…,https://d.example/announce", admin.SourceEnvironment, false, true,
		},
	} {
		var environ []string
		if test.assignment != "" {
			environ = append(environ, prefix+test.assignment)
		}
		all := settingsOf(t, environ...)
		got := all[prefix+test.name]
		want := admin.Setting{Name: prefix + test.name, Value: test.value, Group: got.Group, Source: test.source, Secret: test.secret, Set: test.set}
		if got != want {
			t.Errorf("with %q the setting is %+v, want %+v", test.assignment, got, want)
		}
		if text := fmt.Sprint(all); strings.Contains(text, secret) {
			t.Errorf("with %q the settings tell the secret: %s", test.assignment, text)
		}
	}
}

func TestPublicURL(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "/srv/list.gz": "/srv/list.gz", "https://a": "https://a", "https://a/": "https://a/", "https://a/x": "https://a/…",
		"https://a/#x": "https://a/…", "https://u@a": "https://…@a", "https://u:p@s@a/": "https://…@a/", "://x": "…", "a://%zz": "…", "a:///x": "…",
	} {
		if got := publicURL(text); got != want {
			t.Errorf("of %q there is %q, want %q", text, got, want)
		}
	}
}

// TestSettingsHaveTexts: each variable and group has its line on the page, in each language.
func TestSettingsHaveTexts(t *testing.T) {
	locales, err := locale.Load(web.Locales, "locales")
	if err != nil {
		t.Fatal(err)
	}
	all := settingsOf(t)
	for _, l := range locales.All() {
		told := make(map[string]bool)
		for name, s := range all {
			key := "variables." + strings.ToLower(strings.TrimPrefix(name, prefix))
			told[key] = true
			for _, key := range []string{key, "settings.group_" + s.Group} {
				if !l.Has(key) {
					t.Errorf("%s has no text %q", l.Tag, key)
				}
			}
		}
		for key := range l.Keys() {
			if strings.HasPrefix(key, "variables.") && !told[key] {
				t.Errorf("%s has the text %q, which is of no variable", l.Tag, key)
			}
		}
	}
}

// TestLicences: each library in the program is on the page, with its licence and its version.
func TestLicences(t *testing.T) {
	listed := make(map[string]admin.Library)
	for _, l := range libraries() {
		if l.Licence == "" || l.Version == "" {
			t.Errorf("%+v is not complete", l)
		}
		listed[l.Name] = l
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("the test was built without modules")
	}
	if len(info.Deps) < 20 {
		t.Fatalf("the test was built with the modules %v only", info.Deps)
	}
	// Those of the tests alone.
	ofTests := []string{"go.uber.org/goleak", "github.com/kylelemons/godebug"}
	for _, module := range info.Deps {
		if _, ok := listed[module.Path]; !ok && !slices.Contains(ofTests, module.Path) {
			t.Errorf("no licence is known of %s; name it in licences/licences.go", module.Path)
		}
	}
	b, err := os.ReadFile("../../web/package.json")
	if err != nil {
		t.Fatal(err)
	}
	var npm struct{ Dependencies map[string]string }
	if err := json.Unmarshal(b, &npm); err != nil {
		t.Fatal(err)
	}
	if len(npm.Dependencies) != len(licences.Pages) {
		t.Errorf("the pages have %v, and listed are %v", npm.Dependencies, licences.Pages)
	}
	for name, version := range npm.Dependencies {
		if got := listed[name].Version; got != version {
			t.Errorf("%s is listed as %q, want %q", name, got, version)
		}
	}
}
