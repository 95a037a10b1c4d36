//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/test/complete"
	"shoal/test/guest"
)

// entries is how many files the large folder has.
const entries = 100_000

// manyFiles returns the files of the large folder, with names as long as those of a series.
func manyFiles() []complete.File {
	files := make([]complete.File, entries)
	for i := range files {
		name := fmt.Sprintf("A.Series.S%02dE%06d.1080p.WEB.x264.mkv", i%7+1, i)
		files[i] = complete.File{Path: name, Content: []byte{byte(i)}}
	}
	return files
}

// namesSum is what sha256sum says of the sorted names of files, one a line.
func namesSum(files []complete.File) string {
	var names []string
	for _, f := range files {
		names = append(names, f.Path+"\n")
	}
	slices.Sort(names)
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(names, ""))))
}

// TestLargeFolder lists a folder with very many files. All the while somebody waits for a lock: the
// appliance cannot tell him that he has it, as he is behind a translation of addresses. He has to ask
// again, which Linux does after half a minute.
func TestLargeFolder(t *testing.T) {
	image, a := guestOn(t, "SHOAL_ROUTES=music")
	files := manyFiles()
	a.AddComplete(t, "music", "many", files...)
	a.AddComplete(t, "music", "album", random("file", 1000))
	out := runJob(t, image.Start(t, beginJob+lockFunctions+mountAll(guest.HostAddr, "/a", "")+
		mountAll(guest.HostAddr, "/b", "-o nosharecache")+`
		hold flock -ox /a/music/album/file
		await "a lock without being called" flock -x /b/music/album/file true
		sleep 1; release

		cd /a/music
		begin; ls -U many >/tmp/names; took "ls"
		part names; wc -l </tmp/names; sort -u /tmp/names | sha256sum
		begin; ls -lU many >/tmp/long; took "ls -l"
		part long; grep -c '^-r--r--r-- 1 root root 1 ' /tmp/long; sed 's/.* //' /tmp/long | grep mkv | sort -u | sha256sum
		echo 3 >/proc/sys/vm/drop_caches
		part one; od -An -tu1 many/A.Series.S05E012345.1080p.WEB.x264.mkv
		wait $waiters; cd /
		part end; umount /a; umount /b`))
	got := parts(out)
	names := namesSum(files) + "  -"
	for part, want := range map[string][]string{
		"names": {fmt.Sprint(entries), names},
		"long":  {fmt.Sprint(entries), names},
		"one":   {fmt.Sprint(12345 % 256)},
	} {
		lines := slices.DeleteFunc(lines(got[part]), func(l string) bool { return strings.HasPrefix(l, "TOOK") })
		if !slices.Equal(lines, want) {
			t.Errorf("%s: %q, want %q", part, lines, want)
		}
	}
	// The guest is slow, and so is the race detector: for listing, these are some five times the usual.
	for what, limit := range map[string]time.Duration{
		"ls": 30 * time.Second, "ls -l": 40 * time.Second,
		"a lock without being called": 40 * time.Second,
	} {
		checkTime(t, out, what, limit)
	}
}
