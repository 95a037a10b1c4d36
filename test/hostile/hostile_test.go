//go:build linux

// Package hostile tests what peers, trackers and web seeds do to Shoal that fail, lie or mean harm. All of
// them are on the loopback interface of a namespace of their own.
package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"go.uber.org/goleak"

	"shoal/test/appliance"
	"shoal/test/debian"
	"shoal/test/seeder"
	"shoal/torrents"
)

func TestMain(m *testing.M) {
	// The NFS client has a goroutine that never ends.
	os.Exit(appliance.RunApart(m, prepare, goleak.IgnoreAnyFunction("github.com/willscott/go-nfs-client/nfs.(*Target).cleanupCache")))
}

// prepare gets everything that the tests do not make themselves, as they have no network.
func prepare() error {
	return errors.Join(seeder.Prepare(), debian.Ensure("iproute2", "nginx"))
}

// limit is how long anything here may take.
const limit = 60 * time.Second

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until done returns true.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for begin := time.Now(); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > limit {
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// film is a torrent of one file, whose bytes need not be kept: each piece is the same, but for its number in front.
type film struct {
	name        string
	size        int64
	pieceLength int64
	base        []byte
	infohash    torrents.Infohash
	metainfo    []byte
}

func newFilm(t testing.TB, name string, size, pieceLength int64, change ...func(*metainfo.Info, *metainfo.MetaInfo)) *film {
	t.Helper()
	f := &film{name: name, size: size, pieceLength: pieceLength, base: make([]byte, pieceLength)}
	_, _ = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", name)))).Read(f.base) // never fails
	info := metainfo.Info{Name: name, PieceLength: pieceLength, Length: size}
	piece := make([]byte, pieceLength)
	for off := int64(0); off < size; off += pieceLength {
		part := piece[:min(pieceLength, size-off)]
		f.read(off, part)
		hash := metainfo.HashBytes(part)
		info.Pieces = append(info.Pieces, hash[:]...)
	}
	var mi metainfo.MetaInfo
	for _, c := range change {
		c(&info, &mi)
	}
	var err error
	if mi.InfoBytes, err = bencode.Marshal(info); err == nil {
		f.metainfo, err = bencode.Marshal(mi)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.infohash = torrents.Infohash(mi.HashInfoBytes())
	return f
}

// read fills b with the bytes at off.
func (f *film) read(off int64, b []byte) {
	for n := 0; n < len(b); {
		at := off + int64(n)
		within := at % f.pieceLength
		got := copy(b[n:], f.base[within:])
		for i := within; i < min(8, within+int64(got)); i++ {
			b[n+int(i-within)] = byte(at / f.pieceLength >> (8 * i))
		}
		n += got
	}
}

func (f *film) bytes(off int64, n int) []byte {
	b := make([]byte, n)
	f.read(off, b)
	return b
}

// library is an open library that shows what it has.
type library struct {
	*torrents.Library
	opts torrents.Options

	mu    sync.Mutex
	shown map[torrents.Infohash]torrents.Shown
}

func (*library) PutRoute(torrents.Route) {}
func (*library) RemoveRoute(uint64)      {}

func (l *library) PutTorrent(s torrents.Shown) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown[s.Infohash] = s
}

func (l *library) RemoveTorrent(ih torrents.Infohash, _ time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.shown, ih)
}

// openLibrary opens a library that knows the peers, until the test ends.
func openLibrary(t testing.TB, change func(*torrents.Options), peers ...string) *library {
	t.Helper()
	dir := t.TempDir()
	l := &library{shown: make(map[torrents.Infohash]torrents.Shown)}
	l.opts = torrents.Options{
		DataDir: filepath.Join(dir, "data"), CacheDir: filepath.Join(dir, "cache"),
		Routes: []string{"r"}, Archives: torrents.ArchivesFolder,
		CacheLimit: 4 << 30, ReadGiveUp: limit, Idle: time.Minute,
		Swarm:   torrents.SwarmOptions{Addr: "127.0.0.1:0", TCP: true, Seed: true, MaxPeers: 50, Peers: peers},
		Watcher: l, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	if change != nil {
		change(&l.opts)
	}
	var err error
	if l.Library, err = torrents.Open(l.opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// testLog writes log lines to the test that they are from.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// add adds a film and returns its file.
func (l *library) add(t testing.TB, f *film) *torrents.File {
	t.Helper()
	if _, err := l.AddMetainfo("r", f.metainfo); err != nil {
		t.Fatal(err)
	}
	return l.file(t, f)
}

// file returns the file of a film that is, or soon will be, shown.
func (l *library) file(t testing.TB, f *film) *torrents.File {
	t.Helper()
	var s torrents.Shown
	eventually(t, "shown", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		var ok bool
		s, ok = l.shown[f.infohash]
		return ok
	})
	files, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return &files[0]
}

// state describes the torrent of a film.
func (l *library) state(t testing.TB, f *film) torrents.Torrent {
	t.Helper()
	got, err := l.Torrent(f.infohash)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// mustRead reads a part of a film and compares it.
func mustRead(t testing.TB, file *torrents.File, f *film, off int64, n int) {
	t.Helper()
	if err := readPart(deadline(t), file, f, off, n); err != nil {
		t.Fatal(err)
	}
}

// readPart reads a part of a film; the error may be that it is not right.
func readPart(ctx context.Context, file *torrents.File, f *film, off int64, n int) error {
	b := make([]byte, n)
	got, err := file.ReadAt(ctx, b, off)
	if !bytes.Equal(b[:got], f.bytes(off, got)) {
		return fmt.Errorf("read of %d bytes at %d: WRONG BYTES", n, off)
	}
	if err != nil && (!errors.Is(err, io.EOF) || off+int64(got) != f.size) {
		return fmt.Errorf("read of %d bytes at %d: %w", n, off, err)
	}
	return nil
}

// await is what NFS does for a READ: it waits under the name of a reader, and then reads.
func await(ctx context.Context, file *torrents.File, f *film, off int64, n int, reader string) error {
	release, err := file.Await(ctx, off, n, reader)
	if err != nil {
		return err
	}
	defer release()
	return readPart(ctx, file, f, off, n)
}

// heap returns how many bytes are in use on the heap, after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// freeAddr returns an address of an IP that nobody listens on.
func freeAddr(t testing.TB, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// diskUse returns what the files of a folder take on disk, in bytes.
func diskUse(t testing.TB, dir string) int64 {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, e := range list {
		if info, err := e.Info(); err == nil {
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	return n
}
