//go:build linux

package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// variant is another way to start the image.
type variant struct {
	name string
	args []string
	uid  string // of the process, once it serves; empty if it has to end with an error
	want string // in the log
	caps bool   // its bounding set may have some
}

// variants starts the image in each of the ways that it is made for, all at once.
func (e *engine) variants(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "of root")
	if err := os.Mkdir(locked, 0o755); err != nil {
		t.Fatal(err)
	}
	given := filepath.Join(t.TempDir(), "of root, too")
	if err := os.Mkdir(given, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "admin_password") // docker-compose mounts secrets the same way
	if err := os.WriteFile(secret, []byte("correct horse battery staple\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	hardened := []string{"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"}
	list := []variant{
		{name: "plain", uid: "65532", caps: true},
		{name: "uid568", args: slices.Concat(hardened, []string{
			"--user", "568:568", "--env", "TZ=Europe/Berlin", // of which nothing in the image knows but the program
		}), uid: "568"},
		{name: "secret", args: slices.Concat(hardened, []string{
			"--volume", secret + ":/run/secrets/admin_password:ro", "--env", "SHOAL_ADMIN_PASSWORD_FILE=/run/secrets/admin_password",
		}), uid: "65532"},
		{name: "puid", args: slices.Concat(hardened, []string{
			"--user", "0:0", "--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "SETGID", "--cap-add", "SETUID",
			"--env", "SHOAL_PUID=568", "--env", "SHOAL_PGID=568", "--volume", given + ":/data",
		}), uid: "568", caps: true},
		{name: "locked", args: slices.Concat(hardened, []string{"--volume", locked + ":/data"}), want: "SHOAL_DATA_DIR"},
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
	if made := strings.Contains(e.logs(t, v.name), "password="); made != (v.name != "secret") {
		t.Errorf("%s: a password was made: %v\n%s", v.name, made, e.logs(t, v.name))
	}
}

// checkPrivileges looks at all threads of a container's process. bounded says that it may have a bounding set, of capabilities that a
// program with more rights could be started with.
func (e *engine) checkPrivileges(t *testing.T, name, uid string, bounded bool) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", e.inspect(t, name).State.Pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("%s: no threads (%v)", name, err)
	}
	fields := []string{"CapInh", "CapPrm", "CapEff", "CapAmb"}
	if !bounded {
		fields = append(fields, "CapBnd")
	}
	for _, thread := range threads {
		got := readStatus(t, thread)
		if got == nil {
			continue
		}
		if thread == threads[0] {
			t.Logf("%.12s: Uid %s, CapPrm %s, CapEff %s, CapBnd %s", name, got["Uid"], got["CapPrm"], got["CapEff"], got["CapBnd"])
		}
		if want := strings.TrimSpace(strings.Repeat(uid+" ", 4)); got["Uid"] != want {
			t.Errorf("%s: the users are %q, want %q", name, got["Uid"], want)
		}
		for _, field := range fields {
			if got[field] != noPrivilege {
				t.Errorf("%s: %s is %q, want no capability", name, field, got[field])
			}
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
