//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	maxPage = 1 << 20
	// spareSize is what the tmpfs has room for beside the large file, another one of its size, and what is
	// downloaded of one of them.
	spareSize = 2 << 30
	// clientTime is how long a client may take for one task, beside the time that it measures.
	clientTime = 2 * time.Minute
)

// server is one that runs.
type server struct {
	*process

	target target
}

// bench is a comparison under way.
type bench struct {
	setup

	self    string
	data    *data
	servers []*server
	page    int
	out     io.Writer
	results []result
	failed  bool // a promise is broken
}

// result is one measurement.
type result struct {
	workload string
	server   string
	measured
}

// inside is the second program: it runs in namespaces, and all that it starts ends with it.
func inside(arg string, out io.Writer) error {
	runtime.LockOSThread()
	b := &bench{out: out}
	if err := json.Unmarshal([]byte(arg), &b.setup); err != nil {
		return fmt.Errorf("read the setup: %w", err)
	}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if err := furnish(b.Dir, 3*b.Size+spareSize); err != nil {
		return err
	}
	b.head()
	for _, suite := range suites {
		if !suite.wanted(b) {
			continue
		}
		if err := suite.run(b); err != nil {
			return fmt.Errorf("%s: %w", suite.name, err)
		}
	}
	if b.failed && b.Judge {
		return errReported
	}
	return nil
}

// suite is measurements that belong together.
type suite struct {
	name   string
	wanted func(b *bench) bool
	run    func(b *bench) error
}

// suites are all that is measured, in this order.
var suites = []suite{
	{"serve", (*bench).wantsServing, (*bench).serve},
	{"stream", wantsSuite("stream"), (*bench).runStream},
	{"link", wantsSuite("link"), (*bench).runLink},
	{"busy", wantsSuite("busy"), (*bench).runBusy},
	{"random", wantsSuite("random"), (*bench).runRandom},
	{"archive", wantsSuite("archive"), (*bench).runArchive},
	{"many", wantsSuite("many"), (*bench).runMany},
	{"site", wantsSuite("site"), (*bench).runSite},
}

func wantsSuite(name string) func(b *bench) bool {
	return func(b *bench) bool { return b.wanted(name) }
}

// wantsServing says whether any of the workloads is wanted that compare with ganesha.
func (b *bench) wantsServing() bool {
	return b.wanted("serve") || slices.ContainsFunc(workloads(), func(w workload) bool { return b.wanted(w.name) })
}

// quietly measures a round, and prints how quiet the machine was in it.
func (b *bench) quietly(round int, measure func() error) error {
	before, err := readUsage()
	if err == nil {
		err = measure()
	}
	if err == nil {
		err = b.noise(round, before)
	}
	return err
}

// needFile makes the large file, unless it is there.
func (b *bench) needFile() (err error) {
	if b.data == nil {
		if b.data, err = makeData(b.Dir, b.Size); err != nil {
			err = fmt.Errorf("make the data: %w", err)
		}
	}
	return err
}

// serve compares with ganesha, with data that is complete.
func (b *bench) serve() error {
	copying := "copies what it reads"
	if b.Discard {
		copying = "has large READs thrown away"
	}
	say(b.out, "\nComplete data, with a folder of %d files; %d rounds of %v each; the client %s.",
		b.Entries, b.Rounds, b.Time, copying)
	if err := b.begin(); err != nil {
		return err
	}
	for round := range b.Rounds {
		if err := b.quietly(round, func() error { return b.round(round) }); err != nil {
			return err
		}
	}
	b.table()
	b.judge()
	for _, s := range b.servers {
		s.end()
	}
	return os.RemoveAll(filepath.Join(b.Dir, shoalHome)) // the cache has the large file
}

// begin makes the data, starts the servers, and checks that both serve the data.
func (b *bench) begin() (err error) {
	start := time.Now()
	if err := b.needFile(); err != nil {
		return err
	}
	if err := b.data.fill(b.Entries); err != nil {
		return fmt.Errorf("make the data: %w", err)
	}
	for _, start := range []func(setup, *data) (*server, error){startShoal, startGanesha} {
		s, err := start(b.setup, b.data)
		if err != nil {
			return err
		}
		b.servers = append(b.servers, s)
	}
	say(b.out, "The data is made, and the servers run, after %.1f s.", time.Since(start).Seconds())
	b.page = b.Page
	for _, s := range b.servers {
		o, err := b.do(s, probeWorkload, 0)
		if err != nil {
			return err
		}
		say(b.out, "%s prefers %d bytes for a READDIRPLUS.", s.target.Name, o.Dtpref)
		if b.Page == 0 {
			b.page = max(b.page, min(o.Dtpref, maxPage))
		}
	}
	say(b.out, "Both are asked for %d.", b.page)
	for _, s := range b.servers {
		o, err := b.do(s, firstListing, 0)
		if err != nil {
			return err
		}
		b.results = append(b.results, result{firstListing.name, s.target.Name, o.measured})
		start := time.Now()
		o, err = b.do(s, verifyWorkload, 0)
		if err != nil {
			return err
		}
		say(b.out, "%s serves the right data: %d MB read, %d names listed, in %.1f s.",
			s.target.Name, o.Bytes/1e6, b.Entries, time.Since(start).Seconds())
	}
	return nil
}

// round measures everything once. Who is first changes with each round.
func (b *bench) round(n int) error {
	servers := slices.Clone(b.servers)
	if n%2 == 1 {
		slices.Reverse(servers)
	}
	for _, w := range workloads() {
		if w.name == firstListing.name || !b.wanted(w.name) && !b.wanted("serve") {
			continue
		}
		for _, s := range servers {
			o, err := b.do(s, w, n)
			if err != nil {
				return err
			}
			b.results = append(b.results, result{w.name, s.target.Name, o.measured})
			say(b.out, "round %d  %-13s %-8s %s", n+1, w.name, s.target.Name, describe(w, o.measured))
		}
	}
	return nil
}

func (b *bench) wanted(name string) bool {
	return len(b.Only) == 0 || slices.ContainsFunc(b.Only, func(part string) bool { return strings.Contains(name, part) })
}

// do has a client carry out a workload with the complete data.
func (b *bench) do(s *server, w workload, round int) (outcome, error) {
	return b.ask(s, task{
		Workload: w.name, Name: fileName, File: b.data.file(), Size: b.Size, Entries: b.Entries,
		Page: b.page, Time: b.Time, Round: round, Discard: b.Discard,
	})
}
