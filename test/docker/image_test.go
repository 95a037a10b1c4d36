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
	created  = "2026-01-02T03:04:05Z"
	// maxImage is in bytes, of what is in the image: half of that is downloaded.
	maxImage = 30_000_000

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
	e.importBase(t, golang, s.golang,
		"PATH=/usr/local/go/bin:/bin", "GOPATH=/go", "GOCACHE=/cache", "GOPROXY=off", "GOTOOLCHAIN=local", "HOME=/root")
	e.importBase(t, node, s.node, "PATH=/usr/bin:/bin", "npm_config_cache=/cache", "npm_config_offline=true", "HOME=/root")
	t.Logf("importing the base images took %v", time.Since(begin))
	begin = time.Now()
	run(t, c.command(ctx, "build",
		"--build-arg", "VERSION="+release, "--build-arg", "REVISION="+revision, "--build-arg", "CREATED="+created))
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
	for name, want := range map[string]string{
		"version": release, "revision": revision, "created": created, "title": "Shoal", "licenses": "MIT",
	} {
		if got := got.Config.Labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("the label %s is %q, want %q", name, got, want)
		}
	}
	check := strings.Join(got.Config.Healthcheck.Test, " ")
	if got.Config.User != "65532:65532" || got.Config.StopSignal != "SIGTERM" || check != "CMD /appliance healthcheck" {
		t.Errorf("the image has %+v", got.Config)
	}
	want := map[string]struct{}{
		"2049/tcp": {}, "2049/udp": {}, "111/tcp": {}, "111/udp": {}, "4444/tcp": {}, "42069/tcp": {}, "42069/udp": {},
	}
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

// checkLeft looks for what was left behind when everything was removed. Processes may end a little later than docker does.
func (e *engine) checkLeft(t *testing.T) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(engineLimit); ; time.Sleep(200 * time.Millisecond) {
		if left = e.left(t); len(left) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, what := range left {
		t.Errorf("left behind: %s", what)
	}
}

// left lists what is there of containers.
func (e *engine) left(t *testing.T) (list []string) {
	t.Helper()
	for what, args := range map[string][]string{
		"containers": {"ps", "--all", "--quiet"}, "volumes": {"volume", "ls", "--quiet"},
		"networks": {"network", "ls", "--quiet", "--filter", "type=custom"},
	} {
		if got := e.docker(t, args...); got != "" {
			list = append(list, what+" "+got)
		}
	}
	links, err := os.ReadDir("/proc/sys/net/ipv4/conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if regexp.MustCompile(`^(br-|veth)`).MatchString(l.Name()) {
			list = append(list, "interface "+l.Name())
		}
	}
	if rules := iptables(t); strings.Contains(rules, "DNAT") {
		list = append(list, "published ports "+rules)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	containers := regexp.MustCompile(`^(appliance|containerd-shim|docker-proxy)`)
	for _, p := range processes {
		if name, err := os.ReadFile(p); err == nil && containers.Match(name) && !isZombie(p) {
			list = append(list, "process "+strings.TrimSpace(string(name)))
		}
	}
	return list
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
	return run(t, newCommand(ctx, "iptables", "--table", "nat", "--list-rules"))
}
