package torrents

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

// sample is a torrent with its data.
type sample struct {
	metainfo []byte
	infohash Infohash
	files    map[string][]byte // by path below the torrent's folder
	dir      string            // holds the torrent's folder
}

// newSample makes a torrent of the files. A single file called "" makes a single-file torrent.
func newSample(t testing.TB, name string, pieceLength int64, files map[string][]byte) *sample {
	t.Helper()
	s := &sample{files: files, dir: t.TempDir()}
	for path, b := range files {
		full := filepath.Join(s.dir, name, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	info := metainfo.Info{PieceLength: pieceLength}
	if err := info.BuildFromFilePath(filepath.Join(s.dir, name)); err != nil {
		t.Fatal(err)
	}
	infoBytes, err := bencode.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	mi := metainfo.MetaInfo{InfoBytes: infoBytes, CreationDate: 1_700_000_000}
	if s.metainfo, err = bencode.Marshal(mi); err != nil {
		t.Fatal(err)
	}
	s.infohash = Infohash(mi.HashInfoBytes())
	return s
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// peer is a second client that seeds samples.
type peer struct {
	client *torrent.Client
	addr   string
}

func startPeer(t testing.TB, samples ...*sample) *peer {
	t.Helper()
	return startPeerWith(t, func(*torrent.ClientConfig) {}, samples...)
}

// startPeerWith starts a peer whose configuration change has changed.
func startPeerWith(t testing.TB, change func(*torrent.ClientConfig), samples ...*sample) *peer {
	t.Helper()
	cfg := torrent.NewDefaultClientConfig()
	cfg.ListenHost = func(string) string { return "127.0.0.1" }
	cfg.ListenPort = 0
	cfg.DisableIPv6 = true
	cfg.DisableUTP = true
	cfg.NoDHT = true
	cfg.NoDefaultPortForwarding = true
	cfg.Seed = true
	cfg.DefaultStorage = noStorage{}
	cfg.Slogger = slog.New(slog.DiscardHandler)
	change(cfg)
	client, err := torrent.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	for _, s := range samples {
		mi, err := metainfo.Load(bytes.NewReader(s.metainfo))
		if err != nil {
			t.Fatal(err)
		}
		completion := storage.NewMapPieceCompletion()
		tt, _ := client.AddTorrentOpt(torrent.AddTorrentOpts{
			InfoHash: mi.HashInfoBytes(),
			Storage: storage.NewFileOpts(storage.NewFileClientOpts{
				ClientBaseDir: s.dir, PieceCompletion: completion,
			}),
			InfoBytes: mi.InfoBytes,
		})
		if err := tt.VerifyDataContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return &peer{client: client, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(client.LocalPort()))}
}

// uploaded returns how many bytes of data the peer has sent.
func (p *peer) uploaded() int64 {
	stats := p.client.ConnStats()
	return stats.BytesWrittenData.Int64()
}

// recorder is a Watcher that remembers.
type recorder struct {
	mu       sync.Mutex
	routes   map[uint64]Route
	torrents map[Infohash]Shown
	changed  chan struct{}
}

func newRecorder() *recorder {
	return &recorder{
		routes: make(map[uint64]Route), torrents: make(map[Infohash]Shown), changed: make(chan struct{}, 1000),
	}
}

func (r *recorder) PutRoute(x Route)      { r.note(func() { r.routes[x.ID] = x }) }
func (r *recorder) RemoveRoute(id uint64) { r.note(func() { delete(r.routes, id) }) }

func (r *recorder) PutTorrent(x Shown) { r.note(func() { r.torrents[x.Infohash] = x }) }

func (r *recorder) RemoveTorrent(ih Infohash, _ time.Time) { r.note(func() { delete(r.torrents, ih) }) }

func (r *recorder) note(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	r.changed <- struct{}{}
}

func (r *recorder) shown(ih Infohash) (Shown, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.torrents[ih]
	return s, ok
}

// await returns the torrent once it is shown.
func (r *recorder) await(t testing.TB, ih Infohash) Shown {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		if s, ok := r.shown(ih); ok {
			return s
		}
		select {
		case <-r.changed:
		case <-deadline:
			t.Fatalf("torrent %s is not shown after 30 s", ih)
		}
	}
}

// mustLoad returns what is in a torrent.
func mustLoad(t testing.TB, shown Shown) []File {
	t.Helper()
	files, err := shown.Load()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func testOptions(t testing.TB, w Watcher, peers ...string) Options {
	t.Helper()
	dir := t.TempDir()
	return Options{
		DataDir: filepath.Join(dir, "data"), CacheDir: filepath.Join(dir, "cache"),
		Routes: []string{"r"}, Archives: ArchivesFolder,
		CacheLimit: 1 << 30, ReadGiveUp: time.Minute, Idle: time.Minute,
		Swarm:   SwarmOptions{Addr: "127.0.0.1:0", TCP: true, Seed: true, MaxPeers: 10, Peers: peers},
		Watcher: w, Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
}

// testLog writes log lines to the test that they are from.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func mustOpen(t testing.TB, opts Options) *Library {
	t.Helper()
	l, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// fetch makes the peer download a sample from the library.
func (p *peer) fetch(t testing.TB, s *sample, from *Library) {
	t.Helper()
	mi, err := metainfo.Load(bytes.NewReader(s.metainfo))
	if err != nil {
		t.Fatal(err)
	}
	dir := storage.NewFileOpts(storage.NewFileClientOpts{
		ClientBaseDir: t.TempDir(), PieceCompletion: storage.NewMapPieceCompletion(),
	})
	tt, _ := p.client.AddTorrentOpt(torrent.AddTorrentOpts{
		InfoHash: mi.HashInfoBytes(), Storage: dir, InfoBytes: mi.InfoBytes,
	})
	tt.DownloadAll()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(from.swarm.client.LocalPort()))
	tt.AddPeers(peerInfos([]string{addr}))
}
