//go:build linux

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal/test/complete"
	"shoal/test/guest"
)

// loadJob reads the same files over and over until it gets a line. Each loop says after every pass which
// one that was, and what it has read that is not what it should be.
const loadJob = `
	loop() { # NAME, and a command whose output has to be what it was at first
		name=$1; shift
		"$@" >"/tmp/first.$name" 2>&1
		pass=0
		until [ -e /tmp/stop ]; do
			pass=$((pass + 1))
			"$@" >"/tmp/now.$name" 2>&1
			cmp -s "/tmp/first.$name" "/tmp/now.$name" || { echo "WRONG: $name"; diff "/tmp/first.$name" "/tmp/now.$name"; }
			echo "PASS $pass $name"
		done
	}
	sums() { find /mnt/music/album -type f -print0 | xargs -0 sha256sum; }
	direct() { dd if=/mnt/music/album/big bs=300k iflag=direct 2>/dev/null | sha256sum; }
	list() { ls -lR --full-time /mnt; }
	cats() { cat /mnt/music/album/small* | sha256sum; }
	forget() { while sleep 1; do echo 3 >/proc/sys/vm/drop_caches; done; }

	for name in sums direct list cats; do loop $name $name & loops="$loops $!"; done
	forget &
	read -r line; touch /tmp/stop; wait $loops
	part first; cat /tmp/first.sums /tmp/first.direct /tmp/first.cats
	part end; expect 0 umount /mnt
`

// TestKilledUnderLoad kills the appliance several times while a client lists and reads, without a cache
// of its own, and starts it again. The client must not see more than a pause.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	image, a := guestOn(t, "SHOAL_ROUTES=music,films")
	files := []complete.File{random("big", 3<<20+11), random("small one", 100), random("small two", 5000)}
	a.AddComplete(t, "music", "album", files...)
	vm := image.Start(t, beginJob+mountAll(guest.HostAddr, "/mnt", "")+loadJob)
	for round := range 3 {
		waitForPasses(t, vm)
		a.Kill(t)
		if round%2 == 1 {
			time.Sleep(2 * time.Second) // the client's first attempts to connect again fail
		}
		a.Restart(t)
	}
	waitForPasses(t, vm)
	if err := vm.Send("stop"); err != nil {
		t.Fatal(err)
	}
	out := runJob(t, vm)
	for _, complaint := range []string{"tale", "rror", "denied", "No such"} {
		if strings.Contains(out, complaint) {
			t.Errorf("the guest says %q:\n%s", complaint, out)
		}
	}
	sums := sumsOf(files)
	small := sumOf(complete.File{Content: append(files[1].Content, files[2].Content...)})
	got := parts(out)["first"]
	compareSums(t, guestSums(got), sums, "/mnt/music/album/")
	for _, sum := range []string{sums["big"], small} {
		if !strings.Contains(got, sum+"  -") {
			t.Errorf("the guest's sums lack %s:\n%s", sum, got)
		}
	}
	t.Logf("passes: %v", passes(out))
}

// passes counts what the loops of loadJob have done so far.
func passes(out string) map[string]int {
	done := make(map[string]int)
	for _, found := range regexp.MustCompile(`(?m)^PASS (\d+) (\w+)$`).FindAllStringSubmatch(out, -1) {
		done[found[2]], _ = strconv.Atoi(found[1]) // digits
	}
	return done
}

// waitForPasses returns when each loop has ended another pass.
func waitForPasses(t *testing.T, vm *guest.VM) {
	t.Helper()
	ctx := deadline(t)
	before := passes(vm.Output())
	for _, name := range []string{"sums", "direct", "list", "cats"} {
		if _, err := vm.WaitLine(ctx, fmt.Sprintf("PASS %d %s", before[name]+1, name)); err != nil {
			t.Fatalf("%v\nkernel log:\n%s", err, vm.KernelLog())
		}
	}
}
