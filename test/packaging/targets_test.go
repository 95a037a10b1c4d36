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

// TestFiles: what goes into archives and packages is there, but for what is made for a release.
func TestFiles(t *testing.T) {
	c := readConfig(t)
	var sources []string
	for _, f := range c.Archives[0].Files {
		sources = append(sources, strings.TrimSuffix(f.Src, "/**"))
	}
	for _, f := range c.NFPMs[0].Contents {
		if f.Type != "symlink" {
			sources = append(sources, f.Src)
		}
	}
	if len(sources) < 10 {
		t.Errorf("archives and packages have %q only", sources)
	}
	for _, source := range sources {
		if strings.HasPrefix(source, "bin/") {
			continue
		}
		if _, err := os.Stat(filepath.Join(repository, source)); err != nil {
			t.Errorf("for a release: %v", err)
		}
	}
}
