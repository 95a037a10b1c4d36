//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"
)

// startTime is how long a server may take to start.
const startTime = 60 * time.Second

// process is a server. Who does not end it leaves that to the kernel, when the namespace ends.
type process struct {
	name  string
	pid   int
	cmd   *exec.Cmd
	log   string // path
	ended chan struct{}
	state func() string // how it ended
}

// launch starts a program that logs into a file of dir, or onto standard error if shown.
func launch(dir string, shown bool, env []string, name string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(name), ended: make(chan struct{})}
	p.log = filepath.Join(dir, p.name+".log")
	f, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir = env, dir
	cmd.Stdout, cmd.Stderr = f, f
	if shown {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.pid = cmd, cmd.Process.Pid
	p.state = func() string { return cmd.ProcessState.String() }
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// await returns when ready does without an error.
func (p *process) await(ready func() error) error {
	deadline := time.Now().Add(startTime)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s has ended with %s:\n%s", p.name, p.state(), p.tail())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not serve after %v: %w\n%s", p.name, startTime, err, p.tail())
		}
	}
}

// stop ends it in its own way, and waits for that.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(startTime):
		return fmt.Errorf("%s does not stop for %v:\n%s", p.name, startTime, p.tail())
	}
}

// end kills it, and waits until it is gone.
func (p *process) end() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// tail is the end of the log.
func (p *process) tail() string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const enough = 4 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-enough), io.SeekStart) // from the start is good as well
	}
	b, _ := io.ReadAll(io.LimitReader(f, enough)) // as much as there is
	return string(b)
}

// cpuTime is how long a process has been on the CPUs: all its threads, those too that have ended, user
// and system, in nanoseconds. It is the clock of clock_getcpuclockid(3), which the scheduler keeps
// exactly; /proc/PID/stat counts in hundredths of a second. What the kernel does with packets while
// the process sends them is in it.
func cpuTime(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	clock := ^pid<<3 | scheduled
	var t syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&t)), 0)
	if errno != 0 {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, errno)
	}
	return time.Duration(t.Nano()), nil
}
