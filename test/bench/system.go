//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// Where the seeder of all that is downloaded listens.
const (
	loopback   = "127.0.0.1"
	seederPort = "20680"
	seederAddr = loopback + ":" + seederPort
)

// system is something that downloads a torrent while it is read.
type system struct {
	name string
	// read follows a course from an empty folder, where only peer has the data. cpu is what it used for
	// all of it, its start as well.
	read func(dir string, s *source, peer string, c course) (p pace, cpu time.Duration, err error)
}

// cold has a system follow a course from an empty folder.
func (b *bench) cold(sys system, s *source, peer string, c course) (pace, error) {
	p, _, err := b.coldCPU(sys, s, peer, c)
	return p, err
}

// coldCPU is cold with the CPU time.
func (b *bench) coldCPU(sys system, s *source, peer string, c course) (pace, time.Duration, error) {
	dir, remove, err := b.home()
	if err != nil {
		return pace{}, 0, err
	}
	defer remove()
	p, cpu, err := sys.read(dir, s, peer, c)
	if err != nil {
		err = fmt.Errorf("%s, pieces of %s: %w", sys.name, pieceName(s), err)
	}
	return p, cpu, err
}

// shoalSystem is the appliance, read over NFS.
func (b *bench) shoalSystem() system {
	return system{shoalName, func(dir string, s *source, peer string, c course) (pace, time.Duration, error) {
		p, err := runShoal(b.setup, dir, "SHOAL_BT_PEERS="+peer)
		if err != nil {
			return pace{}, 0, err
		}
		defer p.end()
		if _, err := upload(s.content); err != nil {
			return pace{}, 0, err
		}
		o, err := b.ask(&server{p, shoalTarget(p)}, task{
			Workload: courseWorkload.name, Name: fileName, File: b.data.file(), Size: b.Size, Course: c,
		})
		if err != nil {
			return pace{}, 0, err
		}
		cpu, err := cpuTime(p.pid)
		return o.Pace, cpu, err
	}}
}

// readerSystems are anacrolix/torrent's Reader with fixed read-aheads.
func (b *bench) readerSystems(aheads ...int64) []system {
	var systems []system
	for _, ahead := range aheads {
		name := fmt.Sprintf("Reader %d MiB", ahead>>20)
		if ahead == 0 {
			name = "Reader none"
		}
		systems = append(systems, system{name, func(dir string, s *source, peer string, c course) (pace, time.Duration, error) {
			cmd := exec.Command(b.self, readerRole)
			o, err := b.converse(cmd, c.time()+clientTime, readerTask{
				Torrent: s.path, Peer: peer, Dir: dir, Readahead: ahead,
				File: b.data.file(), Size: b.Size, Course: c,
			})
			if err != nil {
				return pace{}, 0, err
			}
			return o.Pace, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
		}})
	}
	return systems
}

// converse runs one of this program's clients: its task goes to its standard input, and comes back as an
// outcome.
func (b *bench) converse(cmd *exec.Cmd, limit time.Duration, task any) (outcome, error) {
	var o outcome
	arg, err := json.Marshal(task)
	if err != nil {
		return o, err
	}
	var said, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(arg), &said, &complaint
	if err := cmd.Start(); err != nil {
		return o, fmt.Errorf("start a client: %w", err)
	}
	late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		return o, fmt.Errorf("client: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	if err := json.Unmarshal(said.Bytes(), &o); err != nil {
		return o, fmt.Errorf("client: %w in %.200q", err, said.Bytes())
	}
	return o, nil
}

// ask has an NFS client carry out a task.
func (b *bench) ask(s *server, t task) (outcome, error) {
	t.Target = s.target
	cmd := exec.Command(b.self, clientRole)
	cmd.Env = append(os.Environ(), clientDebug)
	o, err := b.converse(cmd, t.Time+t.Course.time()+clientTime, t)
	if err != nil {
		err = fmt.Errorf("%s: %w\nlog of %s:\n%s", t.Workload, err, s.target.Name, s.tail())
	}
	return o, err
}

// rotated has another one first in each round.
func rotated[T any](all []T, round int) []T {
	n := round % len(all)
	return slices.Concat(all[n:], all[:n])
}
