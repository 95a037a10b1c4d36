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
	if len(os.Args) > 1 && (os.Args[1] == insideRole || os.Args[1] == clientRole) {
		os.Exit(start(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestBench runs the whole comparison, small. That both servers serve the right data and all the names
// is a condition of it; how fast they are is not for a test to judge.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("needs nfs-ganesha and takes seconds")
	}
	if os.Geteuid() != 0 {
		debian.Unavailable(t, errNotRoot)
	}
	debian.Install(t, packages...)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // it would be a second for each client
	var out bytes.Buffer
	err := run(t.Context(), options{Rounds: 1, Size: 32 << 20, Entries: 1000, Time: 100 * time.Millisecond}, &out)
	t.Logf("it printed:\n%s", &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{shoalName, ganeshaName} {
		for _, want := range []string{
			server + " serves the right data: 115 MB read, 1000 names listed",
			"round 1  getattr-x1    " + server,
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the output lacks %q", want)
			}
		}
	}
	for _, p := range promises {
		if !strings.Contains(out.String(), p.workload+" ") {
			t.Errorf("the output lacks %s", p.workload)
		}
	}
}
