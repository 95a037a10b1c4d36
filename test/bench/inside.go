//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	maxPage = 1 << 20
	// spareSize is what the tmpfs has room for beside the large file.
	spareSize = 4 << 30
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
	if err := furnish(b.Dir, b.Size+spareSize); err != nil {
		return err
	}
	b.head()
	if err := b.begin(); err != nil {
		return err
	}
	for round := range b.Rounds {
		before, err := b.usage()
		if err != nil {
			return err
		}
		if err := b.round(round); err != nil {
			return err
		}
		if err := b.noise(round, before); err != nil {
			return err
		}
	}
	b.table()
	if ok := b.judge(); !ok && b.Judge {
		return errReported
	}
	return nil
}

// begin makes the data, starts the servers, and checks that both serve the data.
func (b *bench) begin() (err error) {
	start := time.Now()
	if b.data, err = makeData(b.Dir, b.Size, b.Entries); err != nil {
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
		if w.name == firstListing.name || !b.wanted(w.name) {
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

// do has a client carry out a task.
func (b *bench) do(s *server, w workload, round int) (outcome, error) {
	var o outcome
	arg, err := json.Marshal(task{
		Target: s.target, Workload: w.name, File: b.data.file(), Size: b.Size, Entries: b.Entries,
		Page: b.page, Time: b.Time, Round: round, Discard: b.Discard,
	})
	if err != nil {
		return o, err
	}
	cmd := exec.Command(b.self, clientRole)
	cmd.Env = append(os.Environ(), clientDebug)
	var said, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(arg), &said, &complaint
	if err := cmd.Start(); err != nil {
		return o, fmt.Errorf("start a client: %w", err)
	}
	late := time.AfterFunc(b.Time+clientTime, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return o, fmt.Errorf("client of %s: %w: %s\nlog of %s:\n%s",
			s.target.Name, err, bytes.TrimSpace(complaint.Bytes()), s.target.Name, s.tail())
	}
	if err := json.Unmarshal(said.Bytes(), &o); err != nil {
		return o, fmt.Errorf("client of %s: %w in %.200q", s.target.Name, err, said.Bytes())
	}
	return o, nil
}
