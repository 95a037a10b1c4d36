//go:build linux

package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/test/debian"
)

// recipe is one of those at the end of docker-compose.yml.
type recipe struct {
	words string // what is said before it
	yaml  string // what it says to write into a file
}

// recipes takes them out of the comments: words stand behind "# ", and what is to be copied has two blanks more.
func recipes(file string) []recipe {
	_, comments, _ := strings.Cut(file, "\n# Recipes. ")
	var list []recipe
	var r recipe
	for line := range strings.Lines(comments) {
		copied, isYAML := strings.CutPrefix(line, "#   ")
		switch {
		case isYAML:
			r.yaml += copied
		case r.yaml != "" && strings.TrimSpace(line) != "#":
			list = append(list, r)
			r = recipe{words: line}
		default:
			r.words += line
		}
	}
	return append(list, r)
}

// withoutPorts is the file after somebody has deleted `ports:`.
func withoutPorts(file string) string {
	before, rest, _ := strings.Cut(file, "    ports:\n")
	_, after, _ := strings.Cut(rest, "    volumes:\n")
	return before + "    volumes:\n" + after
}

// TestRecipes follows each recipe of docker-compose.yml, and asks docker-compose whether it understands the result.
func TestRecipes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs docker-compose: left out with -short")
	}
	debian.Install(t, "docker-compose")
	b, err := os.ReadFile(filepath.Join(repository, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	file := string(b)
	wants := []string{ // in the result
		"file: ", "user: 1000:1000", "SHOAL_PUID", "driver: macvlan", "network_mode: host", "network_mode: service:gluetun", "type: nfs",
	}
	list := recipes(file)
	if len(list) != len(wants) {
		t.Fatalf("there are %d recipes, want %d:\n%q", len(list), len(wants), list)
	}
	for i, r := range list {
		main := file
		if strings.Contains(r.words, "Delete `ports:`") {
			main = withoutPorts(file)
		}
		got := config(t, "SHOAL_NFS_PORT=12049\n", main, r.yaml)
		if !strings.Contains(got, wants[i]) {
			t.Errorf("recipe %d: the result lacks %q:\n%s\n%s", i+1, wants[i], r.words, got)
		}
		if strings.Contains(strings.ReplaceAll(got, "12049", ""), "2049") {
			t.Errorf("recipe %d: not everybody uses the port that .env says:\n%s", i+1, got)
		}
		if strings.Contains(got, "network_mode") && strings.Contains(got, "published: 42069") {
			t.Errorf("recipe %d: a container cannot publish ports and have the network of others:\n%s", i+1, got)
		}
	}
}

// TestTakenPorts has the lines that docker-compose.yml wants in .env when ports are taken.
func TestTakenPorts(t *testing.T) {
	if testing.Short() {
		t.Skip("runs docker-compose: left out with -short")
	}
	debian.Install(t, "docker-compose")
	b, err := os.ReadFile(filepath.Join(repository, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	env := ""
	for line := range strings.Lines(string(b)) {
		if setting, ok := strings.CutPrefix(line, "#   SHOAL_"); ok && strings.Contains(setting, "=") {
			env += "SHOAL_" + setting
		}
	}
	if strings.Count(env, "\n") != 3 {
		t.Errorf("the settings are %q, want three", env)
	}
	const proxy = "SHOAL_HTTP_PORT=127.0.0.1:4444\n" // of docs/reverse-proxy.md
	got := config(t, env+proxy, string(b), "")
	for _, want := range []string{
		"SHOAL_NFS_ADDR: :12049", "published: 12049\n      target: 12049", `SHOAL_PORTMAP_ADDR: "off"`, "published: 10111\n      target: 111",
		"- 127.0.0.1:4444:4444/tcp\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("with %q the result lacks %q:\n%s", env, want, got)
		}
	}
}

// config returns what docker-compose makes of a file with, unless they are empty, .env and docker-compose.override.yml beside it.
func config(t *testing.T, env, main, override string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{".env": env, "docker-compose.yml": main, "docker-compose.override.yml": override} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	cmd := newCommand(ctx, "docker-compose", "config")
	cmd.Dir = dir
	out, err := output(cmd)
	if err != nil {
		t.Errorf("%v\nof\n%s", err, override)
	}
	return out
}
