//go:build linux

package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"shoal/test/appliance"
)

// checkEnd checks that a start has ended with 1 and one sentence, which says all of this.
func checkEnd(t *testing.T, what string, got result, want ...string) {
	t.Helper()
	if got.code != 1 {
		t.Errorf("%s: the exit code is %d, want 1", what, got.code)
	}
	var failed []string
	for line := range strings.Lines(got.stderr) {
		if strings.Contains(line, "level=ERROR") {
			failed = append(failed, line)
		}
	}
	if len(failed) != 1 {
		t.Fatalf("%s: %d errors are logged, want one:\n%s", what, len(failed), got.stderr)
	}
	for _, w := range want {
		if !strings.Contains(failed[0], w) {
			t.Errorf("%s: it says %q, want %q in it", what, failed[0], w)
		}
	}
	if strings.Contains(failed[0], `\n`) {
		t.Errorf("%s: %q is more than a line", what, failed[0])
	}
}

// TestStartErrors starts the program where it cannot run.
func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	takenUDP, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer takenUDP.Close()
	udpPort := strconv.Itoa(takenUDP.LocalAddr().(*net.UDPAddr).Port)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	running := appliance.Start(t)
	data, cache := filepath.Join(running.Dir, "data"), filepath.Join(running.Dir, "cache")
	for _, test := range []struct {
		what string
		env  string
		want []string
	}{
		{"NFS port taken", "SHOAL_NFS_ADDR=127.0.0.1:" + port, []string{"SHOAL_NFS_ADDR: TCP port " + port + " is taken", "address already in use", "NAS", "another port"}},
		{"NFS port taken for UDP", "SHOAL_NFS_ADDR=127.0.0.1:" + udpPort, []string{"SHOAL_NFS_ADDR: UDP port " + udpPort + " is taken"}},
		{"HTTP port taken", "SHOAL_HTTP_ADDR=127.0.0.1:" + port, []string{"SHOAL_HTTP_ADDR: TCP port " + port + " is taken", "address already in use", "another port"}},
		{"no such address", "SHOAL_HTTP_ADDR=203.0.113.1:4444", []string{"SHOAL_HTTP_ADDR: 203.0.113.1:4444 is not an address of this machine"}},
		{"no such peer address", "SHOAL_BT_ADDR=203.0.113.1:0", []string{"SHOAL_BT_ADDR: ", "203.0.113.1:0"}},
		{"DATA_DIR is a file", "SHOAL_DATA_DIR=" + file, []string{"SHOAL_DATA_DIR: " + file + " is a file"}},
		{"DATA_DIR cannot be made", "SHOAL_DATA_DIR=/proc/shoal", []string{"SHOAL_DATA_DIR: ", "/proc/shoal"}},
		{"CACHE_DIR is a file", "SHOAL_CACHE_DIR=" + file, []string{"SHOAL_CACHE_DIR: " + file + " is a file"}},
		{"a second instance", "SHOAL_DATA_DIR=" + data, []string{"SHOAL_DATA_DIR: another instance of Shoal is using " + data}},
		{"a second instance on the cache", "SHOAL_CACHE_DIR=" + cache, []string{"SHOAL_CACHE_DIR: another instance of Shoal is using " + cache}},
		{"a blocklist that is not there", "SHOAL_BT_BLOCKLIST=" + file + ".txt", []string{"SHOAL_BT_BLOCKLIST: ", file + ".txt"}},
	} {
		checkEnd(t, test.what, runProgram(t, environment(t, test.env), "serve"), test.want...)
	}
	if !running.Running() {
		t.Error("the first instance has ended")
	}
	got := runProgram(t, environment(t, "SHOAL_BT_DHT=maybe", "SHOAL_CACHE_LIMIT=lots", "SHOAL_NFS_READ_WAIT=50", "PUID=media"), "serve")
	for _, want := range []string{`SHOAL_BT_DHT: "maybe"`, `SHOAL_CACHE_LIMIT: "lots"`, `SHOAL_NFS_READ_WAIT: "50"`, `PUID: "media"`} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("four mistakes: stderr lacks %q:\n%s", want, got.stderr)
		}
	}
	if lines := strings.Count(got.stderr, "\n"); got.code != 2 || lines != 4 {
		t.Errorf("four mistakes: the exit code is %d after %d lines, want 2 after 4:\n%s", got.code, lines, got.stderr)
	}
	if got := runProgram(t, environment(t), "dance"); got.code != 2 || !strings.Contains(got.stderr, "dance") {
		t.Errorf("an unknown command: %+v, want the exit code 2 and its name", got)
	}
}

func TestStartOnReadOnlyDisk(t *testing.T) {
	disk := diskOf(t, "80m")
	readable(t, filepath.Dir(disk))
	remount(t, disk, syscall.MS_RDONLY)
	for _, setting := range []string{"SHOAL_DATA_DIR", "SHOAL_CACHE_DIR"} {
		for _, user := range []string{"", "1234"} {
			dir := t.TempDir()
			readable(t, dir)
			env := appliance.Environment(dir, appliance.FreePort(t), appliance.FreePort(t))
			got := runProgram(t, append(env, setting+"="+disk, "PUID="+user), "serve")
			checkEnd(t, setting+" as "+user, got, setting+": "+disk+" is on a read-only file system")
		}
	}
}

// TestStartOnSmallDisk: what cannot work ends, and what works with less room is told of.
func TestStartOnSmallDisk(t *testing.T) {
	disk := smallDisk(t)
	checkEnd(t, "a small cache", runProgram(t, environment(t, "SHOAL_CACHE_DIR="+disk), "serve"),
		"SHOAL_CACHE_DIR: the disk of "+disk+" has room for ", "64 MiB are needed", "SHOAL_CACHE_LIMIT")
	fill(t, disk)
	checkEnd(t, "a full disk", runProgram(t, environment(t, "SHOAL_DATA_DIR="+disk), "serve"),
		"SHOAL_DATA_DIR: the disk of "+disk+" has no room to write")
	if left, err := os.ReadDir(filepath.Join(disk, "torrents")); err != nil || len(left) > 0 {
		t.Errorf("the start on a full disk has left %v, %v", left, err)
	}

	// A library that is there can be read, whatever fills its disk.
	data, cache := smallDisk(t), diskOf(t, "80m")
	a := appliance.Start(t, "SHOAL_DATA_DIR="+data, "SHOAL_CACHE_DIR="+cache, "SHOAL_CACHE_LIMIT=1GiB", "SHOAL_ROUTES=films")
	if want := "limit=\"1.0 GiB\" room=\"7"; !strings.Contains(a.Log(), want) {
		t.Errorf("the log does not say how much room there is, as in %s:\n%s", want, a.Log())
	}
	a.Stop(t)
	fill(t, data)
	a.Restart(t)
	if !strings.Contains(a.Log(), "nothing can be added or changed") {
		t.Errorf("the log does not say that the disk of the library is full:\n%s", a.Log())
	}
}
