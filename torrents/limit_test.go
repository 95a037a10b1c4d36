package torrents

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shoal/torrents/cache"
)

// diskUse returns how many bytes the files below a folder take.
func diskUse(t testing.TB, dir string) int64 {
	t.Helper()
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // evicted while we look
		t.Fatal(err)
	}
	return sum
}

// watchDisk samples the disk until it is told to stop, and returns the most that it saw.
func watchDisk(t testing.TB, dir string) (stop func() int64) {
	t.Helper()
	done, most := make(chan struct{}), make(chan int64)
	go func() {
		var max64 int64
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				max64 = max(max64, diskUse(t, dir))
			case <-done:
				most <- max64
				return
			}
		}
	}()
	return func() int64 { close(done); return <-most }
}

// TestSmallCache reads far more than the cache holds, at random, with several readers.
func TestSmallCache(t *testing.T) {
	const (
		size    = 64 << 20
		limit   = 4 << 20
		piece   = 256 << 10
		readers = 8
	)
	total := int64(128 << 20)
	if testing.Short() {
		total = 16 << 20
	}
	s := newSample(t, "thrash", piece, map[string][]byte{"x": randomBytes(size)})
	rec := newRecorder()
	opts := testOptions(t, rec, startPeer(t, s).addr)
	opts.CacheLimit = limit
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.metainfo)
	file := &mustLoad(t, rec.await(t, s.infohash))[0]
	stop := watchDisk(t, opts.CacheDir)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			b := make([]byte, 300<<10)
			for read := int64(0); read < total/readers; {
				n := 1 + rand.IntN(len(b))
				off := rand.Int64N(size - int64(n))
				if _, err := file.ReadAt(ctx, b[:n], off); err != nil {
					t.Errorf("read of %d bytes at %d: %v", n, off, err)
					return
				}
				if !bytes.Equal(b[:n], s.files["x"][off:off+int64(n)]) {
					t.Errorf("read of %d bytes at %d: wrong bytes", n, off)
					return
				}
				read += int64(n)
			}
		})
	}
	all.Wait()
	if most := stop(); most > limit+piece {
		t.Errorf("the cache took up to %d bytes, its limit is %d", most, limit)
	} else {
		t.Logf("at most %d of %d bytes", most, limit)
	}

	// A lower limit is reached while it runs, and reading goes on.
	lower := int64(limit * 3 / 4)
	if err := l.SetCacheLimit(lower); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for diskUse(t, opts.CacheDir) > lower {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s with a limit of %d, the cache has %d bytes", lower, diskUse(t, opts.CacheDir))
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := file.ReadAt(ctx, make([]byte, 1<<20), size/2); err != nil {
		t.Error(err)
	}
}

// TestCacheTooSmall has a torrent whose pieces are larger than the cache.
func TestCacheTooSmall(t *testing.T) {
	s := newSample(t, "large", 4<<20, map[string][]byte{"x": randomBytes(9 << 20)})
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.CacheLimit = 3 << 20
	l := mustOpen(t, opts)
	var bad *InputError
	if _, err := l.AddMetainfo("r", s.metainfo); !errors.As(err, &bad) || !strings.Contains(err.Error(), "4.0 MiB need a cache of at least") {
		t.Errorf("added to a cache of 3 MiB: %v", err)
	}
	if err := l.SetCacheLimit(1 << 30); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, "r", s.metainfo)
	if err := l.SetCacheLimit(3 << 20); err != nil {
		t.Fatal(err)
	}
	file := &mustLoad(t, rec.await(t, s.infohash))[0]
	if _, err := file.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrCacheTooSmall) {
		t.Errorf("read: %v, want %v", err, ErrCacheTooSmall)
	}
	if got, err := l.Torrent(s.infohash); err != nil || got.State != StateFailed || !strings.Contains(got.Reason, "cache") {
		t.Errorf("state %q, reason %q, %v", got.State, got.Reason, err)
	}
}

// TestPinned reads more than the cache holds beside a torrent that is pinned, before and after a restart.
func TestPinned(t *testing.T) {
	const piece, size, limit = 64 << 10, 1 << 20, 3 << 20
	pinned := newSample(t, "pinned", piece, map[string][]byte{"": randomBytes(size)})
	other := newSample(t, "other", piece, map[string][]byte{"": randomBytes(4 * limit)})
	rec := newRecorder()
	opts := testOptions(t, rec, startPeer(t, pinned, other).addr)
	opts.CacheLimit, opts.Idle = limit, 10*time.Millisecond // soon closed, and so the first to be evicted
	l := mustOpen(t, opts)
	cached := func(s *sample) int64 {
		got, err := l.Torrent(s.infohash)
		if err != nil {
			t.Fatal(err)
		}
		return got.Cached
	}
	mustAdd(t, l, "r", pinned.metainfo)
	mustAdd(t, l, "r", other.metainfo)
	readFiles(t, rec.await(t, pinned.infohash), pinned.files)
	mustChange(t, l, pinned.infohash, TorrentChange{Pinned: new(true)})
	readFiles(t, rec.await(t, other.infohash), other.files)
	if got := cached(pinned); got != size {
		t.Errorf("%d bytes of what is pinned are left, want all %d", got, size)
	}
	l, rec = reopen(t, l)
	readFiles(t, rec.await(t, other.infohash), other.files)
	if got := cached(pinned); got != size {
		t.Errorf("after a restart %d bytes of what is pinned are left, want all %d", got, size)
	}
	mustChange(t, l, pinned.infohash, TorrentChange{Pinned: new(false)})
	readFiles(t, rec.await(t, other.infohash), other.files)
	if got := cached(pinned); got == size {
		t.Errorf("all %d bytes of what is pinned no more are left, want some evicted", got)
	}
}

// TestPrefetch fetches one file of a folder ahead, and evicts it again.
func TestPrefetch(t *testing.T) {
	const piece = 256 << 10
	s := newSample(t, "folder", piece, map[string][]byte{"a": randomBytes(8 * piece), "b/c": randomBytes(40 * piece), "b/d": randomBytes(1)})
	rec := newRecorder()
	p := startPeer(t, s)
	opts := testOptions(t, rec, p.addr)
	opts.CacheLimit = 45 * piece
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.metainfo)
	files := make(map[string]*File)
	list := mustLoad(t, rec.await(t, s.infohash))
	for i := range list {
		files[strings.Join(list[i].Path, "/")] = &list[i]
	}
	for path, want := range map[string]error{"x": ErrNotFound, "b/c/d": ErrNotFound} {
		if err := l.Prefetch(s.infohash, path); !errors.Is(err, want) {
			t.Errorf("prefetch of %q: %v, want %v", path, err, want)
		}
	}
	var bad *InputError
	if err := l.Prefetch(s.infohash, ""); !errors.As(err, &bad) {
		t.Errorf("prefetch of more than the cache holds: %v", err)
	}
	if err := l.Prefetch(s.infohash, "b/c"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for files["b/c"].Cached() < files["b/c"].Size {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s there are %d bytes of %d", files["b/c"].Cached(), files["b/c"].Size)
		}
		time.Sleep(time.Millisecond)
	}
	if got := files["a"].Cached(); got > piece {
		t.Errorf("%d bytes of another file were fetched", got)
	}
	if got, want := p.uploaded(), int64(42*piece); got > want {
		t.Errorf("the peer sent %d bytes, want at most %d", got, want)
	}
	if got, err := l.Torrent(s.infohash); err != nil || !got.LastRead.IsZero() {
		t.Errorf("what was only fetched ahead was read at %v, %v", got.LastRead, err)
	}
	b := make([]byte, files["b/c"].Size)
	if _, err := files["b/c"].ReadAt(t.Context(), b, 0); err != nil || !bytes.Equal(b, s.files["b/c"]) {
		t.Errorf("read: %v", err)
	}
	if _, err := l.ChangeTorrent(s.infohash, TorrentChange{Pinned: new(true)}); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.Evict(s.infohash, "b"); !errors.Is(err, ErrPinned) || freed > 0 {
		t.Errorf("%d bytes of a pinned torrent were evicted, %v; want %v", freed, err, ErrPinned)
	}
	if _, err := l.ChangeTorrent(s.infohash, TorrentChange{Pinned: new(false)}); err != nil {
		t.Fatal(err)
	}
	freed, err := l.Evict(s.infohash, "b")
	if err != nil || freed < files["b/c"].Size || files["b/c"].Cached() != 0 {
		t.Errorf("evicted %d bytes, %v; there are %d left", freed, err, files["b/c"].Cached())
	}
	if use := diskUse(t, opts.CacheDir); use > 64<<10 {
		t.Errorf("the disk still has %d bytes", use)
	}
	if _, err := files["b/c"].ReadAt(t.Context(), b, 0); err != nil || !bytes.Equal(b, s.files["b/c"]) {
		t.Errorf("read again: %v", err)
	}
}

// TestPrefetchDistrusted has a piece that the disk did not give back while the prefetch waits for the one before: it is checked, and the
// prefetch ends.
func TestPrefetchDistrusted(t *testing.T) {
	const piece = 16 << 10
	s := newSample(t, "distrusted", piece, map[string][]byte{"x": randomBytes(2 * piece)})
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, startPeer(t, s).addr))
	mustAdd(t, l, "r", s.metainfo)
	readFiles(t, rec.await(t, s.infohash), s.files)
	e := l.entries[s.infohash]
	session, err := e.use()
	if err != nil {
		t.Fatal(err)
	}
	defer e.release()
	if freed, err := session.pieces.Evict(cache.Span{First: 0, Last: 0}); err != nil || freed != piece {
		t.Fatalf("evicted %d bytes, %v", freed, err)
	}
	swarmed := session.joined().t
	swarmed.DisallowDataDownload()
	if err := l.Prefetch(s.infohash, ""); err != nil {
		t.Fatal(err)
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after 30 s %s", what)
			}
		}
	}
	await("the first piece is not wanted", func() bool {
		states, _ := e.pieceStates()
		return states[0] == PieceAhead
	})
	session.pieces.Distrust(cache.Span{First: 1, Last: 1})
	swarmed.AllowDataDownload()
	await("the prefetch has not ended", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.prefetching) == 0
	})
	if !session.pieces.Complete() {
		t.Error("not all is there")
	}
}

// TestCacheOfUnknown has the cache of a torrent that is not in the library, as after the loss of that: it is used again if the torrent is
// added, and goes first if something else needs the room.
func TestCacheOfUnknown(t *testing.T) {
	const piece = 256 << 10
	lost := newSample(t, "lost", piece, map[string][]byte{"x": randomBytes(8 * piece)})
	known := newSample(t, "known", piece, map[string][]byte{"x": randomBytes(8 * piece)})
	late := newSample(t, "late", piece, map[string][]byte{"x": randomBytes(6 * piece)})
	p := startPeer(t, lost, known, late)
	rec := newRecorder()
	opts := testOptions(t, rec, p.addr)
	opts.CacheLimit = 20 * piece
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", lost.metainfo)
	mustAdd(t, l, "r", known.metainfo)
	readFiles(t, rec.await(t, known.infohash), known.files)
	readFiles(t, rec.await(t, lost.infohash), lost.files)
	forget := func() {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(l.recordPath(lost.infohash)); err != nil {
			t.Fatal(err)
		}
		rec = newRecorder()
		opts.Watcher = rec
		l = mustOpen(t, opts)
	}

	forget()
	before := p.uploaded()
	mustAdd(t, l, "r", lost.metainfo)
	readFiles(t, rec.await(t, lost.infohash), lost.files)
	if got := p.uploaded() - before; got > 0 {
		t.Errorf("%d bytes were fetched again", got)
	}

	forget()
	mustAdd(t, l, "r", late.metainfo)
	readFiles(t, rec.await(t, late.infohash), late.files)
	if got, err := l.Torrent(known.infohash); err != nil || got.Cached != got.Size {
		t.Errorf("of the torrent in the library there are %d of %d bytes, %v", got.Cached, got.Size, err)
	}
}
