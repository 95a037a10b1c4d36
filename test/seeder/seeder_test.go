//go:build linux

package seeder

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pieceSize = 32 << 10

func TestCreate(t *testing.T) {
	Require(t)
	folder := sample(t)
	const v1, v2, private = "6:pieces", "12:meta versioni2e", "7:privatei1e"
	for _, test := range []struct {
		name    string
		torrent []byte
		has     []string
		lacks   []string
	}{
		{"transmission", Create(t, folder, pieceSize, false), []string{v1}, []string{v2, private}},
		{"transmission private", Create(t, folder, pieceSize, true), []string{v1, private}, []string{v2}},
		{"transmission one file", Create(t, filepath.Join(folder, "one.bin"), pieceSize, false), []string{v1, "7:one.bin"}, nil},
		{"libtorrent v1", CreateWith(t, folder, "v1", pieceSize), []string{v1}, []string{v2}},
		{"libtorrent v2", CreateWith(t, folder, "v2", pieceSize), []string{v2}, []string{v1}},
		{"libtorrent hybrid", CreateWith(t, folder, "hybrid", pieceSize), []string{v1, v2}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, part := range append(test.has, "12:piece lengthi32768e") {
				if !bytes.Contains(test.torrent, []byte(part)) {
					t.Errorf("torrent lacks %q", part)
				}
			}
			for _, part := range append(test.lacks, "8:announce") {
				if bytes.Contains(test.torrent, []byte(part)) {
					t.Errorf("torrent has %q", part)
				}
			}
		})
	}
}

// The whole life of a seeder: a peer gets the data, the count rises by it, a restart keeps all.
func TestSeed(t *testing.T) {
	Require(t)
	folder := sample(t)
	d := Start(t, filepath.Dir(folder))
	d.Add(t, Create(t, folder, pieceSize, false))
	d.Add(t, CreateWith(t, folder, "v1", 2*pieceSize))

	other := Start(t, folder) // a second daemon, for the same data in another torrent
	other.Eager(t)
	infohash := other.Add(t, Create(t, filepath.Join(folder, "one.bin"), pieceSize, true))
	if uploaded := other.Uploaded(t, infohash); uploaded != 0 {
		t.Errorf("%d bytes uploaded before any peer came", uploaded)
	}
	want, err := os.ReadFile(filepath.Join(folder, "one.bin"))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if got := download(t, other.Addr(), infohash, len(want)); !bytes.Equal(got, want) {
		t.Error("the peer got other data")
	}
	t.Logf("download of %d bytes took %v", len(want), time.Since(begin))
	uploaded := other.Uploaded(t, infohash)
	if blocks := (len(want) + blockSize - 1) / blockSize; uploaded != int64(len(want)+blocks*13) {
		t.Errorf("%d bytes uploaded, want %d and 13 for each of %d blocks", uploaded, len(want), blocks)
	}

	begin = time.Now()
	other.Stop(t)
	if conn, err := net.Dial("tcp", other.Addr()); err == nil {
		conn.Close()
		t.Error("a stopped daemon accepts peers")
	}
	other.Restart(t)
	t.Logf("stop and restart took %v", time.Since(begin))
	if again := other.Uploaded(t, infohash); again != uploaded {
		t.Errorf("%d bytes uploaded after the restart, %d before", again, uploaded)
	}
	if got := download(t, other.Addr(), infohash, len(want)); !bytes.Equal(got, want) {
		t.Error("the peer got other data after the restart")
	}
}

func TestAddChecks(t *testing.T) {
	Require(t)
	folder := sample(t)
	good := Create(t, folder, pieceSize, false)
	corrupted := corruptedCopy(t, folder)
	parent := filepath.Dir(folder)
	d := Start(t, parent)
	for _, test := range []struct {
		name      string
		torrent   []byte
		dir       string
		complaint string // "" when it must be seeded
	}{
		{"one byte wrong", good, filepath.Dir(corrupted), "missing or wrong"},
		{"good", Create(t, folder, 2*pieceSize, false), parent, ""},
		{"added before", Create(t, folder, 2*pieceSize, false), parent, "added before"},
		{"no torrent", []byte("nonsense"), parent, "invalid or corrupt"},
		{"v2", CreateWith(t, folder, "v2", pieceSize), parent, "invalid or corrupt"},
		{"hybrid", CreateWith(t, folder, "hybrid", pieceSize), parent, "invalid or corrupt"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			infohash, err := d.add(ctx, test.torrent, test.dir)
			switch {
			case test.complaint == "" && err != nil:
				t.Error(err)
			case test.complaint != "" && (err == nil || !strings.Contains(err.Error(), test.complaint)):
				t.Errorf("the daemon took torrent %s (%v), want an error with %q", infohash, err, test.complaint)
			}
		})
	}
}

// sample makes a small folder with names that are not plain ASCII words.
func sample(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "Größe – 大きさ")
	for name, size := range map[string]int{"one.bin": 300_001, "sub folder/two": 40_000, "sub folder/empty": 0} {
		content := make([]byte, size)
		rand.Read(content)
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// corruptedCopy copies the folder, with one byte changed.
func corruptedCopy(t *testing.T, folder string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(folder))
	if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(to, "one.bin")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[100_000] ^= 1
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return to
}

const blockSize = 16 << 10

// download is the smallest peer there can be: it asks for all blocks in order and returns their bytes.
func download(t *testing.T, addr, infohash string, size int) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	hash, err := hex.DecodeString(infohash)
	if err != nil {
		t.Fatal(err)
	}
	const interested, unchoke, request, piece = 2, 1, 6, 7
	hello := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x00\x00\x00"), hash...)
	hello = append(hello, "-XX0000-0123456789ab\x00\x00\x00\x01"...)
	if _, err := conn.Write(append(hello, interested)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 68)); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	content := make([]byte, size)
	for missing := size; missing > 0; {
		switch message := readMessage(t, conn); {
		case len(message) > 0 && message[0] == unchoke:
			var asked []byte
			for at := 0; at < size; at += blockSize {
				asked = append(asked, 0, 0, 0, 13, request)
				asked = binary.BigEndian.AppendUint32(asked, uint32(at/pieceSize))
				asked = binary.BigEndian.AppendUint32(asked, uint32(at%pieceSize))
				asked = binary.BigEndian.AppendUint32(asked, uint32(min(blockSize, size-at)))
			}
			if _, err := conn.Write(asked); err != nil {
				t.Fatal(err)
			}
		case len(message) > 9 && message[0] == piece:
			at := binary.BigEndian.Uint32(message[1:])*pieceSize + binary.BigEndian.Uint32(message[5:])
			missing -= copy(content[at:], message[9:])
		}
	}
	return content
}

// readMessage returns one message of the peer protocol; an empty one only keeps the connection alive.
func readMessage(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	header := make([]byte, 4)
	if _, err := io.ReadFull(conn, header); err != nil {
		t.Fatalf("message of the peer: %v", err)
	}
	message := make([]byte, binary.BigEndian.Uint32(header))
	if _, err := io.ReadFull(conn, message); err != nil {
		t.Fatalf("message of the peer: %v", err)
	}
	return message
}
