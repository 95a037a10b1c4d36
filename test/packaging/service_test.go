//go:build linux

// Package packaging tests what a release is made of beside the program: that the Debian package can be installed and removed, that the
// service runs under systemd with all that the unit forbids it, and that .goreleaser.yml says what the Makefile says.
package packaging

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/debian"
	"shoal/test/netns"
	"shoal/test/seeder"
	"shoal/torrents/cache"
)

func TestMain(m *testing.M) {
	code := netns.Run(func() error {
		return errors.Join(seeder.Prepare(), appliance.Prepare(),
			debian.Ensure("systemd", "systemd-container", "libnfs-utils", "util-linux", "init-system-helpers"))
	}, m.Run)
	appliance.Remove()
	os.Exit(code)
}

// unit is the service's.
const unit = "packaging/systemd/shoal.service"

// TestUnit: systemd understands every line, and finds little that the service could do beyond its work.
func TestUnit(t *testing.T) {
	debian.Install(t, "systemd")
	root := t.TempDir()
	b, err := os.ReadFile(filepath.Join(repository, unit))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []struct {
		name    string
		content []byte
		mode    os.FileMode
	}{
		{"usr/lib/systemd/system/shoal.service", b, 0o644},
		{"usr/lib/shoal/appliance", nil, 0o755},
	} {
		path := filepath.Join(root, file.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file.content, file.mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, arguments := range [][]string{
		{"verify", "--root=" + root, "--man=no", "--recursive-errors=no", "shoal.service"},
		// In tenths. What is left is the network, NETLINK, priorities, and files that everybody may read.
		{"security", "--root=" + root, "--offline=yes", "--no-pager", "--threshold=18", "shoal.service"},
	} {
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", arguments...).CombinedOutput()
		if err != nil || arguments[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(arguments, " "), err, out)
		}
	}
}

// TestService installs the package where systemd runs, reads a file of a torrent over NFS, by the portmapper, and one of an archive, from
// the service as it is shipped; and takes the package away again.
func TestService(t *testing.T) {
	netns.Require(t)
	source := newSource(t)
	c := newContainer(t)
	packages := newPackages(t, c)
	settings := "SHOAL_API_TOKEN=" + appliance.Token + "\nSHOAL_BT_PEERS=" + source.daemon.Addr() + "\nSHOAL_ROUTES=films\n" +
		"SHOAL_BT_DHT=false\nSHOAL_BT_LSD=false\nSHOAL_BT_UTP=false\nSHOAL_CACHE_LIMIT=256MiB\n"
	if err := os.WriteFile(filepath.Join(c.root, "etc/default/shoal"), []byte(settings), 0o640); err != nil {
		t.Fatal(err)
	}
	packages.install(t) // starts the service, and waits until it serves
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := c.try("journalctl", "--no-pager", "--unit=shoal.service")
			t.Log(out)
		}
	})
	if got := c.property(t, "ActiveState"); got != "active" {
		t.Fatalf("the service is %s, want active", got)
	}
	a := &appliance.Appliance{NFSPort: 2049, HTTPPort: 4444}
	a.Upload(t, "films", source.torrent, http.StatusCreated)
	source.read(t)
	checkProcess(t, c)
	checkJournal(t, c)
	checkWrongSetting(t, c, settings)
	packages.remove(t)
}

// source is a seeder with a folder that has a file and an archive.
type source struct {
	daemon  *seeder.Daemon
	torrent []byte
	content map[string][]byte // by path in the export
}

func newSource(t *testing.T) *source {
	t.Helper()
	data := t.TempDir()
	random := rand.NewChaCha8([32]byte{1})
	film := make([]byte, 3<<20)
	text := bytes.Repeat([]byte("what is in an archive\n"), 20000)
	if _, err := random.Read(film); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	member, err := w.Create("text.txt")
	if err == nil {
		_, err = member.Write(text)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(data, "Film")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"film.mkv": film, "extra.zip": packed.Bytes()} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := &source{daemon: seeder.Start(t, data), torrent: seeder.Create(t, folder, 256<<10, false)}
	s.content = map[string][]byte{"films/Film/film.mkv": film, "films/Film/extra.zip/text.txt": text}
	s.daemon.Add(t, s.torrent)
	return s
}

// read reads all that the source has from the appliance, as a client that asks the portmapper for the port.
func (s *source) read(t *testing.T) {
	t.Helper()
	for path, want := range s.content {
		cat := exec.CommandContext(t.Context(), "nfs-cat", "nfs://127.0.0.1/"+path)
		var said bytes.Buffer
		cat.Stderr = &said
		got, err := cat.Output()
		if err != nil {
			t.Errorf("read %s: %v %s", path, err, said.String())
		} else if sha256.Sum256(got) != sha256.Sum256(want) {
			t.Errorf("%s has %d bytes, which are not the %d of the seeder", path, len(got), len(want))
		}
	}
}

// checkProcess looks at what the service may do.
func checkProcess(t *testing.T, c *container) {
	t.Helper()
	process := "/proc/" + c.property(t, "MainPID")
	status := c.run(t, "cat", process+"/status")
	of := make(map[string]string)
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		of[name] = strings.TrimSpace(value)
	}
	if strings.HasPrefix(of["Uid"], "0\t") || of["Uid"] == "" {
		t.Errorf("the service runs as %q", of["Uid"])
	}
	const bindService = "0000000000000400" // CAP_NET_BIND_SERVICE is 10
	for name, want := range map[string]string{
		"CapEff": bindService, "CapPrm": bindService, "CapBnd": bindService, "NoNewPrivs": "1", "Seccomp": "2",
	} {
		if of[name] != want {
			t.Errorf("%s of the service is %q, want %s", name, of[name], want)
		}
	}
	// Shoal says nothing when a thread that hashes may not have a lower priority.
	var levels []int
	for line := range strings.Lines(c.run(t, "sh", "-c", "cat "+process+"/task/*/stat")) {
		_, fields, _ := strings.Cut(line, ") ") // behind the name, which may have spaces
		level, err := strconv.Atoi(strings.Fields(fields)[16])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		levels = append(levels, level)
	}
	low := 0
	for _, level := range levels {
		if level > slices.Min(levels) { // which is that of the tests
			low++
		}
	}
	if low != cache.Workers {
		t.Errorf("%d threads of the service have a lower priority, want %d", low, cache.Workers)
	}
}

// checkJournal: nothing that the service tried was forbidden.
func checkJournal(t *testing.T, c *container) {
	t.Helper()
	for line := range strings.Lines(c.run(t, "journalctl", "--no-pager", "--output=cat", "--unit=shoal.service")) {
		if strings.Contains(line, "level=WARN") && !strings.Contains(line, "log in with this password") ||
			strings.Contains(line, "level=ERROR") || strings.Contains(line, "DATA RACE") {
			t.Errorf("the service logs: %s", line)
		}
	}
}

// checkWrongSetting: a wrong setting is told, and is not tried again and again.
func checkWrongSetting(t *testing.T, c *container, settings string) {
	t.Helper()
	path := filepath.Join(c.root, "etc/default/shoal")
	if err := os.WriteFile(path, []byte(settings+"SHOAL_LOG_LEVEL=loud\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, err := c.try("systemctl", "restart", "shoal.service"); err == nil {
		t.Errorf("the service starts with a wrong setting: %s", out)
	}
	if got := c.property(t, "ActiveState") + " " + c.property(t, "ExecMainStatus"); got != "failed 2" {
		t.Errorf("with a wrong setting the service is %q, want failed with 2", got)
	}
	if err := os.WriteFile(path, []byte(settings), 0o640); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.run(t, "systemctl", "start", "shoal.service")
	c.run(t, "systemctl", "stop", "shoal.service")
	if got := c.property(t, "Result"); got != "success" {
		t.Errorf("stopping ends with %s after %v", got, time.Since(began))
	}
	c.run(t, "systemctl", "start", "shoal.service")
}

// packages installs the package in a container, as the only one that dpkg knows there: the machine's may be changed meanwhile.
type packages struct {
	c     *container
	deb   string
	admin string
}

func newPackages(t *testing.T, c *container) *packages {
	t.Helper()
	p := &packages{c: c, deb: "/srv/shoal.deb", admin: "/var/lib/dpkg-test"}
	deb, err := os.Open(buildDeb(t))
	if err != nil {
		t.Fatal(err)
	}
	defer deb.Close()
	there, err := os.Create(filepath.Join(c.root, p.deb))
	if err == nil {
		_, err = io.Copy(there, deb)
		err = errors.Join(err, there.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(c.root, p.admin, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.root, p.admin, "status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *packages) dpkg(t *testing.T, arguments ...string) {
	t.Helper()
	// Settings that are there already stay, without a question.
	p.c.run(t, append([]string{"dpkg", "--admindir=" + p.admin, "--force-confold"}, arguments...)...)
}

func (p *packages) install(t *testing.T) {
	t.Helper()
	p.dpkg(t, "--install", p.deb)
	if got := p.c.run(t, "systemctl", "is-enabled", "shoal.service"); got != "enabled\n" {
		t.Errorf("the service is %q, want enabled", got)
	}
	if got := p.c.run(t, "shoal", "version"); !strings.HasPrefix(got, "shoal ") {
		t.Errorf("shoal version prints %q", got)
	}
}

// remove removes the package and purges it. What is left is the library.
func (p *packages) remove(t *testing.T) {
	t.Helper()
	c := p.c
	p.dpkg(t, "--remove", "shoal")
	if out, err := c.try("systemctl", "is-active", "shoal.service"); err == nil {
		t.Errorf("the service is %s without its package", out)
	}
	p.dpkg(t, "--purge", "shoal")
	left := strings.Fields(c.run(t, "find", "/etc", "/usr", "/lib/systemd", "/var/cache", "/var/lib/systemd", "/run/systemd/system",
		"-maxdepth", "3", "-name", "*shoal*"))
	if len(left) > 0 {
		t.Errorf("purging leaves %s", left)
	}
	c.run(t, "test", "-e", "/var/lib/private/shoal/library.json")
	if out, err := c.try("systemctl", "is-enabled", "shoal.service"); err == nil {
		t.Error(fmt.Sprint("the service is still ", out))
	}
}
