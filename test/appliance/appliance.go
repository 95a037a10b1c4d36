//go:build linux

// Package appliance runs the real binary for tests that need the whole of it.
//
//	a := appliance.Start(t, "SHOAL_ROUTES=films", "SHOAL_BT_PEERS="+seeder.Addr())
//	a.Upload(t, "films", torrentFile)
//	a.Kill(t)    // as a crash does
//	a.Restart(t) // on the same ports, with the same library
//
// The binary is built with the race detector, whose findings fail the test. It talks to nobody by
// itself (no DHT, PEX, LSD, uTP, mDNS), listens on loopback, and keeps its data in the test's folder.
package appliance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// Token is the API token of every appliance that a test starts.
	Token = "test-token"

	startLimit = 30 * time.Second // until it serves; normal is below 1 s
	// StopLimit is how long the appliance may take to stop.
	StopLimit = 10 * time.Second
	callLimit = 30 * time.Second
	buildTime = 10 * time.Minute

	// Where NFS and HTTP are served if nobody says where.
	defaultNFS  = 2049
	defaultHTTP = 4444
)

// binaryVariable is set for a process that finds the binary built.
const binaryVariable = "TEST_APPLIANCE"

// built is the folder that this process has built the binary in, if it has.
var built string

// binary is built once in a process. Remove deletes it.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(binaryVariable); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "shoal-appliance-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "appliance")
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-race", "-o", path, "shoal/cmd/appliance")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the appliance: %w\n%s", err, out)
	}
	return path, nil
})

// Binary returns the path of the binary.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// Prepare builds the binary for the processes that this one starts, which may have no network to download
// modules from.
func Prepare() error {
	path, err := binary()
	if err != nil {
		return err
	}
	return os.Setenv(binaryVariable, path)
}

// Remove removes the binary if this process has built it.
func Remove() {
	if built != "" {
		_ = os.RemoveAll(built) // a temporary folder
	}
}

// Run runs the tests of a package and calls Remove. It is for TestMain.
func Run(m *testing.M) int {
	code := m.Run()
	Remove()
	return code
}

// Appliance is a running, or stopped, appliance.
type Appliance struct {
	Dir      string // holds its data and cache folders
	NFSPort  int
	HTTPPort int

	env     []string
	log     *log
	process *exec.Cmd
	ended   chan struct{} // closed when the process is
}

// Start runs an appliance with the variables, beside those that keep it to itself, until the test
// ends. It returns when the appliance serves.
func Start(tb testing.TB, env ...string) *Appliance {
	tb.Helper()
	a := &Appliance{Dir: tb.TempDir(), NFSPort: FreePort(tb), HTTPPort: FreePort(tb)}
	a.start(tb, append(Environment(a.Dir, a.NFSPort, a.HTTPPort), env...))
	return a
}

// StartDefault is Start with the addresses that an appliance has which nobody has configured: those of
// all interfaces, on the ports where clients look for it, the portmapper's among them. It is for tests in
// namespaces (package netns): elsewhere these ports may be taken, and others could connect.
func StartDefault(tb testing.TB, env ...string) *Appliance {
	tb.Helper()
	a := &Appliance{Dir: tb.TempDir(), NFSPort: defaultNFS, HTTPPort: defaultHTTP}
	own := slices.DeleteFunc(Environment(a.Dir, a.NFSPort, a.HTTPPort), func(v string) bool {
		return strings.HasPrefix(v, "SHOAL_NFS_ADDR=") || strings.HasPrefix(v, "SHOAL_HTTP_ADDR=") ||
			strings.HasPrefix(v, "SHOAL_PORTMAP_ADDR=")
	})
	a.start(tb, append(own, env...))
	return a
}

// start runs an appliance until the test ends.
func (a *Appliance) start(tb testing.TB, env []string) {
	tb.Helper()
	a.env, a.log = env, &log{}
	tb.Cleanup(func() {
		a.kill()
		a.checkRaces(tb)
		if tb.Failed() {
			tb.Logf("log of the appliance:\n%s", a.log.tail())
		}
	})
	a.launch(tb)
}

// Environment keeps an appliance on loopback.
func Environment(dir string, nfsPort, httpPort int) []string {
	return append(os.Environ(),
		"SHOAL_DATA_DIR="+filepath.Join(dir, "data"),
		"SHOAL_CACHE_DIR="+filepath.Join(dir, "cache"),
		"SHOAL_NFS_ADDR=127.0.0.1:"+strconv.Itoa(nfsPort),
		"SHOAL_HTTP_ADDR=127.0.0.1:"+strconv.Itoa(httpPort),
		"SHOAL_PORTMAP_ADDR=off",
		"SHOAL_MDNS=false",
		"SHOAL_BT_ADDR=127.0.0.1:0",
		"SHOAL_BT_DHT=false", "SHOAL_BT_PEX=false", "SHOAL_BT_LSD=false", "SHOAL_BT_UTP=false",
		"SHOAL_API_TOKEN="+Token,
		"SHOAL_LOG_LEVEL=info",
	)
}

// FreePort returns a TCP port of the loopback address that nobody listens on.
func FreePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (a *Appliance) launch(tb testing.TB) {
	tb.Helper()
	cmd := exec.Command(Binary(tb), "serve")
	cmd.Env = a.env
	cmd.Stderr = a.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// Pdeathsig is about the thread that starts the child: it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the exit code is in ProcessState
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		tb.Fatalf("start the appliance: %v", err)
	}
	a.process, a.ended = cmd, ended
	deadline := time.Now().Add(startLimit)
	for !a.healthy() {
		select {
		case <-ended:
			tb.Fatalf("the appliance ended with %v:\n%s", a.process.ProcessState, a.log.tail())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the appliance does not serve after %v:\n%s", startLimit, a.log.tail())
		}
	}
}

func (a *Appliance) healthy() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url("/healthz"), http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// client keeps no connection, which would be a goroutine after the test.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Kill ends the process as a crash does, with SIGKILL.
func (a *Appliance) Kill(tb testing.TB) {
	tb.Helper()
	a.kill()
	a.checkRaces(tb)
}

func (a *Appliance) kill() {
	if a.process == nil {
		return
	}
	_ = a.process.Process.Kill() // it may have ended already
	<-a.ended
}

// Stop ends the process with SIGTERM, and returns its exit code and how long it took. It fails the
// test if that is longer than StopLimit.
func (a *Appliance) Stop(tb testing.TB) (code int, took time.Duration) {
	tb.Helper()
	start := time.Now()
	if err := a.process.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Fatalf("signal the appliance: %v", err)
	}
	select {
	case <-a.ended:
	case <-time.After(StopLimit):
		tb.Errorf("the appliance runs on %v after SIGTERM", StopLimit)
		a.kill()
	}
	a.checkRaces(tb)
	return a.process.ProcessState.ExitCode(), time.Since(start)
}

// Restart runs an ended appliance again, on its ports and data, with more variables if given.
func (a *Appliance) Restart(tb testing.TB, env ...string) {
	tb.Helper()
	a.env = append(a.env, env...)
	a.launch(tb)
}

// RunOnce runs an ended appliance again that is expected to end by itself, and returns its exit code and what it has logged.
func (a *Appliance) RunOnce(tb testing.TB) (code int, said string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(tb), "serve")
	cmd.Env = a.env
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		tb.Fatalf("run the appliance: %v, %v", err, ctx.Err())
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// Running says whether the process has not ended.
func (a *Appliance) Running() bool {
	select {
	case <-a.ended:
		return false
	default:
		return true
	}
}

// PID is that of the process, which may have ended.
func (a *Appliance) PID() int { return a.process.Process.Pid }

// Log returns what the appliance has logged so far.
func (a *Appliance) Log() string { return a.log.text() }

func (a *Appliance) checkRaces(tb testing.TB) {
	tb.Helper()
	if strings.Contains(a.log.text(), "WARNING: DATA RACE") {
		tb.Error("the race detector found something, see the log")
	}
}

func (a *Appliance) url(path string) string {
	return "http://127.0.0.1:" + strconv.Itoa(a.HTTPPort) + path
}

// Torrent is a torrent as the API describes it.
type Torrent struct {
	Infohash, Name, Route, State, Reason string
	Size, Cached                         int64
	Files                                int
}

// Call calls the API. body is encoded as JSON unless it is nil. It fails the test unless the status
// is want; the reply is decoded into reply unless that is nil.
func (a *Appliance) Call(tb testing.TB, method, path string, body any, want int, reply any) {
	tb.Helper()
	contentType, b := "", []byte(nil)
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			tb.Fatal(err)
		}
		contentType = "application/json"
	}
	a.call(tb, method, path, contentType, b, want, reply)
}

func (a *Appliance) call(tb testing.TB, method, path, contentType string, body []byte, want int, reply any) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), callLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.url("/api/v1"+path), bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+Token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.StatusCode != want {
		tb.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, want, got)
	}
	if reply == nil {
		return
	}
	if err := json.Unmarshal(got, reply); err != nil {
		tb.Fatalf("%s %s: %v in %.200q", method, path, err, got)
	}
}

// Status returns the status of a GET with the token.
func (a *Appliance) Status(tb testing.TB, path, token string) int {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), callLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url(path), http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatalf("GET %s: %v", path, err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// Upload adds a .torrent file to a route. It fails the test unless the status is want; with 201 it
// returns the torrent.
func (a *Appliance) Upload(tb testing.TB, route string, torrentFile []byte, want int) Torrent {
	tb.Helper()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("torrent", "a.torrent")
	if err == nil {
		_, err = part.Write(torrentFile)
	}
	if err = errors.Join(err, w.WriteField("route", route), w.Close()); err != nil {
		tb.Fatal(err)
	}
	var added Torrent
	a.call(tb, http.MethodPost, "/torrents", w.FormDataContentType(), form.Bytes(), want, &added)
	return added
}

// AddMagnet adds a magnet link to a route.
func (a *Appliance) AddMagnet(tb testing.TB, route, magnet string) Torrent {
	tb.Helper()
	var added Torrent
	body := map[string]string{"route": route, "magnet": magnet}
	a.Call(tb, http.MethodPost, "/torrents", body, http.StatusCreated, &added)
	return added
}

// Torrent describes a torrent.
func (a *Appliance) Torrent(tb testing.TB, infohash string) Torrent {
	tb.Helper()
	var t Torrent
	a.Call(tb, http.MethodGet, "/torrents/"+infohash, nil, http.StatusOK, &t)
	return t
}

// Await polls a torrent until done likes it, and returns it then.
func (a *Appliance) Await(ctx context.Context, tb testing.TB, infohash string, done func(Torrent) bool) Torrent {
	tb.Helper()
	for {
		t := a.Torrent(tb, infohash) //nolint:contextcheck // each call has a deadline of its own
		if done(t) {
			return t
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("torrent %s is still %+v: %v", infohash, t, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// log collects what a process prints.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tail is the end of the log.
func (l *log) tail() string {
	const enough = 8 << 10
	text := l.text()
	return text[max(0, len(text)-enough):]
}
