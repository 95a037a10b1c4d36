//go:build linux

package hostile

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/willscott/go-nfs-client/nfs"
	"github.com/willscott/go-nfs-client/nfs/rpc"

	"shoal/test/appliance"
	"shoal/test/netns"
	"shoal/test/seeder"
	"shoal/torrents"
)

//go:embed peer.py
var libtorrentScript string

// libtorrent runs the script. It is killed with ctx.
func libtorrent(ctx context.Context, mode, torrent, dir, addr string, more ...string) *exec.Cmd {
	ip, port, _ := net.SplitHostPort(addr)
	arguments := append([]string{"-c", libtorrentScript, mode, torrent, dir, ip, port}, more...)
	// Debian's own interpreter has Debian's libtorrent; another one may come first in PATH.
	cmd := exec.CommandContext(ctx, "/usr/bin/python3", arguments...)
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// startLibtorrent starts a seeder of what is in a folder, and returns its address and what ends it.
func startLibtorrent(t testing.TB, torrent []byte, dir string) (addr string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	addr = freeAddr(t, "127.0.0.1")
	cmd := libtorrent(ctx, "seed", writeTemp(t, torrent), dir, addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() { cancel(); _ = cmd.Wait() }) // it was killed
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("libtorrent says %q (%v)", line, err)
	}
	return addr, stop
}

// leech lets libtorrent download so many pieces from an address, and returns the folder.
func leech(t testing.TB, torrent []byte, from string, pieces int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	ip, port, _ := net.SplitHostPort(from)
	out, err := libtorrent(deadline(t), "leech", writeTemp(t, torrent), dir, freeAddr(t, "127.0.0.1"), ip, port, strconv.Itoa(pieces)).CombinedOutput()
	t.Logf("libtorrent: %s", strings.TrimSpace(string(out)))
	if err != nil || !strings.Contains(string(out), "failed 0 banned 0\n") {
		t.Fatalf("libtorrent: %v, %s", err, out)
	}
	return dir
}

func writeTemp(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.torrent")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// compareFile compares a file with a film.
func compareFile(t testing.TB, path string, f *film) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != f.size || sha256.Sum256(b) != sha256.Sum256(f.bytes(0, int(f.size))) {
		t.Errorf("%s, of %d bytes, is not the film", path, len(b))
	}
}

// client is an NFS client of an appliance.
type client struct {
	*nfs.Target
	conn *rpc.Client
}

func mount(t testing.TB, a *appliance.Appliance) *client {
	t.Helper()
	var conn *rpc.Client
	// It picks its own port, which may be taken.
	eventually(t, "connected", func() (ok bool) {
		var err error
		conn, err = rpc.DialTCP("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(a.NFSPort)), false)
		return err == nil
	})
	m := nfs.Mount{Client: conn}
	target, err := m.Mount("/r", rpc.AuthNull)
	if err != nil {
		t.Fatal(err)
	}
	return &client{target, conn}
}

// read reads a part of a file of an appliance through NFS.
func read(t testing.TB, a *appliance.Appliance, path string, off int64, n int) ([]byte, error) {
	t.Helper()
	c := mount(t, a)
	defer c.conn.Close()
	ctx := deadline(t)
	defer context.AfterFunc(ctx, c.conn.Close)()
	f, err := c.Open(path)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	got, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return b[:got], err
}

// readFilm reads a part of a film through NFS and compares it.
func readFilm(t testing.TB, a *appliance.Appliance, f *film, off int64, n int) error {
	t.Helper()
	b, err := read(t, a, f.name, off, n)
	if string(b) != string(f.bytes(off, len(b))) {
		t.Fatalf("%s at %d: WRONG BYTES", f.name, off)
	}
	return err
}

// announcing makes a torrent of a tracker.
func announcing(url string) func(*metainfo.Info, *metainfo.MetaInfo) {
	return func(_ *metainfo.Info, mi *metainfo.MetaInfo) { mi.Announce = url }
}

// TestForeignDownloads lets other clients download from the appliance what it has: Transmission, and after a crash, which leaves
// it to be checked again, libtorrent.
func TestForeignDownloads(t *testing.T) {
	netns.Require(t)
	bt := freeAddr(t, "127.0.0.1")
	f := newFilm(t, "film.bin", 32<<20+5000, 256<<10)
	src := startSource(t, f, "127.0.0.2")
	dir := t.TempDir()
	d := seeder.Start(t, dir)
	a := appliance.Start(t, "SHOAL_ROUTES=r", "SHOAL_BT_ADDR="+bt, "SHOAL_BT_PEERS="+src.addr+","+d.Addr())
	ih := a.Upload(t, "r", f.metainfo, http.StatusCreated).Infohash
	if err := readFilm(t, a, f, 0, int(f.size)); err != nil {
		t.Fatal(err)
	}
	d.Download(deadline(t), t, f.metainfo)
	compareFile(t, filepath.Join(dir, "film.bin"), f)
	d.Stop(t)

	a.Kill(t)
	// The last piece is not what it was.
	data, err := os.OpenFile(filepath.Join(a.Dir, "cache", ih+".data"), os.O_WRONLY, 0)
	if err == nil {
		_, err = data.WriteAt([]byte{1, 2, 3}, f.size-100)
		err = errors.Join(err, data.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	a.Restart(t)
	sent := src.sent.Load()
	if err := readFilm(t, a, f, f.size-1000, 1000); err != nil {
		t.Fatal(err)
	}
	if got := src.sent.Load() - sent; got > f.pieceLength {
		t.Errorf("after the crash, %d bytes were fetched again for a piece that was damaged", got)
	}
	src.stop()
	compareFile(t, filepath.Join(leech(t, f.metainfo, bt, 129), "film.bin"), f)
	src.start(t)
}

// TestForeignBesideEviction lets libtorrent download while pieces are evicted under it.
func TestForeignBesideEviction(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film.bin", 64<<20, 256<<10)
	src := startSource(t, f, "127.0.0.2")
	addr, listen := peerAddr(t, func(o *torrents.Options) { o.CacheLimit = 12 << 20 })
	l := openLibrary(t, listen, src.addr)
	file := l.add(t, f)
	mustRead(t, file, f, 0, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	for i := range 2 {
		random := rand.New(rand.NewPCG(5, uint64(i)))
		reading.Go(func() {
			for ctx.Err() == nil {
				if err := readPart(ctx, file, f, random.Int64N(64)<<20, 1<<20); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	leech(t, f.metainfo, addr, 100)
	cancel()
	reading.Wait()
	if n := src.conns.Load(); n > 2 {
		t.Errorf("the seeder was connected to %d times: it was dropped", n)
	}
	mustRead(t, file, f, 3<<20, 1<<20)
}

// TestSeederKilled kills the only seeder in the middle of a read, and starts it again.
func TestSeederKilled(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film.bin", 40<<20, 256<<10)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, f.name), f.bytes(0, int(f.size)), 0o600); err != nil {
		t.Fatal(err)
	}
	d := seeder.Start(t, dir)
	d.Add(t, f.metainfo)
	d.Eager(t)
	l := openLibrary(t, func(o *torrents.Options) { o.Swarm.DownLimit = 8 << 20 }, d.Addr())
	file := l.add(t, f)
	ctx := deadline(t)
	var at atomic.Int64
	read := make(chan error, 1)
	go func() {
		for ; at.Load() < f.size; at.Add(1 << 20) {
			if err := readPart(ctx, file, f, at.Load(), 1<<20); err != nil {
				read <- err
				return
			}
		}
		read <- nil
	}()
	eventually(t, "in the middle", func() bool { return at.Load() >= 8<<20 })
	d.Kill(t)
	time.Sleep(time.Second)
	d.Restart(t)
	if err := <-read; err != nil {
		t.Errorf("after %d bytes: %v", at.Load(), err)
	}
}

// TestTransmissionAlone streams from nobody but Transmission, which answers twice a second: once that is known, no answer is lost because
// it had nothing to do.
func TestTransmissionAlone(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film.bin", 160<<20, 1<<20)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, f.name), f.bytes(0, int(f.size)), 0o600); err != nil {
		t.Fatal(err)
	}
	d := seeder.Start(t, dir)
	d.Add(t, f.metainfo)
	d.Eager(t)
	l := openLibrary(t, func(*torrents.Options) {}, d.Addr())
	file := l.add(t, f)
	ctx := deadline(t)
	const step, warm = 1 << 20, 48 << 20
	for at := int64(0); at < f.size; at += step {
		began := time.Now()
		if err := readPart(ctx, file, f, at, step); err != nil {
			t.Fatalf("after %d bytes: %v", at, err)
		}
		if took := time.Since(began); at > warm && took > 3*time.Second {
			t.Errorf("after %d bytes nothing came for %v", at, took)
		}
	}
}

// TestVersions reads torrents that libtorrent has made and seeds, and what is left of them after a crash without
// any seeder.
func TestVersions(t *testing.T) {
	netns.Require(t)
	dir := t.TempDir()
	folder := filepath.Join(dir, "album")
	files := map[string][]byte{}
	for path, size := range map[string]int{"one.bin": 3<<20 + 17, "sub/two.bin": 40_000, "sub/three.bin": 1<<20 + 1, "tiny": 5, "z last.bin": 700_001} {
		b := make([]byte, size)
		_, _ = rand.NewChaCha8(sha256.Sum256([]byte(path))).Read(b) // never fails
		files[path] = b
		full := filepath.Join(folder, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"v1", "v2", "hybrid"} {
		for _, magnet := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, magnet %v", version, magnet), func(t *testing.T) {
				torrent := seeder.CreateWith(t, folder, version, 64<<10)
				addr, stop := startLibtorrent(t, torrent, dir)
				a := appliance.Start(t, "SHOAL_ROUTES=r", "SHOAL_BT_PEERS="+addr)
				if magnet {
					ih := a.AddMagnet(t, "r", magnetOf(t, torrent)).Infohash
					if version == "v2" { // the hashes of pieces are not in the metadata
						a.Await(deadline(t), t, ih, func(t appliance.Torrent) bool {
							return t.State == "failed" && strings.Contains(t.Reason, "add the .torrent file instead")
						})
						return
					}
				} else {
					a.Upload(t, "r", torrent, http.StatusCreated)
				}
				check := func() {
					t.Helper()
					for path, want := range files {
						var got []byte
						eventually(t, path+" is there", func() bool {
							var err error
							got, err = read(t, a, "album/"+path, 0, len(want))
							return err == nil || !errors.Is(err, os.ErrNotExist)
						})
						if string(got) != string(want) {
							t.Errorf("%s has other bytes than the original", path)
						}
					}
				}
				check()
				stop()
				a.Kill(t)
				a.Restart(t)
				check()
			})
		}
	}
}

// magnetOf returns the magnet link of a torrent with both its infohashes, as far as it has them.
func magnetOf(t testing.TB, torrent []byte) string {
	t.Helper()
	mi, err := metainfo.Load(strings.NewReader(string(torrent)))
	if err != nil {
		t.Fatal(err)
	}
	info, err := mi.UnmarshalInfo()
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	if info.HasV1() {
		links = append(links, "xt=urn:btih:"+mi.HashInfoBytes().HexString())
	}
	if info.HasV2() {
		links = append(links, fmt.Sprintf("xt=urn:btmh:1220%x", sha256.Sum256(mi.InfoBytes)))
	}
	return "magnet:?" + strings.Join(links, "&")
}
