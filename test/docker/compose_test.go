//go:build linux

package docker

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/debian"
	"shoal/test/guest"
	"shoal/test/seeder"
)

// near is the address of this machine in the network with the guest.
const near = "10.0.2.2"

// composition is docker-compose with the file that people get.
type composition struct {
	engine   *engine
	override string // a file with more settings
}

func newComposition(t *testing.T, e *engine) *composition {
	t.Helper()
	return &composition{e, filepath.Join(t.TempDir(), "override.yml")}
}

// command is a call of docker-compose.
func (c *composition) command(ctx context.Context, args ...string) *exec.Cmd {
	files := []string{"--project-name", "shoaltest", "--file", filepath.Join(repository, "docker-compose.yml")}
	if _, err := os.Stat(c.override); err == nil {
		files = append(files, "--file", c.override)
	}
	return newCommand(ctx, "docker-compose", append(files, args...)...)
}

func newCommand(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environment()
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func (c *composition) compose(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	return run(t, c.command(ctx, args...))
}

// container returns the container of the service.
func (c *composition) container(t *testing.T) string {
	t.Helper()
	return c.compose(t, "ps", "--quiet", "shoal")
}

// journey is what the shipped file is for: start, add, mount, read; kill while a file is open, start, read on.
func (c *composition) journey(t *testing.T, image *guest.Image) {
	network := connectGuest(t)
	data := t.TempDir()
	sums := seeder.WriteFiles(t, data, map[string]int{"album/a b.flac": 3<<20 + 1, "album/disc 1/ü.txt": 1000, "album/film.mkv": 24 << 20})
	torrent := seeder.Create(t, filepath.Join(data, "album"), 256<<10, false)
	d := seeder.StartOn(t, data, near)
	d.Add(t, torrent)
	d.Eager(t)
	if err := os.WriteFile(c.override, fmt.Appendf(nil, overrideFile, appliance.Token, d.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}

	begin := time.Now()
	c.compose(t, "up", "--detach")
	name := c.container(t)
	await(t, "the container is healthy", healthLimit, func() bool { return c.engine.inspect(t, name).State.Health.Status == "healthy" })
	t.Logf("healthy after %v", time.Since(begin))
	c.engine.checkPrivileges(t, name, "65532", false)
	got := c.engine.inspect(t, name)
	privileges := readStatus(t, fmt.Sprintf("/proc/%d/status", got.State.Pid))["NoNewPrivs"]
	if !got.HostConfig.ReadonlyRootfs || privileges != "1" {
		t.Errorf("the root is read-only: %v; no new privileges: %s", got.HostConfig.ReadonlyRootfs, privileges)
	}
	if log := c.engine.logs(t, name); !strings.Contains(log, "password=") || strings.Contains(log, "level=ERROR") {
		t.Errorf("want the first password in the log, and no error:\n%s", log)
	}
	site := &appliance.Appliance{HTTPPort: 4444}
	site.Call(t, http.MethodPost, "/routes", map[string]string{"name": "music"}, http.StatusCreated, nil)
	site.Upload(t, "music", torrent, http.StatusCreated)

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	vm := image.Start(t, job, network)
	if _, err := vm.WaitLine(ctx, "the film is open"); err != nil {
		t.Fatal(err)
	}
	c.compose(t, "kill")
	if got := c.engine.inspect(t, name).State; got.Status != "exited" || got.ExitCode != 137 {
		t.Errorf("after SIGKILL: %+v", got)
	}
	c.compose(t, "up", "--detach")
	begin = time.Now()
	if err := vm.Send("go on"); err != nil {
		t.Fatal(err)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Fatalf("%v\nkernel log:\n%s", err, vm.KernelLog())
	}
	t.Logf("the rest was read %v after the start", time.Since(begin))
	c.checkGuest(t, vm, sums)

	begin = time.Now()
	c.compose(t, "stop")
	if got, took := c.engine.inspect(t, name).State.ExitCode, time.Since(begin); got != 0 || took > stopLimit {
		t.Errorf("stopped with the exit code %d after %v, want 0 within %v\n%s", got, took, stopLimit, c.engine.logs(t, name))
	}
	c.compose(t, "down", "--volumes")
}

const overrideFile = `
services:
  shoal:
    environment:
      SHOAL_API_TOKEN: %s
      SHOAL_BT_PEERS: %s
      SHOAL_BT_DHT: "false"
`

// job mounts as people do who have read no manual.
const job = `
	rpcbind && rpc.statd --no-notify || exit 1
	mount -t nfs 10.0.2.2:/ /mnt || exit 1
	cd /mnt/music/album || exit 1
	sha256sum "a b.flac" "disc 1/ü.txt"
	exec 3<film.mkv
	dd bs=1M count=2 <&3 >/tmp/film.mkv 2>/dev/null
	echo "the film is open"; read -r line
	cat <&3 >>/tmp/film.mkv || exit 1
	(cd /tmp && sha256sum film.mkv)
	exec 3<&-; cd /; umount /mnt`

func (c *composition) checkGuest(t *testing.T, vm *guest.VM, sums map[string]string) {
	t.Helper()
	out := vm.Output()
	for path, sum := range sums {
		if line := sum + "  " + strings.TrimPrefix(path, "album/") + "\n"; !strings.Contains(out, line) {
			t.Errorf("the guest does not say %q:\n%s", line, out)
		}
	}
	if strings.Contains(out+vm.KernelLog(), "Stale") {
		t.Errorf("the guest saw stale handles:\n%s\n%s", out, vm.KernelLog())
	}
}

// connectGuest makes a network of this machine and the guest, which is a machine of its own there: it reaches published ports as those
// in a home do.
func connectGuest(t *testing.T) guest.Option {
	t.Helper()
	const name = "shoal0"
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		debian.Unavailable(t, fmt.Errorf("network with the guest: %w", err))
	}
	for _, args := range []string{"tuntap add " + name + " mode tap", "address add " + near + "/24 dev " + name, "link set up " + name} {
		run(t, newCommand(t.Context(), "ip", strings.Fields(args)...))
	}
	t.Cleanup(func() {
		if out, err := newCommand(context.Background(), "ip", "link", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("ip link delete: %v\n%s", err, out)
		}
	})
	return guest.OnTap(name)
}
