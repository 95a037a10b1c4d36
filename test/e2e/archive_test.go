//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/guest"
	"shoal/test/libtorrent"
)

// archiveFunctions are for the job of TestArchives:
//
//	at NAME      waits until the test says to go on
//	list FOLDER  lists it with all that is below, and fails if anything cannot be listed
//	forget       has the client forget what it need not know
const archiveFunctions = `
	at() { part at; echo "AT $1"; read -r line; }
	list() { (cd "$1" && ls -lRi --time-style=+%s . >/tmp/list 2>&1) || echo "WRONG: ls -lR $1: $(grep -a ^ls: /tmp/list)"; cat /tmp/list; }
	forget() { echo 3 >/proc/sys/vm/drop_caches; }
	sum() { sha256sum | cut -d ' ' -f 1; }
`

// archiveJob looks at archives as people do, and at the same ones while the appliance changes.
const archiveJob = `
	part cold; ls -l /mnt/r/box | cat; stat -c '%F' /mnt/r/box/user.zip /mnt/r/lone.zip
	at cold

	begin; part seek; dd if=/mnt/r/box/big.zip/big.bin bs=1M skip=93 count=1 2>/dev/null | sum; part times; took "a far seek"
	part "bad at first"; for f in broken.zip sub/none.rar; do ls /mnt/bad/bad/$f 2>&1 | sed s/.*://; done; ls /mnt/bad/none.zip 2>&1 | sed s/.*://
	part bad; list /mnt/bad
	part "bad sums"; cd /mnt/bad; sha256sum bad/broken.zip bad/sub/none.rar none.zip
	part list; list /mnt/r
	part sums; cd /mnt/r; find . -type f -print0 | xargs -0 -P 4 -n 8 sha256sum; cd /

	part copy; cp -r /mnt/r/box/user.zip /tmp/copy || echo "WRONG: cp -r"
	cd /tmp/copy; find . -type f -print0 | xargs -0 sha256sum; readlink latest; ./run.sh; cd /
	part count; find /mnt/r/box/user.zip -type f | wc -l; find /mnt/r/box/user.zip | wc -l; ls /mnt/r/box/user.zip | wc -l
	touch -d @AT /tmp/then
	part newer; find /mnt/r/box/user.zip -type f -newermt @EARLIER | wc -l; find /mnt/r/box/user.zip -type f -newer /tmp/then | wc -l
	part du; du -s --apparent-size --block-size=1 /mnt/r/box/nested.zip/sub/inner.zip/deep/in.bin; du --block-size=1 /mnt/r/box/nested.zip/sub/inner.zip/deep/in.bin
	part other; cd /mnt/r/box/user.zip
	su -s /bin/sh statd -c "id -u; sha256sum run.sh; ls docs | wc -l; ./run.sh; cat latest | sha256sum"
	part refused
	for change in "rm -f run.sh" "rm -rf docs" "touch new" "touch run.sh" "mkdir new" "mv run.sh new" "mv /mnt/r/box/user.zip /mnt/r/box/new" "rmdir docs" \
			"ln -s run.sh new" "chmod 600 run.sh" "rm -f latest" "cp run.sh new" "rm -rf /mnt/r/box/big.zip"; do
		said=$($change 2>&1); case $said in
		*": Read-only file system"*) echo "refused: $change" ;;
		*) echo "$change: $said" ;;
		esac
	done
	part "refused writes"; (echo x >run.sh) 2>&1 | sed 's/.*: //'; (echo x >/mnt/r/box/readme.txt) 2>&1 | sed 's/.*: //'; cd /

	exec 3</mnt/r/box/big.zip/big.bin 4</mnt/r/box/film.part1.rar/film/film.mkv 5</mnt/r/box/nested.zip/sub/inner.zip/deep/in.bin
	readon() { part "$1"; forget; for fd in 3 4 5; do eval "dd bs=64k count=16 <&$fd 2>/tmp/said | sum; grep -a error /tmp/said"; done; }
	readon held
	at held
	readon killed; part "list killed"; list /mnt/r; part "bad killed"; list /mnt/bad
	at killed
	readon lost; part "list lost"; list /mnt/r
	at lost

	ways() { ls -i /live/r | cat; ls -i /live/r/box | cat; ls -i /live/r/box/nested.zip$1/sub 2>/dev/null | cat; }
	mkdir /live; mount -t nfs -o nosharecache,actimeo=1 10.0.2.2:/ /live || exit 1
	part folder; ways
	at folder
	sleep 1.2; part both; ways .contents
	part "sums both"; cd /live/r; sha256sum lone.zip lone.zip.contents/alone/* box/nested.zip box/nested.zip.contents/sub/inner.zip; unzip -l box/user.zip | tail -n 1; unzip -p box/user.zip docs/deep/er/data.bin | sha256sum; cd /
	at both
	sleep 1.2; part "both restarted"; ways .contents
	at "seen both"
	sleep 1.2; part off; ways; sha256sum /live/r/box/nested.zip
	expect 2 ls /live/r/box/nested.zip.contents
	readon "held off"
	at off
	sleep 1.2; part "off restarted"; ways; sha256sum /live/r/box/nested.zip
	at "seen off"
	sleep 1.2; part again; ways
	at again

	readon moved; sleep 1.2; part "list moved"; ls /live/r /live/other /live/other/renamed/big.zip | cat
	ls "/live/r/not a zip" | cat
	at moved
	sleep 1.2; part "list renamed"; ls "/live/r/not a zip" | cat
	readon renamed
	at renamed
	forget; part stale; for fd in 3 4 5; do dd bs=64k count=1 <&$fd 2>&1 >/dev/null | grep -ao "Stale file handle"; done
	exec 3<&- 4<&- 5<&-
	expect 0 umount /live; expect 0 umount /mnt
	part end
`

// TestArchives has a real Linux use archives of a torrent that a foreign client seeds, and changes and restarts the appliance meanwhile.
func TestArchives(t *testing.T) {
	t.Parallel() // the only one of these on the ports of StartDefault
	image, a := guestOn(t, "SHOAL_ROUTES=r,bad,other", "SHOAL_BT_PEERS=127.0.0.1:7001", "SHOAL_NFS_READ_WAIT=30s")
	c := makeCrates(t)
	s, err := libtorrent.Start(libtorrent.UsualBuffers, "7001", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.End)
	box := a.Upload(t, "r", seed(t, s, "box", c.box...), http.StatusCreated)
	lone := a.Upload(t, "r", seed(t, s, "lone.zip", complete.File{Content: c.lone.Content}), http.StatusCreated)
	a.Upload(t, "bad", seed(t, s, "bad", c.bad...), http.StatusCreated)
	a.Upload(t, "bad", seed(t, s, "none.zip", complete.File{Content: c.none.Content}), http.StatusCreated)

	at := itemTime.Unix()
	vm := image.Start(t, beginJob+archiveFunctions+mountAll(guest.HostAddr, "/mnt", "")+
		strings.NewReplacer("@AT", fmt.Sprint("@", at), "@EARLIER", fmt.Sprint("@", at-1)).Replace(archiveJob))
	ctx := deadline(t)
	waitFor := func(point string, then func()) {
		t.Helper()
		if _, err := vm.WaitLine(ctx, "AT "+point); err != nil {
			t.Fatal(err)
		}
		then()
		if err := vm.Send("go on"); err != nil {
			t.Fatal(err)
		}
	}
	archives := func(way string) {
		a.Call(t, http.MethodPatch, "/routes/r", map[string]string{"archives": way}, http.StatusOK, nil)
	}
	waitFor("cold", func() { expectCold(t, a, box, lone) })
	waitFor("held", func() { a.Kill(t); a.Restart(t) })
	waitFor("killed", func() {
		a.Stop(t)
		if err := os.RemoveAll(filepath.Join(a.Dir, "cache", "index")); err != nil {
			t.Fatal(err)
		}
		a.Restart(t)
	})
	waitFor("lost", func() {})
	waitFor("folder", func() { archives("both") })
	waitFor("both", func() { a.Stop(t); a.Restart(t) })
	waitFor("seen both", func() { archives("off") })
	waitFor("off", func() { a.Stop(t); a.Restart(t) })
	waitFor("seen off", func() { archives("folder"); a.Stop(t); a.Restart(t) })
	waitFor("again", func() {
		a.Call(t, http.MethodPatch, "/torrents/"+box.Infohash, map[string]string{"route": "other", "name": "renamed"}, http.StatusOK, nil)
		a.Call(t, http.MethodPatch, "/torrents/"+lone.Infohash, map[string]string{"name": "not a zip"}, http.StatusOK, nil)
	})
	waitFor("moved", func() { a.Stop(t); a.Restart(t) })
	waitFor("renamed", func() { a.Call(t, http.MethodDelete, "/torrents/"+box.Infohash, nil, http.StatusNoContent, nil) })
	got := parts(runJob(t, vm))
	checkLooked(t, c, got)
	checkUsed(t, c, got)
	checkHeld(t, c, got)
	checkWays(t, c, got)
}

// expectCold fails the test if anything was fetched.
func expectCold(t *testing.T, a *appliance.Appliance, all ...appliance.Torrent) {
	t.Helper()
	for _, torrent := range all {
		if got := a.Torrent(t, torrent.Infohash); got.Cached != 0 {
			t.Errorf("listing the folder that %q is in has fetched %d bytes", got.Name, got.Cached)
		}
	}
	err := filepath.WalkDir(filepath.Join(a.Dir, "cache", "index"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			t.Errorf("listing the folder that an archive is in has made %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// listed is a line of ls -lRi.
type listed struct {
	seen
	inode string
}

var listedLine = regexp.MustCompile(`^ *(\d+) (\S{10}) +\d+ root +root +(\d+) (\d+) (.*)$`)

// listing returns what `ls -lRi --time-style=+%s` has printed, by path.
func listing(t *testing.T, out string) map[string]listed {
	t.Helper()
	all := make(map[string]listed)
	folder := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if f, ok := strings.CutSuffix(line, ":"); ok && strings.HasPrefix(f, ".") {
			folder = f
			continue
		}
		m := listedLine.FindStringSubmatch(line)
		if m == nil {
			if line != "" && !strings.HasPrefix(line, "total ") {
				t.Errorf("ls says %q", line)
			}
			continue
		}
		size, _ := strconv.Atoi(m[3]) // digits
		at, _ := strconv.ParseInt(m[4], 10, 64)
		name, link, _ := strings.Cut(m[5], " -> ")
		all[filepath.Join(folder, name)] = listed{seen{mode: m[2], size: size, at: at, link: link}, m[1]}
	}
	return all
}

// checkLooked compares what was listed and read with what there is.
func checkLooked(t *testing.T, c *crates, got map[string]string) {
	t.Helper()
	for _, want := range []string{"user.zip\n", "film.part2.rar\n", "comic.cbz\n"} {
		if !strings.Contains(got["cold"], want) {
			t.Errorf("ls -l before anything is read lacks %q:\n%s", want, got["cold"])
		}
	}
	if n := strings.Count(got["cold"], "\ndirectory") + strings.Count(got["cold"], "\ndr-xr-xr-x"); n != 9+2 {
		t.Errorf("before anything is read there are %d folders:\n%s", n, got["cold"])
	}
	if want := fmt.Sprintf("%x\n", sha256.Sum256(c.held[0][bigAt:bigAt+1<<20])); got["seek"] != want {
		t.Errorf("1 MiB near the end of a large deflated member: %q, want %q", got["seek"], want)
	}
	sums := guestSums(got["sums"])
	list := listing(t, got["list"])
	for _, path := range slices.Sorted(maps.Keys(c.want)) {
		want, have := c.want[path], list[path]
		if have.at < itemTime.Unix() {
			t.Errorf("%s is of the time %d, which nobody said", path, have.at)
		}
		if want.at == 0 {
			have.at = 0
		}
		if have.mode[:min(1, len(have.mode))] == "d" {
			have.size = want.size
		}
		have.sum = sums["./"+path]
		if have.seen != want {
			t.Errorf("%s:\n%+v, want\n%+v", path, have.seen, want)
		}
	}
	for path := range list {
		if _, ok := c.want[path]; !ok {
			t.Errorf("%s is there, too: %+v", path, list[path])
		}
	}
	if len(sums) != len(slices.DeleteFunc(slices.Collect(maps.Values(c.want)), func(s seen) bool { return s.sum == "" })) {
		t.Errorf("the guest saw %d files", len(sums))
	}

	checkBad(t, c, got)
}

// checkBad looks at what turned out to be no archive: a file, as soon as somebody has looked inside.
func checkBad(t *testing.T, c *crates, got map[string]string) {
	t.Helper()
	bad, sums := listing(t, got["bad"]), guestSums(got["bad sums"])
	for _, f := range append(c.bad, c.none) {
		path := f.Path
		if f.Path != c.none.Path {
			path = "bad/" + path
		}
		if have := bad[path]; have.mode != "-r--r--r--" || have.size != len(f.Content) {
			t.Errorf("%s is %+v, want a file of %d bytes", path, have, len(f.Content))
		}
		if want := fmt.Sprintf("%x", sha256.Sum256(f.Content)); f.Path != "fine.txt" && sums[path] != want {
			t.Errorf("the sum of %s is %q, want %q", path, sums[path], want)
		}
	}
	t.Logf("the first look into what is no archive says %q", lines(got["bad at first"]))
}

// checkUsed compares what people do with archives with what it should do.
func checkUsed(t *testing.T, c *crates, got map[string]string) {
	t.Helper()
	copied := guestSums(got["copy"])
	files := 0
	for _, i := range c.user {
		if i.dir || i.link != "" {
			continue
		}
		files++
		if want := fmt.Sprintf("%x", sha256.Sum256(i.content)); copied["./"+i.path] != want {
			t.Errorf("the copy of %s has the sum %q, want %q", i.path, copied["./"+i.path], want)
		}
	}
	if said := got["copy"]; !strings.HasSuffix(said, "\ndocs/deep/er/data.bin\nit runs\n") {
		t.Errorf("of a copy, readlink and the program say:\n%s", said)
	}
	sumOfItem := func(n int) string { return fmt.Sprintf("%x", sha256.Sum256(c.user[n].content)) }
	for part, want := range map[string][]string{
		"count": {fmt.Sprint(files), fmt.Sprint(len(c.user) + 3), "4"}, // with deep, er and the top
		"newer": {fmt.Sprint(files), "0"},
		"du": {
			fmt.Sprintf("%d\t/mnt/r/box/nested.zip/sub/inner.zip/deep/in.bin", holdSize),
			fmt.Sprintf("%d\t/mnt/r/box/nested.zip/sub/inner.zip/deep/in.bin", holdSize),
		},
		"other": {"100", sumOfItem(4) + "  run.sh", "2", "it runs", sumOfItem(2) + "  -"},
	} {
		if have := lines(got[part]); !slices.Equal(have, want) {
			t.Errorf("%s: %q, want %q", part, have, want)
		}
	}
	refused := lines(got["refused"])
	if len(refused) != 13 {
		t.Errorf("of changes it says %q", refused)
	}
	if writes := lines(got["refused writes"]); len(writes) != 2 || writes[0] != writes[1] {
		t.Errorf("writing to a member, and to a file of a torrent: %q", writes)
	}
	for _, line := range refused {
		if !strings.HasPrefix(line, "refused: ") {
			t.Errorf("a change inside an archive: %s", line)
		}
	}
}

// checkHeld looks at what files said that were open all the time, and whether all has the same inodes.
func checkHeld(t *testing.T, c *crates, got map[string]string) {
	t.Helper()
	for n, part := range []string{"held", "killed", "lost", "held off", "moved", "renamed"} {
		var want []string
		for _, held := range c.held {
			want = append(want, fmt.Sprintf("%x", sha256.Sum256(held[n<<20:(n+1)<<20])))
		}
		if have := lines(got[part]); !slices.Equal(have, want) {
			t.Errorf("%s: open files say %q, want %q", part, have, want)
		}
	}
	before := listing(t, got["list"])
	for _, part := range []string{"list killed", "list lost"} {
		after := listing(t, got[part])
		for path, have := range before {
			if after[path] != have {
				t.Errorf("%s: %s is %+v, and was %+v", part, path, after[path], have)
			}
		}
		if len(after) != len(before) {
			t.Errorf("%s: there are %d names, and were %d", part, len(after), len(before))
		}
	}
	for path, have := range listing(t, got["bad killed"]) {
		if before := listing(t, got["bad"])[path]; have != before {
			t.Errorf("bad killed: %s is %+v, and was %+v", path, have, before)
		}
	}
	if have := lines(got["stale"]); len(have) != 3 {
		t.Errorf("when the torrent is gone, open files say %q", have)
	}
}

// inodes returns what `ls -i` has printed: inodes by name.
func inodes(out string) map[string]string {
	all := make(map[string]string)
	for _, line := range lines(out) {
		if inode, name, ok := strings.Cut(line, " "); ok {
			all[name] = inode
		}
	}
	return all
}

// checkWays looks at how a route shows its archives.
func checkWays(t *testing.T, c *crates, got map[string]string) {
	t.Helper()
	folder, both, off, again := inodes(got["folder"]), inodes(got["both"]), inodes(got["off"]), inodes(got["again"])
	if !maps.Equal(folder, again) {
		t.Errorf("as folders again: %v, and first %v", again, folder)
	}
	if restarted := inodes(got["both restarted"]); !maps.Equal(restarted, both) {
		t.Errorf("both, after a restart: %v, and before it %v", restarted, both)
	}
	if restarted := inodes(got["off restarted"]); !maps.Equal(restarted, off) {
		t.Errorf("off, after a restart: %v, and before it %v", restarted, off)
	}
	for _, name := range []string{"lone.zip", "user.zip", "film.part1.rar", "nested.zip", "disc.iso.001", "inner.zip"} {
		if folder[name] == "" || both[name+".contents"] != folder[name] || both[name] == "" || both[name] == folder[name] ||
			name != "inner.zip" && off[name] != both[name] || off[name+".contents"] != "" || folder[name+".contents"] != "" {
			t.Errorf("%s has the inode %q as a folder, %q and %q as both, %q as a file",
				name, folder[name], both[name], both[name+".contents"], off[name])
		}
	}
	sums := guestSums(got["sums both"])
	nested := c.box[slices.IndexFunc(c.box, func(f complete.File) bool { return f.Path == "nested.zip" })].Content
	for path, want := range map[string][]byte{
		"lone.zip": c.lone.Content, "box/nested.zip": nested,
	} {
		if sums[path] != fmt.Sprintf("%x", sha256.Sum256(want)) {
			t.Errorf("of both, the file %s has the sum %q", path, sums[path])
		}
	}
	if sums["lone.zip.contents/alone/ä.txt"] != c.want["lone.zip/alone/ä.txt"].sum || len(sums) != 6 {
		t.Errorf("sums of both: %q", sums)
	}
	if out := got["sums both"]; !strings.Contains(out, fmt.Sprintf(" %d files\n", len(c.user))) ||
		!strings.Contains(out, fmt.Sprintf("%x  -\n", sha256.Sum256(c.user[2].content))) {
		t.Errorf("unzip says\n%s", out)
	}
	if got := lines(got["off"]); !strings.Contains(strings.Join(got, "\n"), fmt.Sprintf("%x", sha256.Sum256(nested))) {
		t.Errorf("off, the archive as a file has another sum: %q", got)
	}
	if have, want := lines(got["list moved"]), []string{
		"/live/other:", "renamed", "/live/other/renamed/big.zip:", "big.bin", "/live/r:", "not a zip", "alone",
	}; !slices.Equal(have, want) {
		t.Errorf("after it was moved: %q, want %q", have, want)
	}
	if have := lines(got["list renamed"]); !slices.Equal(have, []string{"alone"}) {
		t.Errorf("an archive that was renamed, after a restart: %q", have)
	}
}
