//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/debian"
	"shoal/test/guest"
	"shoal/test/netns"
)

// beginJob begins a job that mounts with no option: mount.nfs wants to have a status monitor then. Beside
// that it has functions:
//
//	part NAME        what is printed next is for the test to look at, see parts
//	expect N CMD...  runs a command, which has to exit with N
//	took NAME        says how many seconds have passed since the last `begin`
const beginJob = `
	part() { echo "@ $*"; }
	expect() {
		want=$1; shift; said=$("$@" 2>&1); got=$?
		[ "$got" = "$want" ] || echo "WRONG: exit code $got of: $*: $said"
	}
	now() { sed 's/\.\(.\).*/\1/' /proc/uptime; } # in tenths of a second
	begin() { began=$(now); }
	took() { echo "TOOK $(($(now) - began)) $*"; }
	rpcbind && rpc.statd --no-notify || exit 1
`

// guestOn returns the image of the guest, and an appliance on the ports where clients look for it.
func guestOn(t *testing.T, env ...string) (*guest.Image, *appliance.Appliance) {
	t.Helper()
	netns.Require(t)
	image := guest.Require(t)
	return image, appliance.StartDefault(t, env...)
}

// The guest's network: addresses of the appliance, and of the guest.
const (
	near4, far4 = "10.0.2.2", "10.0.2.15"
	near6, far6 = "fd00::2", "fd00::15"
)

// network makes a network of two machines, and returns what connects a guest to it: that can be called,
// and calls come from its own address. Its job has to begin with joinNetwork.
func network(t *testing.T) guest.Option {
	t.Helper()
	const name = "shoal0"
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		debian.Unavailable(t, fmt.Errorf("network with the guest: %w", err))
	}
	for _, args := range []string{
		"tuntap add " + name + " mode tap", "address add " + near4 + "/24 dev " + name,
		"-6 address add " + near6 + "/64 nodad dev " + name, "link set up " + name,
	} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "link", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("ip link delete %s: %v\n%s", name, err, out)
		}
	})
	return guest.OnTap(name)
}

const joinNetwork = "ip -6 address add " + far6 + "/64 dev eth0\n"

// runJob returns what a job printed. It fails the test for each of the job's expectations that was not met.
func runJob(t *testing.T, vm *guest.VM) string {
	t.Helper()
	if err := vm.Wait(deadline(t)); err != nil {
		t.Fatalf("%v\nkernel log:\n%s", err, vm.KernelLog())
	}
	out := vm.Output()
	for line := range strings.Lines(out) {
		if wrong, ok := strings.CutPrefix(line, "WRONG: "); ok {
			t.Error(strings.TrimSpace(wrong))
		}
	}
	return out
}

// parts returns what a job printed after each `part NAME`.
func parts(out string) map[string]string {
	all := make(map[string]string)
	name := ""
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "@ "); ok {
			name = strings.TrimSpace(rest)
			continue
		}
		all[name] += line
	}
	return all
}

// checkTime fails the test if what a job has measured took longer than limit, or was not measured.
func checkTime(t *testing.T, out, what string, limit time.Duration) {
	t.Helper()
	found := regexp.MustCompile(`(?m)^TOOK (\d+) ` + regexp.QuoteMeta(what) + `$`).FindStringSubmatch(out)
	if found == nil {
		t.Errorf("the guest does not say how long this took: %s", what)
		return
	}
	tenths, _ := strconv.Atoi(found[1]) // digits
	took := time.Duration(tenths) * time.Second / 10
	t.Logf("%s took %v", what, took)
	if took > limit {
		t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
}

// random returns a file with n bytes that are the same each time.
func random(path string, n int) complete.File {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(path))).Read(b) // never fails
	return complete.File{Path: path, Content: b}
}

// sumsOf returns the SHA-256 of files, in hexadecimal digits, by path.
func sumsOf(files []complete.File) map[string]string {
	sums := make(map[string]string)
	for _, f := range files {
		sums[f.Path] = sumOf(f)
	}
	return sums
}

func sumOf(f complete.File) string {
	sum := sha256.Sum256(f.Content)
	return hex.EncodeToString(sum[:])
}

// album are the files of a torrent with names that break things, and sizes at which reads end oddly.
func album() []complete.File {
	return []complete.File{
		random("big file with spaces.bin", 12<<20+1),
		random("disc 1/Größe – 大きさ.flac", 1<<20),
		random("disc 1/empty", 0),
		random("disc 1/it's $HOME & `x` [1];#.txt", 1000),
		random("one/two/three/deep.bin", 70_000),
		random(strings.Repeat("n", 251)+".bin", 4096),
	}
}

// lines returns the lines of a text without spaces around them, and without empty ones.
func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// mountAll mounts everything at a folder, with the options.
func mountAll(host, at, options string) string {
	return fmt.Sprintf("mkdir -p %[2]s; mount -t nfs %[3]s '%[1]s:/' %[2]s || exit 1\n", host, at, options)
}
