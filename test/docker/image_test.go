//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"shoal/test/guest"
	"shoal/test/netns"
	"shoal/test/seeder"
)

const (
	release  = "9.8.7-test"
	revision = "0123456789abcdef"
	// maxImage is in bytes, of what is in the image: half of that is downloaded.
	maxImage = 30 << 20

	healthLimit = time.Minute      // until a container is healthy; normal is 10 s, the first time that Docker looks
	stopLimit   = 10 * time.Second // until it has stopped, which is less than Docker's own limit
	noPrivilege = "0000000000000000"
)

// TestImage builds the image by the Dockerfile, and uses it as its users do.
func TestImage(t *testing.T) {
	seeder.Require(t)
	netns.Require(t)
	image := guest.Require(t)
	e := startEngine(t)
	c := newComposition(t, e)
	e.build(t, c)
	t.Run("contents", func(t *testing.T) { e.checkImage(t) })
	t.Run("containers", func(t *testing.T) {
		t.Run("shipped file", func(t *testing.T) {
			t.Parallel()
			c.journey(t, image)
		})
		t.Run("variants", func(t *testing.T) {
			t.Parallel()
			e.variants(t)
		})
	})
	e.checkLeft(t)
}

// build builds the image, as `docker-compose up` would.
func (e *engine) build(t *testing.T, c *composition) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	s := inStock(t)
	golang, node := bases(t)
	begin := time.Now()
	e.importBase(t, golang, s.golang, "PATH=/usr/local/go/bin:/bin", "GOPATH=/go", "GOCACHE=/cache", "GOPROXY=off", "GOTOOLCHAIN=local", "HOME=/root")
	e.importBase(t, node, s.node, "PATH=/usr/bin:/bin", "npm_config_cache=/cache", "npm_config_offline=true", "HOME=/root")
	t.Logf("importing the base images took %v", time.Since(begin))
	begin = time.Now()
	run(t, c.command(ctx, "build", "--build-arg", "VERSION="+release, "--build-arg", "REVISION="+revision, "--build-arg", "CREATED=2026-01-02T03:04:05Z"))
	t.Logf("building the image took %v", time.Since(begin))
}

// checkImage looks at the image itself.
func (e *engine) checkImage(t *testing.T) {
	var images []struct {
		Size   int64
		Config struct {
			User         string
			StopSignal   string
			Labels       map[string]string
			ExposedPorts map[string]struct{}
			Volumes      map[string]struct{}
			Healthcheck  struct{ Test []string }
		}
	}
	if err := json.Unmarshal([]byte(e.docker(t, "image", "inspect", "shoal")), &images); err != nil || len(images) != 1 {
		t.Fatal(err)
	}
	got := images[0]
	t.Logf("the image has %.1f MB", float64(got.Size)/1e6)
	if got.Size > maxImage {
		t.Errorf("the image has %d bytes, want at most %d", got.Size, maxImage)
	}
	for name, want := range map[string]string{"version": release, "revision": revision, "created": "2026-01-02T03:04:05Z", "title": "Shoal", "licenses": "MIT"} {
		if got := got.Config.Labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("the label %s is %q, want %q", name, got, want)
		}
	}
	if got.Config.User != "65532:65532" || got.Config.StopSignal != "SIGTERM" || strings.Join(got.Config.Healthcheck.Test, " ") != "CMD /appliance healthcheck" {
		t.Errorf("the image has %+v", got.Config)
	}
	want := map[string]struct{}{"2049/tcp": {}, "2049/udp": {}, "111/tcp": {}, "111/udp": {}, "4444/tcp": {}, "42069/tcp": {}, "42069/udp": {}}
	if !maps.Equal(got.Config.ExposedPorts, want) {
		t.Errorf("the ports are %v, want %v", got.Config.ExposedPorts, want)
	}
	if want := map[string]struct{}{"/data": {}, "/cache": {}}; !maps.Equal(got.Config.Volumes, want) {
		t.Errorf("the volumes are %v, want %v", got.Config.Volumes, want)
	}
	if got := e.docker(t, "run", "--rm", "--network", "none", "shoal", "version"); !strings.HasPrefix(got, "shoal "+release+" ") {
		t.Errorf("the program says %q, want the version %s", got, release)
	}
}

// variant is another way to start the image.
type variant struct {
	name string
	args []string
	uid  string // of the process, once it serves; empty if it has to end with an error
	want string // in the log
	caps bool   // it may still have capabilities in its bounding set
}

// variants starts the image in each of the ways that it is made for, all at once.
func (e *engine) variants(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "of root")
	if err := os.Mkdir(locked, 0o755); err != nil {
		t.Fatal(err)
	}
	hardened := []string{"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"}
	list := []variant{
		{name: "plain", uid: "65532", caps: true},
		{name: "uid568", args: append(hardened, "--user", "568:568"), uid: "568"},
		{name: "locked", args: append(hardened, "--volume", locked+":/data"), want: "SHOAL_DATA_DIR"},
	}
	for _, v := range list {
		args := append([]string{"run", "--detach", "--name", v.name, "--env", "SHOAL_BT_DHT=false"}, v.args...)
		e.docker(t, append(args, "shoal")...)
	}
	for _, v := range list {
		e.checkVariant(t, v)
	}
	var names []string
	for _, v := range list {
		names = append(names, v.name)
	}
	begin := time.Now()
	e.docker(t, append([]string{"stop"}, names...)...)
	for _, v := range list {
		got := e.inspect(t, v.name).State.ExitCode
		if v.uid != "" && got != 0 || v.uid == "" && got != 1 {
			t.Errorf("%s: the exit code is %d\n%s", v.name, got, e.logs(t, v.name))
		}
	}
	t.Logf("%d containers stopped in %v", len(names), time.Since(begin))
	e.docker(t, append([]string{"rm", "--volumes"}, names...)...)
}

func (e *engine) checkVariant(t *testing.T, v variant) {
	t.Helper()
	if v.uid == "" {
		await(t, v.name+" ends", healthLimit, func() bool { return e.inspect(t, v.name).State.Status == "exited" })
		if log := e.logs(t, v.name); !strings.Contains(log, v.want) {
			t.Errorf("%s: the log lacks %q:\n%s", v.name, v.want, log)
		}
		return
	}
	c := e.inspect(t, v.name)
	await(t, v.name+" serves", healthLimit, func() bool { return serves(t, "http://"+c.address()+":4444/healthz") })
	e.docker(t, "exec", v.name, "/appliance", "healthcheck")
	e.checkPrivileges(t, v.name, v.uid, v.caps)
}

// checkPrivileges looks at the process of a container.
func (e *engine) checkPrivileges(t *testing.T, name, uid string, bounded bool) {
	t.Helper()
	pid := e.inspect(t, name).State.Pid
	if got, want := status(t, pid, "Uid"), strings.TrimSpace(strings.Repeat(uid+" ", 4)); got != want {
		t.Errorf("%s: the users are %q, want %q", name, got, want)
	}
	fields := []string{"CapInh", "CapPrm", "CapEff", "CapAmb"}
	if !bounded {
		fields = append(fields, "CapBnd")
	}
	for _, field := range fields {
		got := status(t, pid, field)
		t.Logf("%s: %s %s", name, field, got)
		if got != noPrivilege {
			t.Errorf("%s: %s is %s, want no capability", name, field, got)
		}
	}
}

// logs returns what a container has logged.
func (e *engine) logs(t *testing.T, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	out, err := e.command(ctx, "logs", name).CombinedOutput()
	if err != nil {
		t.Errorf("docker logs: %v", err)
	}
	return string(out)
}

// client keeps no connection, which would be a goroutine after the test.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func serves(t *testing.T, url string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// checkLeft looks for what was left behind when everything was removed.
func (e *engine) checkLeft(t *testing.T) {
	t.Helper()
	for what, args := range map[string][]string{
		"containers": {"ps", "--all", "--quiet"}, "volumes": {"volume", "ls", "--quiet"}, "networks": {"network", "ls", "--quiet", "--filter", "type=custom"},
	} {
		if got := e.docker(t, args...); got != "" {
			t.Errorf("%s were left behind: %s", what, got)
		}
	}
	links, err := os.ReadDir("/proc/sys/net/ipv4/conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if regexp.MustCompile(`^(br-|veth)`).MatchString(l.Name()) {
			t.Errorf("the interface %s was left behind", l.Name())
		}
	}
	if rules := iptables(t); strings.Contains(rules, "DNAT") {
		t.Errorf("published ports were left behind:\n%s", rules)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if name, err := os.ReadFile(p); err == nil && regexp.MustCompile(`^(appliance|containerd-shim|docker-proxy)`).Match(name) && !isZombie(p) {
			t.Errorf("the process %s was left behind", name)
		}
	}
}

// isZombie is true of a process that has ended, and whose parent is the test, which waits for those only that it started itself.
func isZombie(comm string) bool {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(comm), "stat"))
	return err != nil || strings.Contains(string(text), ") Z ")
}

func iptables(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	cmd := newCommand(ctx, "iptables", "--table", "nat", "--list-rules")
	return run(t, cmd)
}
