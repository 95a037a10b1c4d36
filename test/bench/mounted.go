//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	fuseZipName      = "fuse-zip"
	archivemountName = "archivemount"

	// mountedTimes is how many times as long as a measurement a peer is measured with each kind of read, at most.
	mountedTimes = 5
)

// mounted measures file systems on FUSE that show the same zip, each on a mount of its own. They are so slow, or take so much, that once
// is enough.
func (a *archiveBench) mounted() {
	say(a.out, "\n%-13s %14s %14s %12s %14s %14s %12s", "", "open, first ms", "random p50 ms", "CPU ms", "sequential MB/s", "CPU s/GB", "resident MiB")
	for _, peer := range []struct {
		name string
		args []string
	}{{fuseZipName, []string{"-f", "-r"}}, {archivemountName, []string{"-f", "-o", "ro"}}} {
		if err := a.mountOnce(peer.name, peer.args); err != nil {
			say(a.out, "%s is not measured: %v", peer.name, err)
		}
	}
	of := func(what string) float64 { return median(a.all.of(what, shoalName)) }
	say(a.out, "%-13s %14s %14.2f %12.2f %14.1f %14.2f %12.1f", shoalName, "–", of("read p50"), of("read CPU"), of("sequential"), of("sequential CPU"), of("peak"))
	say(a.out, "%-13s %14s %14s %12s %14.1f %14.2f %12s", plainName, "–", "–", "–",
		median(a.all.of("sequential", plainName)), median(a.all.of("sequential CPU", plainName)), "–")
}

// mountOnce measures one of them.
func (a *archiveBench) mountOnce(name string, args []string) (err error) {
	dir := filepath.Join(a.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	p, err := launch(a.Dir, a.Log, os.Environ(), name, append(args, a.zip, dir)...)
	if err != nil {
		return err
	}
	defer p.end()
	path := filepath.Join(dir, memberName)
	if err := p.await(func() error { _, err := os.Stat(path); return err }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	o, err := openOriginal(a.member(), a.size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	late := time.AfterFunc(clientTime, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()

	first, _, err := a.readPlaces(p, path, o, places{Offsets: []int64{0}, Length: archiveRead})
	if err != nil {
		return err
	}
	random, randomCPU, err := a.readPlaces(p, path, o, anyPlaces(a.size, archiveReads, archiveRead, 0))
	if err != nil {
		return err
	}
	inOrder, inOrderCPU, err := a.readPlaces(p, path, o, wholeFile(a.size))
	if err != nil {
		return err
	}
	peak, err := procMiB(p.pid, "VmHWM")
	var took time.Duration
	for _, t := range inOrder {
		took += t
	}
	read := float64(len(inOrder)) * largeRead
	say(a.out, "%-13s %14.1f %14.2f %12.2f %14.1f %14.2f %12.1f  (%d random reads)", name, ms(first[0]), ms(percentile(random, 50)),
		ms(randomCPU)/float64(len(random)), read/1e6/took.Seconds(), inOrderCPU.Seconds()/(read/1e9), peak, len(random))
	return err
}

// readPlaces reads in as many of the places as there is time for, and compares. It returns how long each read took, and the CPU time of
// the server.
func (a *archiveBench) readPlaces(p *process, path string, o original, at places) (times []time.Duration, cpu time.Duration, err error) {
	before, err := cpuTime(p.pid)
	if err != nil {
		return nil, 0, err
	}
	opened := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	opening := time.Since(opened)
	b := make([]byte, at.Length)
	for end := time.Now().Add(mountedTimes * a.Time); len(times) < len(at.Offsets) && (len(times) == 0 || time.Now().Before(end)); {
		off := at.Offsets[len(times)]
		begin := time.Now()
		n, err := f.ReadAt(b, off)
		if err == nil && !bytes.Equal(b, o[off:off+int64(n)]) {
			err = errors.New("the bytes are not those of the file")
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%d bytes at %d: %w", len(b), off, err)
		}
		times = append(times, time.Since(begin))
	}
	times[0] += opening
	after, err := cpuTime(p.pid)
	return times, after - before, err
}
