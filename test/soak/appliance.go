//go:build linux

package main

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
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	route = "soak"
	token = "soak"

	startLimit = 30 * time.Second
	stopLimit  = 15 * time.Second
	callLimit  = 30 * time.Second
	// readWait is short, so that some READs are answered with JUKEBOX.
	readWait = 10 * time.Second
)

// appliance is the program that is used, which is started again and again.
type appliance struct {
	binary, dir string
	nfs, http   string // addresses
	env         []string

	// using is held by who calls the API, and for writing while the process is not there.
	using sync.RWMutex
	// lives counts starts and ends: it is even while the process serves.
	lives atomic.Int64

	cmd   *exec.Cmd
	ended chan struct{}
}

func newAppliance(opts options, peer string) (*appliance, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	a := &appliance{binary: opts.Appliance, dir: filepath.Join(opts.Dir, "home"), nfs: ports[0], http: ports[1]}
	a.env = append(os.Environ(),
		"SHOAL_DATA_DIR="+filepath.Join(a.dir, "data"),
		"SHOAL_CACHE_DIR="+a.cache(),
		"SHOAL_CACHE_LIMIT="+strconv.FormatInt(opts.Limit, 10),
		"SHOAL_NFS_ADDR="+a.nfs,
		"SHOAL_HTTP_ADDR="+a.http,
		"SHOAL_PORTMAP_ADDR=off",
		"SHOAL_MDNS=false",
		"SHOAL_NFS_READ_WAIT="+readWait.String(),
		"SHOAL_BT_ADDR="+ports[2],
		"SHOAL_BT_DHT=false", "SHOAL_BT_LSD=false", "SHOAL_BT_PEX=false", "SHOAL_BT_UTP=false",
		"SHOAL_BT_PEERS="+peer,
		"SHOAL_BT_IDLE=20s", // torrents come and go
		"SHOAL_ROUTES="+route,
		"SHOAL_API_TOKEN="+token,
	)
	a.lives.Store(-1)
	return a, os.MkdirAll(a.dir, 0o755)
}

func (a *appliance) cache() string { return filepath.Join(a.dir, "cache") }

// freePorts returns loopback addresses that nobody listens on.
func freePorts(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// start starts it, and returns how long it took until it served.
func (a *appliance) start(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(filepath.Join(a.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(a.binary, "serve")
	cmd.Env, cmd.Dir, cmd.Stderr = a.env, a.dir, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started, ended := make(chan error), make(chan struct{})
	begin := time.Now()
	go func() {
		// Pdeathsig is about the thread that starts the child: it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return 0, fmt.Errorf("start the appliance: %w", err)
	}
	a.cmd, a.ended = cmd, ended
	for !a.healthy(ctx) {
		select {
		case <-ended:
			return 0, fmt.Errorf("the appliance ended with %s: see its log", cmd.ProcessState)
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Since(begin) > startLimit {
			return 0, fmt.Errorf("the appliance does not serve after %v", startLimit)
		}
	}
	a.lives.Add(1)
	return time.Since(begin), nil
}

func (a *appliance) healthy(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp4", a.nfs)
	if err != nil {
		return false
	}
	_ = conn.Close() // it was only tried
	_, err = a.fetch(ctx, http.MethodGet, "/healthz", "", nil, http.StatusOK)
	return err == nil
}

// end ends it with a signal. It fails if the process did not end as it should.
func (a *appliance) end(sig syscall.Signal) error {
	a.lives.Add(1)
	if err := a.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("the appliance is gone (%s): %w", a.cmd.ProcessState, err)
	}
	select {
	case <-a.ended:
	case <-time.After(stopLimit):
		_ = a.cmd.Process.Kill()
		<-a.ended
		return fmt.Errorf("the appliance runs on %v after %v", stopLimit, sig)
	}
	if sig == syscall.SIGTERM && !a.cmd.ProcessState.Success() {
		return fmt.Errorf("the appliance ended with %s after %v", a.cmd.ProcessState, sig)
	}
	return nil
}

// errStatus is an answer of the API with another status than the one that was wanted.
type errStatus struct { //nolint:errname // it reads better where it is looked at
	status int
	said   string
}

func (e *errStatus) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.said) }

// fetch calls the API. A call is finished, whatever ends meanwhile: what it does would be half done.
func (a *appliance) fetch(ctx context.Context, method, path, contentType string, body []byte, want int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.http+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err == nil && resp.StatusCode != want {
		err = &errStatus{resp.StatusCode, string(said[:min(len(said), 300)])}
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return said, nil
}

// add adds a torrent.
func (a *appliance) add(ctx context.Context, torrent []byte) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("torrent", "a.torrent")
	if err == nil {
		_, err = part.Write(torrent)
	}
	if err := errors.Join(err, w.WriteField("route", route), w.Close()); err != nil {
		return err
	}
	_, err = a.fetch(ctx, http.MethodPost, "/api/v1/torrents", w.FormDataContentType(), form.Bytes(), http.StatusCreated)
	return err
}

// remove removes one.
func (a *appliance) remove(ctx context.Context, infohash string) error {
	_, err := a.fetch(ctx, http.MethodDelete, "/api/v1/torrents/"+infohash, "", nil, http.StatusNoContent)
	return err
}

// pause pauses or resumes one.
func (a *appliance) pause(ctx context.Context, infohash string, paused bool) error {
	body, err := json.Marshal(map[string]bool{"paused": paused})
	if err != nil {
		return err
	}
	_, err = a.fetch(ctx, http.MethodPatch, "/api/v1/torrents/"+infohash, "application/json", body, http.StatusOK)
	return err
}
