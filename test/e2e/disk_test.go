//go:build linux

package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/netns"
)

// smallDisk mounts a disk of 1 MiB for a test.
func smallDisk(t *testing.T) string {
	t.Helper()
	return diskOf(t, "1m")
}

// diskOf mounts a disk of a size for a test.
func diskOf(t *testing.T, size string) string {
	t.Helper()
	netns.Require(t) // where mounts are seen by nobody else
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill leaves no room on a disk, and returns the path of the file that takes it.
func fill(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); errors.Is(err, syscall.ENOSPC) {
			return path
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// remount makes a disk read-only, or writable again.
func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
}

// everything is what the API says of the library.
func everything(t *testing.T, a *appliance.Appliance) map[string]any {
	t.Helper()
	all := make(map[string]any)
	for _, path := range []string{"/routes", "/torrents", "/limits"} {
		var reply any
		a.Call(t, http.MethodGet, path, nil, http.StatusOK, &reply)
		all[path] = reply
	}
	return all
}

// change is a call that changes something.
type change struct {
	method, path string
	body         any
	done         int // status when it is done
}

func changesOf(ih string) []change {
	return []change{
		{http.MethodPost, "/routes", map[string]string{"name": "new"}, 201},
		{http.MethodPatch, "/routes/films", map[string]string{"name": "movies"}, 200},
		{http.MethodPost, "/torrents", map[string]string{"route": "music", "magnet": "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20)}, 201},
		{http.MethodPost, "/torrents", map[string]string{"route": "music", "magnet": "magnet:?xt=urn:btih:" + ih + "&tr=udp://127.0.0.1:1"}, 409},
		{http.MethodPatch, "/torrents/" + ih, map[string]any{"route": "music", "name": "x", "paused": true, "pinned": true}, 200},
		{http.MethodPatch, "/limits", map[string]any{"up_limit": 5}, 200},
	}
}

// TestDiskFullAndReadOnly takes the disk of the data folder away for a while, in two ways.
func TestDiskFullAndReadOnly(t *testing.T) {
	for _, test := range []struct {
		what   string
		status int
		reason string
	}{
		{"full", http.StatusInsufficientStorage, "no space left on device"},
		{"read-only", http.StatusInternalServerError, "read-only file system"},
	} {
		t.Run(test.what, func(t *testing.T) {
			disk := smallDisk(t)
			a := appliance.Start(t, "SHOAL_ROUTES=films,music", "SHOAL_DATA_DIR="+disk)
			ih := a.AddDead(t, "films", "album", complete.File{Path: "a", Content: []byte("a")}).Infohash
			gone := a.AddDead(t, "films", "gone", complete.File{Path: "b", Content: []byte("b")}).Infohash
			before := everything(t, a)
			var mend func()
			if test.what == "full" {
				filler := fill(t, disk)
				mend = func() {
					if err := os.Remove(filler); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				remount(t, disk, syscall.MS_RDONLY)
				mend = func() { remount(t, disk, 0) }
			}
			for _, c := range changesOf(ih) {
				var problem struct{ Detail string }
				a.Call(t, c.method, c.path, c.body, test.status, &problem)
				if !strings.HasPrefix(problem.Detail, "The change was not made") || !strings.Contains(problem.Detail, test.reason) {
					t.Errorf("%s %s answers %q, want that the change was not made: %s", c.method, c.path, problem.Detail, test.reason)
				}
			}
			torrent, err := complete.Torrent("", "late", 1<<14, complete.File{Path: "c", Content: []byte("c")})
			if err != nil {
				t.Fatal(err)
			}
			a.Upload(t, "music", torrent, test.status)
			if after := everything(t, a); !reflect.DeepEqual(before, after) {
				t.Errorf("after changes that failed there is\n%v, before\n%v", after, before)
			}
			if test.what == "full" {
				a.Call(t, http.MethodDelete, "/torrents/"+gone, nil, http.StatusNoContent, nil) // needs no room
			} else {
				a.Call(t, http.MethodDelete, "/torrents/"+gone, nil, test.status, nil)
			}
			mend()
			if test.what != "full" {
				a.Call(t, http.MethodDelete, "/torrents/"+gone, nil, http.StatusNoContent, nil)
			}
			// What failed left nothing behind.
			left, err := filepath.Glob(filepath.Join(disk, "torrents", "*"))
			if hidden, _ := filepath.Glob(filepath.Join(disk, "*", ".*")); err != nil || len(left) != 2 || len(hidden) > 0 {
				t.Errorf("on the disk are %q and %q (%v), want the record and the .torrent of one", left, hidden, err)
			}
			for _, c := range changesOf(ih) {
				a.Call(t, c.method, c.path, c.body, c.done, nil)
			}
			a.Upload(t, "music", torrent, http.StatusCreated)
			before = everything(t, a)
			a.Kill(t)
			a.Restart(t, "SHOAL_ROUTES=")
			if after := everything(t, a); !reflect.DeepEqual(before, after) {
				t.Errorf("after a restart there is\n%v, before\n%v", after, before)
			}
			a.Stop(t)
		})
	}
}
