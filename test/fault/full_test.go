//go:build linux

package fault

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/netns"
)

// tmpfs mounts a file system in memory of so many bytes until the test ends.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	netns.Require(t) // the mount is gone with the namespace, whatever happens
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// filler takes what is free on a disk, and what becomes free, until it is removed.
type filler struct {
	file *os.File
	stop chan struct{}
	end  sync.WaitGroup
}

func startFiller(t *testing.T, dir string) *filler {
	t.Helper()
	file, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	f := &filler{file: file, stop: make(chan struct{})}
	f.end.Go(func() {
		for {
			if _, err := file.Write(make([]byte, 4096)); err == nil {
				continue
			}
			select {
			case <-f.stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return f
}

func (f *filler) remove(t *testing.T) {
	t.Helper()
	close(f.stop)
	f.end.Wait()
	if err := errors.Join(f.file.Close(), os.Remove(f.file.Name())); err != nil {
		t.Error(err)
	}
}

func free(t *testing.T, dir string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// TestFull has a disk that is smaller than the limit, and that somebody else fills and frees again.
func TestFull(t *testing.T) {
	dir := tmpfs(t, "80m") // more than the least that a start needs
	s, late := newSample(t, 32<<20, 64<<10), newSample(t, 2<<20, 32<<10)
	p := startPeer(t, s, late)
	a := appliance.Start(t, "SHOAL_ROUTES="+route+",late", "SHOAL_CACHE_DIR="+dir, "SHOAL_CACHE_LIMIT=64MiB", "SHOAL_BT_PEERS="+p.addr,
		"SHOAL_NFS_READ_WAIT=500ms", "SHOAL_READ_GIVE_UP=3s")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	a.Upload(t, route, s.metainfo, 201)
	a.Upload(t, "late", late.metainfo, 201)
	ctx := deadline(t)
	if err := readAll(ctx, a, s); err != nil {
		t.Fatalf("on a disk that is smaller than the limit: %v", err)
	}

	f := startFiller(t, dir)
	readers, end := context.WithCancel(ctx)
	var all sync.WaitGroup
	var jukebox, failed atomic.Int64
	for i := range 4 {
		all.Go(func() {
			folder, of := "/"+route, s
			if i == 0 { // whose states do not fit either
				folder, of = "/late", late
			}
			readAnything(readers, t, a, folder, of, &jukebox, &failed)
		})
	}
	await(t, "the filler has taken everything", time.Minute, func() bool { return onDisk(dir)-fileSize(f.file) < 1<<20 && free(t, dir) < 256<<10 })
	time.Sleep(time.Second)
	before := p.uploaded()
	time.Sleep(4 * time.Second)
	sent := p.uploaded() - before
	t.Logf("in 4 s without room the peer sent %d KiB; %d reads were put off, %d failed", sent>>10, jukebox.Load(), failed.Load())
	if sent > 2<<20 {
		t.Errorf("the peer sent %d bytes that there was no room for", sent)
	}
	if failed.Load() == 0 {
		t.Error("no read has failed after READ_GIVE_UP")
	}
	end()
	f.remove(t)
	all.Wait()
	r, err := open(ctx, a.NFSPort, "/late", name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	await(t, "it goes on by itself", time.Minute, func() bool {
		b, err := r.readPatiently(ctx, 0, 1<<20)
		return err == nil && late.compare(b, 0) == nil
	})
	if err := readAll(ctx, a, s); err != nil {
		t.Errorf("after the disk was freed: %v", err)
	}
	if code, _ := a.Stop(t); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

func fileSize(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// readAnything reads at random until ctx ends. Reads may be put off, or fail, but not end with wrong bytes.
func readAnything(ctx context.Context, t *testing.T, a *appliance.Appliance, folder string, s *sample, jukebox, failed *atomic.Int64) {
	r, err := open(ctx, a.NFSPort, folder, name)
	if err != nil {
		t.Error(err)
		return
	}
	defer r.close()
	for ctx.Err() == nil {
		count := 1 + rand.IntN(200<<10)
		off := rand.Int64N(s.size - int64(count))
		b, err := r.read(off, count)
		switch {
		case ctx.Err() != nil:
			return
		case isStatus(err, statusJukebox):
			jukebox.Add(1)
		case isStatus(err, statusIO):
			failed.Add(1)
		case err != nil:
			t.Errorf("read: %v", err)
			return
		default:
			if err := s.compare(b, off); err != nil {
				t.Error(err)
			}
		}
	}
}
