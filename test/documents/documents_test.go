// Package documents checks what people read: that links lead somewhere, that variables exist, and that what is there to be copied
// can be read by whom it is for. Package admin compares the mount lines with those of the page Connect, and package clients
// tries the lines for nginx.
package documents

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// root is the top of the repository, from here.
const root = "../.."

// pages are the documents, by their paths below the top.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths := []string{"README.md", "CHANGELOG.md", "ARCHITECTURE.md"}
	err := fs.WalkDir(os.DirFS(root), "docs", func(p string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(p, ".md") {
			paths = append(paths, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, p := range paths {
		b, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		all[p] = string(b)
	}
	return all
}

// block is a fenced block of code.
type block struct {
	language, text string
	line           int
}

// split takes the blocks of code out of a page.
func split(page string) (prose string, blocks []block, err error) {
	var out strings.Builder
	var open *block
	number := 0
	for line := range strings.Lines(page) {
		number++
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{language: strings.TrimSpace(fence), line: number}
		case isFence:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += line
		default:
			out.WriteString(line)
		}
	}
	if open != nil {
		return "", nil, fmt.Errorf("the block of code in line %d has no end", open.line)
	}
	return out.String(), blocks, nil
}

var (
	codeSpan = regexp.MustCompile("`[^`\n]*`")
	link     = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#{1,6} (.*)$`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	// noAnchor is what GitHub leaves out of the anchors that it makes of headings.
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are those of the headings of a page, as GitHub makes them.
func anchors(page string) map[string]bool {
	prose, _, _ := split(page) // tested for itself
	all := make(map[string]bool)
	for _, h := range heading.FindAllStringSubmatch(prose, -1) {
		text := linkText.ReplaceAllString(h[1], "$1")
		anchor := strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), ""), " ", "-")
		for n, first := 1, anchor; all[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", first, n)
		}
		all[anchor] = true
	}
	return all
}

// broken lists the links of a page that lead nowhere. exists says whether there is a file, and page what is in a document.
func broken(from, text string, exists func(path string) bool, page func(path string) string) []string {
	prose, _, err := split(text)
	if err != nil {
		return []string{err.Error()}
	}
	var list []string
	for _, l := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(prose, "``"), -1) {
		u, err := url.Parse(l[1])
		if err != nil {
			list = append(list, l[1])
			continue
		}
		if u.Scheme != "" {
			if u.Scheme != "https" && u.Scheme != "http" {
				list = append(list, l[1])
			}
			continue
		}
		to := from
		if u.Path != "" {
			to = path.Join(path.Dir(from), u.Path)
		}
		if !exists(to) || u.Fragment != "" && !anchors(page(to))[u.Fragment] {
			list = append(list, l[1])
		}
	}
	return list
}

func TestLinks(t *testing.T) {
	all := pages(t)
	exists := func(p string) bool {
		_, err := os.Stat(filepath.Join(root, p))
		return filepath.IsLocal(p) && err == nil
	}
	linked := map[string]bool{"docs/README.md": true, "docs/release.md": true} // where people begin, and maintainers
	for from, text := range all {
		for _, l := range broken(from, text, exists, func(p string) string { return all[p] }) {
			t.Errorf("%s: the link %s leads nowhere", from, l)
		}
		for _, l := range link.FindAllStringSubmatch(text, -1) {
			to, _, _ := strings.Cut(l[1], "#")
			linked[path.Join(path.Dir(from), to)] = true
		}
	}
	for p := range all {
		if strings.HasPrefix(p, "docs/") && !linked[p] {
			t.Errorf("no page leads to %s", p)
		}
	}
}

func TestBroken(t *testing.T) {
	texts := map[string]string{
		"a.md":   "# The `top`\n\n## Port 111, or [x](y)?\n\n## Twice\n\n## Twice\n",
		"d/b.md": "# B\n\n```\n# no heading [x](nowhere)\n```\n",
	}
	exists := func(p string) bool { return texts[p] != "" || p == "d" }
	for text, want := range map[string]bool{
		"[x](a.md)": true, "[x](./a.md)": true, "[x](d/b.md)": true, "[x](d)": true, "![p](a.md)": true, "[x](a.md#the-top)": true,
		"[x](a.md#port-111-or-x)": true, "[x](a.md#twice-1)": true, "[x](https://example.org/a#b)": true, "`[x](nowhere)`": true,
		"```\n[x](nowhere)\n```\n": true, "# Here\n[x](#here)": true,
		"[x](b.md)": false, "[x](a.md#twice-2)": false, "[x](a.md#top)": false, "[x](d/b.md#no-heading-x)": false, "[x](#there)": false,
		"[x](ftp://a)": false, "[x](../a.md)": false, "```\nno end": false, "[x](d#b)": false,
	} {
		got := broken("c.md", text, exists, func(p string) string { return texts[p] + map[bool]string{true: text}[p == "c.md"] })
		if strings.Contains(text, "(#") { // to the page itself, which is not in texts
			got = broken("c.md", text, func(string) bool { return true }, func(string) string { return text })
		}
		if (len(got) == 0) != want {
			t.Errorf("of %q the links %q are broken, want it good: %t", text, got, want)
		}
	}
}

var (
	variable   = regexp.MustCompile(`\b(?:FILE__)?SHOAL_[A-Z0-9_]*[A-Z0-9]\b`)
	settingRow = regexp.MustCompile("(?m)^\\| `(SHOAL_[A-Z0-9_]+)` \\|")
)

// foreign are variables that are named and are no settings, with the file that has them, if there is one.
var foreign = map[string]string{
	"SHOAL_PORT":         "", // Kubernetes makes it
	"SHOAL_NFS_PORT":     "docker-compose.yml",
	"SHOAL_PORTMAP_PORT": "docker-compose.yml",
	"SHOAL_HTTP_PORT":    "docker-compose.yml",
	"SHOAL_BT_PORT":      "docker-compose.yml",
	"SHOAL_MAINTAINER":   ".goreleaser.yml",
}

// TestVariables goes by the table of the README, which package cmd/appliance compares with the configuration.
func TestVariables(t *testing.T) {
	all := pages(t)
	var settings []string
	for _, row := range settingRow.FindAllStringSubmatch(all["README.md"], -1) {
		settings = append(settings, row[1])
	}
	if len(settings) < 40 {
		t.Fatalf("the README has the settings %q, want all", settings)
	}
	named := make(map[string]bool)
	for p, text := range all {
		for _, name := range variable.FindAllString(text, -1) {
			named[name] = true
			plain := strings.TrimSuffix(strings.TrimPrefix(name, "FILE__"), "_FILE")
			if _, known := foreign[name]; !known && !slices.Contains(settings, plain) {
				t.Errorf("%s names %s, which is no setting", p, name)
			}
		}
	}
	for name, file := range foreign {
		if file == "" || !named[name] {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Error(err)
		} else if !bytes.Contains(b, []byte(name)) {
			t.Errorf("%s does not have %s any more", file, name)
		}
	}
}

func TestBlocks(t *testing.T) {
	count := make(map[string]int)
	for p, text := range pages(t) {
		_, blocks, err := split(text)
		if err != nil {
			t.Errorf("%s: %v", p, err)
		}
		for _, b := range blocks {
			check, known := readers[b.language]
			if !known {
				t.Errorf("%s:%d: a block in the language %q, which nobody checks", p, b.line, b.language)
				continue
			}
			count[b.language]++
			if err := check(t, b.text); err != nil {
				t.Errorf("%s:%d: %v", p, b.line, err)
			}
		}
	}
	if count["yaml"] < 10 || count["sh"] < 20 {
		t.Errorf("there are %v blocks, want those of the recipes", count)
	}
}

// readers read blocks as those do whom they are for. Others are read by nobody here, or elsewhere.
var readers = map[string]func(*testing.T, string) error{
	"yaml": checkYAML, "sh": checkShell, "json": checkJSON, "xml": checkXML,
	"": unread, "bat": unread, "caddy": unread, "fstab": unread, "ini": unread, "nginx": unread,
}

func unread(*testing.T, string) error { return nil }

func checkShell(t *testing.T, text string) error {
	cmd := exec.CommandContext(t.Context(), "bash", "-n")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bash: %w: %s", err, out)
	}
	return nil
}

func checkJSON(_ *testing.T, text string) error { return json.Unmarshal([]byte(text), new(any)) }

func checkXML(_ *testing.T, text string) error {
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// composeFile has the keys of Compose's format that the pages use, so that a typing error is none of them.
type composeFile struct {
	Services map[string]struct {
		CapAdd        []string          `yaml:"cap_add"`
		CapDrop       []string          `yaml:"cap_drop"`
		ContainerName string            `yaml:"container_name"`
		DependsOn     map[string]any    `yaml:"depends_on"`
		Devices       []string          `yaml:"devices"`
		Environment   map[string]string `yaml:"environment"`
		Image         string            `yaml:"image"`
		Labels        []string          `yaml:"labels"`
		NetworkMode   string            `yaml:"network_mode"`
		Networks      map[string]any    `yaml:"networks"`
		Ports         []string          `yaml:"ports"`
		PullPolicy    string            `yaml:"pull_policy"`
		ReadOnly      bool              `yaml:"read_only"`
		Restart       string            `yaml:"restart"`
		Secrets       []string          `yaml:"secrets"`
		SecurityOpt   []string          `yaml:"security_opt"`
		StopGrace     string            `yaml:"stop_grace_period"`
		User          string            `yaml:"user"`
		Volumes       []string          `yaml:"volumes"`
	} `yaml:"services"`
	Volumes  map[string]any `yaml:"volumes"`
	Networks map[string]any `yaml:"networks"`
	Secrets  map[string]any `yaml:"secrets"`
}

// manifest is what every object of Kubernetes has. What is in its parts is not checked.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string            `yaml:"name"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
	Spec map[string]any `yaml:"spec"`
}

// checkYAML reads a Compose file, or manifests of Kubernetes.
func checkYAML(_ *testing.T, text string) error {
	d := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	d.KnownFields(true)
	if !strings.HasPrefix(text, "apiVersion:") {
		var file composeFile
		if err := d.Decode(&file); err != nil {
			return err
		}
		if len(file.Services) == 0 {
			return errors.New("the Compose file has no service")
		}
		return nil
	}
	for {
		var m manifest
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if m.APIVersion == "" || m.Kind == "" || m.Metadata.Name == "" || m.Spec == nil {
			return fmt.Errorf("the manifest %+v is not whole", m)
		}
	}
}

func TestReaders(t *testing.T) {
	for _, bad := range []struct{ language, text string }{
		{"sh", "if true; do"},
		{"sh", "echo 'a"},
		{"json", "{"},
		{"xml", "<a></b>"},
		{"yaml", "services:\n  a:\n    environments: {}\n"},
		{"yaml", "services: {}\n"},
		{"yaml", "a: b: c\n"},
		{"yaml", "apiVersion: v1\nkind: Pod\n"},
		{"yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspecs: {}\n"},
	} {
		if readers[bad.language](t, bad.text) == nil {
			t.Errorf("%q is good %s, want it refused", bad.text, bad.language)
		}
	}
}
