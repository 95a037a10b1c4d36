//go:build linux

package clients

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal/archive/archivetest"
	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/netns"
)

// residentLimit is how much memory the appliance may ever have taken in TestArchiveBombs, in bytes: for the lists of 260,000 members, which
// it keeps, the making of them, and 64 MiB of decoded data. Two thirds of it are the race detector's, with which it is built.
const residentLimit = 1300 << 20

// fewMembers is up to how many members of an archive are listed again after the restart.
const fewMembers = 1000

// TestArchiveBombs has a client look into archives that mean harm, and read what they show. The appliance answers all the time, within a bound
// of memory, and says in its log why some of them stay files. After a crash it still knows.
func TestArchiveBombs(t *testing.T) {
	netns.Require(t)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=music")
	zeros, size := archivetest.OneBlock(64 << 20)
	kernel := archivetest.Deflated(t, bytes.Repeat([]byte{'x'}, 65_000_000))
	deflated := func(data []byte, size uint32) []byte {
		return archivetest.Zip(archivetest.ZipEntry{Name: "x", Method: archivetest.ZipDeflate, Data: data, Size: size})
	}
	names := archivetest.Zip(archivetest.Stored("../../etc/passwd", nil), archivetest.Stored("/abs", nil), archivetest.Stored("nul\x00x", nil),
		archivetest.Stored(strings.Repeat("n", 300), nil), archivetest.Stored(strings.Repeat("d/", 70)+"x", nil), archivetest.Stored("a", nil),
		archivetest.Stored("a/b", []byte("b")), archivetest.Stored("dup", nil), archivetest.Stored("dup", nil), archivetest.Stored("right\u202eto left", nil),
		archivetest.ZipEntry{Name: "out", Data: []byte("../../etc/passwd"), Size: 16, Link: true},
		archivetest.ZipEntry{Name: "loop", Data: []byte("loop"), Size: 4, Link: true})
	bombs := []struct {
		file    string
		data    []byte
		refused string // what the log says; empty if it is a folder
		members int    // of the folder, with those below
		read    string // a member
		length  int64  // of what can be read of it, -1 if that fails
	}{
		{"overlap.zip", archivetest.OverlappingZip(60_000, kernel, 65_000_000), "", 60_000, "0", -1},
		{"ratio.zip", deflated(kernel[:1000], 1_100_000), "", 1, "x", -1},
		{"block.zip", deflated(zeros, uint32(size)), "", 1, "x", size},
		{"less.zip", deflated(kernel, 66_000_000), "", 1, "x", -1},
		{"more.zip", deflated(kernel, 1000), "", 1, "x", 1000},
		{"200000.zip", archivetest.EmptyZip(200_000), "", 200_000, "0", 0},
		{"200001.zip", archivetest.EmptyZip(200_001), "more than 200000 entries", 0, "", 0},
		{"claim.zip", archivetest.ClaimingZip(1_000_000, 48_000_000), "1000000 entries, above 200000", 0, "", 0},
		{"holes.tar", archivetest.SparseTar(1 << 40), "", 1, "", 0},
		{"dictionary.rar", archivetest.RARDictionary(15, 1<<20), "", 1, "big", -1},
		{"nested.zip", archivetest.NestedZip(20), "", 4, "in.zip/x", 1}, // the third archive is a file in the second
		{"itself.zip", archivetest.SelfZip(), "", 1, "", 0},
		{"names.zip", names, "", 8, "a/b", 1},
	}
	var files []complete.File
	for _, b := range bombs {
		files = append(files, complete.File{Path: b.file, Content: b.data})
	}
	a.AddComplete(t, "music", "bombs", files...)
	for _, restart := range []bool{false, true} {
		if restart {
			a.Kill(t)
			a.Restart(t)
		}
		for _, b := range bombs {
			if restart && b.members > fewMembers {
				continue
			}
			begun := time.Now()
			url := "nfs://127.0.0.1/music/bombs/" + b.file
			s := run(t, "nfs-ls", "-R", url)
			listed := 0
			for line := range strings.Lines(s.out) {
				if strings.Contains(line[:min(len(line), 10)], "r--r--r") || strings.HasPrefix(line, "dr-x") || strings.HasPrefix(line, "lrwx") {
					listed++
				}
			}
			switch {
			case b.refused != "" && !restart && !s.failed:
				t.Errorf("%s is a folder", b.file)
			case b.refused == "" && listed != b.members: // it fails where an archive inside turns out to be none
				t.Errorf("in %s there are %d members: %.500s", b.file, listed, s.out)
			case b.file == "names.zip":
				checkNames(t, s.out)
			}
			if b.read != "" {
				got := run(t, "nfs-cat", url+"/"+b.read)
				if got.failed != (b.length < 0) || !got.failed && int64(len(got.out)) != b.length {
					t.Errorf("of %s in %s there are %d bytes, failed %v", b.read, b.file, len(got.out), got.failed)
				}
			}
			t.Logf("%s: %.2f s, at most %d MiB so far", b.file, time.Since(begun).Seconds(), highWater(t, a)>>20)
		}
		shown := succeed(t, "nfs-ls", "nfs://127.0.0.1/music/bombs")
		for _, b := range bombs {
			kind := "d"
			if b.refused != "" {
				kind = "-"
			}
			for line := range strings.Lines(shown) {
				if strings.HasSuffix(line, " "+b.file+"\n") && !strings.HasPrefix(line, kind) {
					t.Errorf("it is shown as %s", line)
				}
			}
			if b.refused != "" && !restart && !isLogged(a.Log(), b.file, b.refused) {
				t.Errorf("the log does not say why %s is a file", b.file)
			}
		}
		if n := highWater(t, a); n > residentLimit {
			t.Errorf("it took up to %d MiB of memory", n>>20)
		}
	}
}

// checkNames looks for what must not be in a listing.
func checkNames(t *testing.T, listing string) {
	t.Helper()
	for _, bad := range []string{"passwd", "..", "\x00", "\u202e", strings.Repeat("n", 256), "d/d", " out\n"} {
		if strings.Contains(listing, bad) {
			t.Errorf("a name has %q:\n%s", bad, listing)
		}
	}
	for _, good := range []string{" abs\n", " a (1)\n", " a/b\n", " dup\n", " dup (1)\n"} {
		if !strings.Contains(listing, good) {
			t.Errorf("%q is not there:\n%s", good, listing)
		}
	}
}

// isLogged says whether a line of the log has both.
func isLogged(log, name, reason string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "stays a file") && strings.Contains(line, name) && strings.Contains(line, reason) {
			return true
		}
	}
	return false
}

// highWater is the most memory that the appliance has taken since it was started, in bytes.
func highWater(t *testing.T, a *appliance.Appliance) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
