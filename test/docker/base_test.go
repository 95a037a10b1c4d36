//go:build linux

package docker

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/test/debian"
)

// No image can be downloaded by a test. So those that the Dockerfile begins with are made of this machine's own programs: busybox's
// shell, with Go in one and Node.js in the other. They also have the modules and packages that the build would fetch, and what was
// compiled of them before, as it has no network.

// stock is what the bases are made of, below the user's cache folder.
type stock struct {
	GoCache string   // Go's build cache
	Modules []string // folders of Go modules
	Notes   []string // files of Go's module cache that say what these are
	NPM     string   // npm's cache
}

// stockVariable names the file with what was laid in, for the process that has no network.
const stockVariable = "TEST_DOCKER_STOCK"

// note writes that file.
func (s *stock) note() error {
	f, err := os.CreateTemp("", "shoal-docker-stock-")
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(s), f.Close(), os.Setenv(stockVariable, f.Name()))
}

// inStock reads it.
func inStock(t *testing.T) *stock {
	t.Helper()
	b, err := os.ReadFile(os.Getenv(stockVariable))
	s := new(stock)
	if err = errors.Join(err, json.Unmarshal(b, s)); err != nil {
		t.Fatal(err)
	}
	return s
}

// repository is the folder of this repository.
const repository = "../.."

// layIn compiles the appliance as the Dockerfile does, and fetches the packages of the pages. It needs the network where they are not
// there already.
func layIn(ctx context.Context) (*stock, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	s := &stock{GoCache: filepath.Join(cache, "shoal-test", "docker", "go"), NPM: filepath.Join(cache, "shoal-test", "docker", "npm")}
	if err := emptyAbove(s.GoCache, maxGoCache); err != nil {
		return nil, err
	}
	golang := func(args ...string) ([]string, error) {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = repository
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+s.GoCache)
		out, err := output(cmd)
		lines := strings.Fields(out)
		slices.Sort(lines)
		return slices.Compact(lines), err
	}
	// -export compiles.
	s.Modules, err = golang("list", "-export", "-deps", "-trimpath", "-tags", "timetzdata",
		"-f", "{{with .Module}}{{if not .Main}}{{if not .Replace}}{{.Dir}}{{end}}{{end}}{{end}}", "./cmd/appliance")
	if err == nil {
		s.Notes, err = golang("list", "-m", "-f", "{{if not .Replace}}{{.GoMod}}{{end}}", "all")
	}
	if err != nil {
		return nil, fmt.Errorf("compile the appliance: %w", err)
	}
	return s, s.fetchPackages(ctx)
}

// maxGoCache is in bytes, as all of Go's build cache goes into a base image. What one build needs is a third of that.
const maxGoCache = 1200 << 20

// emptyAbove removes a folder of more bytes than that.
func emptyAbove(dir string, limit int64) error {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return nil // a file that goes meanwhile is none
	})
	if err == nil && total > limit {
		err = os.RemoveAll(dir)
	}
	return err
}

func (s *stock) fetchPackages(ctx context.Context) error {
	work, err := os.MkdirTemp("", "shoal-npm-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // a temporary folder
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join(repository, "web", name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, name), b, 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--cache", s.NPM)
	cmd.Dir = work
	_, err = output(cmd)
	return err
}

// output returns what a command prints, and as its error what it says.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, lastLines(stderr.String()))
	}
	return stdout.String(), nil
}

// root is the file system of a base, as docker import takes it.
type root struct{ *tar.Writer }

// link makes a symbolic link.
func (r root) link(name, to string) error {
	return r.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to})
}

// copy copies a file or a folder of this machine, but not what skip names.
func (r root) copy(from, to string, skip ...string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.ContainsFunc(skip, func(s string) bool { matched, _ := filepath.Match(s, d.Name()); return matched }) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return r.add(path, to+strings.TrimPrefix(path, from), d)
	})
}

// add copies one entry. Links that point outside of what is copied are of no use, and stay away.
func (r root) add(path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil
	}
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	header.Name, header.Uid, header.Gid, header.Uname, header.Gname = strings.TrimPrefix(name, "/"), 0, 0, "", ""
	if info.IsDir() {
		header.Name += "/"
	}
	if err := r.WriteHeader(header); err != nil || info.IsDir() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(r, f)
	return err
}

// shell adds busybox, with the programs that a build may call.
func (r root) shell() error {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	err = errors.Join(r.copy(path, "bin/busybox"), r.link("usr/bin/env", "/bin/busybox"))
	for _, name := range []string{"sh", "chmod", "cp", "dirname", "mkdir"} {
		err = errors.Join(err, r.link("bin/"+name, "busybox"))
	}
	for _, name := range []string{"root/", "tmp/"} {
		err = errors.Join(err, r.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o777}))
	}
	return err
}

// golang is the base with Go.
func (s *stock) golang(r root) error {
	goroot, err := output(exec.Command("go", "env", "GOROOT"))
	if err != nil {
		return err
	}
	cache, err := output(exec.Command("go", "env", "GOMODCACHE"))
	if err != nil {
		return err
	}
	goroot, cache = strings.TrimSpace(goroot), strings.TrimSpace(cache)
	err = errors.Join(r.shell(), r.copy("/etc/ssl/certs/ca-certificates.crt", "etc/ssl/certs/ca-certificates.crt"),
		r.copy(goroot, "usr/local/go", "test", "testdata", "*_test.go", "api", "doc", "misc"), r.copy(s.GoCache, "cache"))
	for _, dir := range s.Modules {
		err = errors.Join(err, r.copy(dir, "go/pkg/mod"+strings.TrimPrefix(dir, cache), "testdata", "*_test.go", "real-roaring-datasets"))
	}
	for _, mod := range s.Notes {
		name, isCached := strings.CutPrefix(mod, cache)
		if !isCached {
			continue // of this repository
		}
		for _, suffix := range []string{".mod", ".info", ".ziphash"} {
			file := strings.TrimSuffix(mod, ".mod") + suffix
			if _, failed := os.Stat(file); failed == nil {
				err = errors.Join(err, r.copy(file, "go/pkg/mod"+strings.TrimSuffix(name, ".mod")+suffix))
			}
		}
	}
	return err
}

// node is the base with Node.js and npm.
func (s *stock) node(r root) error {
	program, err := exec.LookPath("node")
	if err != nil {
		return err
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return err
	}
	npm, err = filepath.EvalSymlinks(npm) // npm/bin/npm-cli.js
	if err != nil {
		return err
	}
	libraries, err := output(exec.Command("ldd", program))
	if err != nil {
		return err
	}
	err = errors.Join(r.shell(), r.copy(program, "usr/bin/node"), r.copy(s.NPM, "cache"),
		r.copy(filepath.Dir(filepath.Dir(npm)), "usr/lib/node_modules/npm"),
		r.link("usr/bin/npm", "../lib/node_modules/npm/bin/npm-cli.js"))
	for field := range strings.FieldsSeq(libraries) {
		if !strings.HasPrefix(field, "/") {
			continue
		}
		file, failed := filepath.EvalSymlinks(field)
		err = errors.Join(err, failed, r.copy(file, field))
	}
	return err
}

// importBase makes a base under the name that the Dockerfile has for it.
func (e *engine) importBase(t *testing.T, image string, fill func(root) error, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	args := []string{"import"}
	for _, v := range env {
		args = append(args, "-c", "ENV "+v)
	}
	reader, writer := io.Pipe()
	filled := make(chan error, 1)
	go func() {
		buffer := bufio.NewWriterSize(writer, 1<<20)
		w := tar.NewWriter(buffer)
		err := fill(root{w})
		err = errors.Join(err, w.Close(), buffer.Flush())
		filled <- err
		writer.CloseWithError(err)
	}()
	cmd := e.command(ctx, append(args, "-", image)...)
	cmd.Stdin = reader
	_, err := output(cmd)
	reader.Close()
	if err := errors.Join(<-filled, err); err != nil {
		t.Fatalf("base image %s: %v", image, err)
	}
}

// bases returns the names of the images that the Dockerfile begins with.
func bases(t *testing.T) (golang, node string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		for word := range strings.FieldsSeq(line) {
			switch {
			case strings.HasPrefix(word, "golang:"):
				golang = word
			case strings.HasPrefix(word, "node:"):
				node = word
			}
		}
	}
	return golang, node
}

var errNoNPM = errors.New("npm is missing: install Node.js with npm")

// packages are Debian's that the tests need beside those of the seeder and the guest.
func installPackages() error {
	if _, err := exec.LookPath("npm"); err != nil {
		return errNoNPM
	}
	return debian.Ensure("docker.io", "docker-compose", "iptables", "iproute2", "busybox-static", "ca-certificates")
}
