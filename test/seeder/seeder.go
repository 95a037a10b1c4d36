//go:build linux

// Package seeder runs a BitTorrent peer that nobody here wrote, Debian's transmission-daemon 3.00, for
// tests that let Shoal download from it.
//
//	seeder.Require(t)
//	torrent := seeder.Create(t, filepath.Join(dir, "album"), 64<<10, false)
//	d := seeder.Start(t, dir)
//	infohash := d.Add(t, torrent) // dir/album is verified, and seeded from here on
//	// ... a peer of d.Addr() downloads ...
//	if d.Uploaded(t, infohash) < size {
//
// The daemon talks to nobody by itself: no DHT, PEX, local discovery, uTP or port mapping, and torrents
// without trackers. It listens on 127.0.0.1 (its peer port on ::1 too) on ports of its own, so that any
// number of daemons can run.
//
// What to know about Transmission 3.00, found by experiment:
//
//   - It looks every 10 s whom it may upload to: a new peer gets its first block up to 10 s after it
//     connected. [Daemon.Eager] shortens that to half a second.
//   - It answers requests in bursts, twice a second. A peer that keeps n requests of 16 KiB in flight gets
//     n*32 KiB a second, and a single READ that must wait for a block waits half a second.
//   - It accepts one connection per torrent and IP address, and refuses an address for about a second
//     after its last connection closed. Two peers on one machine need two addresses, such as 127.0.0.2.
//   - It refuses v2 and hybrid torrents as "invalid or corrupt". [CreateWith] makes them for other uses.
package seeder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"shoal/test/debian"
)

const (
	startLimit = 30 * time.Second // until the daemon answers; normal is 0.2 s
	stopLimit  = 15 * time.Second // until it has ended by itself; normal is below 1 s
	addLimit   = 2 * time.Minute  // until a torrent is verified; normal is 1 s for a GB in memory
	pollEvery  = 20 * time.Millisecond
)

// Require returns when the programs of this package are installed, and otherwise ends the test as
// [debian.Unavailable] says. With -short it skips the test.
func Require(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("runs transmission-daemon: left out with -short")
	}
	debian.Install(tb, packages...)
}

// Prepare installs the programs of this package for the processes that this one starts, which may have
// no network to download packages from.
func Prepare() error { return debian.Ensure(packages...) }

var packages = []string{"transmission-daemon", "transmission-cli", "python3-libtorrent"}

// Daemon is one transmission-daemon. Its methods are for the test's own goroutine.
type Daemon struct {
	config   string // directory of its settings and its memory of torrents
	address  string // where it accepts peers
	peerPort int
	rpc      *rpcClient
	seeding  []string // infohashes of what was added, for Restart
	process  *process // nil while stopped
	killed   bool     // so that it has forgotten what it had verified
}

// Start runs a daemon whose torrents' data lies in dataDir, and returns when it answers. It is killed
// when the test ends; after a failed test the end of its log is logged.
func Start(tb testing.TB, dataDir string) *Daemon {
	tb.Helper()
	return StartOn(tb, dataDir, "127.0.0.1")
}

// StartOn is Start with the IPv4 address of this machine where the daemon accepts peers: one that those reach which are not on the
// loopback net.
func StartOn(tb testing.TB, dataDir, address string) *Daemon {
	tb.Helper()
	peerPort, rpcPort, err := freePorts()
	if err != nil {
		tb.Fatalf("ports for transmission-daemon: %v", err)
	}
	d := &Daemon{config: tb.TempDir(), address: address, peerPort: peerPort, rpc: newRPCClient(rpcPort)}
	if err := d.writeSettings(dataDir, rpcPort); err != nil {
		tb.Fatalf("settings of transmission-daemon: %v", err)
	}
	tb.Cleanup(func() {
		if d.process != nil {
			d.process.kill()
		}
		if tb.Failed() {
			tb.Logf("the log of transmission-daemon:\n%s", d.logTail())
		}
	})
	if err := d.launch(); err != nil {
		tb.Fatalf("start of transmission-daemon: %v", err)
	}
	return d
}

// Addr is where the daemon accepts peers, as host:port. It stays the same after Restart.
func (d *Daemon) Addr() string {
	return net.JoinHostPort(d.address, strconv.Itoa(d.peerPort))
}

// Add gives the daemon a torrent whose data lies complete in its directory, and returns the infohash (40
// hexadecimal digits) when the daemon has verified all of it and seeds it. It fails the test when the data
// is not all there, and when the daemon refuses the torrent.
func (d *Daemon) Add(tb testing.TB, torrentFile []byte) (infohash string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), addLimit)
	defer cancel()
	infohash, err := d.add(ctx, torrentFile, "")
	if err != nil {
		tb.Fatalf("torrent for transmission-daemon: %v", err)
	}
	d.seeding = append(d.seeding, infohash)
	return infohash
}

// Uploaded returns how many bytes of the torrent the daemon ever sent to peers. The number is up to date
// when the peer has the bytes, survives Restart, and counts blocks that were sent twice; with every block
// (at most 16 KiB) it counts 13 bytes of message header.
func (d *Daemon) Uploaded(tb testing.TB, infohash string) int64 {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	torrent, err := d.rpc.torrent(ctx, infohash)
	if err != nil {
		tb.Fatalf("uploaded bytes: %v", err)
	}
	return torrent.UploadedEver
}

// Stop ends the daemon in its normal way, which closes its connections.
func (d *Daemon) Stop(tb testing.TB) {
	tb.Helper()
	if d.process == nil {
		return
	}
	inTime := d.process.terminate()
	d.process = nil
	if !inTime {
		tb.Fatalf("transmission-daemon did not end within %v", stopLimit)
	}
}

// Kill ends the daemon as a crash does, with SIGKILL.
func (d *Daemon) Kill(tb testing.TB) {
	tb.Helper()
	if d.process == nil {
		tb.Fatal("kill of a transmission-daemon that was stopped")
	}
	d.process.kill()
	d.process, d.killed = nil, true
}

// Download gives the daemon a torrent of whose data its directory has nothing or a part, and returns when it has all
// of it, and has verified it. It has to be found by its peers, or to get them of the torrent's tracker: of addresses on the
// loopback net it takes none.
func (d *Daemon) Download(ctx context.Context, tb testing.TB, torrentFile []byte) (infohash string) {
	tb.Helper()
	infohash, err := d.rpc.addTorrent(ctx, torrentFile, "")
	if err == nil {
		err = poll(ctx, func() (bool, error) {
			torrent, err := d.rpc.torrent(ctx, infohash)
			return err == nil && torrent.Status == statusSeed && torrent.PercentDone == 1, err
		})
	}
	if err != nil {
		tb.Fatalf("download of transmission-daemon: %v", err)
	}
	return infohash
}

// Restart runs a stopped daemon again, on the same ports, and returns when it seeds all it seeded before.
func (d *Daemon) Restart(tb testing.TB) {
	tb.Helper()
	if d.process != nil {
		tb.Fatal("restart of a transmission-daemon that was not stopped")
	}
	if err := d.launch(); err != nil {
		tb.Fatalf("restart of transmission-daemon: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), addLimit)
	defer cancel()
	for _, infohash := range d.seeding {
		wait := d.waitSeeding
		if d.killed {
			wait = d.verify
		}
		if err := wait(ctx, infohash); err != nil {
			tb.Fatalf("torrent after the restart of transmission-daemon: %v", err)
		}
	}
}

// verify lets the daemon verify a torrent, and waits until it seeds it.
func (d *Daemon) verify(ctx context.Context, infohash string) error {
	var asked time.Time
	return poll(ctx, func() (bool, error) {
		torrent, err := d.rpc.torrent(ctx, infohash)
		if err != nil {
			return false, nil // it has not read its torrents yet
		}
		if torrent.Status == statusDownload && time.Since(asked) > time.Second {
			asked = time.Now()
			return false, d.rpc.call(ctx, "torrent-verify", map[string]any{"ids": []string{infohash}}, nil)
		}
		return torrent.Status == statusSeed && torrent.PercentDone == 1, nil
	})
}

func (d *Daemon) writeSettings(dataDir string, rpcPort int) error {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return err
	}
	settings, err := json.Marshal(map[string]any{
		"download-dir":      dataDir,
		"bind-address-ipv4": d.address,
		"bind-address-ipv6": "::1",
		"peer-port":         d.peerPort,

		"rpc-bind-address":            "127.0.0.1",
		"rpc-port":                    rpcPort,
		"rpc-authentication-required": false,
		"rpc-host-whitelist-enabled":  false,
		"rpc-whitelist":               "127.0.0.1",

		"dht-enabled":             false,
		"lpd-enabled":             false,
		"pex-enabled":             false,
		"utp-enabled":             false,
		"port-forwarding-enabled": false,
		"blocklist-enabled":       false,
		"encryption":              0, // plain connections preferred, encrypted ones accepted

		"speed-limit-up-enabled":     false,
		"speed-limit-down-enabled":   false,
		"ratio-limit-enabled":        false,
		"idle-seeding-limit-enabled": false,
		"seed-queue-enabled":         false,
		"download-queue-enabled":     false,
		"queue-stalled-enabled":      false,
		"upload-slots-per-torrent":   100,
		"peer-limit-per-torrent":     100,

		"cache-size-mb":        1,
		"preallocation":        0,
		"rename-partial-files": false,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.config, "settings.json"), settings, 0o600)
}

// launch starts the process and waits until it answers.
func (d *Daemon) launch() error {
	process, err := startProcess(d.logFile(), "transmission-daemon", "--foreground", "--config-dir", d.config)
	if err != nil {
		return err
	}
	d.process = process
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		select {
		case <-process.ended:
			return false, fmt.Errorf("transmission-daemon ended: %v\n%s", process.exit, d.logTail()) //nolint:errorlint // may be nil
		default:
			return d.rpc.call(ctx, "session-get", nil, nil) == nil, nil
		}
	})
	if err != nil {
		return err
	}
	// Without its peer port the daemon would run on, and only write a line.
	if log := d.logTail(); strings.Contains(log, "Couldn't bind") {
		return fmt.Errorf("peer port %d is taken:\n%s", d.peerPort, log)
	}
	return nil
}

func (d *Daemon) logFile() string {
	return filepath.Join(d.config, "daemon.log")
}

func (d *Daemon) logTail() string {
	text, err := os.ReadFile(d.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "")
}

// add is Add for a torrent whose data lies in dir; "" is the daemon's own directory.
func (d *Daemon) add(ctx context.Context, torrentFile []byte, dir string) (infohash string, err error) {
	infohash, err = d.rpc.addTorrent(ctx, torrentFile, dir)
	if err != nil {
		return "", err
	}
	return infohash, d.waitSeeding(ctx, infohash)
}

// waitSeeding waits until the torrent is verified. The daemon verifies by itself what is added, and has
// begun, or queued it, when it answers.
func (d *Daemon) waitSeeding(ctx context.Context, infohash string) error {
	return poll(ctx, func() (bool, error) {
		torrent, err := d.rpc.torrent(ctx, infohash)
		switch {
		case errors.Is(err, errUnknownTorrent): // a restarted daemon answers before it has read its torrents
			return false, nil
		case err != nil:
			return false, err
		case torrent.Error != 0:
			return false, fmt.Errorf("torrent %s: %s", infohash, torrent.ErrorString)
		case torrent.Status == statusDownload:
			return false, fmt.Errorf("torrent %s: %d bytes of the data are missing or wrong", infohash, torrent.LeftUntilDone)
		}
		return torrent.Status == statusSeed && torrent.PercentDone == 1, nil
	})
}

// poll calls done until it returns true or an error; the daemon has no events to wait for.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("answer of transmission-daemon: %w", ctx.Err())
		}
	}
}

// freePorts returns two ports of 127.0.0.1 that nobody listens on. They are below the ports that Linux
// gives to clients and to ":0", so nobody is likely to take one before the daemon does, or while it is
// stopped.
func freePorts() (int, int, error) {
	var free []int
	for range 200 {
		port := 20_000 + rand.IntN(10_000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer listener.Close() // not before both are found: they differ
		if free = append(free, port); len(free) == 2 {
			return free[0], free[1], nil
		}
	}
	return 0, 0, errors.New("no free port between 20000 and 29999")
}

// RequireEncryption makes the daemon refuse connections that are not encrypted, until it is restarted.
func (d *Daemon) RequireEncryption(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := d.rpc.call(ctx, "session-set", map[string]any{"encryption": "required"}, nil); err != nil {
		tb.Fatalf("encryption of transmission-daemon: %v", err)
	}
}
