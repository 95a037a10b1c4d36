//go:build linux

// Package fault breaks the cache and its disk under the whole appliance, which must answer with the right bytes or with the
// promised error, and lose nothing.
package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"

	"shoal/test/appliance"
)

func TestMain(m *testing.M) { os.Exit(appliance.RunApart(m, func() error { return nil })) }

// route is where the tests add what they read.
const route = "r"

// sample is a torrent of one file, called sample.
type sample struct {
	metainfo []byte
	infohash string
	dir      string
	file     *os.File // the original
	size     int64
}

const name = "sample"

func newSample(t *testing.T, size, pieceLength int64) *sample {
	t.Helper()
	s := &sample{dir: t.TempDir(), size: size}
	path := filepath.Join(s.dir, name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s.file = f
	random, b := rand.NewChaCha8([32]byte{byte(size), byte(pieceLength >> 10)}), make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(b)) {
		_, _ = random.Read(b) // never fails
		if _, err := f.WriteAt(b[:min(int64(len(b)), size-at)], at); err != nil {
			t.Fatal(err)
		}
	}
	info := metainfo.Info{PieceLength: pieceLength}
	if err := info.BuildFromFilePath(path); err != nil {
		t.Fatal(err)
	}
	infoBytes, err := bencode.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	mi := metainfo.MetaInfo{InfoBytes: infoBytes}
	if s.metainfo, err = bencode.Marshal(mi); err != nil {
		t.Fatal(err)
	}
	s.infohash = mi.HashInfoBytes().HexString()
	return s
}

// compare says whether the bytes are those of the original.
func (s *sample) compare(b []byte, off int64) error {
	want := make([]byte, len(b))
	if _, err := s.file.ReadAt(want, off); err != nil {
		return err
	}
	if !bytes.Equal(b, want) {
		first, last, zeros, differ := len(b), 0, 0, 0
		for i := range b {
			if b[i] != want[i] {
				first, last = min(first, i), i
				differ++
				if b[i] == 0 {
					zeros++
				}
			}
		}
		return fmt.Errorf("of %d bytes at %d, %d between %d and %d are not those of the original, %d of them zeros",
			len(b), off, differ, off+int64(first), off+int64(last), zeros)
	}
	return nil
}

// peer is a BitTorrent client that has the samples.
type peer struct {
	client *torrent.Client
	addr   string
}

func startPeer(t *testing.T, samples ...*sample) *peer {
	t.Helper()
	cfg := torrent.NewDefaultClientConfig()
	cfg.ListenHost = func(string) string { return "127.0.0.1" }
	cfg.ListenPort = 0
	cfg.DisableIPv6, cfg.DisableUTP, cfg.NoDHT, cfg.NoDefaultPortForwarding = true, true, true, true
	cfg.Seed = true
	cfg.DataDir = t.TempDir()
	cfg.Slogger = slog.New(slog.DiscardHandler)
	client, err := torrent.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{client, net.JoinHostPort("127.0.0.1", strconv.Itoa(client.LocalPort()))}
	t.Cleanup(p.close)
	for _, s := range samples {
		mi, err := metainfo.Load(bytes.NewReader(s.metainfo))
		if err != nil {
			t.Fatal(err)
		}
		tt, _ := client.AddTorrentOpt(torrent.AddTorrentOpts{
			InfoHash: mi.HashInfoBytes(), InfoBytes: mi.InfoBytes,
			Storage: storage.NewFileOpts(storage.NewFileClientOpts{
				ClientBaseDir: s.dir, PieceCompletion: storage.NewMapPieceCompletion(),
			}),
		})
		if err := tt.VerifyDataContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *peer) close() { p.client.Close() }

// uploaded returns how many bytes of data the peer has sent.
func (p *peer) uploaded() int64 {
	stats := p.client.ConnStats()
	return stats.BytesWrittenData.Int64()
}

// cacheDir is where the appliance has its cache.
func cacheDir(a *appliance.Appliance) string { return filepath.Join(a.Dir, "cache") }

// onDisk returns what the files in a folder take, in bytes.
func onDisk(dir string) (sum int64) {
	entries, _ := os.ReadDir(dir) // what vanishes meanwhile takes nothing
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	return sum
}

// watchDisk looks every 20 ms how much a folder takes until stop is called, which returns the most.
func watchDisk(dir string) (stop func() int64) { return watch(func() int64 { return onDisk(dir) }) }

// watch looks every 20 ms at a measure until stop is called, which returns the most.
func watch(measure func() int64) (stop func() int64) {
	done, most := make(chan struct{}), make(chan int64)
	go func() {
		var max64 int64
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				max64 = max(max64, measure())
			case <-done:
				most <- max64
				return
			}
		}
	}()
	return func() int64 { close(done); return <-most }
}

// deadline is for everything that a test waits for.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// await polls until something is the case.
func await(t *testing.T, what string, limit time.Duration, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", limit, what)
		}
	}
}

// readAll reads all of the sample through NFS, and compares it.
func readAll(ctx context.Context, a *appliance.Appliance, s *sample) error {
	r, err := open(ctx, a.NFSPort, "/"+route, name)
	if err != nil {
		return err
	}
	defer r.close()
	for off := int64(0); off < s.size; off += 256 << 10 {
		b, err := r.readPatiently(ctx, off, int(min(256<<10, s.size-off)))
		if err == nil {
			err = s.compare(b, off)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isStatus says whether err is that NFS status.
func isStatus(err error, want uint32) bool {
	status, ok := errors.AsType[statusError](err)
	return ok && uint32(status) == want
}
