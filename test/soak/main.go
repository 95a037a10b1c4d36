//go:build linux

// Command soak uses an appliance for hours, as hard as a household does on its worst day, and looks at
// what that does to it: clients stream, read in random places and vanish in the middle of it, torrents are
// added, removed and paused, archives are looked into, the process is restarted and killed, and all that
// through a cache that is too small for it. Each byte that is read is compared.
//
//	go run ./test/soak -for 2h -report 1m
//
// It says each minute what the process takes, and at the end whether anything was wrong, whether the
// cache kept its limit, and whether memory, goroutines or descriptors grew while the process lived. If so
// it exits with 1. It uses less than half of a small machine, and talks to itself only, on loopback.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"shoal/test/debian"
	"shoal/test/libtorrent"
)

// options say how it is done.
type options struct {
	Appliance string // path of the binary; built if empty
	Dir       string // for all the data; a temporary one if empty
	For       time.Duration
	Report    time.Duration
	Life      time.Duration // of a process
	Limit     int64         // of the cache, in bytes
	Size      int64         // of each torrent, in bytes
	Rate      int64         // that all clients read, in bytes per second
	Clients   int
	Seed      uint64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errReported):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// errReported is for what was said already.
var errReported = errors.New("it was said already")

func parse(args []string) (options, error) {
	opts := options{}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.StringVar(&opts.Appliance, "appliance", "", "the `binary` to use; without it, one is built")
	flags.StringVar(&opts.Dir, "dir", "", "an empty `folder` for all the data; without it, a temporary one")
	flags.DurationVar(&opts.For, "for", 2*time.Hour, "how long")
	flags.DurationVar(&opts.Report, "report", time.Minute, "how often to say how it goes")
	flags.DurationVar(&opts.Life, "life", 20*time.Minute, "how long a process lives before it is restarted, or killed")
	limit := flags.Int64("limit", 256, "limit of the cache, in MiB")
	size := flags.Int64("size", 96, "size of each of the torrents, in MiB")
	readRate := flags.Int64("rate", 24, "what all clients read together, in MB/s")
	flags.IntVar(&opts.Clients, "clients", 8, "clients that read")
	flags.Uint64Var(&opts.Seed, "seed", uint64(time.Now().UnixNano()), "of all that is random")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	opts.Limit, opts.Size, opts.Rate = *limit<<20, *size<<20, *readRate*1_000_000
	if flags.NArg() > 0 || opts.For <= 0 || opts.Report <= 0 || opts.Life <= 0 || *limit < 1 || *size < 1 || *readRate < 1 || opts.Clients < 1 {
		fmt.Fprintln(flags.Output(), "soak: there has to be some of everything, and no argument but flags")
		flags.Usage()
		return opts, errReported
	}
	return opts, nil
}

func start(ctx context.Context, args []string, out io.Writer) (err error) {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	if err := debian.Ensure(libtorrent.Package); err != nil { //nolint:contextcheck // it has a limit of its own
		return err
	}
	if opts.Dir == "" {
		dir, err := os.MkdirTemp("", "shoal-soak-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		opts.Dir = dir
	}
	if opts.Dir, err = filepath.Abs(opts.Dir); err != nil {
		return err
	}
	if opts.Appliance == "" {
		opts.Appliance = filepath.Join(opts.Dir, "appliance")
		if err := build(ctx, opts.Appliance); err != nil {
			return err
		}
	}
	return run(ctx, opts, out)
}

// build makes the binary that `make build` makes.
func build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "shoal/cmd/appliance")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the appliance: %w\n%s", err, bytes.TrimSpace(said))
	}
	return nil
}

// say writes a line for people.
func say(out io.Writer, format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
