//go:build linux

package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/netns"
)

// flip changes a bit of a file, and leaves the time of its last change as it was.
func flip(path string, off int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		return err
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, off); err != nil {
		return err
	}
	return os.Chtimes(path, info.ModTime(), info.ModTime())
}

// files are those of a torrent in the cache.
type files struct{ data, states string }

func filesOf(a *appliance.Appliance, s *sample) files {
	base := filepath.Join(cacheDir(a), s.infohash)
	return files{base + ".data", base + ".pieces"}
}

// damages are what happens to the files of two torrents.
var damages = []struct {
	name string
	do   func(f, other files) error
}{
	{"a bit of the data", func(f, _ files) error { return flip(f.data, 300_000) }},
	{"the last bit of the data", func(f, _ files) error { return flip(f.data, damagedSize-1) }},
	{"a bit of the header", func(f, _ files) error { return flip(f.states, 10) }},
	{"a bit of the states", func(f, _ files) error { return flip(f.states, 30) }},
	{"a bit of the end of the states", func(f, _ files) error {
		info, err := os.Stat(f.states)
		if err != nil {
			return err
		}
		return flip(f.states, info.Size()-10)
	}},
	{"data cut off", func(f, _ files) error { return os.Truncate(f.data, 100_000) }},
	{"data zeroed", func(f, _ files) error { return errors.Join(os.Truncate(f.data, 0), os.Truncate(f.data, damagedSize)) }},
	{"states cut off", func(f, _ files) error { return os.Truncate(f.states, 40) }},
	{"data deleted", func(f, _ files) error { return os.Remove(f.data) }},
	{"states deleted", func(f, _ files) error { return os.Remove(f.states) }},
	{"data swapped", func(f, other files) error {
		return errors.Join(os.Rename(f.data, f.data+".x"), os.Rename(other.data, f.data), os.Rename(f.data+".x", other.data))
	}},
	{"states swapped", func(f, other files) error {
		return errors.Join(os.Rename(f.states, f.states+".x"), os.Rename(other.states, f.states), os.Rename(f.states+".x", other.states))
	}},
	{"all deleted", func(f, other files) error {
		return errors.Join(os.Remove(f.data), os.Remove(f.states), os.Remove(other.data), os.Remove(other.states))
	}},
	{"an empty folder instead of the data", func(f, _ files) error { return errors.Join(os.Remove(f.data), os.Mkdir(f.data, 0o755)) }},
}

const damagedSize = 600_000

// TestDamaged damages the cache while the appliance is stopped in good order, killed, or runs and has not used it for a while. It
// reads right all the same, but what is a folder, which fails until the folder is gone.
func TestDamaged(t *testing.T) {
	netns.Require(t)
	s, other := newSample(t, damagedSize, 64<<10), newSample(t, damagedSize, 32<<10)
	p := startPeer(t, s, other)
	a := appliance.Start(t, "SHOAL_ROUTES="+route+",other", "SHOAL_BT_PEERS="+p.addr, "SHOAL_BT_IDLE=200ms", "SHOAL_READ_GIVE_UP=20s")
	a.Upload(t, route, s.metainfo, 201)
	a.Upload(t, "other", other.metainfo, 201)
	ctx := deadline(t)
	readBoth := func() error { return errors.Join(readAll(ctx, a, s), readOther(ctx, a, other)) }
	for when, interrupt := range map[string]func() (resume func()){
		"stopped": func() func() { a.Stop(t); return func() { a.Restart(t) } },
		"killed":  func() func() { a.Kill(t); return func() { a.Restart(t) } },
		"idle": func() func() {
			await(t, "the cache is closed", 20*time.Second, func() bool { return openIn(a, cacheDir(a)) == 0 })
			return func() {}
		},
	} {
		for _, damage := range damages {
			if err := readBoth(); err != nil {
				t.Fatalf("before: %v", err)
			}
			resume := interrupt()
			f := filesOf(a, s)
			if err := damage.do(f, filesOf(a, other)); err != nil {
				t.Fatalf("%s, %s: %v", when, damage.name, err)
			}
			resume()
			if info, err := os.Stat(f.data); err == nil && info.IsDir() {
				if err := readAll(ctx, a, s); !isStatus(err, statusIO) {
					t.Errorf("%s, %s: %v, want status %d", when, damage.name, err, statusIO)
				}
				if err := os.Remove(f.data); err != nil {
					t.Fatal(err)
				}
			}
			if err := readBoth(); err != nil {
				t.Errorf("%s, %s: %v", when, damage.name, err)
			}
		}
	}
	a.Stop(t)
	if err := os.RemoveAll(cacheDir(a)); err != nil {
		t.Fatal(err)
	}
	a.Restart(t)
	if err := readBoth(); err != nil {
		t.Errorf("without its folder: %v", err)
	}
}

func readOther(ctx context.Context, a *appliance.Appliance, s *sample) error {
	r, err := open(ctx, a.NFSPort, "/other", name)
	if err != nil {
		return err
	}
	defer r.close()
	b, err := r.readPatiently(ctx, 0, int(s.size))
	if err != nil {
		return err
	}
	return s.compare(b, 0)
}

// openIn returns how many files below a folder the appliance has open, but for the lock.
func openIn(a *appliance.Appliance, dir string) (n int) {
	fds := fmt.Sprintf("/proc/%d/fd", a.PID())
	entries, _ := os.ReadDir(fds) // they come and go
	for _, e := range entries {
		if path, err := os.Readlink(filepath.Join(fds, e.Name())); err == nil && strings.HasPrefix(path, dir+"/") && filepath.Ext(path) != ".lock" {
			n++
		}
	}
	return n
}

// TestDamagedAlone has nobody to fetch from what is damaged: that fails in time, and the rest is right.
func TestDamagedAlone(t *testing.T) {
	netns.Require(t)
	s := newSample(t, damagedSize, 64<<10)
	p := startPeer(t, s)
	a := appliance.Start(t, "SHOAL_ROUTES="+route, "SHOAL_BT_PEERS="+p.addr, "SHOAL_NFS_READ_WAIT=1s", "SHOAL_READ_GIVE_UP=2s")
	a.Upload(t, route, s.metainfo, 201)
	ctx := deadline(t)
	if err := readAll(ctx, a, s); err != nil {
		t.Fatal(err)
	}
	a.Stop(t)
	p.close()
	if err := flip(filesOf(a, s).data, 3*64<<10); err != nil {
		t.Fatal(err)
	}
	a.Restart(t)
	r, err := open(ctx, a.NFSPort, "/"+route, name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for i := range int64(9) {
		b, err := r.readPatiently(ctx, i*64<<10, 64<<10)
		switch {
		case i == 3 && !isStatus(err, statusIO):
			t.Errorf("the damaged piece: %v, want status %d", err, statusIO)
		case i != 3 && err != nil:
			t.Errorf("piece %d: %v", i, err)
		case i != 3:
			if err := s.compare(b, i*64<<10); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestReadOnly cannot write its cache: it says so, and ends.
func TestReadOnly(t *testing.T) {
	dir := tmpfs(t, "80m") // more than the least that a cache needs
	a := appliance.Start(t, "SHOAL_ROUTES="+route, "SHOAL_CACHE_DIR="+dir)
	a.Stop(t)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	code, said := a.RunOnce(t)
	if code == 0 || !strings.Contains(said, dir) || !strings.Contains(said, "read-only") {
		t.Errorf("exit code %d, and it said:\n%s", code, said)
	}
}
