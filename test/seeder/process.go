//go:build linux

package seeder

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child that dies with the test process at the latest.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when the child has ended and is reaped
	exit  error         // of the child; only to be read after ended
}

func startProcess(logFile string, name string, arguments ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(name, arguments...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Pdeathsig is about the thread that starts the child: it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.exit = cmd.Wait()
			close(p.ended)
		}
	}()
	return p, <-started
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.ended
}

// terminate asks the child to end, and kills it when it takes too long: then it returns false.
func (p *process) terminate() bool {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-p.ended:
		return true
	case <-time.After(stopLimit):
		p.kill()
		return false
	}
}
