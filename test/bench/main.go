//go:build linux

// Command bench compares the appliance with programs that others wrote, on the same data in the same run, one
// after the other in several rounds. It prints what it measured and whether that is what Shoal promises; if
// not, it exits with 1. Its suites:
//
//	serve   complete data, beside nfs-ganesha, an NFS server in C: same tmpfs, same client
//	stream  a file that has to be downloaded, from a libtorrent on this machine: beside the Reader of
//	        anacrolix/torrent, libtorrent and btfs
//	link    the same through an emulated link of 100 Mbit/s, and seeks, beside Readers with fixed read-aheads
//	busy    complete data while another torrent downloads
//	random  how many pieces READs in random places fetch
//	archive members of archives: a large one of a zip, beside archivemount, fuse-zip and plain decoding, and
//	        how many pieces it takes to list and read in large archives
//	many    a library of 10,000 torrents
//	site    the pages of the admin site with such a library, and 50 that are open
//
//	go run ./test/bench                        # all: half an hour
//	go run ./test/bench -only stream,busy
//	go run ./test/bench -appliance bin/appliance -rounds 1 -only getattr
//
// Everything runs in namespaces of its own (processes, network, mounts), so nothing of the machine is
// in its way, and nothing of it is left over: the tmpfs and the servers end with the namespace, even
// should this program be killed. It needs root.
//
// The program is four: the one that is started builds the appliance and makes the namespaces; inside
// of them the second one makes the data, starts the servers and judges; and for each measurement that
// one starts a client, of NFS or of the swarm, so that no server has to do with a client that another
// one has left in disorder. Those who download start with an empty folder each time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options say what is measured.
type options struct {
	Appliance string // path of the binary; built if empty
	Rounds    int    // with complete data
	Size      int64  // of the large file, in bytes
	Entries   int    // of the large folder
	Time      time.Duration
	Page      int  // of a READDIRPLUS, in bytes; 0 is what the servers prefer
	Discard   bool // the client does not copy the data of READs
	Judge     bool
	Only      []string // parts of the names of suites and workloads; empty is all

	Torrents    int           // in a large library
	Idle        time.Duration // how long it is left alone
	Files       int           // of the largest torrents of the site
	StreamTime  time.Duration // how long open pages of the site are measured
	SwarmRounds int           // with data that has to be downloaded

	LinkPieces sizes         // lengths of pieces
	LinkTime   time.Duration // of a stream through the link
	LinkStay   time.Duration // of a stream after a seek
	LinkSeeks  int           // in a round
	Log        bool          // show what the servers log
}

func main() { os.Exit(start(os.Args[1:])) }

// start is one of the four programs.
func start(args []string) int {
	var err error
	switch {
	case len(args) == 2 && args[0] == insideRole:
		err = inside(args[1], os.Stdout)
	case len(args) == 1 && args[0] == clientRole:
		err = client(os.Stdin, os.Stdout)
	case len(args) == 1 && args[0] == readerRole:
		err = reader(os.Stdin, os.Stdout)
	default:
		var opts options
		if opts, err = parse(args); errors.Is(err, flag.ErrHelp) {
			return 0
		} else if err != nil {
			return 2
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		err = run(ctx, opts, os.Stdout)
	}
	switch {
	case errors.Is(err, errReported):
		return 1
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// errReported is for what was said already.
var errReported = errors.New("it was said already")

func parse(args []string) (options, error) {
	opts := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&opts.Appliance, "appliance", "", "the `binary` to measure; without it, one is built")
	flags.IntVar(&opts.Rounds, "rounds", 5, "how often is measured what is complete")
	flags.IntVar(&opts.SwarmRounds, "swarm-rounds", 3, "how often is measured what has to be downloaded")
	size := flags.Int64("size", 2048, "size of the large file, in MiB")
	flags.IntVar(&opts.Entries, "entries", 100_000, "files in the large folder")
	flags.DurationVar(&opts.Time, "time", 2*time.Second, "how long a measurement takes")
	flags.IntVar(&opts.Page, "page", 0, "bytes that a READDIRPLUS asks for; 0 is what the servers prefer, the larger of both, and at most 1 MiB")
	flags.BoolVar(&opts.Discard, "discard", false, "the client has large READs thrown away by the kernel")
	dup := flags.Bool("copy", true, "the client copies what it reads, as real clients do")
	flags.BoolVar(&opts.Judge, "judge", true, "exit with 1 if Shoal is not as fast as it has to be")
	only := flags.String("only", "", "the suites (serve, stream, link, busy, random, archive, many, site) and workloads to run, by parts of their names, with commas between")
	flags.IntVar(&opts.Torrents, "torrents", 10_000, "torrents in a large library")
	flags.DurationVar(&opts.Idle, "idle", 10*time.Second, "how long the CPU time of a large library is measured")
	flags.IntVar(&opts.Files, "files", 40_000, "files in the largest torrents of the site")
	flags.DurationVar(&opts.StreamTime, "stream-time", 30*time.Second, "how long the CPU time of open pages of the site is measured")
	opts.LinkPieces = sizes{256 << 10, 1 << 20, 4 << 20}
	flags.Var(&opts.LinkPieces, "link-pieces", "lengths of pieces in streams through the slow link, in `KiB`, with commas between")
	flags.DurationVar(&opts.LinkTime, "link-time", 6*time.Second, "how long a stream through the slow link is measured")
	flags.DurationVar(&opts.LinkStay, "link-stay", 1500*time.Millisecond, "how long it goes on there after a seek")
	flags.IntVar(&opts.LinkSeeks, "link-seeks", 5, "seeks in a round")
	flags.BoolVar(&opts.Log, "log", false, "show what the servers log")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	opts.Size = *size << 20
	opts.Discard = opts.Discard || !*dup
	if *only != "" {
		opts.Only = strings.Split(*only, ",")
	}
	if flags.NArg() > 0 || opts.Rounds < 1 || opts.SwarmRounds < 1 || *size < 1 || opts.Entries < 1 || opts.Time <= 0 || opts.LinkTime <= 0 || opts.LinkSeeks < 1 || opts.Torrents < 1 || opts.Files < 1 || opts.StreamTime <= 0 {
		fmt.Fprintln(flags.Output(), "bench: there has to be at least one of everything, and no argument but flags")
		flags.Usage()
		return opts, errReported
	}
	return opts, nil
}

// sizes are a flag, in KiB with commas between.
type sizes []int64

func (s *sizes) String() string {
	var texts []string
	for _, size := range *s {
		texts = append(texts, strconv.FormatInt(size>>10, 10))
	}
	return strings.Join(texts, ",")
}

func (s *sizes) Set(text string) error {
	*s = nil
	for part := range strings.SplitSeq(text, ",") {
		kib, err := strconv.ParseInt(part, 10, 32)
		if err != nil || kib < 16 {
			return errors.New("a piece has at least 16 KiB")
		}
		*s = append(*s, kib<<10)
	}
	return nil
}

// say writes a line for people.
func say(out io.Writer, format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
