//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"shoal/test/debian"
	"shoal/test/libtorrent"
)

// packages are what the comparison needs from Debian. ganesha does not start where nobody registers
// its programs.
var packages = []string{"nfs-ganesha", "nfs-ganesha-vfs", "rpcbind", "netbase", libtorrent.Package, "btfs", "iproute2", fuseZipName, archivemountName}

// insideRole is the first argument of the program that runs in the namespaces; the second one is a
// setup in JSON.
const insideRole = "inside-the-namespaces"

// setup is what the first program tells the second one.
type setup struct {
	options

	Dir string // empty; for the tmpfs
}

var (
	errNotRoot     = errors.New("only root can make the namespaces that this runs in")
	errInterrupted = errors.New("interrupted")
)

// run does everything, in namespaces, and returns when all of it has ended.
func run(ctx context.Context, opts options, out io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errNotRoot
	}
	if err := debian.Ensure(packages...); err != nil { //nolint:contextcheck // it has a limit of its own
		return err
	}
	unlock, err := alone(ctx, out)
	if err != nil {
		return err
	}
	defer unlock()
	dir, err := os.MkdirTemp("", "shoal-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if opts.Appliance == "" {
		opts.Appliance = filepath.Join(dir, "appliance")
		err = build(ctx, opts.Appliance)
	} else {
		opts.Appliance, err = filepath.Abs(opts.Appliance)
	}
	if err != nil {
		return err
	}
	ram := filepath.Join(dir, "ram")
	if err := os.Mkdir(ram, 0o755); err != nil {
		return err
	}
	return enter(ctx, setup{options: opts, Dir: ram}, out)
}

// alone waits until nobody else on this machine runs this, as both would measure each other.
func alone(ctx context.Context, out io.Writer) (unlock func(), err error) {
	// The folder of temporary files is locked, as it is there already, and nobody else locks it.
	dir, err := os.Open(os.TempDir())
	if err != nil {
		return nil, err
	}
	for waiting := false; ; waiting = true {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = dir.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", dir.Name(), err), dir.Close())
		}
		if !waiting {
			say(out, "Another benchmark runs on this machine; waiting for its end.")
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(errInterrupted, dir.Close())
		}
	}
}

// build makes the binary that `make build` makes.
func build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "shoal/cmd/appliance")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the appliance: %w\n%s", err, bytes.TrimSpace(said))
	}
	return nil
}

// enter runs the second program as the first process of its namespaces: the kernel ends what is in
// them as soon as it ends, and it ends with ctx or with this process.
func enter(ctx context.Context, s setup, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	arg, err := json.Marshal(s)
	if err != nil {
		return err
	}
	// Pdeathsig is about the thread that starts the child: it must live as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, self, insideRole, string(arg))
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // Ctrl-C is for this process
	}
	err = cmd.Run()
	switch exit := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		return errInterrupted
	case errors.As(err, &exit):
		return errReported
	case err != nil:
		return fmt.Errorf("start in namespaces: %w", err)
	}
	return nil
}

// furnish makes the namespaces a place to work in: processes in /proc are those of the namespace, /run
// is empty, so that no server meets one of the machine, dir is a tmpfs of some size and lo is up.
func furnish(dir string, size int64) error {
	// What is mounted here must not be seen outside.
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	for _, m := range []struct{ kind, target, data string }{
		{"proc", "/proc", ""},
		{"tmpfs", "/run", "size=16m,mode=755"},
		{"tmpfs", dir, fmt.Sprintf("size=%d,mode=755", size)},
	} {
		if err := syscall.Mount(m.kind, m.target, m.kind, 0, m.data); err != nil {
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
