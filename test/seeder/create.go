//go:build linux

package seeder

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// createLimit is for gigabytes of data on a slow disk.
const createLimit = 2 * time.Minute

//go:embed create.py
var createScript string

// Create returns a v1 torrent of the file or folder path, made by transmission-create, without a tracker.
// pieceSize is in bytes, a power of two and at least 16 KiB. The same data gives another file, but the
// same infohash, at another time.
func Create(tb testing.TB, path string, pieceSize int64, private bool) (torrent []byte) {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "created.torrent")
	run(tb, "transmission-create", "-s", strconv.FormatInt(pieceSize/1024, 10), "-o", out, path)
	torrent, err := os.ReadFile(out)
	if err != nil {
		tb.Fatalf("torrent of transmission-create: %v", err)
	}
	// It takes another piece size, with a warning only, where it doesn't like the one it got.
	if !bytes.Contains(torrent, fmt.Appendf(nil, "12:piece lengthi%de", pieceSize)) {
		tb.Fatalf("transmission-create makes no torrent with pieces of %d bytes", pieceSize)
	}
	if private {
		return makePrivate(tb, torrent)
	}
	return torrent
}

// makePrivate turns the private flag on, which transmission-create only does together with a tracker. The
// flag is always in its torrents, and last.
func makePrivate(tb testing.TB, torrent []byte) []byte {
	tb.Helper()
	info, found := bytes.CutSuffix(torrent, []byte("7:privatei0eee"))
	if !found {
		tb.Fatal("transmission-create wrote a torrent without its private flag at the end")
	}
	return append(info, "7:privatei1eee"...)
}

// CreateWith returns a torrent of the file or folder path in the version "v1", "v2" or "hybrid", made by
// libtorrent, without a tracker. pieceSize is in bytes, a power of two and at least 16 KiB.
func CreateWith(tb testing.TB, path string, version string, pieceSize int64) (torrent []byte) {
	tb.Helper()
	path, err := filepath.Abs(path) // libtorrent cuts the name from its folder
	if err != nil {
		tb.Fatal(err)
	}
	// Debian's own interpreter has Debian's libtorrent; another one may come first in PATH.
	return run(tb, "/usr/bin/python3", "-c", createScript, path, version, strconv.FormatInt(pieceSize, 10))
}

// run returns what a program prints, and fails the test with its complaint when it fails.
func run(tb testing.TB, name string, arguments ...string) []byte {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), createLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, arguments...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", name, err, complaint.Bytes())
	}
	return out
}
