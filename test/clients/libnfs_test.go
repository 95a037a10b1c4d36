//go:build linux

package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/netns"
)

// TestLibnfs lists and reads, over IPv4 and IPv6.
func TestLibnfs(t *testing.T) {
	netns.Require(t)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=music,films")
	files := album(t, a)
	for _, host := range hosts {
		top := "nfs://" + host
		if got := succeed(t, "nfs-ls", top+"/"); strings.Count(got, "\n") != 2 ||
			!strings.Contains(got, " music\n") || !strings.Contains(got, " films\n") {
			t.Errorf("nfs-ls %s/ says:\n%s", top, got)
		}
		tree := succeed(t, "nfs-ls", "-R", top+"/")
		folder := succeed(t, "nfs-ls", top+"/music/an album/disc 1")
		for _, f := range files {
			size := len(f.Content)
			if want := fmt.Sprintf("-r--r--r--  1     0     0 %12d music/an album/%s\n", size, f.Path); !strings.Contains(tree, want) {
				t.Errorf("nfs-ls -R %s/ lacks %q:\n%s", top, want, tree)
			}
			dir, name := filepath.Split(f.Path)
			if want := fmt.Sprintf("%12d %s\n", size, name); dir == "disc 1/" && !strings.Contains(folder, want) {
				t.Errorf("nfs-ls of %s lacks %q:\n%s", dir, want, folder)
			}
			if got := succeed(t, "nfs-cat", top+"/music/an album/"+f.Path); got != string(f.Content) {
				t.Errorf("nfs-cat of %s from %s: %d bytes, and not the %d of the file", f.Path, host, len(got), size)
			}
		}
	}
	if got := succeed(t, "nfs-ls", "-s", "nfs://127.0.0.1/music"); !freeSpace(got) {
		t.Errorf("nfs-ls -s tells no plausible space:\n%s", got)
	}
}

// freeSpace says whether the output of `nfs-ls -s` tells of a disk with room.
func freeSpace(out string) bool {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var free, all uint64
	n, err := fmt.Sscanf(lines[len(lines)-1], "%d of %d bytes free.", &free, &all)
	return n == 2 && err == nil && 0 < free && free <= all
}

// TestLibnfsCopy copies a file, and is refused to copy it back.
func TestLibnfsCopy(t *testing.T) {
	netns.Require(t)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=music")
	file := album(t, a)[0]
	to := filepath.Join(t.TempDir(), "copy")
	succeed(t, "nfs-cp", "nfs://127.0.0.1/music/an album/"+file.Path, to)
	if b, err := os.ReadFile(to); err != nil || string(b) != string(file.Content) {
		t.Errorf("nfs-cp made a file of %d bytes (%v), and not that of %d", len(b), err, len(file.Content))
	}
	if got := run(t, "nfs-cp", to, "nfs://127.0.0.1/music/new"); !got.failed || !strings.Contains(got.out, "NFS3ERR_ROFS") {
		t.Errorf("nfs-cp to the server: %+v, want NFS3ERR_ROFS", got)
	}
}

// TestLibnfsRefused asks for what there is not.
func TestLibnfsRefused(t *testing.T) {
	netns.Require(t)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=music", "SHOAL_NFS_READ_WAIT=1s")
	album(t, a)
	a.AddDead(t, "music", "dead", complete.File{Path: "file", Content: random("dead", 100_000)})
	for _, test := range []struct{ name, path, want string }{
		{"nfs-ls", "nope", "MNT3ERR_NOENT"},
		{"nfs-ls", "music/an album/disc 1/empty", "MNT3ERR_NOTDIR"},
		{"nfs-cat", "music/an album/nope", "NFS3ERR_NOENT"},
		{"nfs-ls", "?version=4", "Failed to mount"},
		{"nfs-cat", "music/dead/file", "Failed to read"}, // it takes no for an answer
	} {
		begin := time.Now()
		got := run(t, test.name, "nfs://127.0.0.1/"+test.path)
		if took := time.Since(begin); !got.failed || !strings.Contains(got.out, test.want) || took > 5*time.Second {
			t.Errorf("%s %s after %v: %+v, want a failure with %q at once", test.name, test.path, took, got, test.want)
		}
	}
	succeed(t, "nfs-ls", "nfs://127.0.0.1/music/dead")
}

// TestNotAllowed comes from an address that may not mount.
func TestNotAllowed(t *testing.T) {
	netns.Require(t)
	appliance.StartDefault(t, "SHOAL_ROUTES=music", "SHOAL_NFS_ALLOW=10.0.0.0/8")
	if got := run(t, "nfs-ls", "nfs://127.0.0.1/"); !got.failed {
		t.Errorf("nfs-ls: %+v, want a failure", got)
	}
	if got := run(t, "showmount", "-e", "127.0.0.1"); !got.failed || !strings.Contains(got.out, "uthentication error") {
		t.Errorf("showmount -e: %+v, want an authentication error", got)
	}
	got := run(t, "mount.nfs", "-o", "nfsvers=3,nolock", "127.0.0.1:/", t.TempDir())
	if !got.failed || !strings.Contains(got.out, "access denied by server") {
		t.Errorf("mount.nfs: %+v, want it to be denied access", got)
	}
}
