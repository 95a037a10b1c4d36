//go:build linux

// Package netns runs all tests of a package in namespaces of their own, so that they may have any port,
// also those that there is one of (NFS's 2049, the portmapper's 111), whatever this machine has there.
//
//	func TestMain(m *testing.M) { os.Exit(netns.Run(prepare, m.Run)) }
//
//	func TestPort111(t *testing.T) {
//		netns.Require(t)
//
// The network there is a loopback interface with 127.0.0.1 and ::1, and what tests add. No packet leaves
// it. /run is empty and /proc has the processes of these namespaces only, which all end with the tests.
// Files are those of the machine.
//
// With -short, and where there can be no namespaces, the tests run where they are, and those that call
// [Require] end there.
package netns

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"shoal/test/debian"
)

// insideVariable is set in the namespaces.
const insideVariable = "TEST_NETNS"

var errNotRoot = errors.New("only root can make network namespaces")

// missing is why the tests do not run in namespaces. It is set before they begin.
var missing error

// Run runs the tests of a package, in namespaces if possible, and returns the exit code of the process.
// prepare is called before, where there still is the network of the machine: it gets what has to be
// downloaded. run runs the tests, and what belongs around them.
func Run(prepare func() error, run func() int) int {
	flag.Parse() //nolint:revive // nobody else does so before TestMain
	switch list := flag.Lookup("test.list"); {
	case os.Getenv(insideVariable) != "":
		missing = furnish()
		return run()
	case testing.Short(), list != nil && list.Value.String() != "":
		return run()
	case os.Geteuid() != 0:
		missing = errNotRoot
		return run()
	}
	if missing = prepare(); missing != nil {
		return run()
	}
	code, err := enter()
	if err != nil {
		missing = err
		return run()
	}
	return code
}

// Require ends a test as [debian.Unavailable] says, unless it runs in namespaces of its package. With
// -short it skips the test.
func Require(tb testing.TB) {
	tb.Helper()
	switch {
	case testing.Short():
		tb.Skip("runs in namespaces: left out with -short")
	case missing != nil:
		debian.Unavailable(tb, fmt.Errorf("namespaces to test in: %w", missing))
	case os.Getenv(insideVariable) == "":
		tb.Fatal("TestMain does not call netns.Run")
	}
}

// enter runs this program again as the first process of new namespaces: the kernel ends what runs in
// them when it ends, and it ends with this process. The error is that there can be no namespaces.
func enter() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	// Pdeathsig is about the thread that starts the child: it must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS, // tests may call the machine as they like
		// Go makes the mounts private in between.
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig:    syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start in namespaces: %w", err)
	}
	_ = cmd.Wait() // the exit code is in ProcessState
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	fmt.Fprintln(os.Stderr, "in namespaces:", cmd.ProcessState)
	return 1, nil
}

// furnish makes the namespaces a place to work in.
func furnish() error {
	for _, m := range []struct{ kind, target string }{{"proc", "/proc"}, {"tmpfs", "/run"}} {
		if err := syscall.Mount(m.kind, m.target, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return bringUp("lo")
}

// bringUp does what `ip link set NAME up` does, without the program.
func bringUp(name string) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	defer syscall.Close(fd)
	// struct ifreq of netdevice(7).
	var request struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = syscall.IFF_UP
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("bring up %s: %w", name, errno)
	}
	return nil
}
