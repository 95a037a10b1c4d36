//go:build linux

package e2e

import (
	"bytes"
	"context"
	"crypto/sha1"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/test/appliance"
)

// What a library of manyTorrents may take.
const (
	manyTorrents = 10_000
	manyPieces   = 200

	maxHealthy = 5 * time.Second
	maxMemory  = 400 << 20 // bytes, resident
	maxPage    = 50 * time.Millisecond
	maxIdle    = 0.02 // of a core
	idleTime   = 5 * time.Second
)

// writeMany writes a library as Shoal leaves it, without adding each torrent, which would sync the disk
// 30,000 times.
func writeMany(t *testing.T, dir string) {
	t.Helper()
	records := filepath.Join(dir, "torrents")
	if err := os.MkdirAll(records, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(path, format string, args ...any) {
		if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const pieceLength, firstID = 1 << 20, 100
	for i := range manyTorrents {
		name := fmt.Sprintf("A.Film.Called.%05d.1080p.WEB.x264.mkv", i*7919%manyTorrents)
		size := manyPieces*pieceLength - i
		info := fmt.Sprintf("d6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:%se",
			size, len(name), name, pieceLength, 20*manyPieces, strings.Repeat("h", 20*manyPieces))
		metainfo := "d4:info" + info + "e"
		ih := sha1.Sum([]byte(info))
		path := filepath.Join(records, fmt.Sprintf("%x", ih))
		write(path+".torrent", "%s", metainfo)
		write(path+".json", `{"infohash": "%x", "route": %d, "name": %q, "added": "2026-01-02T03:04:05Z", "first_id": %d, "is_file": true,
			"size": %d, "files": 1, "mtime": "2026-01-02T03:04:05Z", "piece_length": %d, "pieces": %d, "metainfo_bytes": %d, "ids": 2}`,
			ih, 2+i%2, name, firstID+2*i, size, pieceLength, manyPieces, len(metainfo))
	}
	write(filepath.Join(dir, "library.json"), `{"format": 2, "next_id": %d, "routes": [
		{"id": 2, "name": "films", "archives": "folder", "changed": "2026-01-02T03:04:05Z"},
		{"id": 3, "name": "series", "archives": "folder", "changed": "2026-01-02T03:04:05Z"}]}`, firstID+2*manyTorrents)
}

// startPlain starts the program as it is released, without the race detector, which takes many times the
// memory. It returns the process once it is healthy, and how long that took.
func startPlain(t *testing.T, env []string, httpPort int) (pid int, took time.Duration) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "appliance")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "shoal/cmd/appliance").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(path)
	var log bytes.Buffer
	cmd.Env, cmd.Stderr = env, &log
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the appliance ended with %v:\n%s", err, log.String())
		}
	})
	for {
		if resp, err := get(t.Context(), httpPort, "/healthz"); err == nil && resp == http.StatusOK {
			return cmd.Process.Pid, time.Since(start)
		}
		if time.Since(start) > 10*maxHealthy {
			t.Fatalf("it is not healthy after %v", time.Since(start))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// keep keeps its connections, as programs do that ask often.
var keep = &http.Client{Timeout: 30 * time.Second}

func get(ctx context.Context, port int, path string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+appliance.Token)
	resp, err := keep.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	return resp.StatusCode, err
}

// resident is the memory of a process, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// processorTime is what a process has used so far (proc_pid_stat(5), utime and stime).
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	const ticksPerSecond = 100 // of all systems that Go runs on
	var ticks int
	for _, field := range strings.Fields(rest)[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// TestManyTorrents has a library of 10,000 torrents that nobody reads.
func TestManyTorrents(t *testing.T) {
	dir, nfsPort, httpPort := t.TempDir(), appliance.FreePort(t), appliance.FreePort(t)
	writeMany(t, filepath.Join(dir, "data"))
	pid, took := startPlain(t, appliance.Environment(dir, nfsPort, httpPort), httpPort)
	t.Logf("healthy after %v", took)
	if took > maxHealthy {
		t.Errorf("healthy after %v, want %v", took, maxHealthy)
	}
	defer keep.CloseIdleConnections()
	for _, query := range []string{
		"", "&sort=-size", "&sort=added&route=films", "&sort=-cached&q=film.called.0&state=idle", "&q=9999&sort=state",
	} {
		times := make([]time.Duration, 31)
		for i := range times {
			start := time.Now()
			status, err := get(t.Context(), httpPort, "/api/v1/torrents?limit=100"+query)
			if err != nil || status != http.StatusOK {
				t.Fatalf("list: %d, %v", status, err)
			}
			times[i] = time.Since(start)
		}
		first := times[0]
		slices.Sort(times)
		half := times[len(times)/2]
		t.Logf("a page with %q: %v (p50), the first one %v", query, half, first)
		if half > maxPage {
			t.Errorf("a page with %q takes %v (p50), want %v", query, half, maxPage)
		}
	}
	memory := resident(t, pid)
	t.Logf("%d MiB resident", memory>>20)
	if memory > maxMemory {
		t.Errorf("%d MiB resident, want %d", memory>>20, maxMemory>>20)
	}
	before := processorTime(t, pid)
	time.Sleep(idleTime)
	idle := (processorTime(t, pid) - before).Seconds() / idleTime.Seconds()
	t.Logf("%.1f %% of a core while idle", 100*idle)
	if idle > maxIdle {
		t.Errorf("%.1f %% of a core while idle, want %.1f", 100*idle, 100*maxIdle)
	}
}
