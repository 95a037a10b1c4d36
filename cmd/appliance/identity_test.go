package main

import (
	"strings"
	"testing"
)

// TestPlainNames: those of other images count unless ours are set.
func TestPlainNames(t *testing.T) {
	for _, test := range []struct {
		environ  []string
		want     identity
		asked    bool
		mistakes []string // how they begin
	}{
		{nil, identity{}, false, nil},
		{[]string{"PUID=1000", "PGID=100", "UMASK=002"}, identity{1000, 100}, true, nil},
		{[]string{"PUID=1000"}, identity{1000, 1000}, true, nil},
		{[]string{"PUID=0"}, identity{0, 0}, true, nil},
		{[]string{"PGID=100"}, identity{}, false, nil},
		{[]string{"PUID=1000", "SHOAL_PUID=2000"}, identity{2000, 2000}, true, nil},
		{[]string{"PUID=1000", "FILE__SHOAL_PUID=" + inFile(t, "2000\n")}, identity{2000, 2000}, true, nil},
		{[]string{"PUID=x", "SHOAL_PUID=2000"}, identity{2000, 2000}, true, nil},
		{[]string{"PUID=me", "PGID=-1", "UMASK=9"}, identity{}, false, []string{"PGID: ", "PUID: ", "UMASK: "}},
		{[]string{"SHOAL_PUID=me", "UMASK=9"}, identity{}, false, []string{"SHOAL_PUID: ", "UMASK: "}},
	} {
		cfg, mistakes := parseConfig(test.environ)
		if len(mistakes) != len(test.mistakes) {
			t.Errorf("%q gives the mistakes %q, want %q", test.environ, mistakes, test.mistakes)
			continue
		}
		for i, m := range mistakes {
			if !strings.HasPrefix(m, test.mistakes[i]) {
				t.Errorf("%q gives the mistake %q, want %q", test.environ, m, test.mistakes[i])
			}
		}
		if got, asked := cfg.wanted(); got != test.want || asked != test.asked {
			t.Errorf("%q asks for %v, %t, want %v, %t", test.environ, got, asked, test.want, test.asked)
		}
	}
}

// TestFilePrefix: a value comes from one place only.
func TestFilePrefix(t *testing.T) {
	file := inFile(t, "x")
	for _, test := range []struct {
		environ []string
		want    string // how the mistake begins
	}{
		{[]string{"FILE__SHOAL_API_TOKEN=" + file, "SHOAL_API_TOKEN=y"}, "SHOAL_API_TOKEN: set, and FILE__SHOAL_API_TOKEN too"},
		{[]string{"FILE__SHOAL_API_TOKEN=" + file, "SHOAL_API_TOKEN_FILE=" + file}, "SHOAL_API_TOKEN_FILE: set, and FILE__SHOAL_API_TOKEN too"},
		{[]string{"FILE__SHOAL_LOG_FORMAT=/nonexistent"}, "FILE__SHOAL_LOG_FORMAT: "},
	} {
		if _, mistakes := parseConfig(test.environ); len(mistakes) != 1 || !strings.HasPrefix(mistakes[0], test.want) {
			t.Errorf("%q gives the mistakes %q, want %q", test.environ, mistakes, test.want)
		}
	}
	cfg, mistakes := parseConfig([]string{"FILE__SHOAL_NOTHING=" + file, "FILE__OTHER=" + file})
	if len(mistakes) > 0 || len(cfg.warnings) != 1 || !strings.HasPrefix(cfg.warnings[0], "FILE__SHOAL_NOTHING ") {
		t.Errorf("unknown ones give the warnings %q and the mistakes %q, want one warning", cfg.warnings, mistakes)
	}
}
