//go:build linux

package debian

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestAbsent(t *testing.T) {
	Install(t, "dpkg") // skips this test where there is no Debian
	for _, test := range []struct {
		name     string
		packages []string
		want     []string
	}{
		{"all installed", []string{"dpkg", "coreutils"}, nil},
		{"one unknown", []string{"dpkg", "shoal-no-such-package"}, []string{"shoal-no-such-package"}},
		{"none", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := absent(context.Background(), test.packages)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("absent(%q) = %q, want %q", test.packages, got, test.want)
			}
		})
	}
}

// recorder is a testing.TB that notes how a test would have ended.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.ended = "failed" }
func (r *recorder) Skipf(string, ...any)  { r.ended = "skipped" }

func TestUnavailable(t *testing.T) {
	for _, test := range []struct{ ci, want string }{
		{"true", "failed"},
		{"", "skipped"},
		{"false", "skipped"},
	} {
		t.Run("CI="+test.ci, func(t *testing.T) {
			t.Setenv("CI", test.ci)
			tb := &recorder{TB: t}
			Unavailable(tb, errors.New("no such machine"))
			if tb.ended != test.want {
				t.Errorf("the test %s, want %s", tb.ended, test.want)
			}
		})
	}
}
