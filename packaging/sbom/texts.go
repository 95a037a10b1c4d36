package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"shoal/cmd/appliance/licences"
)

// part is something that others wrote, with the folder it is in.
type part struct {
	name, version, licence, folder string
}

// legal matches the names of files with licences and what belongs to them.
var legal = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|copyright|notice|patents)([.-].*)?$`)

// writeTexts writes the licences of the modules and npm packages in the program, from where the Go tool and npm have put them.
// It is for the folder that the Makefile is in, after make assets.
func writeTexts(ctx context.Context, out string) error {
	parts, err := modules(ctx)
	if err != nil {
		return err
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	folder, version, _ := strings.Cut(strings.TrimSpace(string(root)), "\n")
	parts = append(parts, part{"Go, its standard library and run time", version, licences.GoLicence, folder})
	for _, p := range licences.Pages {
		parts = append(parts, part{p.Name, p.Version, p.Licence, filepath.Join("web", "node_modules", filepath.FromSlash(p.Name))})
	}
	var b bytes.Buffer
	b.WriteString("Shoal has code by others in it. These are their licences. The source of each is public under its name and version.\n")
	for _, p := range parts {
		if err := p.appendTo(&b); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// modules returns those of the program, sorted by name.
func modules(ctx context.Context) ([]part, error) {
	listed, err := exec.CommandContext(ctx, "go", "list", "-m", "-json=Path,Version,Dir,Main,Replace", "all").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var parts []part
	for decoder := json.NewDecoder(bytes.NewReader(listed)); ; {
		var m struct {
			Path, Version, Dir string
			Main               bool
			Replace            *struct{ Version string }
		}
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return parts, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		ours := m.Main || m.Replace != nil && m.Replace.Version == ""
		if licence := licences.Of(m.Path); licence != "" && !ours {
			parts = append(parts, part{m.Path, m.Version, licence, m.Dir})
		}
	}
}

// appendTo appends the texts in the part's folder.
func (p part) appendTo(b *bytes.Buffer) error {
	entries, err := os.ReadDir(p.folder)
	if err != nil {
		return fmt.Errorf("licence of %s: %w; make build gets it", p.name, err)
	}
	fmt.Fprintf(b, "\n%s\n%s %s (%s)\n", strings.Repeat("=", 100), p.name, p.version, p.licence)
	found := false
	for _, e := range entries {
		if !e.Type().IsRegular() || !legal.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(p.folder, e.Name()))
		if err != nil {
			return fmt.Errorf("licence of %s: %w", p.name, err)
		}
		fmt.Fprintf(b, "\n%s\n", bytes.TrimSpace(text))
		found = true
	}
	if !found && p.licence != "NOASSERTION" {
		return fmt.Errorf("%s has no file with a licence", p.name)
	}
	return nil
}
