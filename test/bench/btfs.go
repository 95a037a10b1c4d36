//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	btfsName = "btfs"
	// libtorrent, which btfs is made of, looks for no peer on its own machine's addresses. So it gets a
	// network namespace of its own, and a cable to this one.
	cableHere, cableThere     = "bench0", "bench1"
	addressHere, addressThere = "10.77.0.1", "10.77.0.2"

	btfsStart = 30 * time.Second // until the file is there
	btfsTime  = 15 * time.Second // how long it is read, at most
)

// btfsMain waits for a line, which says that the cable is there, and runs its arguments when the kernel has
// noticed that both ends are up: libtorrent looks once.
const btfsMain = `read -r _
ip link set lo up
ip addr add ` + addressThere + `/24 dev ` + cableThere + `
ip link set ` + cableThere + ` up
until ip link show dev ` + cableThere + ` | grep -q 'state UP'; do sleep 0.1; done
exec "$@"`

// layCable makes this end of the cable. The error is why btfs cannot run here.
func layCable() error {
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_ = fuse.Close() // it was only tried
	return errors.Join(
		ip("link", "add", cableHere, "type", "veth", "peer", "name", cableThere),
		ip("addr", "add", addressHere+"/24", "dev", cableHere),
		ip("link", "set", cableHere, "up"),
	)
}

func ip(args ...string) error {
	if said, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, said)
	}
	return nil
}

// btfsSystem is btfs, a file system on FUSE that downloads with libtorrent. It reads in order for some
// time, whatever the course says.
func (b *bench) btfsSystem() system {
	return system{btfsName, func(dir string, s *source, _ string, _ course) (p pace, cpu time.Duration, err error) {
		mount, data := filepath.Join(dir, "mount"), filepath.Join(dir, "data")
		if err := errors.Join(os.Mkdir(mount, 0o755), os.Mkdir(data, 0o755)); err != nil {
			return p, 0, err
		}
		cmd := exec.Command("sh", "-c", btfsMain, "sh", "btfs", "-f", "--data-directory="+data,
			"magnet:?xt=urn:btih:"+s.infohash+"&x.pe="+addressHere+":"+seederPort, mount)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		in, err := cmd.StdinPipe()
		if err != nil {
			return p, 0, err
		}
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			return p, 0, fmt.Errorf("start btfs: %w", err)
		}
		if err = ip("link", "set", cableThere, "netns", strconv.Itoa(cmd.Process.Pid)); err == nil {
			if _, err = io.WriteString(in, "\n"); err == nil {
				p, err = b.readMounted(filepath.Join(mount, fileName), begin, cmd.Process)
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if err == nil {
			err = syscall.Unmount(mount, syscall.MNT_DETACH)
		}
		return p, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
	}}
}

// readMounted reads a file that will be there, as long as there is time. It kills the process that a read
// waits for for too long.
func (b *bench) readMounted(path string, begin time.Time, server *os.Process) (p pace, err error) {
	late := time.AfterFunc(btfsStart+2*btfsTime, func() { _ = server.Kill() })
	defer late.Stop()
	o, err := openOriginal(b.data.file(), b.Size)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	var f *os.File
	for f, err = os.Open(path); err != nil; f, err = os.Open(path) {
		if time.Since(begin) > btfsStart {
			return p, fmt.Errorf("the file is not there after %v: %w", btfsStart, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	defer f.Close()
	for buffer := make([]byte, largeRead); p.Bytes < b.Size && p.Elapsed < btfsTime; p.Elapsed = time.Since(begin) - p.First {
		n, err := io.ReadFull(f, buffer)
		if err == nil {
			err = o.check(p.Bytes, buffer[:n])
		}
		if err != nil {
			return p, fmt.Errorf("read at %d: %w", p.Bytes, err)
		}
		if p.Bytes += int64(n); p.First == 0 {
			p.First = time.Since(begin)
		}
	}
	return p, nil
}
