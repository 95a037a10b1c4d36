//go:build linux

// Package swarm tests where the swarm's packets go: in namespaces of their own, with what crosses each
// interface counted.
package swarm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
	"golang.org/x/sys/unix"

	"shoal/test/debian"
	"shoal/test/netns"
	"shoal/test/seeder"
	"shoal/torrents"
)

func TestMain(m *testing.M) {
	os.Exit(netns.Run(func() error {
		return errors.Join(seeder.Prepare(), debian.Ensure("iproute2", "microsocks", "tinyproxy"))
	}, m.Run))
}

// ip runs ip(8).
func ip(t testing.TB, args string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// world is a second network namespace, with peers at worldAddr.
const (
	world     = "world"
	worldAddr = "10.99.0.1"
)

// newWorld makes the namespace, and lan0, a link to it by which everything goes that nobody sends elsewhere.
func newWorld(t testing.TB) {
	t.Helper()
	netns.Require(t)
	ip(t, "netns add "+world)
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", world).Run() }) // its links go with it
	ip(t, "-n world link set lo up")
	ip(t, "-n world addr add "+worldAddr+"/32 dev lo")
	// Without IPv6, the kernel has nothing to say on a link by itself.
	quieten := func() { _ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0) } // if it has IPv6
	quieten()
	inWorld(t, quieten)
	ip(t, "link add lan0 type veth peer name lan1 netns world")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "lan0").Run() })
	link(t, "lan", "10.1.0.1")
	ip(t, "route add default via 10.1.0.200")
}

// addVPN makes the link vpn0 to the world.
func addVPN(t testing.TB, addr string) {
	t.Helper()
	ip(t, "link add vpn0 type veth peer name vpn1 netns world")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "vpn0").Run() }) // or the test did
	link(t, "vpn", addr)
	ip(t, "route add default via 10.2.0.200 metric 1000")
}

// link brings up a link with an address at this end and .200 at the other.
func link(t testing.TB, name, addr string) {
	t.Helper()
	other := addr[:strings.LastIndex(addr, ".")+1] + "200"
	ip(t, "addr add "+addr+"/24 dev "+name+"0")
	ip(t, "link set "+name+"0 up")
	ip(t, "-n world addr add "+other+"/24 dev "+name+"1")
	ip(t, "-n world link set "+name+"1 up")
}

// inWorld runs f on a thread that is in the namespace, where its sockets are too.
func inWorld(t testing.TB, f func()) {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		fd, err := unix.Open("/run/netns/"+world, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			f()
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatalf("enter the namespace: %v", err)
	}
}

// capture counts and keeps what arrives on an interface.
type capture struct {
	allowed func(packet []byte) bool // not counted; nil is none
	packets atomic.Int64

	mu   sync.Mutex
	last []byte
	seen [][]byte
}

// watch captures what arrives at an interface of this thread's namespace, and with own what it sends, but for
// what allowed likes.
func watch(t testing.TB, name string, own bool, allowed func([]byte) bool) *capture {
	t.Helper()
	protocol := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		t.Fatalf("packets: %v", err)
	}
	ifi, err := net.InterfaceByName(name)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: ifi.Index})
	}
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	}
	if err != nil {
		t.Fatalf("packets of %s: %v", name, err)
	}
	c := &capture{allowed: allowed}
	var done atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() {
		b := make([]byte, 70_000)
		for !done.Load() {
			n, from, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				continue // nothing for a while, or the interface is gone
			}
			if at, ok := from.(*unix.SockaddrLinklayer); ok && at.Pkttype == unix.PACKET_OUTGOING && !own {
				continue
			}
			if c.allowed != nil && c.allowed(b[:n]) {
				continue
			}
			c.mu.Lock()
			c.last = bytes.Clone(b[:n])
			if n < 4096 { // announcements; data would be too much to keep
				c.seen = append(c.seen, c.last)
			}
			c.mu.Unlock()
			c.packets.Add(1)
		}
		unix.Close(fd)
	})
	t.Cleanup(func() { done.Store(true); reader.Wait() })
	return c
}

// watchWorld captures what arrives at an interface in the world.
func watchWorld(t testing.TB, name string) (c *capture) {
	t.Helper()
	inWorld(t, func() { c = watch(t, name, false, nil) })
	return c
}

// none fails the test if a packet was captured.
func (c *capture) none(t testing.TB, when string) {
	t.Helper()
	if n := c.packets.Load(); n > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		t.Fatalf("%s: %d packets went the wrong way, the last is %x", when, n, c.last)
	}
}

// saw says whether a packet has b in it, as it is or in hexadecimal digits.
func (c *capture) saw(b []byte) bool { return c.sawBoth(nil, b) }

// sawBoth is saw for a packet that has kind in it as well.
func (c *capture) sawBoth(kind, b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	digits := fmt.Appendf(nil, "%x", b)
	for _, packet := range c.seen {
		if bytes.Contains(packet, kind) && (bytes.Contains(packet, b) || bytes.Contains(bytes.ToLower(packet), digits)) {
			return true
		}
	}
	return false
}

// sample is a torrent of one file.
type sample struct {
	metainfo []byte
	infohash metainfo.Hash
	data     []byte
	dir      string
}

func newSample(t testing.TB, size int, private bool, trackers ...string) *sample {
	t.Helper()
	s := &sample{data: make([]byte, size), dir: t.TempDir()}
	_, _ = rand.Read(s.data) // never fails
	path := filepath.Join(s.dir, fmt.Sprintf("sample-%x", s.data[:4]))
	if err := os.WriteFile(path, s.data, 0o600); err != nil {
		t.Fatal(err)
	}
	info := metainfo.Info{PieceLength: 64 << 10}
	if private {
		info.Private = &private
	}
	if err := info.BuildFromFilePath(path); err != nil {
		t.Fatal(err)
	}
	mi := metainfo.MetaInfo{InfoBytes: bencode.MustMarshal(info)}
	for _, tracker := range trackers {
		mi.AnnounceList = append(mi.AnnounceList, []string{tracker})
	}
	s.metainfo, s.infohash = bencode.MustMarshal(mi), mi.HashInfoBytes()
	return s
}

// startPeer seeds a sample at an address of this thread's namespace, and returns host:port.
func startPeer(t testing.TB, host string, utp bool, s *sample) (addr string, client *torrent.Client) {
	t.Helper()
	cfg := torrent.NewDefaultClientConfig()
	cfg.ListenHost = func(string) string { return host }
	cfg.ListenPort = 0
	cfg.DisableIPv6 = true
	cfg.DisableUTP, cfg.DisableTCP = !utp, utp
	cfg.NoDHT = true
	cfg.DisablePEX = true
	cfg.DisableTrackers = true
	cfg.NoDefaultPortForwarding = true
	cfg.Seed = true
	cfg.DataDir = s.dir
	cfg.Slogger = slog.New(slog.DiscardHandler)
	client, err := torrent.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	mi, err := metainfo.Load(bytes.NewReader(s.metainfo))
	if err != nil {
		t.Fatal(err)
	}
	tt, _ := client.AddTorrentOpt(torrent.AddTorrentOpts{
		InfoHash: s.infohash, InfoBytes: mi.InfoBytes,
		Storage: storage.NewFileOpts(storage.NewFileClientOpts{ClientBaseDir: s.dir, PieceCompletion: storage.NewMapPieceCompletion()}),
	})
	if err := tt.VerifyDataContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(host, strconv.Itoa(client.LocalPort())), client
}

// shown is a Watcher that remembers the torrents.
type shown struct {
	mu   sync.Mutex
	load map[torrents.Infohash]func() ([]torrents.File, error)
}

func (*shown) PutRoute(torrents.Route)                    {}
func (*shown) RemoveRoute(uint64)                         {}
func (*shown) RemoveTorrent(torrents.Infohash, time.Time) {}
func (s *shown) PutTorrent(x torrents.Shown) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load[x.Infohash] = x.Load
}

// library is an open library with its torrents.
type library struct {
	*torrents.Library
	*shown
}

// open opens a library with what a swarm can have, until the test ends.
func open(t testing.TB, change func(*torrents.SwarmOptions)) library {
	t.Helper()
	dir := t.TempDir()
	l := library{shown: &shown{load: make(map[torrents.Infohash]func() ([]torrents.File, error))}}
	opts := torrents.Options{
		DataDir: filepath.Join(dir, "data"), CacheDir: filepath.Join(dir, "cache"),
		Routes: []string{"r"}, Archives: torrents.ArchivesFolder, Idle: time.Hour, Watcher: l.shown,
		Swarm: torrents.SwarmOptions{
			Addr: ":0", DHT: true, PEX: true, LSD: true, UTP: true, TCP: true, IPv6: true, Seed: true, MaxPeers: 10,
			AllowPrivate: true, // the world is
		},
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	change(&opts.Swarm)
	var err error
	if l.Library, err = torrents.Open(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// add adds a sample, and returns its file.
func (l library) add(t testing.TB, s *sample) *torrents.File {
	t.Helper()
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	load := l.load[torrents.Infohash(s.infohash)]
	l.mu.Unlock()
	files, err := load()
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v; want one", len(files), err)
	}
	return &files[0]
}

// describe returns what the library says of a sample.
func (l library) describe(t testing.TB, s *sample) torrents.Torrent {
	t.Helper()
	torrent, err := l.Torrent(torrents.Infohash(s.infohash))
	if err != nil {
		t.Fatal(err)
	}
	return torrent
}

// reading is a file that is being read.
type reading chan error

// read reads a file beside, and compares it with the sample.
func read(t testing.TB, f *torrents.File, s *sample) reading {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	done := make(reading, 1)
	go func() {
		b := make([]byte, len(s.data))
		n, err := f.ReadAt(ctx, b, 0)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if err == nil && !bytes.Equal(b[:n], s.data) {
			err = errors.New("other bytes than the original")
		}
		done <- err
	}()
	return done
}

func (r reading) wait(t testing.TB) {
	t.Helper()
	if err := <-r; err != nil {
		t.Fatalf("read: %v", err)
	}
}

// await polls until is holds.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// mount puts a file in the place of another until the test ends, in this namespace of mounts.
func mount(t testing.TB, file, over string) {
	t.Helper()
	if err := syscall.Mount(file, over, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(over, syscall.MNT_DETACH) })
}
