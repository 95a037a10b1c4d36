//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/test/guest"
)

// fcntlProgram builds the program that takes locks with fcntl(2).
func fcntlProgram(t *testing.T) guest.Option {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fcntl")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", path, "shoal/test/fcntl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build fcntl: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return guest.WithFile("bin/fcntl", b)
}

// lockFunctions are for jobs with locks:
//
//	hold CMD...      has a command such as flock run another one, and returns when that runs: it has the
//	                 lock then. It has the lock until release, which kills it.
//	await NAME CMD.. runs the command beside, which waits for a lock; what passes between release and the
//	                 end of it is said as by took
const lockFunctions = `
	hold() {
		rm -f /tmp/held; "$@" sh -c 'touch /tmp/held; exec sleep 1000' & holder=$!
		until [ -e /tmp/held ]; do sleep 0.05; done
	}
	release() { now >/tmp/released; kill -9 $holder; wait $holder; }
	await() {
		rm -f /tmp/released
		(
			name=$1; shift; expect 0 "$@"
			[ -e /tmp/released ] || echo "WRONG: it has not waited: $*"
			echo "TOOK $(($(now) - $(cat /tmp/released))) $name"
		) & waiters="$waiters $!"
	}
`

// beginLocks has two mounts that know nothing of each other, at /a and /b. Locks are on the same file.
const beginLocks = `
	[ "$(stat -c %d /a)" != "$(stat -c %d /b)" ] || echo "WRONG: both mounts are one to the client"
	a=/a/music/album/file b=/b/music/album/file
`

// excludeJob has locks keep others away.
const excludeJob = `
	hold flock -ox $a
	expect 1 flock -nx $b true; expect 1 flock -ns $b true; expect 1 fcntl now $b 0 0
	expect 0 flock -nx /b/music/album/other true
	release
	expect 0 flock -nx $b true; expect 0 flock -nx $a true
	hold flock -os $b
	expect 1 flock -nx $a true; expect 0 flock -ns $a true; expect 0 fcntl now $a 0 0
	release

	part fcntl
	hold fcntl wait $a 10 10
	expect 1 flock -nx $b true; expect 0 flock -ns $b true
	for range in "0 10" "20 1" "10 10" "19 0" "0 11" "15 1"; do echo "$range $(fcntl ask $b $range)"; done
	release
	echo "then $(fcntl ask $b 0 0)"

	part restart
	hold flock -ox $a
	echo "it is held"; read -r line
	expect 0 timeout 60 flock -x $b true # nobody has told the client that its lock is gone
	release
	expect 0 timeout 60 flock -x $a true; expect 0 timeout 60 fcntl wait $b 0 0
	expect 0 umount /a; expect 0 umount /b
	part end
`

// waitJob has several wait for a lock.
const waitJob = `
	waiters=
	hold flock -ox $a
	await "the turn of a flock" flock -x $b true
	sleep 2; release; wait $waiters
	hold flock -ox $b; waiters=
	await "the turn of the first" fcntl wait $a 0 0
	await "the turn of the second" fcntl wait $b 0 0
	await "the turn of the third" flock -s $a true
	sleep 2; release; wait $waiters
	hold flock -ox $a
	expect 124 timeout 2 flock -x $b true # given up
	release
	expect 0 flock -nx $b true; expect 0 flock -nx $a true
	expect 0 umount /a; expect 0 umount /b
`

// withLocks is a job with two mounts.
func withLocks(host, job string) string {
	return mountAll(host, "/a", "") + mountAll(host, "/b", "-o nosharecache") + beginLocks + job
}

// startLocks starts a guest that can be called.
func startLocks(t *testing.T, image *guest.Image, job string) *guest.VM {
	t.Helper()
	return image.Start(t, joinNetwork+beginJob+lockFunctions+job, network(t), fcntlProgram(t))
}

// TestLocks locks files from two mounts, and restarts the appliance meanwhile.
func TestLocks(t *testing.T) {
	image, a := guestOn(t, "SHOAL_ROUTES=music")
	a.AddComplete(t, "music", "album", random("file", 1000), random("other", 10))
	vm := startLocks(t, image, withLocks(near4, excludeJob))
	if _, err := vm.WaitLine(deadline(t), "it is held"); err != nil {
		t.Fatal(err)
	}
	a.Kill(t)
	a.Restart(t)
	if err := vm.Send("go on"); err != nil {
		t.Fatal(err)
	}
	got := lines(parts(runJob(t, vm))["fcntl"])
	want := []string{"0 10 free", "20 1 free", "10 10 busy", "19 0 busy", "0 11 busy", "15 1 busy", "Killed", "then free"}
	if !slices.Equal(got, want) {
		t.Errorf("of a lock on 10 bytes at 10, another mount says %q, want %q", got, want)
	}
	if strings.Contains(vm.KernelLog(), "lockd:") {
		t.Errorf("the client's kernel complains:\n%s", vm.KernelLog())
	}
}

// TestLocksWait waits for locks. The appliance has to tell the client when it has one, over IPv4 and IPv6:
// the client would ask again after half a minute only.
func TestLocksWait(t *testing.T) {
	image, a := guestOn(t, "SHOAL_ROUTES=music")
	a.AddComplete(t, "music", "album", random("file", 1000))
	hosts := []string{near4, "[" + near6 + "]"}
	var job string
	for _, host := range hosts {
		job += "part " + host + "\n" + withLocks(host, waitJob)
	}
	vm := startLocks(t, image, job)
	said := parts(runJob(t, vm))
	for _, host := range hosts {
		for _, what := range []string{"of a flock", "of the first", "of the second", "of the third"} {
			checkTime(t, said[host], "the turn "+what, 5*time.Second)
		}
	}
	if strings.Contains(vm.KernelLog(), "lockd:") {
		t.Errorf("the client's kernel complains:\n%s", vm.KernelLog())
	}
}
