//go:build linux

// Package guest runs a shell script inside a real Linux, so that tests can mount what Shoal exports with
// the NFS client that users have, even where the machine's own kernel has none.
//
//	image := guest.Require(t)
//	vm := image.Start(t, fmt.Sprintf(`
//		mount -t nfs -o nfsvers=3,tcp,nolock,port=%[1]d,mountport=%[1]d %[2]s:/ /mnt || exit
//		find /mnt -type f -print0 | xargs -0 sha256sum
//		umount /mnt`, port, guest.HostAddr))
//	if err := vm.Wait(ctx); err != nil {
//		t.Fatal(err)
//	}
//	sums := vm.Output()
//
// The guest is Debian's kernel in QEMU's software emulation: two processors and 1 GiB of memory, about
// four seconds from Start to the job's first line, and slow afterwards (some 50 MB of SHA-256 a second).
// It tells the truth about behaviour and nothing about speed. Its file system lives in memory and is new
// in every VM. The only machine it can reach is the host, whose loopback it sees as [HostAddr] and
// [HostAddr6]; no connection leaves the machine.
//
// A job is a script for sh, run by root in /root. Beside all of busybox it has the real mount, umount,
// mount.nfs, rpcbind, rpcinfo, rpc.statd, showmount, nfsstat and flock, and GNU's find, xargs, sha256sum,
// dd, stat, ls, du, df and timeout, in a UTF-8 locale. A mount without nolock needs
// "rpcbind; rpc.statd --no-notify" first. The console is what the job prints, between two lines of the
// guest's own that begin with "==="; the kernel's messages are apart, in [VM.KernelLog]. To synchronise
// with a test, a job prints a line for [VM.WaitLine] and reads one, with "read -r line", from [VM.Send].
//
// Programs of a test's own come along with [WithFile]; they have to be static. With [OnTap] the guest is a
// machine of its own on a network of the test's, which the host can call; without, it is one behind
// address translation.
//
// A hard mount survives its server: after outages of up to 90 s (none longer was tried) the client had
// connected again within three seconds of the server's return.
//
// The image is built once by build.sh, into shoal-test/guest-<hash> in the user's cache directory, and
// again when build.sh or init.sh change. Old ones may be deleted at any time.
package guest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shoal/test/debian"
)

// The host's loopback addresses 127.0.0.1 and ::1, as the guest sees them.
const (
	HostAddr  = "10.0.2.2"
	HostAddr6 = "fec0::2"
)

// buildLimit leaves go test's own ten minutes some for the tests.
const buildLimit = 8 * time.Minute

//go:embed build.sh init.sh
var scripts embed.FS

// Image is a guest that can be started any number of times, also at the same time.
type Image struct {
	kernel, initrd string // files; nothing writes to them
}

// Require returns the image, and builds it first if this machine has none. It is built at most once in a
// process, and by one process at a time. Where there can be no image the test ends as
// [debian.Unavailable] says; with -short it is skipped.
func Require(tb testing.TB) *Image {
	tb.Helper()
	if testing.Short() {
		tb.Skip("boots a Linux guest: left out with -short")
	}
	image, err := built()
	if err != nil {
		debian.Unavailable(tb, fmt.Errorf("image of the Linux guest: %w", err))
	}
	return image
}

// Prepare builds the image, if this machine has none, for the processes that this one starts, which may
// have no network to download packages from.
func Prepare() error {
	_, err := built()
	return err
}

var built = sync.OnceValues(build)

func build() (*Image, error) {
	// What QEMU and build.sh run; the guest's own packages are only downloaded, by build.sh.
	if err := debian.Ensure("qemu-system-x86", "cpio", "kmod", "mount", "util-linux", "findutils"); err != nil {
		return nil, err
	}
	dir, err := cacheDir()
	if err != nil {
		return nil, err
	}
	image := &Image{kernel: filepath.Join(dir, "vmlinuz"), initrd: filepath.Join(dir, "initrd.gz")}
	if _, err := os.Stat(dir); err == nil {
		return image, nil // build.sh makes the folder appear last
	}
	return image, runBuildScript(dir)
}

// cacheDir returns where the image belongs that the embedded scripts make.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	hash := sha256.New()
	for _, name := range []string{"build.sh", "init.sh"} {
		script, err := scripts.ReadFile(name)
		if err != nil {
			return "", err
		}
		hash.Write(script)
	}
	return filepath.Join(cache, "shoal-test", fmt.Sprintf("guest-%.6x", hash.Sum(nil))), nil
}

func runBuildScript(dir string) error {
	source, err := os.MkdirTemp("", "shoal-guest-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(source) }() // a temporary folder
	if err := os.CopyFS(source, scripts); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(source, "build.sh"), dir)
	// The script's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build.sh: %w\n%s", errors.Join(err, ctx.Err()), bytes.TrimSpace(out))
	}
	return nil
}

// withFiles writes the file from which a VM starts: the image's memory disk, and behind it archives with
// the job and more, which the kernel unpacks over the first.
func (image *Image) withFiles(path string, files []file) error {
	from, err := os.Open(image.initrd)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	for _, f := range files {
		err = errors.Join(err, writeArchive(to, f.name, f.content))
	}
	return errors.Join(err, to.Close())
}

// writeArchive writes a compressed cpio archive ("newc") of one file that may be run, the form the kernel
// takes.
func writeArchive(w io.Writer, name, content string) error {
	const regularFile = 0o100755
	compressed := gzip.NewWriter(w)
	for _, entry := range []struct {
		mode          int
		name, content string
	}{{regularFile, name, content}, {0, "TRAILER!!!", ""}} {
		size := len(entry.content)
		fields := []any{0, entry.mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(entry.name) + 1, 0}
		header := "070701" + fmt.Sprintf(strings.Repeat("%08x", len(fields)), fields...)
		// Header with name, and content, are each filled up with zeros to a multiple of four.
		for _, part := range []string{header + entry.name + "\x00", entry.content} {
			part += "\x00\x00\x00"
			if _, err := io.WriteString(compressed, part[:len(part)/4*4]); err != nil {
				return err
			}
		}
	}
	return compressed.Close()
}
