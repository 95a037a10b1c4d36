//go:build linux

package fault

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shoal/test/appliance"
	"shoal/test/netns"
)

var thrash = flag.Int64("thrash", 512, "how many MiB TestThrash reads")

// TestThrash reads at random, with eight clients, far more than the cache holds.
func TestThrash(t *testing.T) {
	netns.Require(t)
	const (
		limit   = 64 << 20
		piece   = 256 << 10
		readers = 8
	)
	s := newSample(t, 256<<20, piece)
	p := startPeer(t, s)
	a := appliance.Start(t, "SHOAL_ROUTES="+route, "SHOAL_CACHE_LIMIT="+strconv.Itoa(limit), "SHOAL_BT_PEERS="+p.addr)
	a.Upload(t, route, s.metainfo, 201)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(*thrash)*time.Second/4)
	defer cancel()
	began := time.Now()
	stop := watchDisk(cacheDir(a))
	var fds, memory [2]int64
	for half := range 2 {
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				if err := readTotal(ctx, a, s, *thrash<<20/readers/2); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		fds[half], memory[half] = descriptors(a), resident(a)
	}
	most := stop()
	t.Logf("%d MiB in %v; at most %d bytes on disk; %d, then %d descriptors; %d, then %d MiB of memory",
		*thrash, time.Since(began), most, fds[0], fds[1], memory[0]>>20, memory[1]>>20)
	if most > limit+piece {
		t.Errorf("up to %d bytes were on disk, the limit is %d", most, limit)
	}
	if fds[1] > fds[0]+4 {
		t.Errorf("%d descriptors after a half, %d after the other", fds[0], fds[1])
	}
	if memory[1] > memory[0]*3/2+(64<<20) {
		t.Errorf("%d bytes of memory after a half, %d after the other", memory[0], memory[1])
	}
}

// TestSlowReceiver asks for what is in the cache, and receives it only after that was evicted, and its room was used for other
// data.
func TestSlowReceiver(t *testing.T) {
	netns.Require(t)
	s := newSample(t, 32<<20, 16<<10)
	p := startPeer(t, s)
	a := appliance.Start(t, "SHOAL_ROUTES="+route, "SHOAL_CACHE_LIMIT=4MiB", "SHOAL_BT_PEERS="+p.addr)
	a.Upload(t, route, s.metainfo, 201)
	ctx := deadline(t)
	r, err := open(ctx, a.NFSPort, "/"+route, name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for i := range int64(8) {
		const n = 1 << 20
		off := i * 3 * n
		if _, err := r.readPatiently(ctx, off, n); err != nil {
			t.Fatal(err)
		}
		if err := forgetPages(filesOf(a, s).data); err != nil {
			t.Fatal(err)
		}
		if err := r.ask(off, n); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // until it is on its way
		if err := readTotal(ctx, a, s, 8<<20); err != nil {
			t.Error(err)
		}
		b, err := r.answer()
		if err == nil {
			err = s.compare(b, off)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// forgetPages makes the kernel read a file from the disk again, which it does in parts that may be larger than pieces.
func forgetPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// readTotal reads n bytes at random.
func readTotal(ctx context.Context, a *appliance.Appliance, s *sample, n int64) error {
	r, err := open(ctx, a.NFSPort, "/"+route, name)
	if err != nil {
		return err
	}
	defer r.close()
	for n > 0 {
		count := 1 + rand.IntN(1<<20)
		off := rand.Int64N(s.size - int64(count))
		b, err := r.readPatiently(ctx, off, count)
		if err == nil {
			err = s.compare(b, off)
		}
		if err != nil {
			return err
		}
		n -= int64(count)
	}
	return nil
}

// descriptors returns how many the appliance has open.
func descriptors(a *appliance.Appliance) int64 {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.PID())) // none if it has ended
	return int64(len(entries))
}

// resident returns how many bytes of memory the appliance has.
func resident(a *appliance.Appliance) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", a.PID())) // none if it has ended
	fields := strings.Fields(string(b) + " 0 0")
	pages, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel writes numbers
	return pages * int64(os.Getpagesize())
}
