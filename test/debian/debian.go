//go:build linux

// Package debian gives tests the foreign programs they need, as Debian packages.
//
// A test that talks to a program which nobody here wrote begins with
//
//	debian.Install(t, "transmission-daemon", "transmission-cli")
//
// After that line the packages are there. When they can't be had, the test ends on that line: it is
// skipped on a developer's machine, and fails where CI=true, because a check that quietly did not run
// is worse there than a red one. [Unavailable] is that rule alone, for everything else that may be
// missing on a machine.
//
// Packages that are there already cost one call of dpkg-query and no network. Missing ones are
// installed without a question, but only by root on a machine without systemd, that is in a container
// or on a build machine: elsewhere Debian would also start the services that some packages bring (a
// BitTorrent daemon, open to the internet), so there the reason names the command to type instead.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// installLimit is for a slow mirror, not for a normal day: the largest package here takes seconds.
const installLimit = 10 * time.Minute

// Install returns when all the packages are installed, and otherwise ends the test as [Unavailable] does.
func Install(tb testing.TB, packages ...string) {
	tb.Helper()
	if err := Ensure(packages...); err != nil {
		Unavailable(tb, err)
	}
}

// Unavailable ends the test because the machine lacks something: it fails it where CI=true and skips
// it elsewhere. err is the reason, in words that say what to do about it.
func Unavailable(tb testing.TB, err error) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf("cannot test here, and CI=true allows no skip: %v", err)
	} else {
		tb.Skipf("NOT TESTED: %v", err)
	}
}

// Ensure is Install for callers that have no test at hand: it returns the reason.
// Several processes may call it at once; apt-get runs for one of them at a time.
func Ensure(packages ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installLimit)
	defer cancel()
	missing, err := absent(ctx, packages)
	if err != nil || len(missing) == 0 {
		return err
	}
	if err := mayInstall(missing); err != nil {
		return err
	}
	install := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)
	if aptGet(ctx, install...) == nil {
		return nil
	}
	// The lists of packages are absent (a fresh container) or older than the mirror.
	if err := aptGet(ctx, "update", "-qq"); err != nil {
		return err
	}
	return aptGet(ctx, install...)
}

// absent returns those of the packages that are not installed.
func absent(ctx context.Context, packages []string) ([]string, error) {
	arguments := append([]string{"-W", "-f", "${Package} ${db:Status-Status}\n"}, packages...)
	out, err := exec.CommandContext(ctx, "dpkg-query", arguments...).Output()
	// dpkg-query exits with 1 when it doesn't know one of the names, and lists the others.
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("list of installed Debian packages: %w", err)
	}
	installed := strings.Split(string(out), "\n")
	return slices.DeleteFunc(slices.Clone(packages), func(name string) bool {
		return slices.Contains(installed, name+" installed")
	}), nil
}

// mayInstall tells why this machine must not be changed by a test, if so.
func mayInstall(missing []string) error {
	why := ""
	if os.Geteuid() != 0 {
		why = "only root can install them"
	} else if _, err := os.Stat("/run/systemd/system"); err == nil {
		why = "a test does not install on a machine that runs systemd"
	}
	if why == "" {
		return nil
	}
	list := strings.Join(missing, " ")
	return fmt.Errorf("missing Debian packages, and %s; type: apt-get install --no-install-recommends %s", why, list)
}

// aptGet runs apt-get with nobody to answer its questions, and returns what it said as the error.
func aptGet(ctx context.Context, arguments ...string) error { return aptGetIn(ctx, "", arguments...) }

// aptGetIn is aptGet in a folder, where it leaves what it downloads.
func aptGetIn(ctx context.Context, folder string, arguments ...string) error {
	// apt-get's own locks don't cover its lists, and fail at once; flock(1) waits.
	lock := filepath.Join(os.TempDir(), "shoal-test-apt.lock")
	command := append([]string{"-w", "300", lock, "apt-get", "-o", "DPkg::Lock::Timeout=300"}, arguments...)
	cmd := exec.CommandContext(ctx, "flock", command...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	// apt-get has children of its own; an interrupt to the group lets dpkg finish its step.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(arguments, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
