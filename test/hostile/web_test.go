//go:build linux

package hostile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent/metainfo"

	"shoal/test/appliance"
	"shoal/test/netns"
)

// startNginx serves a folder in ways that are right and wrong, below paths that say so, and returns its URL and a function
// that counts the requests for a path so far.
func startNginx(t testing.TB, dir string) (url string, requests func(path string) int) {
	t.Helper()
	home, addr := t.TempDir(), freeAddr(t, "127.0.0.1")
	config := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
	access_log %[1]s/access.log; sendfile on;
	client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	server {
		listen %[2]s;
		location /good/ { alias %[3]s/; }
		location /slow/ { alias %[3]s/; limit_rate 1500k; }
		location /norange/ { alias %[3]s/; max_ranges 0; }
		location /short/ { alias %[3]s/short/; }
		location /lost/ { return 404; }
	}
}
`, home, addr, dir)
	path := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "nginx", "-p", home, "-c", path, "-e", filepath.Join(home, "error.log"))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() }) // it was killed
	eventually(t, "nginx serves", func() bool {
		resp, err := http.Get("http://" + addr + "/lost/")
		if err != nil {
			return false
		}
		http.DefaultClient.CloseIdleConnections()
		return resp.Body.Close() == nil
	})
	return "http://" + addr, func(path string) int {
		log, err := os.ReadFile(filepath.Join(home, "access.log"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(log), "GET "+path)
	}
}

// webSeed makes a torrent of a web seed (BEP 19).
func webSeed(url string) func(*metainfo.Info, *metainfo.MetaInfo) {
	return func(_ *metainfo.Info, mi *metainfo.MetaInfo) { mi.UrlList = []string{url} }
}

// TestWebSeeds has web seeds as the only sources, good ones and bad ones.
func TestWebSeeds(t *testing.T) {
	netns.Require(t)
	dir := t.TempDir()
	url, requests := startNginx(t, dir)
	const size = 4<<20 + 777
	a := appliance.Start(t, "SHOAL_ROUTES=r", "SHOAL_READ_GIVE_UP=3s", "SHOAL_FETCH_ALLOW_PRIVATE=true")
	if err := os.Mkdir(filepath.Join(dir, "short"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path  string
		right bool
	}{{"good", true}, {"slow", true}, {"short", false}, {"lost", false}, {"norange", false}} {
		t.Run(test.path, func(t *testing.T) {
			name := test.path + ".bin"
			f := newFilm(t, name, size, 128<<10, webSeed(url+"/"+test.path+"/"+name))
			content := f.bytes(0, size)
			write := func(path string, b []byte) {
				if err := os.WriteFile(filepath.Join(dir, path), b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write(name, content)
			write("short/"+name, content[:10_000])
			ih := a.Upload(t, "r", f.metainfo, http.StatusCreated).Infohash
			begin := time.Now()
			err := readFilm(t, a, f, 0, size)
			t.Logf("after %v: %v, %d requests", time.Since(begin), err, requests("/"+test.path+"/"+name))
			switch {
			case test.right && err != nil:
				t.Error(err)
			case !test.right && err == nil && test.path != "norange":
				t.Error("it was read from a web seed that does not have it")
			case !test.right && err != nil:
				if got := a.Torrent(t, ih); got.Reason == "" {
					t.Errorf("%+v has no reason", got)
				}
			}
			if n := requests("/" + test.path + "/" + name); n > 200 {
				t.Errorf("%d requests for a file of 33 pieces", n)
			}
		})
	}
}

// TestWebSeedOfFolder has a web seed as the only source of a torrent of several files.
func TestWebSeedOfFolder(t *testing.T) {
	netns.Require(t)
	dir := t.TempDir()
	url, _ := startNginx(t, dir)
	whole := newFilm(t, "whole", 3<<20, 64<<10)
	content := whole.bytes(0, int(whole.size))
	files := map[string][]byte{"a b.bin": content[:1_000_003], "sub/c#ü?.bin": content[1_000_003:2_000_000], "sub/d": content[2_000_000:]}
	paths := []string{"a b.bin", "sub/c#ü?.bin", "sub/d"}
	f := newFilm(t, "whole", 3<<20, 64<<10, webSeed(url+"/good/"), func(info *metainfo.Info, _ *metainfo.MetaInfo) {
		info.Name, info.Length = "a folder", 0
		for _, path := range paths {
			info.Files = append(info.Files, metainfo.FileInfo{Path: strings.Split(path, "/"), Length: int64(len(files[path]))})
		}
	})
	for path, b := range files {
		full := filepath.Join(dir, "a folder", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(path, 0o755); err != nil { // nginx drops root
			t.Fatal(err)
		}
	}
	a := appliance.Start(t, "SHOAL_ROUTES=r", "SHOAL_FETCH_ALLOW_PRIVATE=true")
	a.Upload(t, "r", f.metainfo, http.StatusCreated)
	for path, want := range files {
		got, err := read(t, a, "a folder/"+path, 0, len(want))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %d bytes, right %v, %v", path, len(got), string(got) == string(want), err)
		}
	}
}
