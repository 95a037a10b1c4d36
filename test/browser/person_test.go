//go:build linux

package browser_test

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/test/appliance"
	"shoal/test/browser"
	"shoal/test/debian"
	"shoal/test/netns"
	"shoal/test/seeder"
)

func TestMain(m *testing.M) {
	code := netns.Run(prepare, func() int {
		code := appliance.Run(m)
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	})
	appliance.Remove()
	os.Exit(code)
}

// prepare gets everything that the tests do not make themselves, as they have no network.
func prepare() error {
	return errors.Join(browser.Prepare(), seeder.Prepare(), debian.Ensure("libnfs-utils"), appliance.Prepare())
}

const (
	soon     = 20 * time.Second
	later    = 60 * time.Second // for what peers do
	password = "a password of the test"
)

// person is somebody who uses an appliance's site.
type person struct {
	*browser.Tab
	t    *testing.T
	a    *appliance.Appliance
	home string // the site's URL
}

// visit starts an appliance that clients and browsers find where they look for it, and somebody who visits its site.
func visit(t *testing.T, env ...string) *person {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Chromium: left out with -short")
	}
	netns.Require(t)
	a := appliance.StartDefault(t, env...)
	p := &person{t: t, a: a, home: fmt.Sprintf("http://127.0.0.1:%d", a.HTTPPort)}
	if status := a.Status(t, "/login", ""); status == http.StatusNotFound || status == http.StatusUnauthorized {
		t.Skipf("NOT TESTED: the site has no pages yet: /login answers %d", status)
	}
	p.Tab = browser.Open(t).NewTab()
	return p
}

// enter is visit with a password, and logs in.
func enter(t *testing.T, env ...string) *person {
	t.Helper()
	p := visit(t, append([]string{"SHOAL_ADMIN_PASSWORD=" + password, "SHOAL_ROUTES=films"}, env...)...)
	p.logIn(password)
	return p
}

func (p *person) logIn(secret string) {
	p.t.Helper()
	p.Go(p.home + "/")
	p.Fill("User", "admin")
	p.Fill("Password", secret)
	p.Click("Log in")
}

// torrents makes torrents of one file each, and returns their files, and magnet links of the same names whose torrents nobody has.
func torrents(t *testing.T, names ...string) (files []string, magnets []string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		writeRandom(t, path, 100_000)
		torrent := path + ".torrent"
		content := seeder.Create(t, path, 64<<10, false)
		if err := os.WriteFile(torrent, content, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, torrent)
		magnets = append(magnets, fmt.Sprintf("magnet:?xt=urn:btih:%x&dn=%s", sha1.Sum([]byte(name)), name))
	}
	return files, magnets
}

func writeRandom(t *testing.T, path string, size int) {
	t.Helper()
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(filepath.Base(path)))).Read(b) // never fails
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFirstLogin logs in with the password of the log, and changes it, which ends what was logged in elsewhere.
func TestFirstLogin(t *testing.T) {
	p := visit(t)
	found := regexp.MustCompile(`password=(\S+)`).FindStringSubmatch(p.a.Log())
	if found == nil {
		t.Fatalf("the log has no password:\n%s", p.a.Log())
	}
	p.Allow(`status (401|403|422): POST .*/login`)
	p.logIn("wrong password")
	p.AwaitText("wrong", soon)
	p.CheckAccessible()
	p.Screenshot("login")
	elsewhere := &person{Tab: browser.Open(t).NewTab(), t: t, a: p.a, home: p.home}
	for _, who := range []*person{p, elsewhere} {
		who.logIn(found[1])
		who.AwaitText("The password is still the one that Shoal made.", soon)
	}
	p.Follow("Change it")
	p.Fill("Current password", found[1])
	p.Fill("New password", password)
	p.Click("Change the password")
	p.AwaitText("changed", soon)
	elsewhere.Allow("status 401")
	elsewhere.Go(p.home + "/torrents")
	elsewhere.AwaitText("Log in", soon)
	p.logIn(password)
	p.AwaitText("Overview", soon)
	if p.Has("The password is still the one that Shoal made.") {
		t.Error("the site still wants the password to be changed")
	}
	p.Click("Log out")
	p.Go(p.home + "/torrents")
	p.AwaitText("Log in", soon)
}

// TestAdding adds torrents in all ways that there are.
func TestAdding(t *testing.T) {
	p := enter(t)
	files, magnets := torrents(t, "paste-1", "paste-2", "drop-1", "drop-2", "form")

	p.Paste(magnets[0] + "\n" + magnets[1])
	p.In("main").AwaitText("paste-1", soon)
	p.In("main").AwaitText("paste-2", soon)
	p.CheckAccessible()
	p.Screenshot("preview")
	p.In("main").Click("Add")
	p.In("main").AwaitText("2 torrents", soon)

	p.Go(p.home + "/")
	p.DropFiles("main", files[2], files[3])
	p.In("main").AwaitText("drop-2", soon)
	p.In("main").Click("Add")
	p.In("main").AwaitText("2 torrents", soon)

	p.In("nav").Follow("Add")
	p.Fill("Links", magnets[0])
	p.Attach("Files", files[2], files[4])
	p.Choose("Route", "films")
	p.In("main").Click("Preview")
	p.In("main").AwaitText("form", soon)
	p.In("main").AwaitText("already", soon) // paste-1 and drop-1
	p.In("main").Click("Add")
	p.In("nav").Follow("Torrents")
	for _, name := range []string{"paste-1", "paste-2", "drop-1", "drop-2", "form"} {
		p.In("main table").AwaitText(name, soon)
	}
}

// TestWatching looks at a torrent while a client reads it that a foreign peer has.
func TestWatching(t *testing.T) {
	seeder.Require(t)
	dir := t.TempDir()
	const name, size = "film.mkv", 24 << 20
	writeRandom(t, filepath.Join(dir, name), size)
	d := seeder.Start(t, dir)
	infohash := d.Add(t, seeder.Create(t, filepath.Join(dir, name), 256<<10, false))
	d.Eager(t)
	p := enter(t, "SHOAL_BT_PEERS="+d.Addr(), "SHOAL_BT_DOWN_LIMIT=1MiB")

	p.Paste("magnet:?xt=urn:btih:" + infohash)
	p.In("main").AwaitText(infohash, soon)
	p.In("main").Click("Add")
	p.Go(p.home + "/torrents")
	p.In("main").AwaitText(name, later)
	p.Follow(name)
	p.In("main").AwaitText("idle", later)
	read(t, "nfs://127.0.0.1/films/"+name)
	p.In("main").AwaitText("active", later)
	p.In("main").AwaitText("127.0.0.1", later) // who reads
	p.Await(`document.querySelector("main canvas")?.getAttribute("aria-label")?.includes("127.0.0.1")`, later)
	p.CheckAccessible()
	p.Screenshot("torrent")
	p.Go(p.home + "/")
	p.In("#readers").AwaitText(name, soon)
	p.Screenshot("overview")

	p.Go(p.home + "/torrents/" + infohash)
	p.In("main").Click("Delete")
	p.Click("Delete") // in the question
	p.Go(p.home + "/torrents")
	if p.In("main").Has(name) {
		t.Error("the torrent is still there")
	}
}

// read reads a file over NFS until the test ends.
func read(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "nfs-cat", url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("read %s: %v", url, err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
}

// TestRoutes makes, renames and deletes a route; without scripts, too.
func TestRoutes(t *testing.T) {
	p := enter(t)
	for _, off := range []bool{false, true} {
		p.NoScript(off)
		p.Go(p.home + "/routes")
		p.Fill("Name of the new route", "musik")
		p.Click("Create")
		p.In("main").AwaitText("musik", soon)
		row := "main tr:has([value=musik])"
		p.In(row).Fill("Name", "music")
		p.In(row).Click("Save")
		row = "main tr:has([value=music])"
		p.In("main").AwaitText("music", soon)
		p.In(row).Click("Delete")
		p.Click("Delete") // in the question, or on the page that asks
		p.In("main").AwaitText("deleted", soon)
		var left struct{ Routes []struct{ Name string } }
		p.a.Call(t, http.MethodGet, "/routes", nil, http.StatusOK, &left)
		if len(left.Routes) != 1 || left.Routes[0].Name != "films" {
			t.Errorf("the routes are %+v, want films only", left.Routes)
		}
	}
}

// TestMountLine copies the command of the page.
func TestMountLine(t *testing.T) {
	p := enter(t)
	p.Go(p.home + "/connect")
	p.In("main section:has(#linux)").Click("Copy")
	if got := p.Copy(); !strings.HasPrefix(got, "sudo mount -t nfs ") && !strings.HasPrefix(got, "mount -t nfs ") {
		t.Errorf("the command is %q", got)
	}
}
