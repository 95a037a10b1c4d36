package torrents

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anacrolix/torrent"
)

// readFiles compares every file of a torrent with the sample it was made of.
func readFiles(t testing.TB, shown Shown, want map[string][]byte) {
	t.Helper()
	files := mustLoad(t, shown)
	if len(files) != len(want) {
		t.Fatalf("the torrent has %d files, want %d", len(files), len(want))
	}
	for i := range files {
		path := strings.Join(files[i].Path, "/")
		got := make([]byte, files[i].Size)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		n, err := files[i].ReadAt(ctx, got, 0)
		cancel()
		if err != nil && !errors.Is(err, io.EOF) || int64(n) != files[i].Size {
			t.Fatalf("read %q: %d of %d bytes, %v", path, n, files[i].Size, err)
		}
		if !bytes.Equal(got, want[path]) {
			t.Errorf("%q has other bytes than the original", path)
		}
	}
}

func TestReadFromSwarm(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{
		"a.bin": randomBytes(100_001), "sub/b.bin": randomBytes(70_000), "empty": {}, "sub/deep/c": []byte("c"),
	})
	p := startPeer(t, s)
	rec := newRecorder()
	opts := testOptions(t, rec, p.addr)
	l := mustOpen(t, opts)
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	readFiles(t, rec.await(t, s.infohash), s.files)
	got, err := l.Torrent(s.infohash)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != StateComplete || got.Cached != got.Size {
		t.Errorf("after reading all: state %s, cached %d of %d bytes", got.State, got.Cached, got.Size)
	}

	// What is complete is read again without the swarm, after a restart too.
	sent := p.uploaded()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p.client.Close()
	rec = newRecorder()
	opts.Watcher = rec
	mustOpen(t, opts)
	readFiles(t, rec.await(t, s.infohash), s.files)
	if again := p.uploaded(); again != sent {
		t.Errorf("the peer sent %d more bytes after the restart", again-sent)
	}
}

// TestReadOverUTP is about torrents/goutp, the stand-in for the engine's uTP.
func TestReadOverUTP(t *testing.T) {
	s := newSample(t, "micro", 16<<10, map[string][]byte{"x": randomBytes(1 << 20)})
	p := startPeerWith(t, func(cfg *torrent.ClientConfig) { cfg.DisableTCP, cfg.DisableUTP = true, false }, s)
	rec := newRecorder()
	opts := testOptions(t, rec, p.addr)
	opts.Swarm.TCP, opts.Swarm.UTP = false, true
	mustAdd(t, mustOpen(t, opts), "r", s.metainfo)
	readFiles(t, rec.await(t, s.infohash), s.files)
}

func TestReadPartOnly(t *testing.T) {
	const size, pieceLength = 64 << 20, 256 << 10
	s := newSample(t, "big.bin", pieceLength, map[string][]byte{"": randomBytes(size)})
	p := startPeer(t, s)
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, p.addr))
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	files := mustLoad(t, rec.await(t, s.infohash))
	for _, off := range []int64{0, 20 << 20, 40 << 20, size - 10} {
		got := make([]byte, 64<<10)
		n, err := files[0].ReadAt(t.Context(), got, off)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("read at %d: %v", off, err)
		}
		if !bytes.Equal(got[:n], s.files[""][off:off+int64(n)]) {
			t.Errorf("read at %d: other bytes than the original", off)
		}
	}
	if got, want := p.uploaded(), int64(5*pieceLength); got > want {
		t.Errorf("four reads of 64 KiB made the peer send %d bytes, want at most %d", got, want)
	}
}

func TestResolveMagnet(t *testing.T) {
	s := newSample(t, "magnetic", 16<<10, map[string][]byte{"x": randomBytes(50_000), "y/z": randomBytes(10)})
	p := startPeer(t, s)
	rec := newRecorder()
	opts := testOptions(t, rec, p.addr)
	l := mustOpen(t, opts)
	added, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+s.infohash.String()+"&dn=nice")
	if err != nil {
		t.Fatal(err)
	}
	if added.State != StateMetadata || added.Name != "nice" {
		t.Errorf("just added: state %s, name %q", added.State, added.Name)
	}
	readFiles(t, rec.await(t, s.infohash), s.files)
	if got, err := l.Torrent(s.infohash); err != nil || got.Name != "magnetic" || got.Files != 2 {
		t.Errorf("after resolving: %+v, %v", got, err)
	}
	// The metadata was saved: a restart needs no peer.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p.client.Close()
	rec = newRecorder()
	opts.Watcher = rec
	mustOpen(t, opts)
	readFiles(t, rec.await(t, s.infohash), s.files)
}

// TestPeersOfMagnet: a link names the only peer (x.pe, BEP 9). It is asked for the data too, after a restart as well.
func TestPeersOfMagnet(t *testing.T) {
	s := newSample(t, "magnetic", 16<<10, map[string][]byte{"x": randomBytes(50_000), "y": randomBytes(50_000)})
	p := startPeer(t, s)
	rec := newRecorder()
	opts := testOptions(t, rec)
	l := mustOpen(t, opts)
	if _, err := l.AddMagnet("r", magnetOf(s.infohash)+"&x.pe="+p.addr); err != nil {
		t.Fatal(err)
	}
	read := func(name string) {
		t.Helper()
		files := mustLoad(t, rec.await(t, s.infohash))
		i := slices.IndexFunc(files, func(f File) bool { return f.Path[0] == name })
		got := make([]byte, 50_000)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if n, err := files[i].ReadAt(ctx, got, 0); n != len(got) || !bytes.Equal(got, s.files[name]) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	read("x")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rec = newRecorder()
	opts.Watcher = rec
	mustOpen(t, opts)
	read("y")
}

func TestSeederComesBack(t *testing.T) {
	s := newSample(t, "late", 16<<10, map[string][]byte{"x": randomBytes(100_000)})
	// Take a port and let it go, for the seeder that comes later.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, addr))
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	files := mustLoad(t, rec.await(t, s.infohash))
	got := make([]byte, 1000)
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := files[0].ReadAt(short, got, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("read without a seeder: %v, want the deadline's error", err)
	}
	relay(t, addr, startPeer(t, s).addr)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := files[0].ReadAt(ctx, got, 0); err != nil {
		t.Fatalf("read after the seeder came: %v", err)
	}
	if !bytes.Equal(got, s.files["x"][:1000]) {
		t.Error("other bytes than the original")
	}
}

// relay forwards connections from one address to another until the test ends.
func relay(t testing.TB, from, to string) {
	t.Helper()
	ln, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() { _, _ = io.Copy(pair[0], pair[1]); _ = pair[0].Close() })
			}
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

func TestGiveUp(t *testing.T) {
	s := newSample(t, "dead", 16<<10, map[string][]byte{"x": randomBytes(100_000)})
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.ReadGiveUp = 100 * time.Millisecond
	l := mustOpen(t, opts)
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	files := mustLoad(t, rec.await(t, s.infohash))
	if _, err := files[0].ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrGaveUp) {
		t.Errorf("read of a dead torrent: %v, want %v", err, ErrGaveUp)
	}
}

// TestGiveUpOverRetries asks again and again, as an NFS client does that is told to.
func TestGiveUpOverRetries(t *testing.T) {
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.ReadGiveUp = 300 * time.Millisecond
	metainfo := tiny(t, "dead", 1)
	mustAdd(t, mustOpen(t, opts), "r", metainfo)
	files := mustLoad(t, rec.await(t, infohashOf(t, metainfo)))
	for range 2 { // giving up once does not mean for ever
		begin := time.Now()
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_, err := files[0].ReadAt(ctx, make([]byte, 1), 0)
			cancel()
			if errors.Is(err, ErrGaveUp) {
				break
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Fatalf("after %v the read still ends with %v, want %v", took, err, ErrGaveUp)
			}
		}
		if took := time.Since(begin); took < opts.ReadGiveUp {
			t.Errorf("it gave up after %v, want %v", took, opts.ReadGiveUp)
		}
	}
}

func TestRemoveEndsReads(t *testing.T) {
	s := newSample(t, "gone", 16<<10, map[string][]byte{"x": randomBytes(100_000)})
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec))
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	files := mustLoad(t, rec.await(t, s.infohash))
	result := make(chan error)
	go func() {
		_, err := files[0].ReadAt(t.Context(), make([]byte, 1), 0)
		result <- err
	}()
	for {
		if got, err := l.Torrent(s.infohash); err != nil || got.State == StateActive {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := l.Remove(s.infohash); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, ErrNotFound) {
		t.Errorf("read of a removed torrent: %v, want %v", err, ErrNotFound)
	}
	if left, _ := filepath.Glob(filepath.Join(l.opts.CacheDir, "*.[dp]*")); len(left) > 0 {
		t.Errorf("left in the cache: %q", left)
	}
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Errorf("add it again: %v", err)
	}
}

// TestDiskFails lets the cache be unwritable: the read fails, and nothing is fetched for nobody.
func TestDiskFails(t *testing.T) {
	s := newSample(t, "full", 16<<10, map[string][]byte{"x": randomBytes(10 << 20)})
	p := startPeer(t, s)
	rec := newRecorder()
	opts := testOptions(t, rec, p.addr)
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.metainfo)
	files := mustLoad(t, rec.await(t, s.infohash))
	e := l.entries[s.infohash]
	session, err := e.use()
	if err != nil {
		t.Fatal(err)
	}
	defer e.release()
	writable := replaceFile(t, session.pieces.File(), os.O_RDONLY)
	if _, err := files[0].ReadAt(t.Context(), make([]byte, 1), 0); err == nil || !strings.Contains(err.Error(), "write the cache") {
		t.Errorf("read: %v, want one about writing the cache", err)
	}
	// What was on its way arrives still; then it is quiet.
	for before := int64(-1); before != p.uploaded(); {
		before = p.uploaded()
		time.Sleep(200 * time.Millisecond)
		if before > 5<<20 {
			t.Fatalf("%d bytes were sent for nobody", before)
		}
	}
	// Once the disk is writable again, the next read works.
	writable()
	readFiles(t, rec.await(t, s.infohash), s.files)
}

// TestDiskCannotBeRead lets the cache be unreadable, with data in it and before there is any: reads fail, little is fetched for
// nobody, and when the disk can be read again all is right.
func TestDiskCannotBeRead(t *testing.T) {
	for _, full := range []bool{false, true} {
		s := newSample(t, "unreadable", 16<<10, map[string][]byte{"x": randomBytes(1 << 20)})
		p := startPeer(t, s)
		rec := newRecorder()
		opts := testOptions(t, rec, p.addr)
		l := mustOpen(t, opts)
		mustAdd(t, l, "r", s.metainfo)
		if full {
			readFiles(t, rec.await(t, s.infohash), s.files)
		}
		session, err := l.entries[s.infohash].use()
		if err != nil {
			t.Fatal(err)
		}
		before := p.uploaded()
		readable := replaceFile(t, session.pieces.File(), os.O_WRONLY)
		file := &mustLoad(t, rec.await(t, s.infohash))[0]
		for range 3 {
			if _, err := file.ReadAt(t.Context(), make([]byte, 40_000), 0); err == nil || !strings.Contains(err.Error(), "cache") {
				t.Errorf("read: %v, want one about the cache", err)
			}
		}
		time.Sleep(200 * time.Millisecond)
		if sent := p.uploaded() - before; sent > 1<<20 {
			t.Errorf("%d bytes were sent for nobody", sent)
		}
		readable()
		readFiles(t, rec.await(t, s.infohash), s.files)
		l.entries[s.infohash].release()
	}
}

// replaceFile opens another file in the place of f, with the flags, until the function is called that it returns.
func replaceFile(t testing.TB, f *os.File, flags int) (undo func()) {
	t.Helper()
	fd := int(f.Fd())
	before, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(f.Name(), flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := unix.Dup3(int(other.Fd()), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(unix.Dup3(before, fd, unix.O_CLOEXEC), unix.Close(before)); err != nil {
			t.Error(err)
		}
	}
}

// TestCutOffCache has lost the end of a file that was complete.
func TestCutOffCache(t *testing.T) {
	s := newSample(t, "cut", 16<<10, map[string][]byte{"x": randomBytes(40_000)})
	rec := newRecorder()
	opts := testOptions(t, rec, startPeer(t, s).addr)
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.metainfo)
	readFiles(t, rec.await(t, s.infohash), s.files)
	if err := os.Truncate(filepath.Join(opts.CacheDir, s.infohash.String()+".data"), 39_000); err != nil {
		t.Fatal(err)
	}
	files := mustLoad(t, rec.await(t, s.infohash))
	if n, err := files[0].ReadAt(t.Context(), make([]byte, 40_000), 0); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read of 40,000 bytes: %d bytes, %v; want an error that is not the end of the file", n, err)
	}
	readFiles(t, rec.await(t, s.infohash), s.files) // what is lost is fetched again
}

// TestAwait keeps what was awaited while something else needs its room.
func TestAwait(t *testing.T) {
	s := newSample(t, "await", 1<<20, map[string][]byte{"x": randomBytes(8 << 20)})
	rec := newRecorder()
	opts := testOptions(t, rec, startPeer(t, s).addr)
	opts.CacheLimit = 3<<20 + 64<<10
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.metainfo)
	file := &mustLoad(t, rec.await(t, s.infohash))[0]
	release, err := file.Await(t.Context(), 100, 10, "reader")
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(1 << 20); off < 8<<20; off += 1 << 20 {
		if _, err := file.ReadAt(t.Context(), make([]byte, 1000), off); err != nil {
			t.Fatal(err)
		}
	}
	if !file.Ready(100, 10) {
		t.Error("what was awaited has gone")
	}
	release()
	for off := int64(1 << 20); off < 8<<20; off += 1 << 20 {
		if _, err := file.ReadAt(t.Context(), make([]byte, 1000), off); err != nil {
			t.Fatal(err)
		}
	}
	if file.Ready(100, 10) {
		t.Error("what nobody awaits any more is still there, though the cache holds three pieces only")
	}
}

func TestIdleLeavesSwarm(t *testing.T) {
	s := newSample(t, "idle", 16<<10, map[string][]byte{"x": randomBytes(100_000)})
	p := startPeer(t, s)
	rec := newRecorder()
	opts := testOptions(t, rec, p.addr)
	opts.Idle = 50 * time.Millisecond
	l := mustOpen(t, opts)
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	files := mustLoad(t, rec.await(t, s.infohash))
	for round := range 3 {
		if _, err := files[0].ReadAt(t.Context(), make([]byte, 10), int64(round)*20_000); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(10 * time.Second)
		for {
			got, err := l.Torrent(s.infohash)
			if err != nil {
				t.Fatal(err)
			}
			n := len(l.swarm.client.Torrents()) // which it leaves after it is shown as idle
			if got.State == StateIdle && n == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: still %s, and %d torrents in the swarm", round, got.State, n)
			}
			time.Sleep(time.Millisecond)
		}
	}
}
