//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/netns"
)

// settleTime is for how long a file of the watch folder has to stay as it is.
const settleTime = 2 * time.Second

// watch is the watch folder as the API describes it.
type watch struct {
	State, Reason string
	Files         []struct{ Path, State, Infohash, Error string }
}

func watchOf(t *testing.T, a *appliance.Appliance) watch {
	t.Helper()
	var w watch
	a.Call(t, http.MethodGet, "/watch", nil, http.StatusOK, &w)
	return w
}

// torrentsOf lists the torrents as route/name.
func torrentsOf(t *testing.T, a *appliance.Appliance) []string {
	t.Helper()
	var list struct{ Torrents []appliance.Torrent }
	a.Call(t, http.MethodGet, "/torrents", nil, http.StatusOK, &list)
	names := make([]string, len(list.Torrents))
	for i, torrent := range list.Torrents {
		names[i] = torrent.Route + "/" + torrent.Name
	}
	slices.Sort(names)
	return names
}

func awaitTorrents(t *testing.T, a *appliance.Appliance, want ...string) {
	t.Helper()
	await(t, fmt.Sprintf("torrents %q", want), func() (string, bool) {
		got := torrentsOf(t, a)
		return fmt.Sprintf("%q", got), slices.Equal(got, want)
	})
}

func awaitWatch(t *testing.T, a *appliance.Appliance, what string, ok func(watch) bool) {
	t.Helper()
	await(t, "the watch folder "+what, func() (string, bool) {
		w := watchOf(t, a)
		return fmt.Sprintf("%+v", w), ok(w)
	})
}

// await polls until ok, which also says how things are.
func await(t *testing.T, what string, ok func() (string, bool)) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		is, done := ok()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s, it is %s", what, is)
		}
	}
}

// smallTorrent is a .torrent of one small file, whose data nobody has.
func smallTorrent(t *testing.T, name string) []byte {
	t.Helper()
	b, err := complete.Torrent(t.TempDir(), name, 16<<10, complete.File{Path: "x", Content: []byte(name)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, content []byte, path ...string) {
	t.Helper()
	full := filepath.Join(path...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, content, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestWatchFolder drops a file slowly, takes the whole folder away and brings it back, and removes the
// file.
func TestWatchFolder(t *testing.T) {
	t.Parallel() // it only waits, most of the time
	dir := filepath.Join(t.TempDir(), "watch")
	a := appliance.Start(t, "SHOAL_WATCH_DIR="+dir)
	awaitWatch(t, a, "that is not there", func(w watch) bool { return w.State == "unavailable" && w.Reason != "" })
	torrent := smallTorrent(t, "slow")
	writeFile(t, torrent[:len(torrent)/2], dir, "films", "slow.torrent")
	awaitWatch(t, a, "with half a file", func(w watch) bool { return len(w.Files) == 1 && w.Files[0].State == "broken" })
	if got := torrentsOf(t, a); len(got) > 0 {
		t.Errorf("half a file has brought %q", got)
	}
	f, err := os.OpenFile(filepath.Join(dir, "films", "slow.torrent"), os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.Write(torrent[len(torrent)/2:])
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	awaitTorrents(t, a, "films/slow")
	writeFile(t, []byte("magnet:?xt=urn:btih:"+strings.Repeat("ab", 20)+"&dn=link"), dir, "films", "a.magnet")
	awaitTorrents(t, a, "films/link", "films/slow")

	rename(t, dir, dir+".away")
	awaitWatch(t, a, "taken away", func(w watch) bool { return w.State == "unavailable" })
	a.Kill(t)
	a.Restart(t)
	awaitWatch(t, a, "still away", func(w watch) bool { return w.State == "unavailable" })
	time.Sleep(2 * settleTime)
	awaitTorrents(t, a, "films/link", "films/slow")
	rename(t, dir+".away", dir)
	awaitWatch(t, a, "back", func(w watch) bool {
		return w.State == "watching" && w.Reason == "" && len(w.Files) == 2 && w.Files[0].State == "added" && w.Files[1].State == "added"
	})
	time.Sleep(2 * settleTime)
	awaitTorrents(t, a, "films/link", "films/slow")

	if err := os.Remove(filepath.Join(dir, "films", "slow.torrent")); err != nil {
		t.Fatal(err)
	}
	awaitTorrents(t, a, "films/link")
	a.Call(t, http.MethodDelete, "/torrents/"+strings.Repeat("ab", 20), nil, http.StatusNoContent, nil)
	if code, _ := a.Stop(t); code != 0 {
		t.Errorf("the exit code is %d, want 0", code)
	}
	a.Restart(t)
	awaitWatch(t, a, "with a dismissed link", func(w watch) bool { return len(w.Files) == 1 && w.Files[0].State == "removed" })
	awaitTorrents(t, a)
}

// TestWatchDisk unmounts the disk that the watch folder is on, and then that of a folder in it, while
// Shoal runs and while it does not, and mounts it again.
func TestWatchDisk(t *testing.T) {
	netns.Require(t) // for its mounts, which are its own
	t.Parallel()     // it only waits, most of the time
	for _, test := range []struct{ what, folder string }{{"the watch folder", ""}, {"a sub-folder", "films"}} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			disk, dir := t.TempDir(), t.TempDir()
			mount(t, "tmpfs", disk, "tmpfs", 0)
			for _, name := range []string{"a", "b"} {
				writeFile(t, smallTorrent(t, name), disk, "films", name+".torrent")
			}
			from, to := filepath.Join(disk, test.folder), filepath.Join(dir, test.folder)
			if err := os.MkdirAll(to, 0o755); err != nil {
				t.Fatal(err)
			}
			unmount := mount(t, from, to, "", syscall.MS_BIND)
			a := appliance.Start(t, "SHOAL_WATCH_DIR="+dir)
			awaitTorrents(t, a, "films/a", "films/b")
			unmount()
			// No event tells of that. This one comes from the disk, and makes Shoal look.
			writeFile(t, nil, disk, "films", "event.torrent")
			kept := func(w watch) bool { return w.Reason != "" && len(w.Files) == 0 }
			awaitWatch(t, a, "without its disk", kept)
			time.Sleep(2 * settleTime)
			awaitTorrents(t, a, "films/a", "films/b")
			a.Kill(t)
			a.Restart(t)
			awaitWatch(t, a, "without its disk since the start", kept)
			time.Sleep(2 * settleTime)
			awaitTorrents(t, a, "films/a", "films/b")
			a.Kill(t)
			if err := os.Remove(filepath.Join(disk, "films", "event.torrent")); err != nil {
				t.Fatal(err)
			}
			defer mount(t, from, to, "", syscall.MS_BIND)()
			a.Restart(t)
			awaitWatch(t, a, "with its disk", func(w watch) bool {
				return w.Reason == "" && len(w.Files) == 2 && w.Files[0].State == "added" && w.Files[1].State == "added"
			})
			time.Sleep(2 * settleTime)
			awaitTorrents(t, a, "films/a", "films/b")
			a.Kill(t)
		})
	}
}

// mount mounts something until the test ends, or unmount is called.
func mount(t *testing.T, source, target, kind string, flags uintptr) (unmount func()) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, ""); err != nil {
		t.Fatalf("mount %s at %s: %v", source, target, err)
	}
	mounted := true
	unmount = func() {
		if !mounted {
			return
		}
		mounted = false
		if err := syscall.Unmount(target, 0); err != nil {
			t.Errorf("unmount %s: %v", target, err)
		}
	}
	t.Cleanup(unmount)
	return unmount
}
