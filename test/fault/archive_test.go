//go:build linux

package fault

import (
	stdzip "archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"shoal/test/appliance"
	"shoal/test/netns"
)

// Methods of zip archives (APPNOTE 4.4.5) whose members are decoded into the spool.
const (
	methodZstd = 93
	methodXZ   = 95
)

// packed is an archive, a sample, and what is in it.
type packed struct {
	*sample
	folder  string // of the torrent
	members map[string][]byte
}

// newPacked makes a zip archive called sample.zip with members of the size that can only be decoded from their start, and a file beside
// it that is as large as all of them, and is compared as the sample.
func newPacked(t *testing.T, count int, size, pieceLength int64) *packed {
	t.Helper()
	p := &packed{sample: newSample(t, int64(count)*size, pieceLength), members: make(map[string][]byte)}
	f, err := os.Create(filepath.Join(p.dir, name+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	w := stdzip.NewWriter(f)
	w.RegisterCompressor(methodZstd, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) })
	w.RegisterCompressor(methodXZ, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
	random := rand.NewChaCha8([32]byte{1})
	for i := range count {
		b := make([]byte, size)
		for at := 0; at < len(b); at += 4096 { // half of it can be compressed
			_, _ = random.Read(b[at : at+2048]) // never fails
		}
		member := fmt.Sprintf("%d.bin", i)
		p.members[member] = b
		into, err := w.CreateHeader(&stdzip.FileHeader{Name: member, Method: []uint16{methodZstd, methodXZ}[i%2]})
		if err == nil {
			_, err = into.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.describe(t, pieceLength)
	return p
}

// describe makes the folder the torrent.
func (p *packed) describe(t *testing.T, pieceLength int64) {
	t.Helper()
	info := metainfo.Info{PieceLength: pieceLength}
	if err := info.BuildFromFilePath(p.dir); err != nil {
		t.Fatal(err)
	}
	infoBytes, err := bencode.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	mi := metainfo.MetaInfo{InfoBytes: infoBytes}
	if p.metainfo, err = bencode.Marshal(mi); err != nil {
		t.Fatal(err)
	}
	p.infohash = mi.HashInfoBytes().HexString()
	p.folder = info.Name
	p.dir = filepath.Dir(p.dir)
}

// treeOnDisk returns what everything below a folder takes, folders included, in bytes.
func treeOnDisk(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what vanishes meanwhile takes nothing
		}
		if info, err := e.Info(); err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return sum
}

// TestSpoolLimit reads members that are decoded into the spool, in any order, and the pieces of a file beside their archive meanwhile, of
// which together many times the limit of the cache: it holds all the time, and when it is lowered.
func TestSpoolLimit(t *testing.T) {
	netns.Require(t)
	const (
		limit  = 16 << 20
		piece  = 256 << 10
		member = 3 << 20
		count  = 6
	)
	p := newPacked(t, count, member, piece)
	seed := startPeer(t, p.sample)
	a := appliance.Start(t, "SHOAL_ROUTES="+route, fmt.Sprint("SHOAL_CACHE_LIMIT=", limit), "SHOAL_BT_PEERS="+seed.addr)
	a.Upload(t, route, p.metainfo, http.StatusCreated)
	ctx := deadline(t)
	stop := watch(func() int64 { return treeOnDisk(cacheDir(a)) })
	readBoth(ctx, t, a, p, 2)
	most := stop()
	t.Logf("at most %d of %d bytes on disk, %d of them spooled at the end", most, limit, treeOnDisk(filepath.Join(cacheDir(a), "spool")))
	if most > limit+piece {
		t.Errorf("up to %d bytes were on disk, the limit is %d", most, limit)
	}
	checkStats(t, a)

	const lower = 8 << 20
	a.Call(t, http.MethodPatch, "/limits", map[string]int64{"cache_limit": lower}, http.StatusOK, nil)
	await(t, "a lower limit is reached", 10*time.Second, func() bool { return treeOnDisk(cacheDir(a)) <= lower })
	stop = watch(func() int64 { return treeOnDisk(cacheDir(a)) })
	readBoth(ctx, t, a, p, 1)
	if most := stop(); most > lower+piece {
		t.Errorf("up to %d bytes were on disk, the limit is %d", most, lower)
	}
	checkSpoolStays(ctx, t, a, p, seed)
}

// readBoth reads all members, and at random of the file beside their archive.
func readBoth(ctx context.Context, t *testing.T, a *appliance.Appliance, p *packed, times int) {
	t.Helper()
	var members, others sync.WaitGroup
	done, cancel := context.WithCancel(ctx)
	defer cancel()
	for range 2 {
		others.Go(func() {
			if err := readRandom(done, a, p); err != nil && done.Err() == nil {
				t.Error(err)
			}
		})
	}
	for first := range 2 {
		members.Go(func() {
			for i := range times * len(p.members) {
				if err := readMember(ctx, a, p, fmt.Sprintf("%d.bin", (2*i+first)%len(p.members))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	members.Wait()
	cancel()
	others.Wait()
}

func readRandom(ctx context.Context, a *appliance.Appliance, p *packed) error {
	r, err := open(ctx, a.NFSPort, "/"+route+"/"+p.folder, name)
	if err != nil {
		return err
	}
	defer r.close()
	for ctx.Err() == nil {
		count := 1 + rand.IntN(256<<10)
		off := rand.Int64N(p.size - int64(count))
		b, err := r.readPatiently(ctx, off, count)
		if err == nil {
			err = p.compare(b, off)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readMember reads a member in parts, in an order of their own.
func readMember(ctx context.Context, a *appliance.Appliance, p *packed, member string) error {
	r, err := open(ctx, a.NFSPort, "/"+route+"/"+p.folder+"/"+name+".zip", member)
	if err != nil {
		return err
	}
	defer r.close()
	want := p.members[member]
	const part = 64 << 10
	for _, i := range rand.Perm(len(want) / part) {
		b, err := r.readPatiently(ctx, int64(i)*part, part)
		if err != nil {
			return fmt.Errorf("member %s: %w", member, err)
		}
		if !bytes.Equal(b, want[i*part:][:part]) {
			return fmt.Errorf("of member %s %d bytes at %d are not the right ones", member, part, i*part)
		}
	}
	return nil
}

// checkStats compares what the API says with the disk.
func checkStats(t *testing.T, a *appliance.Appliance) {
	t.Helper()
	var stats struct {
		CacheUsed  int64 `json:"cache_used"`
		CacheLimit int64 `json:"cache_limit"`
	}
	await(t, "what is counted is on disk", 20*time.Second, func() bool {
		a.Call(t, http.MethodGet, "/stats", nil, http.StatusOK, &stats)
		disk := treeOnDisk(cacheDir(a))
		const about = 1 << 20 // pieces that are about to come, and folders
		return stats.CacheUsed <= stats.CacheLimit && disk-64<<10 <= stats.CacheUsed && stats.CacheUsed <= disk+about
	})
}

// checkSpoolStays has a member that was decoded after a restart without the archive, and loses it with the file, and all with the torrent.
func checkSpoolStays(ctx context.Context, t *testing.T, a *appliance.Appliance, p *packed, seed *peer) {
	t.Helper()
	spooled := func() int64 {
		files, _ := filepath.Glob(filepath.Join(cacheDir(a), "spool", "*.done"))
		return int64(len(files))
	}
	for len(p.members) > 0 && spooled() == 0 {
		if err := readMember(ctx, a, p, "0.bin"); err != nil {
			t.Fatal(err)
		}
	}
	if err := readMember(ctx, a, p, "0.bin"); err != nil {
		t.Fatal(err)
	}
	if code, _ := a.Stop(t); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	a.Restart(t)
	seed.close()
	if err := readMember(ctx, a, p, "0.bin"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	a.Call(t, http.MethodPost, "/torrents/"+p.infohash+"/evict", map[string]string{"path": name}, http.StatusOK, nil)
	if spooled() == 0 {
		t.Error("evicting a file evicts members of another")
	}
	a.Call(t, http.MethodPost, "/torrents/"+p.infohash+"/evict", map[string]string{"path": name + ".zip"}, http.StatusOK, nil)
	if n := spooled(); n != 0 {
		t.Errorf("%d members are there after their archive was evicted", n)
	}
	index := filepath.Join(cacheDir(a), "index", p.infohash)
	if _, err := os.Stat(index); err != nil {
		t.Errorf("what is known of the archive: %v", err)
	}
	a.Call(t, http.MethodDelete, "/torrents/"+p.infohash, nil, http.StatusNoContent, nil)
	if _, err := os.Stat(index); !os.IsNotExist(err) {
		t.Errorf("after the torrent was removed: %v", err)
	}
}
