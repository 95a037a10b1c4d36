//go:build linux

package e2e

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal/test/appliance"
)

// result is how a run of the program ended.
type result struct {
	code   int
	stdout string
	stderr string
}

// runProgram runs the program with the arguments until it ends by itself.
func runProgram(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return run(t, env, appliance.Binary(t), args...)
}

// run runs a program with the arguments until it ends by itself.
func run(t *testing.T, env []string, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		t.Fatalf("run %q: %v\n%s", args, err, stderr.String())
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// environment is that of an appliance on free ports, with more variables.
func environment(t *testing.T, more ...string) []string {
	t.Helper()
	env := appliance.Environment(t.TempDir(), appliance.FreePort(t), appliance.FreePort(t))
	return append(env, more...)
}

// TestLifecycle starts, checks and stops the program.
func TestLifecycle(t *testing.T) {
	a := appliance.Start(t, "SHOAL_ROUTES=a,b", "SHOAL_UNKNOWN=1")
	env := appliance.Environment(a.Dir, a.NFSPort, a.HTTPPort)
	if got := runProgram(t, env, "healthcheck"); got.code != 0 {
		t.Errorf("healthcheck of a healthy appliance: %+v", got)
	}
	deaf := append(env, "SHOAL_NFS_ADDR=127.0.0.1:"+strconv.Itoa(appliance.FreePort(t)))
	if got := runProgram(t, deaf, "healthcheck"); got.code != 1 || !strings.Contains(got.stderr, "NFS") {
		t.Errorf("healthcheck where NFS does not answer: %+v", got)
	}
	if got := runProgram(t, env, "version"); got.code != 0 || !strings.HasPrefix(got.stdout, "shoal ") {
		t.Errorf("version: %+v", got)
	}
	if !strings.Contains(a.Log(), "SHOAL_UNKNOWN") {
		t.Errorf("the log does not warn of an unknown variable:\n%s", a.Log())
	}
	var list struct{ Routes []struct{ Name string } }
	a.Call(t, http.MethodGet, "/routes", nil, http.StatusOK, &list)
	if len(list.Routes) != 2 || list.Routes[0].Name != "a" || list.Routes[1].Name != "b" {
		t.Errorf("routes %+v, want a and b", list.Routes)
	}
	var seen struct{ Clients []struct{ Address string } } // healthcheck is one
	a.Call(t, http.MethodGet, "/clients", nil, http.StatusOK, &seen)
	if len(seen.Clients) != 1 || seen.Clients[0].Address != "127.0.0.1" {
		t.Errorf("the clients are %+v, want 127.0.0.1", seen.Clients)
	}
	for token, want := range map[string]int{appliance.Token: http.StatusOK, "": http.StatusUnauthorized} {
		if got := a.Status(t, "/metrics", token); got != want {
			t.Errorf("the metrics with the token %q: status %d, want %d", token, got, want)
		}
	}
	if code, took := a.Stop(t); code != 0 {
		t.Errorf("the exit code after SIGTERM is %d after %v, want 0", code, took)
	}
	if got := runProgram(t, env, "healthcheck"); got.code != 1 {
		t.Errorf("healthcheck of a stopped appliance: %+v", got)
	}
}

// TestFirstPassword starts without a password, and logs in with the one in the log, which is not there again after a restart.
func TestFirstPassword(t *testing.T) {
	a := appliance.Start(t, "SHOAL_API_TOKEN=")
	found := regexp.MustCompile(`password=(\S+)`).FindStringSubmatch(a.Log())
	if found == nil {
		t.Fatalf("the log has no password:\n%s", a.Log())
	}
	for given, want := range map[string]int{found[1]: http.StatusSeeOther, "wrong": http.StatusUnauthorized} {
		if got := logIn(t, a, given); got != want {
			t.Errorf("the login with the password %q: status %d, want %d", given, got, want)
		}
	}
	if got := a.Status(t, "/api/v1/routes", appliance.Token); got != http.StatusUnauthorized {
		t.Errorf("a token that nobody has set: status %d, want %d", got, http.StatusUnauthorized)
	}
	a.Stop(t)
	before := len(a.Log())
	a.Restart(t)
	if again := a.Log()[before:]; strings.Contains(again, "password=") {
		t.Errorf("the log has a password again:\n%s", again)
	}
	if got := logIn(t, a, found[1]); got != http.StatusSeeOther {
		t.Errorf("the login after a restart: status %d, want %d", got, http.StatusSeeOther)
	}
}

// logIn returns the status of the answer to the form of the login.
func logIn(t *testing.T, a *appliance.Appliance, password string) int {
	t.Helper()
	form := url.Values{"user": {"admin"}, "password": {password}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:"+strconv.Itoa(a.HTTPPort)+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	resp, err := http.DefaultTransport.RoundTrip(r) // follows no redirects
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
