package admin

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documented are the mounts that the pages below docs show.
var documented = []mountTarget{
	{host: "HOST", port: 2049, path: "/", plain: true},
	{host: "HOST", port: 2049, path: "/films", plain: true},
	{host: "HOST", port: 2049, path: "/"},
	{host: "HOST", port: 12049, path: "/"},
	{host: "192.168.1.5", port: 2049, path: "/"},
	{host: "192.168.1.5", port: 2049, path: "/films"},
}

// document reads a page below docs.
func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDocumentsHaveRecipes: what the page Connect shows for a system, its page below docs shows as well.
func TestDocumentsHaveRecipes(t *testing.T) {
	plain, port, films := documented[0], documented[3], documented[5]
	for _, test := range []struct {
		page, recipe string
		targets      []mountTarget
	}{
		{"linux.md", "linux", []mountTarget{plain, documented[1], documented[2], port}},
		{"linux.md", "fstab", []mountTarget{plain, port}},
		{"macos.md", "macos", []mountTarget{plain, port}},
		{"windows.md", "windows", []mountTarget{plain, documented[1]}},
		{"kodi.md", "kodi", []mountTarget{plain, documented[1]}},
		{"docker-volumes.md", "docker", []mountTarget{films}},
		{"docker-volumes.md", "compose", []mountTarget{films}},
		{"kubernetes.md", "kubernetes", []mountTarget{films}},
		{"synology.md", "synology", []mountTarget{plain, port}},
		{"truenas.md", "truenas", []mountTarget{plain, port}},
	} {
		page := document(t, test.page)
		for _, target := range test.targets {
			for _, r := range target.recipes("") {
				if r.Key != test.recipe {
					continue
				}
				for _, c := range r.Commands {
					if !strings.Contains(page, c.Text) {
						t.Errorf("docs/%s does not have the %s that the page Connect shows for %s:\n%s", test.page, c.Label, r.Key, c.Text)
					}
				}
			}
		}
	}
}

var (
	// mountLine is one that mounts NFS, or is of fstab.
	mountLine = regexp.MustCompile(`(?m)(?:sudo )?mount (?:-t nfs|-o anon).*$|^\S+:/\S* \S+ nfs .*$`)
	// where a folder is may differ.
	folder = regexp.MustCompile(`/(?:mnt|volume1)/\S+`)
)

// TestDocumentsHaveNoOtherLines: no page has a line that the page Connect would not show.
func TestDocumentsHaveNoOtherLines(t *testing.T) {
	known := make(map[string]bool)
	for _, target := range documented {
		for _, r := range target.recipes("") {
			for _, c := range r.Commands {
				for _, line := range mountLine.FindAllString(c.Text, -1) {
					known[folder.ReplaceAllString(line, mountPoint)] = true
				}
			}
		}
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("the pages are %q, %v", pages, err)
	}
	lines := 0
	for _, p := range pages {
		for _, line := range mountLine.FindAllString(document(t, filepath.Base(p)), -1) {
			lines++
			if !known[folder.ReplaceAllString(line, mountPoint)] {
				t.Errorf("%s has a line that the page Connect would not show: %s", p, line)
			}
		}
	}
	if lines < 10 {
		t.Errorf("the pages have %d mount lines, want them found", lines)
	}
}
