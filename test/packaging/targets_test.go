//go:build linux

package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTargets: a release is for the systems that make cross compiles and make check looks at.
func TestTargets(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^TARGETS := (.*)$`).FindStringSubmatch(string(b))
	if match == nil {
		t.Fatal("the Makefile has no TARGETS")
	}
	want := strings.Fields(match[1])
	var got []string
	for _, target := range readConfig(t).Builds[0].Targets {
		parts := strings.Split(target, "_")
		got = append(got, strings.Join(parts[:2], "/")) // the third is the version of ARM
	}
	if !slices.Equal(got, want) {
		t.Errorf(".goreleaser.yml has the targets\n%v, and the Makefile\n%v", got, want)
	}
}
