//go:build linux

// Package e2e tests the whole appliance the way its users meet it: a torrent that a foreign client
// seeds is added over HTTP, and read by the NFS client of a real Linux.
package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/browser"
	"shoal/test/debian"
	"shoal/test/guest"
	"shoal/test/seeder"
)

func TestMain(m *testing.M) { os.Exit(appliance.RunApart(m, prepare)) }

// prepare gets everything that the tests do not make themselves, as they have no network.
func prepare() error {
	return errors.Join(seeder.Prepare(), guest.Prepare(), browser.Prepare(), debian.Ensure("iproute2"))
}

// deadline is for everything that a test waits for.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// mountCommand mounts path of the appliance at /mnt.
func mountCommand(a *appliance.Appliance, path string) string {
	return fmt.Sprintf("mount -t nfs -o nfsvers=3,tcp,nolock,port=%[1]d,mountport=%[1]d '%[2]s:%[3]s' /mnt || exit 1\n",
		a.NFSPort, guest.HostAddr, path)
}

// guestSums returns what sha256sum printed, by path.
func guestSums(output string) map[string]string {
	sums := make(map[string]string)
	for line := range strings.Lines(output) {
		if sum, path, ok := strings.Cut(strings.TrimRight(line, "\n"), "  "); ok && len(sum) == 64 {
			sums[path] = sum
		}
	}
	return sums
}

func compareSums(t *testing.T, got, want map[string]string, below string) {
	t.Helper()
	for path, sum := range want {
		if got[below+path] != sum {
			t.Errorf("%q: the guest's sum is %q, want %q", below+path, got[below+path], sum)
		}
	}
}

// oddFiles are 40 MiB with the names that break things; but for those that transmission renames on its
// disk, which the tests of package torrents have.
func oddFiles() map[string]int {
	return map[string]int{
		"big file with spaces.bin":         24 << 20,
		"Größe/大きさ — Ελληνικά.dat":         8 << 20,
		"one/two/three/four/five/deep.bin": 4<<20 + 12345,
		"empty file":                       0,
		strings.Repeat("n", 251) + ".bin":  1 << 20,
		"one/two  spaces":                  3,
		"it's $HOME & `x` [1];#.txt":       1000,
		"many/a":                           1, "many/b": 2, "many/c": 70_000, "last": 5<<20 - 12345,
	}
}

// TestReadTorrents is the main job: torrents from a foreign client, one added as a .torrent file and
// one as a magnet link, read by a real Linux.
func TestReadTorrents(t *testing.T) {
	t.Parallel()
	seeder.Require(t)
	image := guest.Require(t)
	dir := t.TempDir()
	sums := seeder.WriteFiles(t, filepath.Join(dir, "odd names"), oddFiles())
	single := seeder.WriteFiles(t, dir, map[string]int{"a single file.bin": 32 << 20})
	multiTorrent := seeder.CreateWith(t, filepath.Join(dir, "odd names"), "v1", 256<<10) // transmission-create leaves out empty files
	singleTorrent := seeder.Create(t, filepath.Join(dir, "a single file.bin"), 256<<10, false)
	d := seeder.Start(t, dir)
	multi, one := d.Add(t, multiTorrent), d.Add(t, singleTorrent)
	d.Eager(t)

	a := appliance.Start(t, "SHOAL_ROUTES=films", "SHOAL_BT_PEERS="+d.Addr())
	ctx := deadline(t)
	if added := a.Upload(t, "films", multiTorrent, 201); added.Infohash != multi || added.Files != len(sums) {
		t.Errorf("added %+v, want the infohash %s and %d files", added, multi, len(sums))
	}
	a.AddMagnet(t, "films", "magnet:?xt=urn:btih:"+one)
	a.Await(ctx, t, one, func(t appliance.Torrent) bool { return t.State == "idle" })

	begin := time.Now()
	all := image.Start(t, mountCommand(a, "/films")+`
		ls -l /mnt
		dd if="/mnt/a single file.bin" bs=1M skip=16 count=2 2>/dev/null | sha256sum
		umount /mnt; echo "a part is read"; read -r line
		`+mountCommand(a, "/")+`
		cd /mnt && find . -type f -print0 | xargs -0 -n 1 -P 4 sha256sum >/tmp/sums; cd /; cat /tmp/sums # the seeder answers twice a second
		stat -c '%a %U %s %n' /mnt/films "/mnt/films/odd names/empty file"
		touch /mnt/films/new 2>&1; rm -f "/mnt/films/odd names/last" 2>&1
		umount /mnt`)
	if _, err := all.WaitLine(ctx, "a part is read"); err != nil {
		t.Fatal(err)
	}
	if want := partSum(t, filepath.Join(dir, "a single file.bin"), 16<<20, 2<<20); !strings.Contains(all.Output(), want) {
		t.Errorf("2 MiB at 16 MiB: the guest says\n%s\nwant %s", all.Output(), want)
	}
	sent := d.Uploaded(t, one)
	t.Logf("reading 2 of 32 MiB made the seeder send %.1f MiB", float64(sent)/(1<<20))
	if sent < 2<<20 || sent > 10<<20 {
		t.Errorf("reading 2 of 32 MiB made the seeder send %d bytes, want 2 to 10 MiB", sent)
	}
	if got := d.Uploaded(t, multi); got > 1<<20 {
		t.Errorf("of the torrent that nobody read, the seeder sent %d bytes", got)
	}
	if err := all.Send("go on"); err != nil {
		t.Fatal(err)
	}
	if err := all.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("the guest booted and read 74 MiB in %v", time.Since(begin))
	_, everything, _ := strings.Cut(all.Output(), "a part is read\n")
	got := guestSums(everything)
	compareSums(t, got, sums, "./films/odd names/")
	compareSums(t, got, single, "./films/")
	if len(got) != len(sums)+len(single) {
		t.Errorf("the guest saw %d files, want %d", len(got), len(sums)+len(single))
	}
	for _, line := range []string{"555 root 4096 /mnt/films\n", "444 root 0 /mnt/films/odd names/empty file\n"} {
		if !strings.Contains(all.Output(), line) {
			t.Errorf("the guest's stat does not say %q", line)
		}
	}
	if n := strings.Count(all.Output(), "Read-only file system"); n != 2 {
		t.Errorf("of two changes, %d were refused because the file system is read-only", n)
	}
	for _, ih := range []string{multi, one} {
		if got := a.Torrent(t, ih); got.State != "complete" || got.Cached != got.Size {
			t.Errorf("afterwards: %+v, want it complete", got)
		}
	}
}

// partSum is the SHA-256 of a part of a file, in hexadecimal digits.
func partSum(t *testing.T, path string, off, n int64) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, off, n)); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// TestKilledWhileRead kills the appliance in the middle of a read, and starts it again.
func TestKilledWhileRead(t *testing.T) {
	t.Parallel()
	seeder.Require(t)
	image := guest.Require(t)
	dir := t.TempDir()
	const size = 64 << 20
	sums := seeder.WriteFiles(t, dir, map[string]int{"film.mkv": size})
	torrent := seeder.Create(t, filepath.Join(dir, "film.mkv"), 256<<10, false)
	d := seeder.Start(t, dir)
	ih := d.Add(t, torrent)
	d.Eager(t)
	a := appliance.Start(t, "SHOAL_ROUTES=films", "SHOAL_BT_PEERS="+d.Addr(), "SHOAL_BT_DOWN_LIMIT=10MiB")
	a.Upload(t, "films", torrent, 201)

	ctx := deadline(t)
	vm := image.Start(t, mountCommand(a, "/films")+"echo reading; sha256sum /mnt/film.mkv; umount /mnt\n")
	if _, err := vm.WaitLine(ctx, "reading"); err != nil {
		t.Fatal(err)
	}
	a.Await(ctx, t, ih, func(t appliance.Torrent) bool { return t.Cached > size/3 })
	before := a.Torrent(t, ih)
	a.Kill(t)
	a.Restart(t)
	after := a.Torrent(t, ih)
	t.Logf("killed with %d of %d MiB in the cache, started with %d", before.Cached>>20, size>>20, after.Cached>>20)
	if after.Cached < before.Cached {
		t.Errorf("after the restart the cache holds %d bytes, before it held %d", after.Cached, before.Cached)
	}
	if err := vm.Wait(ctx); err != nil {
		t.Fatalf("%v\nkernel log:\n%s", err, vm.KernelLog())
	}
	compareSums(t, guestSums(vm.Output()), sums, "/mnt/")
	if strings.Contains(vm.Output()+vm.KernelLog(), "Stale") {
		t.Errorf("the guest saw stale handles:\n%s\n%s", vm.Output(), vm.KernelLog())
	}
	// What was under way when it was killed may come twice, but no more: anacrolix asks for up to 64
	// MiB that are not verified yet.
	sent := d.Uploaded(t, ih)
	t.Logf("the seeder sent %.1f MiB for %d MiB", float64(sent)/(1<<20), size>>20)
	if sent > size+size/6 {
		t.Errorf("the seeder sent %d bytes for %d: what was complete was fetched again", sent, size)
	}
}

// TestDeadDelaysNothing reads a torrent without peers, and uses the same mount for others meanwhile.
func TestDeadDelaysNothing(t *testing.T) {
	seeder.Require(t)
	image := guest.Require(t)
	dir, elsewhere := t.TempDir(), t.TempDir()
	sums := seeder.WriteFiles(t, dir, map[string]int{"alive/a": 5 << 20, "alive/b": 100})
	seeder.WriteFiles(t, elsewhere, map[string]int{"dead/a": 1 << 20})
	alive := seeder.Create(t, filepath.Join(dir, "alive"), 64<<10, false)
	dead := seeder.Create(t, filepath.Join(elsewhere, "dead"), 64<<10, false)
	d := seeder.Start(t, dir)
	d.Add(t, alive)
	d.Eager(t)
	a := appliance.Start(t, "SHOAL_ROUTES=r", "SHOAL_BT_PEERS="+d.Addr())
	a.AddMagnet(t, "r", "magnet:?xt=urn:btih:"+strings.Repeat("ab", 20))
	a.Upload(t, "r", dead, 201)
	a.Upload(t, "r", alive, 201)
	a.Stop(t)
	begin := time.Now()
	a.Restart(t)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("starting with a dead magnet took %v", took)
	}
	ctx := deadline(t)
	vm := image.Start(t, mountCommand(a, "/")+`
		cat /mnt/r/dead/a >/dev/null & pid=$!
		sleep 2; echo "cat waits: $(kill -0 $pid && echo yes)"
		now() { cut -d. -f1 /proc/uptime; }
		begin=$(now); ls -lR /mnt; echo "listing took $(($(now) - begin)) s"
		begin=$(now); sha256sum /mnt/r/alive/a /mnt/r/alive/b; echo "reading took $(($(now) - begin)) s"
		kill -9 $pid; wait $pid; umount /mnt && echo unmounted`)
	if err := vm.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	out := vm.Output()
	compareSums(t, guestSums(out), map[string]string{"a": sums["alive/a"], "b": sums["alive/b"]}, "/mnt/r/alive/")
	for _, want := range []string{"cat waits: yes", "unmounted"} {
		if !strings.Contains(out, want) {
			t.Errorf("the guest does not say %q:\n%s", want, out)
		}
	}
	// A connection that served the calls one after another would hold up everything for the 50 s after
	// which the READ of the dead torrent is answered. Reading takes some time of its own: Transmission
	// turns an address away that has connected just before, as the dead torrents have.
	for what, limit := range map[string]int{"listing": 5, "reading": 40} {
		_, after, _ := strings.Cut(out, what+" took ")
		var took int
		if _, err := fmt.Sscanf(after, "%d s", &took); err != nil || took > limit {
			t.Errorf("%s beside a dead torrent took %d s (%v), want at most %d", what, took, err, limit)
		}
		t.Logf("%s beside a dead torrent took %d s", what, took)
	}
	if code, took := a.Stop(t); code != 0 {
		t.Errorf("the exit code after SIGTERM is %d after %v, want 0", code, took)
	}
}
