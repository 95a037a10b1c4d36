//go:build linux

package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent/metainfo"

	"shoal/test/netns"
	"shoal/torrents"
)

// flooder keeps the connections of a peer that means harm, until the test or the flood ends.
type flooder struct {
	ctx     context.Context //nolint:containedctx // of all its goroutines
	stop    context.CancelFunc
	running sync.WaitGroup
}

func newFlooder(t testing.TB) *flooder {
	f := &flooder{}
	f.ctx, f.stop = context.WithCancel(t.Context())
	t.Cleanup(f.end)
	return f
}

func (f *flooder) end() {
	f.stop()
	f.running.Wait()
}

// flood connects from an IP again and again, and does what it does until that ends or the flood does.
func (f *flooder) flood(from, to string, ih torrents.Infohash, do func(*wire) error) {
	f.running.Go(func() {
		for f.ctx.Err() == nil {
			if w, err := dial(from, to, ih); err == nil {
				unhook := context.AfterFunc(f.ctx, func() { w.Close() })
				_ = do(w) // until it is turned away
				unhook()
				w.Close()
			}
			select {
			case <-f.ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

// repeat sends messages without an end, or n of them if that is not 0, and never reads.
func repeat(w *wire, n int, message func(i int) []byte) error {
	_ = w.Conn.(*net.TCPConn).SetReadBuffer(4096) // the less is on its way, the sooner the other side has to keep it
	for i := 0; n == 0 || i < n; {
		var b []byte
		for range 100 {
			b = append(b, message(i)...)
			i++
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// peerAddr returns where a library listens for peers.
func peerAddr(t testing.TB, change func(*torrents.Options)) (string, func(*torrents.Options)) {
	t.Helper()
	addr := freeAddr(t, "127.0.0.1")
	return addr, func(o *torrents.Options) {
		o.Swarm.Addr = addr
		if change != nil {
			change(o)
		}
	}
}

// TestUnreadReplies asks for what makes large replies, and does not read them.
func TestUnreadReplies(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 64<<20, 16<<10) // 80 KiB of metadata
	src := startSource(t, f, "127.0.0.2")
	addr, listen := peerAddr(t, nil)
	l := openLibrary(t, listen, src.addr)
	file := l.add(t, f)
	mustRead(t, file, f, 0, 1<<20)
	for i, test := range []struct {
		name    string
		message func(i int) []byte
	}{
		{"metadata", func(i int) []byte {
			return encode(msgExtended, byte(1), fmt.Sprintf("d8:msg_typei0e5:piecei%dee", i%5))
		}},
		{"blocks while choked", func(i int) []byte {
			return encode(msgRequest, i%64, i/64%16*1024, 1024)
		}},
		{"extended handshakes", func(int) []byte {
			return encode(msgExtended, byte(0), "d1:md6:ut_pexi1e11:ut_metadatai1eee")
		}},
		{"ports", func(i int) []byte { return encode(msgPort, byte(i%255+1), byte(7)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := heap()
			w, err := dial(fmt.Sprintf("127.0.0.%d", 60+i), addr, f.infohash)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := w.send(msgExtended, byte(0), "d1:md11:ut_metadatai1eee"); err != nil {
				t.Fatal(err)
			}
			if err := w.SetWriteDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if err := repeat(w, 20_000, test.message); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond) // until what arrived is looked at
			grown := heap() - before
			t.Logf("20,000 messages take %.1f MiB", mib(grown))
			if grown > 8<<20 {
				t.Errorf("20,000 messages of one peer take %.1f MiB, want at most 8", mib(grown))
			}
		})
	}
}

// attacks are what a peer can do over a connection that makes work and no sense.
func attacks(f *film) map[string]func(*wire) error {
	pieces := int(f.size / f.pieceLength)
	garbage := make([]byte, 100_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(garbage) // never fails
	return map[string]func(*wire) error{
		"garbage": func(w *wire) error { _, err := w.Write(garbage); return err },
		"have":    func(w *wire) error { return repeat(w, 0, func(i int) []byte { return encode(msgHave, i%pieces) }) },
		"have what there is not": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte { return encode(msgHave, 1<<31-i) })
		},
		"pex": func(w *wire) error {
			peers := make([]byte, 6*200)
			copy(peers, garbage)
			return repeat(w, 0, func(int) []byte {
				return encode(msgExtended, byte(2), fmt.Sprintf("d5:added%d:%s7:added.f200:%se", len(peers), peers, garbage[:200]))
			})
		},
		"extended handshakes": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte {
				return encode(msgExtended, byte(0), fmt.Sprintf("d1:md11:ut_metadatai1e6:ut_pexi2e1:%ci%dee4:reqqi%deee", 'a'+i%26, i%200, i))
			})
		},
		"unknown extensions": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte { return encode(msgExtended, byte(i), garbage[:1000]) })
		},
		"unsolicited blocks": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte {
				return encode(msgPiece, i*7%pieces, i%16*blockSize, garbage[:blockSize])
			})
		},
		"blocks at wrong places": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte { return encode(msgPiece, i, i*4097, garbage[:i%blockSize]) })
		},
		"bitfield too long": func(w *wire) error { return w.send(msgBitfield, garbage[:60_000]) },
		"bitfield too short": func(w *wire) error {
			if err := w.send(msgBitfield, []byte{0xff}); err != nil {
				return err
			}
			return w.send(msgBitfield, []byte{})
		},
		"have all, then none, then all": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte { return encode(byte(msgHaveAll + i%2)) })
		},
		"allowed fast": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte { return encode(msgAllowedFast, -i) })
		},
		"rejects and cancels": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte {
				return append(encode(msgCancel, i, i, i), encode(msgReject, i, i*7919, 1<<31)...)
			})
		},
		"hash requests": func(w *wire) error {
			return repeat(w, 0, func(i int) []byte { return encode(msgHashRequest, garbage[:32], 0, i, 512, 0) })
		},
		"requests without reading": func(w *wire) error {
			if err := w.send(msgInterested); err != nil {
				return err
			}
			return repeat(w, 0, func(i int) []byte { return encode(msgRequest, i/16%4, i%16*blockSize, blockSize) })
		},
		"choking and unchoking": func(w *wire) error {
			if err := w.send(msgHaveAll); err != nil {
				return err
			}
			return repeat(w, 0, func(i int) []byte { return encode(byte(i % 4)) })
		},
	}
}

// floodBound is how much more memory there may be beside an attack, in bytes. A connection may make the engine keep 1 MiB of
// replies, 1 MiB of blocks to send and 128 KiB of what arrives; 50 of them are let in.
const floodBound = 32 << 20

// TestFlood streams a film beside each of the attacks, one after another, and beside 200 connections that do nothing.
func TestFlood(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 512<<20, 256<<10)
	src := startSource(t, f, "127.0.0.2")
	src.pause.Store(int64(4 * time.Millisecond)) // about 3 MiB/s: what a peer gives, and not what this machine can
	const cacheLimit = 64 << 20
	addr, listen := peerAddr(t, func(o *torrents.Options) { o.CacheLimit, o.Swarm.PEX = cacheLimit, true })
	l := openLibrary(t, listen, src.addr)
	file := l.add(t, f)
	reading := newFlooder(t)
	reading.running.Go(func() {
		for off := int64(0); reading.ctx.Err() == nil; off = (off + 1<<20) % f.size {
			if err := readPart(reading.ctx, file, f, off, 1<<20); err != nil && reading.ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	rate := func() float64 { // MiB/s
		before := src.sent.Load()
		time.Sleep(time.Second)
		return mib(src.sent.Load() - before)
	}
	rate() // until all is in motion
	idle := newFlooder(t)
	all := attacks(f)
	all["200 idle connections"] = func(*wire) error {
		for i := range 200 {
			idle.flood(fmt.Sprintf("127.0.2.%d", i+1), addr, f.infohash, func(*wire) error { <-idle.ctx.Done(); return nil })
		}
		<-idle.ctx.Done()
		return nil
	}
	n := 0
	for name, attack := range all {
		alone, before := rate(), heap()
		fl := newFlooder(t)
		n++
		fl.flood(fmt.Sprintf("127.0.1.%d", n), addr, f.infohash, attack)
		beside := rate()
		grown := heap() - before
		idle.end()
		fl.end()
		t.Logf("%s: alone %.1f MiB/s, beside it %.1f; %.1f MiB more memory", name, alone, beside, mib(grown))
		if beside < alone/2 {
			t.Errorf("%s: alone %.1f MiB/s, beside it %.1f MiB/s: want at least half", name, alone, beside)
		}
		if grown > floodBound {
			t.Errorf("%s: %.1f MiB more memory, want at most %.1f", name, mib(grown), mib(floodBound))
		}
		if used := diskUse(t, l.opts.CacheDir); used > cacheLimit+f.pieceLength {
			t.Errorf("%s: %.1f MiB on disk, and the limit is 64 MiB", name, mib(used))
		}
	}
	reading.end()
	mustRead(t, file, f, 300<<20, 1<<20)
}

// TestFloodOfMessages sends messages of every kind with numbers that are none, to a torrent, to one of version 2 and
// to a magnet link. Nothing may panic.
func TestFloodOfMessages(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 4<<20, 64<<10)
	magnet := newFilm(t, "magnet", 4<<20, 64<<10)
	src := startSource(t, f, "127.0.0.2")
	addr, listen := peerAddr(t, func(o *torrents.Options) { o.Swarm.PEX = true })
	l := openLibrary(t, listen, src.addr)
	file := l.add(t, f)
	mustRead(t, file, f, 0, 64<<10)
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+magnet.infohash.String()); err != nil {
		t.Fatal(err)
	}
	fl := newFlooder(t)
	for i := range 8 {
		of := f
		if i%2 == 1 {
			of = magnet
		}
		random := rand.New(rand.NewPCG(uint64(i), 1))
		fl.flood(fmt.Sprintf("127.0.3.%d", i+1), addr, of.infohash, func(w *wire) error {
			for range 300 {
				if _, err := w.Write(randomMessage(random)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for off := int64(0); off < f.size; off += 64 << 10 {
		mustRead(t, file, f, off, 64<<10)
		time.Sleep(50 * time.Millisecond)
	}
}

// randomMessage makes a message of a kind that exists with numbers at the edges of what there is.
func randomMessage(r *rand.Rand) []byte {
	kinds := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 20, 21, 22, 23}
	numbers := []uint32{0, 1, 2, 63, 64, 65, 1 << 14, 1<<14 - 1, 1 << 16, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1<<32 - 1<<14}
	number := func() int { return int(numbers[r.IntN(len(numbers))]) }
	switch kind := kinds[r.IntN(len(kinds))]; kind {
	case 0, 1, 2, 3, 14, 15:
		return encode(kind)
	case 4, 13, 17:
		return encode(kind, number())
	case 5:
		return encode(kind, make([]byte, r.IntN(20)))
	case 7:
		return encode(kind, number(), number(), make([]byte, r.IntN(blockSize+1)))
	case 9:
		return encode(kind, byte(r.IntN(256)), byte(r.IntN(256)))
	case 20:
		texts := []string{
			"de", "d1:mde13:metadata_sizei-1ee", "d13:metadata_sizei16777216ee", "d13:metadata_sizei1ee",
			"d1:md11:ut_metadatai1e6:ut_pexi2e12:ut_holepunchi3eee", "d8:msg_typei0e5:piecei-1ee", "d8:msg_typei1e5:piecei0e10:total_sizei1eex",
			"d8:msg_typei2e5:piecei0ee", "d5:added6:abcdef7:added.f0:e", "d4:reqqi-1ee", "d4:reqqi999999999999ee", "d6:yourip3:abce", "i0e", "",
		}
		return encode(kind, byte(r.IntN(5)), texts[r.IntN(len(texts))])
	case 21, 23:
		return encode(kind, make([]byte, 32), number(), number(), number(), number())
	case 22:
		return encode(kind, make([]byte, 32), number(), number(), 1, number(), make([]byte, 32))
	default:
		return encode(kind, number(), number(), number())
	}
}

// TestMetadataLies resolves a magnet link while peers tell wrong sizes of the metadata, and send wrong bytes.
func TestMetadataLies(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 16<<20, 16<<10)
	addr, listen := peerAddr(t, nil)
	l := openLibrary(t, listen)
	before := heap()
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+f.infohash.String()); err != nil {
		t.Fatal(err)
	}
	mi, err := metainfo.Load(bytes.NewReader(f.metainfo))
	if err != nil {
		t.Fatal(err)
	}
	fl := newFlooder(t)
	for i, size := range []int{16 << 20, 1, 9 << 20} {
		fl.flood(fmt.Sprintf("127.0.4.%d", i+1), addr, f.infohash, func(w *wire) error {
			return serveMetadata(w, make([]byte, size), size)
		})
	}
	time.Sleep(time.Second)
	if grown := heap() - before; grown > 64<<20 {
		t.Errorf("%.1f MiB for lies about the metadata", mib(grown))
	}
	fl.flood("127.0.5.1", addr, f.infohash, func(w *wire) error {
		return serveMetadata(w, mi.InfoBytes, len(mi.InfoBytes))
	})
	begin := time.Now()
	l.file(t, f)
	t.Logf("resolved %v after the honest peer came", time.Since(begin))
}

// serveMetadata answers requests for the metadata (BEP 9).
func serveMetadata(w *wire, info []byte, size int) error {
	if err := w.send(msgExtended, byte(0), fmt.Sprintf("d1:md11:ut_metadatai3ee13:metadata_sizei%dee", size)); err != nil {
		return err
	}
	for {
		kind, payload, err := w.receive()
		if err != nil {
			return err
		}
		var piece int
		if kind != msgExtended || len(payload) == 0 || payload[0] != 3 {
			continue
		}
		if n, _ := fmt.Sscanf(string(payload[1:]), "d8:msg_typei0e5:piecei%dee", &piece); n != 1 {
			continue
		}
		from, to := min(piece*blockSize, len(info)), min((piece+1)*blockSize, len(info))
		if err := w.send(msgExtended, byte(1),
			fmt.Sprintf("d8:msg_typei1e5:piecei%de10:total_sizei%dee", piece, size), info[from:to]); err != nil {
			return err
		}
	}
}

// TestTakenBack has peers who take back what they said they have. The engine ends the process when its counts of that do not come out
// even as the torrent leaves, here with the library.
func TestTakenBack(t *testing.T) {
	f := newFilm(t, "film", 4<<20, 64<<10)
	src := startSource(t, f, "127.0.0.2")
	addr, listen := peerAddr(t, func(*torrents.Options) {})
	l := openLibrary(t, listen, src.addr)
	file := l.add(t, f)
	mustRead(t, file, f, 0, 64<<10)
	all := bytes.Repeat([]byte{0xff}, int(f.size/f.pieceLength)/8)
	have, none := encode(msgHave, 5), encode(msgHaveNone)
	for i, messages := range [][][]byte{
		{encode(msgHaveAll), none, have},
		{encode(msgBitfield, all), none, have},
		{encode(msgHaveAll), none, encode(msgBitfield, make([]byte, len(all))), have},
		{have, none, have},
		{none, have, encode(msgHaveAll), none},
	} {
		w, err := dial(fmt.Sprintf("127.0.0.%d", 80+i), addr, f.infohash)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(slices.Concat(messages...)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // until that is looked at
		w.Close()
	}
	mustRead(t, file, f, f.size-64<<10, 64<<10)
}
