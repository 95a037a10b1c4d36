//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// systemd listens where systemd would, and returns what gives the next that it is told.
func systemd(t *testing.T, address string) (next func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("systemd is told nothing: %v", err)
		}
		return string(b[:n])
	}
}

func TestNotify(t *testing.T) {
	// The path of a socket may have 107 bytes, and t.TempDir's is longer on some systems.
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "socket")
	next := systemd(t, path)
	if err := notify(path, notifyReady); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != notifyReady {
		t.Errorf("systemd is told %q, want %q", got, notifyReady)
	}
	if err := notify("", notifyReady); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	if err := notify(filepath.Join(dir, "absent"), notifyReady); err == nil {
		t.Error("a socket that is not there is no error")
	}
}

// TestRunNotifies: systemd is told when Shoal serves, and when it stops.
func TestRunNotifies(t *testing.T) {
	dir := t.TempDir()
	address := "@shoal-test-" + filepath.Base(filepath.Dir(dir))
	next := systemd(t, address)
	environ := []string{
		"NOTIFY_SOCKET=" + address, "SHOAL_DATA_DIR=" + dir, "SHOAL_BT_ADDR=127.0.0.1:0", "SHOAL_BT_DHT=false", "SHOAL_BT_LSD=false",
		"SHOAL_NFS_ADDR=127.0.0.1:0", "SHOAL_HTTP_ADDR=127.0.0.1:0", "SHOAL_PORTMAP_ADDR=off",
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	code := make(chan int, 1)
	go func() { code <- run(ctx, nil, environ, io.Discard, io.Discard) }()
	if got := next(); got != notifyReady {
		t.Errorf("systemd is told %q first, want %q", got, notifyReady)
	}
	stop()
	if got := next(); got != notifyStopping {
		t.Errorf("systemd is told %q then, want %q", got, notifyStopping)
	}
	if got := <-code; got != exitStopped {
		t.Errorf("run returns %d, want %d", got, exitStopped)
	}
}
