//go:build linux

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// doneMark begins the last line of init.sh, which ends with the job's exit status.
const doneMark = "=== guest done, status "

// VM is one running or ended guest. Its methods may be called from several goroutines at once.
type VM struct {
	console   console
	input     io.WriteCloser
	kernelLog string        // file that QEMU writes
	kill      func()        // ends QEMU; does nothing when it has ended
	ended     chan struct{} // closed when QEMU has exited and the console has all it printed
	exit      error         // of QEMU; only to be read after ended
}

// Option is something that a VM has and others have not.
type Option func(*settings)

// settings are what options set.
type settings struct {
	network string // of QEMU's option -netdev
	files   []file
}

// file is one that the guest finds in its memory disk.
type file struct{ name, content string }

// WithFile puts a file, that may be run, into the guest's root, beside its folders: programs are in bin.
func WithFile(name string, content []byte) Option {
	return func(s *settings) { s.files = append(s.files, file{name, string(content)}) }
}

// OnTap connects the guest to a TAP interface of the host. The guest's address is 10.0.2.15/24 as ever,
// and what the host has there is for the test to say.
func OnTap(name string) Option {
	return func(s *settings) { s.network = "tap,id=net,script=no,downscript=no,ifname=" + name }
}

// Start boots the image with the shell script job and returns while it boots. The VM ends with the job;
// when the test ends earlier, or comes near the time limit of go test, it is killed. After a failed test
// the end of its console and the kernel's messages are logged.
func (image *Image) Start(tb testing.TB, job string, options ...Option) *VM {
	tb.Helper()
	set := settings{network: "user,id=net", files: []file{{"job.sh", job}}}
	for _, o := range options {
		o(&set)
	}
	dir := tb.TempDir()
	initrd := filepath.Join(dir, "initrd.gz")
	if err := image.withFiles(initrd, set.files); err != nil {
		tb.Fatalf("memory disk of the guest: %v", err)
	}
	ctx, cancel := context.WithDeadline(context.Background(), lifeEnd(tb))
	vm := &VM{
		kernelLog: filepath.Join(dir, "kernel.log"),
		kill:      cancel,
		ended:     make(chan struct{}),
	}
	if err := vm.launch(ctx, image.kernel, initrd, set.network); err != nil {
		cancel()
		tb.Fatalf("start of QEMU: %v", err)
	}
	tb.Cleanup(func() {
		cancel()
		<-vm.ended
		if tb.Failed() {
			tb.Logf("the guest's console:\n%s", vm.tail())
		}
	})
	return vm
}

// lifeEnd is when a VM is killed at the latest: early enough for a test that waits for it to fail with a
// message, before go test kills the process and takes the messages along.
func lifeEnd(tb testing.TB) time.Time {
	if t, ok := tb.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := t.Deadline(); ok {
			return deadline.Add(-10 * time.Second)
		}
	}
	return time.Now().Add(time.Hour)
}

func (vm *VM) launch(ctx context.Context, kernel, initrd, network string) error {
	// Without KASLR: in emulation, the kernel once never came back from looking for a random place.
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024",
		"-nodefaults", "-display", "none", "-no-reboot",
		"-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 earlyprintk=serial,ttyS0 quiet panic=-1 no_timer_check nokaslr",
		"-serial", "file:"+vm.kernelLog,
		"-device", "virtio-serial-pci", "-chardev", "stdio,id=job,signal=off", "-device", "virtconsole,chardev=job",
		"-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile=")
	cmd.Stdout, cmd.Stderr = &vm.console, &vm.console
	cmd.WaitDelay = 5 * time.Second
	// The kernel kills QEMU even when the test process dies without its cleanup.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	vm.input = input
	started := make(chan error)
	go func() {
		// "Parent" means the thread that started QEMU; it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		vm.exit = errors.Join(err, ctx.Err())
		close(vm.ended)
	}()
	return <-started
}

// WaitLine returns the first line of the console that contains substr, without its line end. Lines
// printed before the call count; a line counts when it is complete. It fails when ctx ends, or the VM.
func (vm *VM) WaitLine(ctx context.Context, substr string) (string, error) {
	for scanned := 0; ; {
		ended := vm.hasEnded() // asked first: what was printed before the end is looked at below
		lines, more := vm.console.linesAfter(scanned)
		for line := range bytes.Lines(lines) {
			if bytes.Contains(line, []byte(substr)) {
				return strings.TrimSuffix(string(line), "\n"), nil
			}
		}
		scanned += len(lines)
		if ended {
			return "", fmt.Errorf("guest ended without a line with %q\n%s", substr, vm.tail())
		}
		select {
		case <-more:
		case <-vm.ended:
		case <-ctx.Done():
			return "", fmt.Errorf("guest's line with %q: %w\n%s", substr, ctx.Err(), vm.tail())
		}
	}
}

// Wait returns when the job is over and the guest has powered itself off. It fails when the job's exit
// status is not 0, when the guest ended in another way, or when ctx ends first.
func (vm *VM) Wait(ctx context.Context) error {
	select {
	case <-vm.ended:
	case <-ctx.Done():
		return fmt.Errorf("end of the guest: %w\n%s", ctx.Err(), vm.tail())
	}
	lines := strings.Split(strings.TrimSpace(vm.Output()), "\n")
	status, done := strings.CutPrefix(lines[len(lines)-1], doneMark)
	switch {
	case !done:
		return fmt.Errorf("guest ended before its job did (QEMU: %v)\n%s", vm.exit, vm.tail()) //nolint:errorlint // may be nil
	case status != "0":
		return fmt.Errorf("guest's job failed with status %s\n%s", status, vm.tail())
	}
	return nil
}

// Send gives the job a line to read. It doesn't wait for the job to read it.
func (vm *VM) Send(line string) error {
	if _, err := io.WriteString(vm.input, line+"\n"); err != nil {
		return fmt.Errorf("line to the guest: %w", err)
	}
	return nil
}

// Output returns what the console has so far: lines end with "\n" alone, and the last may be unfinished.
func (vm *VM) Output() string {
	return vm.console.text()
}

// KernelLog returns the messages of the guest's kernel so far, such as "nfs: server ... not responding".
func (vm *VM) KernelLog() string {
	text, err := os.ReadFile(vm.kernelLog)
	if err != nil {
		return "" // QEMU has not begun
	}
	return strings.ReplaceAll(string(text), "\r", "")
}

func (vm *VM) hasEnded() bool {
	select {
	case <-vm.ended:
		return true
	default:
		return false
	}
}

// tail is what an error message shows of the VM.
func (vm *VM) tail() string {
	return lastLines(vm.Output(), 40) + "--- kernel:\n" + lastLines(vm.KernelLog(), 20)
}

func lastLines(text string, count int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "")
}

// console collects what QEMU prints and tells waiting readers.
type console struct {
	mu      sync.Mutex
	printed []byte        // only ever appended to, so that slices of it may be read without the lock
	more    chan struct{} // closed at the next Write; nil while nobody waits
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.printed = append(c.printed, bytes.ReplaceAll(p, []byte("\r"), nil)...)
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
	return len(p), nil
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.printed)
}

// linesAfter returns the complete lines behind the first offset bytes, and a channel that is closed when
// there is more.
func (c *console) linesAfter(offset int) ([]byte, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.more == nil {
		c.more = make(chan struct{})
	}
	rest := c.printed[offset:]
	return rest[:bytes.LastIndexByte(rest, '\n')+1], c.more
}
