//go:build linux

package browser_test

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/browser"
	"shoal/test/debian"
	"shoal/test/netns"
	"shoal/test/seeder"
)

func TestMain(m *testing.M) { os.Exit(appliance.RunApart(m, prepare)) }

// prepare gets everything that the tests do not make themselves, as they have no network.
func prepare() error {
	return errors.Join(browser.Prepare(), seeder.Prepare(), debian.Ensure("libnfs-utils"))
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

	browser *browser.Browser
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
	if strings.Contains(a.Log(), "its pages are plain") {
		t.Fatal("the pages lack the libraries that `make assets` puts in place")
	}
	p.browser = browser.Open(t)
	p.Tab = p.browser.NewTab()
	return p
}

// another is the same person, with the same session, at an empty page of the same browser.
func (p *person) another() *person {
	p.t.Helper()
	tab := *p
	tab.Tab = p.browser.NewTab()
	return &tab
}

// AwaitPath waits until a page with this path and query is shown.
func (p *person) AwaitPath(path string) {
	p.t.Helper()
	p.Await(fmt.Sprintf("location.pathname + location.search === %q", path), soon)
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
