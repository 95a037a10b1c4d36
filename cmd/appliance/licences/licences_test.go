package licences

import (
	"regexp"
	"testing"
)

func TestIdentifiers(t *testing.T) {
	spdx := regexp.MustCompile(`^[A-Za-z0-9.-]+(, [A-Za-z0-9.-]+)*$`)
	seen := make(map[string]string)
	for licence, modules := range licences {
		if !spdx.MatchString(licence) {
			t.Errorf("%q is no list of licences", licence)
		}
		for _, module := range modules {
			if before := seen[module]; before != "" {
				t.Errorf("%s has the licences %s and %s", module, before, licence)
			}
			seen[module] = licence
			if got := Of(module); got != licence {
				t.Errorf("the licence of %s is %q, want %q", module, got, licence)
			}
		}
	}
	if got := Of("example.org/unknown"); got != "" {
		t.Errorf("the licence of a module nobody knows is %q", got)
	}
}
