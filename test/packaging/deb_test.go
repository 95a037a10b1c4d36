//go:build linux

package packaging

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"shoal/test/appliance"
)

// repository is where this is run from.
const repository = "../.."

// config is what the tests look at of .goreleaser.yml.
type config struct {
	Builds   []struct{ Targets []string }
	Archives []struct{ Files []struct{ Src string } }
	NFPMs    []struct {
		PackageName string `yaml:"package_name"`
		Bindir      string
		Contents    []struct {
			Src, Dst, Type string
			FileInfo       struct {
				Mode fs.FileMode
			} `yaml:"file_info"`
		}
		Scripts struct{ PostInstall, PreRemove, PostRemove string }
	}
}

func readConfig(t *testing.T) *config {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository, ".goreleaser.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c config
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Builds) != 1 || len(c.Archives) != 1 || len(c.NFPMs) != 1 {
		t.Fatalf(".goreleaser.yml has %d builds, %d archives and %d packages, want one of each", len(c.Builds), len(c.Archives), len(c.NFPMs))
	}
	return &c
}

// buildDeb packs what goreleaser would pack, with the binary of the tests, and returns the package.
func buildDeb(t *testing.T) string {
	t.Helper()
	p := readConfig(t).NFPMs[0]
	stage := t.TempDir()
	put := func(path, content string, mode fs.FileMode) {
		t.Helper()
		path = filepath.Join(stage, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	conffiles := ""
	for _, c := range p.Contents {
		switch {
		case c.Type == "symlink":
			path := filepath.Join(stage, c.Dst)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(c.Src, path); err != nil {
				t.Fatal(err)
			}
		case c.Type == "tree":
			if err := os.CopyFS(filepath.Join(stage, c.Dst), os.DirFS(filepath.Join(repository, c.Src))); err != nil {
				t.Fatal(err)
			}
		case strings.HasPrefix(c.Src, "bin/"): // made for a release
			put(c.Dst, "", c.FileInfo.Mode)
		default:
			put(c.Dst, read(filepath.Join(repository, c.Src)), c.FileInfo.Mode)
			if c.Type == "config" {
				conffiles += c.Dst + "\n"
			}
		}
	}
	put(filepath.Join(p.Bindir, "appliance"), read(appliance.Binary(t)), 0o755)
	put("DEBIAN/control", "Package: "+p.PackageName+"\nVersion: 0.0.1\nArchitecture: all\n"+
		"Maintainer: The tests <shoal@example.invalid>\nDescription: a test\n", 0o644)
	put("DEBIAN/conffiles", conffiles, 0o644)
	for name, path := range map[string]string{
		"postinst": p.Scripts.PostInstall, "prerm": p.Scripts.PreRemove, "postrm": p.Scripts.PostRemove,
	} {
		put("DEBIAN/"+name, read(filepath.Join(repository, path)), 0o755)
	}
	deb := filepath.Join(t.TempDir(), "shoal.deb")
	pack := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "-Znone", "--build", stage, deb)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	return deb
}
