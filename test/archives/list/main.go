// Command list writes what an archive has inside as JSON, to be read in a process of its own.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"shoal/test/archives"
)

// memory returns how much memory and how many addresses the process has had at the most, in bytes. What the system tells whoever waits
// for the process is of no use: that counts what its parent had, too.
func memory() (resident, addresses int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			resident = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "VmPeak: %d kB", &kib); n == 1 {
			addresses = kib << 10
		}
	}
	return resident, addresses, nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: list ARCHIVE FOLDER-TO-WORK-IN")
		os.Exit(2)
	}
	l, err := archives.List(context.Background(), os.Args[1], os.Args[2])
	if err == nil {
		l.Resident, l.Addresses, err = memory()
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
