//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/test/complete"
	"shoal/test/guest"
)

// TestMount mounts as people do who have read no manual, looks at everything, and unmounts.
func TestMount(t *testing.T) {
	image, a := guestOn(t, "SHOAL_ROUTES=films,music")
	files, film := album(), random("", 3<<20+7)
	a.AddComplete(t, "music", "an album", files...)
	a.AddComplete(t, "films", "film.mkv", film)
	var disk syscall.Statfs_t
	if err := syscall.Statfs(a.Dir, &disk); err != nil {
		t.Fatal(err)
	}
	out := runJob(t, image.Start(t, joinNetwork+beginJob+mountAll(near4, "/mnt", "")+`
		part options; grep ' /mnt ' /proc/mounts
		part sums; cd /mnt && find . -type f -print0 | xargs -0 sha256sum; cd /
		part exports; showmount --no-headers -e 10.0.2.2
		part mounts; showmount --no-headers -a 10.0.2.2
		part df; df -B1 --output=size,avail /mnt | tail -n 1; df --output=iavail /mnt | tail -n 1
		part du; du -s --block-size=1 '/mnt/music/an album/big file with spaces.bin' /mnt/films/film.mkv
		mkdir /sub && mount -t nfs '10.0.2.2:/music/an album/disc 1' /sub || exit 1
		part sub; cd /sub && sha256sum *; cd /
		part submounts; showmount --no-headers -a 10.0.2.2
		part unmounted; umount /sub && umount /mnt || echo "umount: $?"
		showmount --no-headers -a 10.0.2.2; grep 10.0.2.2 /proc/mounts
		for protocol in tcp udp; do
			part "mountproto=$protocol"
			mount -t nfs -o nfsvers=3,mountproto=$protocol 10.0.2.2:/films /mnt && stat -c %s /mnt/film.mkv
			grep -o "mountproto=$protocol" /proc/mounts; umount /mnt
		done
		part end`, network(t)))
	got := parts(out)
	for _, want := range []string{" nfs rw,", "vers=3,", "proto=tcp,", "mountproto=udp,", "local_lock=none", "mountport=2049"} {
		if !strings.Contains(got["options"], want) {
			t.Errorf("it is mounted without %q: %s", want, got["options"])
		}
	}
	compareSums(t, guestSums(got["sums"]), sumsOf(files), "./music/an album/")
	compareSums(t, guestSums(got["sums"]), map[string]string{"film.mkv": sumOf(film)}, "./films/")
	compareSums(t, guestSums(got["sub"]), sumsOf(inFolder(files, "disc 1/")), "")
	for part, want := range map[string][]string{
		"exports":        {"/      (everyone)", "/films (everyone)", "/music (everyone)"},
		"mounts":         {far4 + ":/"},
		"submounts":      {far4 + ":/", far4 + ":/music/an album/disc 1"},
		"unmounted":      nil,
		"mountproto=tcp": {"3145735", "mountproto=tcp"},
		"mountproto=udp": {"3145735", "mountproto=udp"},
		// In blocks of 512 bytes.
		"du": {
			fmt.Sprintf("%d\t/mnt/music/an album/big file with spaces.bin", 12<<20+512),
			fmt.Sprintf("%d\t/mnt/films/film.mkv", 3<<20+512),
		},
	} {
		if got := lines(got[part]); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", part, got, want)
		}
	}
	checkDisk(t, got["df"], &disk)
}

// inFolder returns those of the files that are in a folder, with their names in it.
func inFolder(files []complete.File, folder string) []complete.File {
	var in []complete.File
	for _, f := range files {
		if name, ok := strings.CutPrefix(f.Path, folder); ok {
			in = append(in, complete.File{Path: name, Content: f.Content})
		}
	}
	return in
}

// checkDisk compares what df says with the disk that the cache is on, where others may be busy.
func checkDisk(t *testing.T, said string, disk *syscall.Statfs_t) {
	t.Helper()
	var size, free, files int64
	if _, err := fmt.Sscan(said, &size, &free, &files); err != nil {
		t.Errorf("df says %q: %v", said, err)
		return
	}
	// The client counts in blocks of a READ, and others write to the disk.
	const block, tolerance = 1 << 20, 4 << 30
	wantSize, wantFree := int64(disk.Blocks)*disk.Bsize, int64(disk.Bavail)*disk.Bsize
	if size < wantSize || size > wantSize+block || free < wantFree-tolerance || free > wantFree+tolerance || files <= 0 {
		t.Errorf("df says %d bytes, %d of them and %d files free; the disk has %d bytes, %d of them free",
			size, free, files, wantSize, wantFree)
	}
}

// TestMountIPv6 does the same over IPv6, where mount.nfs asks for the ports in another way.
func TestMountIPv6(t *testing.T) {
	image, a := guestOn(t, "SHOAL_ROUTES=music")
	files := album()
	a.AddComplete(t, "music", "an album", files...)
	out := runJob(t, image.Start(t, joinNetwork+beginJob+mountAll("["+near6+"]", "/mnt", "")+`
		part options; grep ' /mnt ' /proc/mounts
		part sums; cd /mnt && find . -type f -print0 | xargs -0 sha256sum; cd /
		part exports; showmount --no-headers -e fd00::2
		part mounts; showmount --no-headers -a fd00::2
		part locks; expect 0 flock -n -x '/mnt/music/an album/disc 1/empty' true
		part unmounted; umount /mnt || echo "umount: $?"
		showmount --no-headers -a fd00::2; grep fd00 /proc/mounts
		part end`, network(t)))
	got := parts(out)
	for _, want := range []string{" nfs rw,", "vers=3,", "proto=tcp6,", "mountproto=udp6,", "local_lock=none"} {
		if !strings.Contains(got["options"], want) {
			t.Errorf("it is mounted without %q: %s", want, got["options"])
		}
	}
	compareSums(t, guestSums(got["sums"]), sumsOf(files), "./music/an album/")
	for part, want := range map[string][]string{
		"exports":   {"/      (everyone)", "/music (everyone)"},
		"mounts":    {far6 + ":/"},
		"locks":     nil,
		"unmounted": nil,
	} {
		if got := lines(got[part]); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", part, got, want)
		}
	}
}

// TestMountTranslated reaches the appliance through the translation of addresses and ports that is
// between the guest and its host, as is between a container and the network. So the appliance does not
// know its own address, all clients have the same, and none of them can be called.
func TestMountTranslated(t *testing.T) {
	image, a := guestOn(t, "SHOAL_ROUTES=music")
	files := album()
	a.AddComplete(t, "music", "an album", files...)
	out := runJob(t, image.Start(t, beginJob+`
		for host in 10.0.2.2 fec0::2; do
			part "sums of $host"
			case $host in *:*) mount -t nfs "[$host]:/music" /mnt ;; *) mount -t nfs "$host:/music" /mnt ;; esac
			cd "/mnt/an album" && find . -type f -print0 | xargs -0 sha256sum; cd /
			part "locks of $host"; expect 0 flock -n -x "/mnt/an album/disc 1/empty" true
			part "umount of $host"; expect 0 umount /mnt
			part "exports of $host"; timeout 20 showmount --no-headers -e "$host" 2>&1
		done
		part end`))
	got := parts(out)
	for _, host := range []string{guest.HostAddr, guest.HostAddr6} {
		compareSums(t, guestSums(got["sums of "+host]), sumsOf(files), "./")
		want := []string{"/      (everyone)", "/music (everyone)"}
		if got := lines(got["exports of "+host]); !slices.Equal(got, want) {
			t.Errorf("showmount -e %s: %q, want %q", host, got, want)
		}
	}
}

// TestReadOnly tries everything that would change something, in a mount that the client takes for
// writable.
func TestReadOnly(t *testing.T) {
	image, a := guestOn(t, "SHOAL_ROUTES=music")
	a.AddComplete(t, "music", "album", random("file", 1000), random("other", 10), random("dir/file", 10))
	changes := []string{
		"touch new", "touch file", "touch -d 2001-01-01 file", "mkdir new", "rmdir dir", "rm -f file",
		"mv file new", "mv file dir/new", "mv file other", "mv dir new", "chmod 600 file", "chmod 700 dir",
		"chown 1:1 file", "ln -s file new", "ln file new", "mknod new p", "mknod new c 1 3", "mknod new b 1 3",
		"cp other new",
	}
	out := runJob(t, image.Start(t, beginJob+mountAll(guest.HostAddr, "/mnt", "")+`
		cd /mnt/music/album
		part before; ls -lR --full-time
		part changes
		while read -r change; do
			case $($change 2>&1) in
			*": Read-only file system"*) echo "refused: $change" ;;
			*) echo "$change: $($change 2>&1)" ;;
			esac
		done <<-'END'
			`+strings.Join(changes, "\n\t\t\t")+`
		END
		part write
		(echo x >file) 2>&1; (echo x >>file) 2>&1; truncate -s 0 file 2>&1 # which the client refuses itself
		part after; echo 3 >/proc/sys/vm/drop_caches; ls -lR --full-time
		cd /; umount /mnt
		part end`))
	got := parts(out)
	var want []string
	for _, c := range changes {
		want = append(want, "refused: "+c)
	}
	if got := lines(got["changes"]); !slices.Equal(got, want) {
		t.Errorf("changes:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if write := lines(got["write"]); len(write) != 3 {
		t.Errorf("writing says %q, want three refusals", write)
	}
	if got["before"] != got["after"] || got["before"] == "" {
		t.Errorf("before:\n%s\nafterwards:\n%s", got["before"], got["after"])
	}
}

// TestDeadInSameMount has a read that hangs in a mount, and uses the mount all the same.
func TestDeadInSameMount(t *testing.T) {
	image, a := guestOn(t, "SHOAL_ROUTES=music")
	files := album()
	a.AddComplete(t, "music", "an album", files...)
	a.AddDead(t, "music", "dead", random("file", 5<<20))
	out := runJob(t, image.Start(t, beginJob+mountAll(guest.HostAddr, "/mnt", "")+`
		dd if=/mnt/music/dead/file of=/dev/null bs=1M & pid=$!
		sleep 2; expect 0 kill -0 $pid
		begin; ls -lR /mnt >/dev/null; took "ls -lR"
		begin; stat /mnt/music/dead/file "/mnt/music/an album/disc 1/empty" >/dev/null; took stat
		begin; part sums; cd /mnt/music && find "an album" -type f -print0 | xargs -0 sha256sum; cd /; took reading
		begin; expect 1 touch /mnt/music/new; took touch
		begin; expect 0 flock -n -x /mnt/music/dead/file true; took flock
		part dead; expect 0 kill -0 $pid # it has hung all the time
		begin; kill -9 $pid; wait $pid; took "kill -9"
		begin; expect 0 umount /mnt; took umount
		part end`))
	got := parts(out)
	compareSums(t, guestSums(got["sums"]), sumsOf(files), "an album/")
	for what, limit := range map[string]time.Duration{
		"ls -lR": 3 * time.Second, "stat": time.Second, "reading": 10 * time.Second, "touch": 3 * time.Second,
		"flock": 3 * time.Second, "kill -9": 3 * time.Second, "umount": 3 * time.Second,
	} {
		checkTime(t, out, what, limit)
	}
}
