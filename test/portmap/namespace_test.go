//go:build linux

package portmap_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/test/debian"
)

func TestMain(m *testing.M) {
	if os.Getenv(registerVariable) != "" {
		os.Exit(registerUntilEnd())
	}
	goleak.VerifyTestMain(m)
}

const (
	// registerVariable is set for a program that registers mappings until its input ends.
	registerVariable = "SHOAL_TEST_PORTMAP_REGISTER"
	// insideVariable is set for a test that runs in namespaces.
	insideVariable = "SHOAL_TEST_PORTMAP_INSIDE"
	// insideTime is how long such a test may take.
	insideTime = 2 * time.Minute
	// commandTime is how long a client may take.
	commandTime = 30 * time.Second
)

// inside returns true for a test that runs as the first process of namespaces of its own: port 111 and
// /run are free there, whatever the machine has, and what is started there ends with it. Elsewhere it
// runs the test there, and returns false.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) != "" {
		furnish(t)
		return true
	}
	debian.Install(t, "rpcbind", "netbase", "iproute2", "util-linux", "libnfs-utils")
	if os.Geteuid() != 0 {
		debian.Unavailable(t, errors.New("only root can make network namespaces"))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), insideTime)
	defer cancel()
	// Pdeathsig is about the thread that starts the child: it must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, self, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID,
		// Go makes the mounts private in between.
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig:    syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in namespaces: %v\n%s", err, out)
	}
	return false
}

// furnish makes the namespaces a place to work in.
func furnish(t *testing.T) {
	t.Helper()
	for _, m := range []struct{ kind, target string }{{"proc", "/proc"}, {"tmpfs", "/run"}} {
		if err := syscall.Mount(m.kind, m.target, m.kind, 0, ""); err != nil {
			t.Fatalf("mount %s: %v", m.target, err)
		}
	}
	run(t, "ip", "link", "set", "lo", "up")
}

// run returns what a command says, and ends the test if it fails.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

// start runs a command until the function that it returns is called, or the test ends.
func start(t *testing.T, name string, args ...string) (cmd *exec.Cmd, stop func()) {
	t.Helper()
	cmd = exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stop %s: %v", name, err)
		}
		_ = cmd.Wait() // it was told to end
	}
	t.Cleanup(stop)
	return cmd, stop
}

// eventually waits until done, for at most commandTime.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(commandTime); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s after %s", what, commandTime)
		}
	}
}
