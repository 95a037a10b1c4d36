package main

import (
	"strings"
	"testing"
)

// TestVersion: a release says its number; another build what the Go tool knows.
func TestVersion(t *testing.T) {
	for _, test := range []struct{ release, want string }{
		{"1.2.3", "shoal 1.2.3 "},
		{"", "shoal " + thisBuild().version + " "},
	} {
		release = test.release
		if got := version(); !strings.HasPrefix(got, test.want) || !strings.Contains(got, " go1.") {
			t.Errorf("release %q: %q, want it to begin with %q and to name Go's version", test.release, got, test.want)
		}
	}
	release = ""
}
