//go:build linux

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"shoal/test/debian"
)

// TestMain is also the programs that this one starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == insideRole || os.Args[1] == clientRole || os.Args[1] == readerRole) {
		os.Exit(start(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestBench runs everything, small. That both servers serve the right data and all the names, and that all
// who download get the right bytes, is a condition of it; how fast they are is not for a test to judge.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("needs nfs-ganesha and takes most of a minute")
	}
	if os.Geteuid() != 0 {
		debian.Unavailable(t, errNotRoot)
	}
	debian.Install(t, packages...)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // it would be a second for each client
	var out bytes.Buffer
	err := run(t.Context(), options{
		Rounds: 1, Size: 32 << 20, Entries: 1000, Time: 100 * time.Millisecond,
		SwarmRounds: 1, Torrents: 150, Idle: 100 * time.Millisecond, Files: 500, StreamTime: time.Second,
		LinkPieces: sizes{256 << 10}, LinkTime: 200 * time.Millisecond, LinkStay: 100 * time.Millisecond, LinkSeeks: 1,
	}, &out)
	t.Logf("it printed:\n%s", &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		shoalName + " serves the right data: 115 MB read, 1000 names listed",
		ganeshaName + " serves the right data: 115 MB read, 1000 names listed",
		"round 1  getattr-x1    " + shoalName,
		"round 1  getattr-x1    " + ganeshaName,
		"btfs ", // or why not
		"  stream: Shoal is ",
		"  link 256 KiB: Shoal streams at ",
		"  link 256 KiB: a seek of Shoal takes ",
		"  busy: the p99 ",
		"  random: 300 READs fetch ",
		"  archive: a random READ of 64 KiB takes ",
		"PASS  archive: a random READ fetches ",
		"PASS  archive: first pass inflates ", "PASS  archive: disorder inflates ",
		"  archive: first pass is ", "  archive: sequential is ",
		"  archive: the index takes ",
		"PASS  archive: memory for 17 open members ",
		"PASS  archive: a zip of 2000 members, 4 GiB, pieces of 4 MiB: ",
		"\n" + fuseZipName + " ", "\n" + archivemountName + " ", // or why not
		"PASS  archive: 21 volumes of RAR, ",
		"  many: the first byte of one takes ",
		"  site: the slowest page takes ", "  site: the heaviest page weighs ", " open pages take ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "FAIL  archive: a zip of ") { // what is counted does not depend on the machine
		t.Error("a large zip takes too many pieces")
	}
	for _, p := range promises {
		if !strings.Contains(out.String(), p.workload+" ") {
			t.Errorf("the output lacks %s", p.workload)
		}
	}
}
