//go:build linux

package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// archiveKey is what Debian signs its packages with. Where it is missing, apt takes what it trusts in general.
const archiveKey = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Source returns a folder with the source of a Debian package as its author published it, without Debian's patches, for tests that
// want what is in there. It is fetched once from where the machine has its packages from, checked by apt as these are, and kept in the
// user's cache folder: don't change it. What may keep it from that ends the test as [Unavailable] does.
func Source(tb testing.TB, name string) string {
	tb.Helper()
	if err := Ensure("xz-utils"); err != nil {
		Unavailable(tb, err)
	}
	folder, err := source(tb.Context(), name)
	if err != nil {
		Unavailable(tb, fmt.Errorf("source of the Debian package %s: %w", name, err))
	}
	return folder
}

// source is Source with the reason.
func source(ctx context.Context, name string) (folder string, err error) {
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir() // no HOME
	}
	release, err := codename()
	if err != nil {
		return "", err
	}
	folder = filepath.Join(cache, "shoal-test", "source", release, name)
	if _, err := os.Stat(folder); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return folder, err
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(folder), "."+name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	unpacked, err := fetch(ctx, work, name)
	if err != nil {
		return "", err
	}
	// Whoever comes second, of several that began at once, finds the folder there, with the same in it.
	if err := os.Rename(unpacked, folder); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return folder, nil
}

// codename returns that of the Debian release: another one has other sources.
func codename() (string, error) {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return filepath.Base(strings.Trim(name, `"`)), nil
		}
	}
	return "", errors.New("/etc/os-release has no VERSION_CODENAME")
}

// fetch gets a source package into a folder and unpacks it there. The machine's lists of packages need not know sources, and stay as they
// are: apt gets lists of its own.
func fetch(ctx context.Context, work, name string) (unpacked string, err error) {
	where, err := sources(ctx)
	if err != nil {
		return "", err
	}
	list, unpacked := filepath.Join(work, "sources.list"), filepath.Join(work, "unpacked")
	for _, folder := range []string{"lists/partial", "cache/archives/partial", "unpacked"} {
		if err := os.MkdirAll(filepath.Join(work, folder), 0o755); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(list, where, 0o600); err != nil {
		return "", err
	}
	options := []string{
		"-qq", "-o", "Dir::Etc::SourceList=" + list, "-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State::Lists=" + filepath.Join(work, "lists"), "-o", "Dir::Cache=" + filepath.Join(work, "cache"),
		"-o", "APT::Sandbox::User=", // who calls this owns the folder
	}
	if err := aptGetIn(ctx, work, append(options, "update")...); err != nil {
		return "", err
	}
	if err := aptGetIn(ctx, work, append(options, "--download-only", "source", name)...); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(work, "*.orig.tar.?z*"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".asc") {
			continue
		}
		tar := exec.CommandContext(ctx, "tar", "-xf", file, "-C", unpacked, "--strip-components=1", "--no-same-owner")
		if said, err := tar.CombinedOutput(); err != nil {
			return "", fmt.Errorf("unpack %s: %w: %s", filepath.Base(file), err, bytes.TrimSpace(said))
		}
		return unpacked, nil
	}
	return "", fmt.Errorf("apt-get source brought no %s_*.orig.tar", name)
}

// sources returns lines for sources.list with the sources beside the packages that the machine is told of.
func sources(ctx context.Context) ([]byte, error) {
	option := ""
	if _, err := os.Stat(archiveKey); err == nil {
		option = "[signed-by=" + archiveKey + "] "
	}
	targets := func() ([]byte, error) {
		return exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "deb-src "+option+"$(REPO_URI) $(RELEASE) $(COMPONENT)",
			"Created-By: Packages", "Origin: Debian").Output()
	}
	lines, err := targets()
	if err == nil && len(bytes.TrimSpace(lines)) == 0 { // a fresh container has no lists, and so no origins
		if err := aptGet(ctx, "update", "-qq"); err != nil {
			return nil, err
		}
		lines, err = targets()
	}
	if err != nil {
		return nil, fmt.Errorf("apt-get indextargets: %w", err)
	}
	if len(bytes.TrimSpace(lines)) == 0 {
		return nil, errors.New("apt knows no place with packages of Debian's")
	}
	return lines, nil
}
