package torrents

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/mse"
)

// plainHandshake begins a connection that is not encrypted (BEP 3).
var plainHandshake = []byte("\x13BitTorrent protocol")

// wiretap passes connections on to addr, and keeps what crosses it in both directions.
type wiretap struct {
	addr string

	mu    sync.Mutex
	seen  map[int][]byte // by connection and direction
	flows int
}

func tap(t testing.TB, addr string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{addr: l.Addr().String()}
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", addr)
			if err != nil {
				a.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
				relays.Go(func() {
					_, _ = io.Copy(io.MultiWriter(w.flow(), way[0]), way[1]) // ends with either side
					way[0].Close()
					way[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() { l.Close(); relays.Wait() })
	return w
}

// flow keeps one direction of a connection.
func (w *wiretap) flow() io.Writer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flows++
	return flow{w, w.flows}
}

type flow struct {
	*wiretap
	number int
}

func (f flow) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = make(map[int][]byte)
	}
	f.seen[f.number] = append(f.seen[f.number], b...)
	return len(b), nil
}

// saw says whether b crossed, and began whether a connection began with it.
func (w *wiretap) saw(b []byte) bool   { return w.any(b, bytes.Contains) }
func (w *wiretap) began(b []byte) bool { return w.any(b, bytes.HasPrefix) }

func (w *wiretap) any(b []byte, match func(seen, b []byte) bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seen := range w.seen {
		if match(seen, b) {
			return true
		}
	}
	return false
}

func TestEncryption(t *testing.T) {
	plainOnly := func(cfg *torrent.ClientConfig) {
		cfg.HeaderObfuscationPolicy = torrent.HeaderObfuscationPolicy{RequirePreferred: true}
	}
	cipherOnly := EncryptionRequire.configure
	both := func(*torrent.ClientConfig) {}
	plainData := func(cfg *torrent.ClientConfig) { cfg.CryptoSelector = mse.DefaultCryptoSelector }
	for _, test := range []struct {
		name                     string
		ours                     Encryption
		theirs                   func(*torrent.ClientConfig)
		works, plainHello, plain bool // does data come, and is what readable on the wire
	}{
		{"allow, peer takes both", EncryptionAllow, both, true, false, true},
		{"allow, peer wants none", EncryptionAllow, plainOnly, true, true, true},
		{"allow, peer wants it", EncryptionAllow, cipherOnly, true, false, false},
		{"prefer, peer takes both", EncryptionPrefer, plainData, true, false, false},
		{"prefer, peer wants none", EncryptionPrefer, plainOnly, true, true, true},
		{"require, peer takes both", EncryptionRequire, plainData, true, false, false},
		{"require, peer wants it", EncryptionRequire, cipherOnly, true, false, false},
		{"require, peer wants none", EncryptionRequire, plainOnly, false, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			secret := randomBytes(64 << 10)
			s := newSample(t, "secret", 16<<10, map[string][]byte{"": secret})
			wire := tap(t, startPeerWith(t, test.theirs, s).addr)
			rec := newRecorder()
			opts := testOptions(t, rec, wire.addr)
			opts.Swarm.Encryption = test.ours
			opts.ReadGiveUp = 3 * time.Second
			l := mustOpen(t, opts)
			if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
				t.Fatal(err)
			}
			if test.works {
				readFiles(t, rec.await(t, s.infohash), s.files)
			} else {
				files := mustLoad(t, rec.await(t, s.infohash))
				if n, err := files[0].ReadAt(t.Context(), make([]byte, 1), 0); err == nil {
					t.Errorf("read %d bytes of a peer that does not encrypt, want an error", n)
				}
			}
			// Of blocks, some part at least is not cut by a packet of the engine.
			if got := wire.saw(secret[100:200]); got != test.plain {
				t.Errorf("data readable on the wire: %t, want %t", got, test.plain)
			}
			// The connection's first handshake counts: inside plain data it is readable in any case.
			if got := wire.began(plainHandshake); got != test.plainHello {
				t.Errorf("a connection with a plain handshake: %t, want %t", got, test.plainHello)
			}
			if test.ours == EncryptionRequire && wire.saw(plainHandshake) {
				t.Error("a plain handshake was sent, want none ever")
			}
		})
	}
}

// TestRequireAnswersNothingPlain: who connects in plain learns nothing.
func TestRequireAnswersNothingPlain(t *testing.T) {
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(1000)})
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Swarm.Encryption = EncryptionRequire
	l := mustOpen(t, opts)
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	files := mustLoad(t, rec.await(t, s.infohash))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _ = files[0].ReadAt(ctx, make([]byte, 1), 0) // nobody has it; the torrent is in the swarm now
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.swarm.client.LocalPort())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hello := append(append(bytes.Clone(plainHandshake), make([]byte, 8)...), s.infohash[:]...)
	hello = append(hello, bytes.Repeat([]byte("p"), 20)...)
	// And what an encrypted handshake would need more.
	if _, err := conn.Write(append(hello, make([]byte, 1000)...)); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got, _ := io.ReadAll(conn) // it ends as the other side pleases
	if bytes.Contains(got, plainHandshake) || bytes.Contains(got, s.infohash[:]) {
		t.Errorf("the answer to a plain handshake is %q, want nothing readable", got)
	}
}

func TestEncryptionText(t *testing.T) {
	for _, good := range []Encryption{EncryptionAllow, EncryptionPrefer, EncryptionRequire} {
		var e Encryption
		if err := e.UnmarshalText([]byte(good)); err != nil || e != good {
			t.Errorf("%q is %q, %v", good, e, err)
		}
	}
	for _, bad := range []string{"", "off", "Require", "required", "true"} {
		e := EncryptionRequire
		if err := e.UnmarshalText([]byte(bad)); err == nil || e != EncryptionRequire {
			t.Errorf("%q is %q, %v; want an error", bad, e, err)
		}
	}
}
