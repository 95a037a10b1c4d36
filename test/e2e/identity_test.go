//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/netns"
)

// Whom the appliance is to become.
const puid, pgid = 4242, 4343

// readable lets other users than root reach what is in folders that tests have made, up to the folder of temporary files.
func readable(t *testing.T, dir string) {
	t.Helper()
	for ; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// checkThreads checks that each thread of a process is the user, and has no groups and capabilities.
func checkThreads(t *testing.T, pid, uid, gid int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) < 2 {
		t.Fatalf("the process has the threads %q, %v", files, err)
	}
	want := map[string]string{
		"Uid": strings.TrimSuffix(strings.Repeat(strconv.Itoa(uid)+" ", 4), " "), "Gid": strings.TrimSuffix(strings.Repeat(strconv.Itoa(gid)+" ", 4), " "),
		"Groups": "", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapAmb": "0000000000000000",
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			if w, ok := want[name]; ok && strings.Join(strings.Fields(value), " ") != w {
				t.Errorf("%s has %s %q, want %q", file, name, strings.Join(strings.Fields(value), " "), w)
			}
		}
	}
}

// ownerOf returns whose a file is, and its permissions.
func ownerOf(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d %03o", st.Uid, st.Gid, info.Mode().Perm())
}

// checkOwners checks that all in a folder is the user's, but for some.
func checkOwners(t *testing.T, dir string, others ...string) {
	t.Helper()
	want := fmt.Sprintf("%d:%d ", puid, pgid)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		wantHere := want
		if slices.Contains(others, path) {
			wantHere = "0:0 "
		}
		if got := ownerOf(t, path); !strings.HasPrefix(got, wantHere) {
			t.Errorf("%s belongs to %s, want %s", path, got, wantHere)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBecomeUser has a library that root has made, and goes on with it as another user, on ports that only root may open.
func TestBecomeUser(t *testing.T) {
	netns.Require(t)
	a := appliance.Start(t, "SHOAL_ROUTES=films")
	if !strings.Contains(a.Log(), "runs as root") || !strings.Contains(a.Log(), "SHOAL_PUID") {
		t.Errorf("the log does not warn of running as root:\n%s", a.Log())
	}
	readable(t, a.Dir)
	content := bytes.Repeat([]byte("shoal"), 1<<16)
	ih := a.AddComplete(t, "films", "film.mkv", complete.File{Content: content}).Infohash
	a.Stop(t)

	data, cache := filepath.Join(a.Dir, "data"), filepath.Join(a.Dir, "cache")
	outside, watched := filepath.Join(a.Dir, "outside"), filepath.Join(data, "watched")
	link, hard, inWatched := filepath.Join(data, "link"), filepath.Join(data, "hard"), filepath.Join(watched, "films")
	if err := os.MkdirAll(inWatched, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(outside, hard); err != nil {
		t.Fatal(err)
	}

	a.Restart(t, "SHOAL_PUID="+strconv.Itoa(puid), "PUID=1", "PGID="+strconv.Itoa(pgid), "SHOAL_UMASK=077", "SHOAL_WATCH_DIR="+watched,
		"SHOAL_PORTMAP_ADDR=127.0.0.1:111")
	checkThreads(t, a.PID(), puid, pgid)
	if got := a.Torrent(t, ih); got.Cached != got.Size {
		t.Errorf("of %d bytes that root had %d are left", got.Size, got.Cached)
	}
	if got := a.Status(t, "/fs/films/film.mkv", appliance.Token); got != http.StatusOK {
		t.Errorf("reading the file that root had: status %d, want %d", got, http.StatusOK)
	}
	if metrics := a.Metrics(t); metrics["process_open_fds"] < 1 || metrics["process_resident_memory_bytes"] < 1 {
		t.Error("the metrics of the process are missing")
	}
	if !strings.Contains(a.Log(), "the portmapper listens") {
		t.Errorf("port 111 was not opened before:\n%s", a.Log())
	}
	late := a.AddDead(t, "films", "late", complete.File{Path: "a", Content: []byte("a")}).Infohash
	a.Stop(t)
	checkThatOwned(t, data, cache, outside, link, hard, watched, inWatched)
	if got, want := ownerOf(t, filepath.Join(data, "torrents", late+".json")), fmt.Sprintf("%d:%d 600", puid, pgid); got != want {
		t.Errorf("a new record is %s, want %s", got, want)
	}

	// Once all is right, nothing is given away.
	before := len(a.Log())
	a.Restart(t)
	if again := a.Log()[before:]; strings.Contains(again, "giving a folder") {
		t.Errorf("the folders are given again:\n%s", again)
	}
}

// checkThatOwned checks whose everything is after it was given away.
func checkThatOwned(t *testing.T, data, cache, outside string, others ...string) {
	t.Helper()
	checkOwners(t, data, others...)
	checkOwners(t, cache)
	if got := ownerOf(t, outside); got != "0:0 600" {
		t.Errorf("the file outside, which links lead to, is %s now, want 0:0 600", got)
	}
}

// TestBecomeUserInNewFolders makes the folders, and those that they are in.
func TestBecomeUserInNewFolders(t *testing.T) {
	netns.Require(t)
	dir := t.TempDir()
	readable(t, dir)
	top := filepath.Join(dir, "a")
	data := filepath.Join(top, "b", "data")
	a := appliance.Start(t, "SHOAL_DATA_DIR="+data, "SHOAL_CACHE_DIR="+filepath.Join(data, "cache"), "PUID="+strconv.Itoa(puid), "UMASK=027")
	checkThreads(t, a.PID(), puid, puid) // the group is the user's number without PGID
	for _, folder := range []string{top, data, filepath.Join(data, "torrents"), filepath.Join(data, "cache")} {
		if got, want := ownerOf(t, folder), fmt.Sprintf("%d:%d 750", puid, puid); got != want {
			t.Errorf("%s is %s, want %s", folder, got, want)
		}
	}
	// Somebody else must not take the folders of an instance that runs.
	got := runProgram(t, environment(t, "SHOAL_DATA_DIR="+data, "PUID=5555"), "serve")
	checkEnd(t, "another user's instance", got, "SHOAL_DATA_DIR: another instance of Shoal is using "+data)
	if got, want := ownerOf(t, data), fmt.Sprintf("%d:%d 750", puid, puid); got != want {
		t.Errorf("after another instance %s is %s, want %s", data, got, want)
	}
}

// runAs runs the program by setpriv with these of its arguments.
func runAs(t *testing.T, env []string, as ...string) result {
	t.Helper()
	setpriv, err := exec.LookPath("setpriv") // of util-linux, which each Debian has
	if err != nil {
		t.Fatal(err)
	}
	return run(t, env, setpriv, append(as, "--", appliance.Binary(t), "serve")...)
}

// TestStartWithoutRights starts it as somebody who may not do what is asked for.
func TestStartWithoutRights(t *testing.T) {
	netns.Require(t)
	readable(t, filepath.Dir(appliance.Binary(t)))
	dir := t.TempDir()
	readable(t, dir)
	theirs := filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(theirs, 4999, 4999); err != nil {
		t.Fatal(err)
	}
	other := []string{"--reuid", "4242", "--regid", "4343", "--clear-groups"}
	powerless := []string{"--bounding-set=-all"}

	got := runAs(t, environment(t, "SHOAL_DATA_DIR="+theirs, "SHOAL_PUID=4999"), other...)
	checkEnd(t, "another user", got, "SHOAL_DATA_DIR: "+theirs+" belongs to 4999:4999 (drwxr-xr-x), and Shoal runs as 4242:4343",
		"permission denied", "chown -R 4242:4343 "+theirs, "SHOAL_PUID", "`user:`")
	if !strings.Contains(got.stderr, "SHOAL_PUID and SHOAL_PGID are ignored") {
		t.Errorf("the log does not say that PUID is ignored:\n%s", got.stderr)
	}
	got = runAs(t, environment(t, "SHOAL_DATA_DIR="+filepath.Join(theirs, "data"), "PUID=4242", "PGID=4343"), other...)
	checkEnd(t, "another user without a folder", got, "SHOAL_DATA_DIR: "+theirs+" belongs to 4999:4999", "chown -R 4242:4343 "+theirs+"/data")
	if strings.Contains(got.stderr, "ignored") || !strings.Contains(got.stderr, "was started as the user that SHOAL_PUID names") {
		t.Errorf("the log is not content with who it was started as:\n%s", got.stderr)
	}
	mine := filepath.Join(dir, "mine")
	if err := errors.Join(os.Mkdir(mine, 0o500), os.Chown(mine, 4242, 4343)); err != nil {
		t.Fatal(err)
	}
	got = runAs(t, environment(t, "SHOAL_DATA_DIR="+mine), other...)
	checkEnd(t, "its own folder, read-only", got, "SHOAL_DATA_DIR: "+mine+" belongs to 4242:4343 (dr-x------)", "chmod u+rwX "+mine)
	got = runAs(t, environment(t, "SHOAL_CACHE_DIR="+theirs), powerless...)
	checkEnd(t, "root without capabilities", got, "SHOAL_CACHE_DIR: "+theirs+" belongs to 4999:4999", "root without the capabilities", `4999:4999\"`)
	got = runAs(t, environment(t, "PUID=4242"), powerless...)
	checkEnd(t, "PUID without capabilities", got, "PUID: ", "SETUID", `4242:4242\"`)
	// With these two alone it becomes the user whose the folders are, and fails for something else.
	if err := os.Chmod(theirs, 0o700); err != nil {
		t.Fatal(err)
	}
	got = runAs(t, environment(t, "SHOAL_DATA_DIR="+theirs, "SHOAL_CACHE_DIR="+theirs+"/cache", "PUID=4999", "SHOAL_BT_BLOCKLIST=/absent"),
		"--bounding-set=-all,+setuid,+setgid")
	checkEnd(t, "PUID with two capabilities", got, "SHOAL_BT_BLOCKLIST: ")
	if got := ownerOf(t, filepath.Join(theirs, "cache")); got != "4999:4999 755" {
		t.Errorf("the cache that was made is %s, want 4999:4999 755", got)
	}
	got = runAs(t, environment(t, "SHOAL_HTTP_ADDR=127.0.0.1:81"), powerless...)
	checkEnd(t, "a port for root", got, "SHOAL_HTTP_ADDR: TCP port 81 is for root only", "NET_BIND_SERVICE")
}
