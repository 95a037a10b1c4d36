// Command appliance turns BitTorrent torrents into folders on the local network.
//
//	appliance [serve]      run until SIGINT or SIGTERM
//	appliance healthcheck  exit with 0 when HTTP and NFS answer
//	appliance version      print what this is
//
// Settings come from the environment, see Config. It exits with 0 when stopped by a signal, with 1
// when something fails, and with 2 when the configuration is wrong.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitStopped   = 0
	exitFailed    = 1
	exitMisconfig = 2
)

// stopTime is how long stopping may take, below the 10 s after which Docker kills.
const stopTime = 9 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		time.AfterFunc(stopTime, func() {
			fmt.Fprintf(os.Stderr, "shoal: not stopped after %v, giving up\n", stopTime)
			os.Exit(exitFailed)
		})
	})
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main with everything it works on, for tests. It returns when ctx ends, or earlier.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	if len(args) > 1 {
		command = ""
	}
	switch command {
	case "version":
		fmt.Fprintln(stdout, version())
		return exitStopped
	case "serve", "healthcheck":
	default:
		fmt.Fprintf(stderr, "shoal: %q is not a command. Use: appliance [serve|healthcheck|version]\n", args)
		return exitMisconfig
	}
	cfg, mistakes := parseConfig(environ)
	if len(mistakes) > 0 {
		for _, m := range mistakes {
			fmt.Fprintln(stderr, m)
		}
		return exitMisconfig
	}
	cfg.setZone()
	if command == "healthcheck" {
		if err := healthcheck(ctx, cfg); err != nil {
			fmt.Fprintf(stderr, "shoal: %v\n", err)
			return exitFailed
		}
		return exitStopped
	}
	log, recent := newLogger(cfg, stderr)
	if err := serve(ctx, cfg, log, recent); err != nil {
		log.Error("Shoal failed", "err", err)
		return exitFailed
	}
	return exitStopped
}
