//go:build linux

package watch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// deafVariable is set in a user name space with few inotify watches, to their kind and number.
const deafVariable = "TEST_WATCH_LIMIT"

// TestInotifyLimit has as many inotify watches as the system allows: none, and one, which is for the
// watch folder itself. There has to be a rescan then, and one warning. The limit is that of a user name
// space of its own.
func TestInotifyLimit(t *testing.T) {
	if limit := os.Getenv(deafVariable); limit != "" {
		watchDeaf(t, limit)
		return
	}
	self, err := os.Executable()
	must(t, err)
	for _, limit := range []string{"max_inotify_instances=0", "max_inotify_watches=0", "max_inotify_watches=1"} {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestInotifyLimit$", "-test.v")
		cmd.Env = append(os.Environ(), deafVariable+"="+limit)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if os.IsPermission(err) {
			t.Skipf("no user name space to have a limit in: %v", err)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", limit, err, out)
		}
		if warnings := strings.Count(string(out), "level=WARN"); warnings != 1 {
			t.Errorf("%s: %d warnings, want one:\n%s", limit, warnings, out)
		}
	}
}

func watchDeaf(t *testing.T, limit string) {
	name, value, _ := strings.Cut(limit, "=")
	if err := os.WriteFile(filepath.Join("/proc/sys/user", name), []byte(value), 0); err != nil {
		t.Skipf("no limit for this name space: %v", err)
	}
	dir := t.TempDir()
	mkdir(t, dir, "films")
	w := start(t, dir, settle)
	w.await(t, "the folder", func(f found) bool { return len(f.folders) == 1 })
	write(t, "x", dir, "films", "a.torrent")
	if f := w.awaitFiles(t, "films/a.torrent"); f.notified {
		t.Error("the scan says that changes are noticed at once")
	}
	must(t, os.Remove(filepath.Join(dir, "films", "a.torrent")))
	w.awaitFiles(t)
}
