//go:build linux

package packaging

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/test/debian"
)

const (
	bootTime    = time.Minute // normal is 2 s
	haltTime    = 20 * time.Second
	commandTime = time.Minute
)

// container is a Debian that systemd runs: this machine's files, with what is changed kept in memory, in the namespaces of the tests.
type container struct {
	root   string // its files
	leader int    // the process that is its systemd
}

// newContainer boots a container, without any service, until the test ends.
func newContainer(t *testing.T) *container {
	t.Helper()
	c := &container{root: overlay(t)}
	for name, content := range map[string]string{
		"etc/machine-id":       "5408a15d7c6d4b2f8d6d6c4d2e1c0f3b\n", // as if it had been booted before
		"usr/sbin/policy-rc.d": "#!/bin/sh\nexit 0\n",                // images for containers have one that forbids services
	} {
		if err := os.WriteFile(filepath.Join(c.root, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var said strings.Builder
	cmd := exec.Command("systemd-nspawn", "--directory="+c.root, "--boot", "--console=pipe", "--register=no", "--keep-unit",
		"--link-journal=no", "--resolv-conf=off", "--timezone=off",
		// Nothing brings the network up there, as it is that of the tests.
		"systemd.unit=sysinit.target", "systemd.mask=systemd-networkd-wait-online.service", "systemd.mask=NetworkManager-wait-online.service")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ended, started := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is about the thread that starts the child: it must live as long
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the exit code is in ProcessState
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("systemd-nspawn: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(haltTime):
			_ = cmd.Process.Kill()
			<-ended
		}
		removeGroups(t)
	})
	deadline := time.Now().Add(bootTime)
	for !c.booted(cmd.Process.Pid) {
		select {
		case <-ended:
			debian.Unavailable(t, fmt.Errorf("systemd in a container ended with %v: %s", cmd.ProcessState, said.String()))
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			debian.Unavailable(t, fmt.Errorf("systemd in a container is not up after %v", bootTime))
		}
	}
	return c
}

// overlay returns this machine's files as they are, to be changed.
func overlay(t *testing.T) (root string) {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatalf("mount %s: %v", dir, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	for _, name := range []string{"changes", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root = filepath.Join(dir, "root")
	options := fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", filepath.Join(dir, "changes"), filepath.Join(dir, "work"))
	if err := syscall.Mount("overlay", root, "overlay", 0, options); err != nil {
		debian.Unavailable(t, fmt.Errorf("this machine's files under an overlay: %w", err))
	}
	t.Cleanup(func() { _ = syscall.Unmount(root, syscall.MNT_DETACH) })
	return root
}

// removeGroups removes the control groups that systemd-nspawn makes below that of the tests, and leaves.
func removeGroups(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path; see cgroups(7)
		for _, hierarchy := range []string{strings.TrimPrefix(fields[1], "name="), "unified", ""} {
			for _, name := range []string{"payload", "supervisor"} {
				top := filepath.Join("/sys/fs/cgroup", hierarchy, fields[2], name)
				var groups []string
				_ = filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
					if err == nil && entry.IsDir() {
						groups = append(groups, path)
					}
					return nil
				})
				for _, group := range slices.Backward(groups) {
					_ = os.Remove(group) // it is busy if it is another's
				}
			}
		}
	}
}

// booted says whether the systemd that a process has started has done so.
func (c *container) booted(parent int) bool {
	if c.leader == 0 { // threads and processes end while this looks at them
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
		for _, thread := range threads {
			b, _ := os.ReadFile(thread)
			for child := range strings.FieldsSeq(string(b)) {
				comm, _ := os.ReadFile("/proc/" + child + "/comm")
				if strings.TrimSpace(string(comm)) == "systemd" {
					c.leader, _ = strconv.Atoi(child)
				}
			}
		}
	}
	if c.leader == 0 {
		return false
	}
	out, err := c.try("systemctl", "is-active", "sysinit.target")
	return err == nil && strings.TrimSpace(out) == "active"
}

// try runs a command in the container and returns what it said.
func (c *container) try(command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	in := []string{"--target", strconv.Itoa(c.leader), "--mount", "--uts", "--ipc", "--pid", "--"}
	out, err := exec.CommandContext(ctx, "nsenter", append(in, command...)...).CombinedOutput()
	return string(out), errors.Join(err, ctx.Err())
}

// run is try for what has to succeed.
func (c *container) run(t *testing.T, command ...string) string {
	t.Helper()
	out, err := c.try(command...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return out
}

// property returns one of the service.
func (c *container) property(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(c.run(t, "systemctl", "show", "--value", "--property="+name, "shoal.service"))
}
