//go:build linux

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/test/debian"
)

const (
	engineLimit = 30 * time.Second // until the engine answers, or has ended; normal is 1 s
	callLimit   = 2 * time.Minute  // for a call of docker; normal is below 1 s
	buildLimit  = 8 * time.Minute  // for a base or the image, when nothing of it was compiled before
)

// engine is a Docker engine of the test's own: its data is in a temporary folder, and its networks, mounts and processes are in the
// namespaces of this package.
type engine struct {
	cgroup  string // the parent of all containers' control groups
	process *exec.Cmd
	ended   chan struct{} // closed when the process is
	log     *os.File
}

const socket = "unix:///run/shoal-test-docker.sock"

// environment has Debian's docker first, which knows BuildKit without a plug-in, and nothing of the user's settings.
func environment() []string {
	return append(os.Environ(), "DOCKER_HOST="+socket, "DOCKER_BUILDKIT=1", "COMPOSE_DOCKER_CLI_BUILD=1", "DOCKER_CONFIG=/nonexistent",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin")
}

// startEngine starts an engine, which ends with the test. Where there can be none, the test ends as [debian.Unavailable] says.
func startEngine(t *testing.T) *engine {
	t.Helper()
	dir := t.TempDir()
	settings, logFile := filepath.Join(dir, "daemon.json"), filepath.Join(dir, "log")
	if err := os.WriteFile(settings, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{cgroup: "shoal-test-" + filepath.Base(filepath.Dir(dir)), ended: make(chan struct{}), log: log}
	e.process = exec.Command("/usr/sbin/dockerd",
		"--config-file", settings, "--data-root", filepath.Join(dir, "data"), "--host", socket, "--cgroup-parent", "/"+e.cgroup,
		"--exec-root", "/run/shoal-test-docker", "--pidfile", "/run/shoal-test-docker.pid")
	e.process.Env = environment()
	e.process.Stdout, e.process.Stderr = log, log
	if err := e.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = e.process.Wait() // the exit code is in ProcessState
		close(e.ended)
	}()
	t.Cleanup(func() { e.stop(t) })
	for deadline := time.Now().Add(engineLimit); ; {
		if e.command(t.Context(), "version").Run() == nil {
			return e
		}
		select {
		case <-e.ended:
			debian.Unavailable(t, fmt.Errorf("a Docker engine ends at once here: %v\n%s", e.process.ProcessState, e.tail()))
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the Docker engine does not answer after %v\n%s", engineLimit, e.tail())
		}
	}
}

// stop ends the engine, and removes what it leaves of control groups.
func (e *engine) stop(t *testing.T) {
	t.Helper()
	_ = e.process.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-e.ended:
	case <-time.After(engineLimit):
		t.Errorf("the Docker engine does not end within %v", engineLimit)
		_ = e.process.Process.Kill()
		<-e.ended
	}
	if t.Failed() {
		t.Logf("the log of the Docker engine:\n%s", e.tail())
	}
	e.log.Close()
	groups, err := filepath.Glob("/sys/fs/cgroup/*/" + e.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range append(groups, "/sys/fs/cgroup/"+e.cgroup) {
		if err := removeGroup(group); err != nil {
			t.Error(err)
		}
	}
}

// removeGroup removes a control group with those in it, if it is there.
func removeGroup(path string) error {
	entries, err := os.ReadDir(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeGroup(filepath.Join(path, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(path)
}

func (e *engine) tail() string {
	text, err := os.ReadFile(e.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4<<10):])
}

// command is a call of docker.
func (e *engine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/bin/docker", args...)
	cmd.Env = environment()
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// docker returns what a call of docker prints, without the end of the line.
func (e *engine) docker(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	return run(t, e.command(ctx, args...))
}

// run returns what a command prints, without the end of the line. It fails the test if the command fails.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, lastLines(stdout.String()), lastLines(stderr.String()))
	}
	return strings.TrimSpace(stdout.String())
}

func lastLines(text string) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "")
}

// container is what `docker inspect` says of one.
type container struct {
	State struct {
		Status   string
		Pid      int
		ExitCode int
		Health   struct{ Status string }
	}
	Config          struct{ User string }
	HostConfig      struct{ ReadonlyRootfs bool }
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

func (e *engine) inspect(t *testing.T, name string) container {
	t.Helper()
	var list []container
	if err := json.Unmarshal([]byte(e.docker(t, "container", "inspect", name)), &list); err != nil || len(list) != 1 {
		t.Fatalf("docker inspect of %s: %v", name, err)
	}
	return list[0]
}

// address is that of a container in its only network.
func (c *container) address() string {
	for _, n := range c.NetworkSettings.Networks {
		return n.IPAddress
	}
	return ""
}

// readStatus returns the fields of a thread's status in /proc, or nil if the thread has ended.
func readStatus(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.Join(strings.Fields(value), " ")
	}
	return fields
}

// await waits until done.
func await(t *testing.T, what string, limit time.Duration, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, limit)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		}
	}
}
