// Command list writes what an archive has inside as JSON, to be read in a process of its own.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"shoal/test/archives"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: list ARCHIVE FOLDER-TO-WORK-IN")
		os.Exit(2)
	}
	l, err := archives.List(context.Background(), os.Args[1], os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
