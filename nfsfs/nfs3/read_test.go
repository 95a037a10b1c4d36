package nfs3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"shoal/tree"
)

// noise is n bytes, no two parts of which are alike.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return string(b)
}

// TestRead reads parts of content of several kinds and sizes.
func TestRead(t *testing.T) {
	const most = 1 << 20
	tr := library(t)
	id := uint64(1000)
	filed := map[string]*onDisk{}
	contents := map[string]string{}
	add := func(name, content string, c tree.Content) {
		id += 10
		putFile(t, tr, tree.Infohash{byte(id / 10), byte(id >> 8)}, name, id, int64(len(content)), c)
		contents[name] = content
	}
	for _, size := range []int{0, 1, 5, 4096, minTail - 1, minTail, minTail + 1, most, most + 1, 2*most + 3} {
		content := noise(size)
		name := string('a' + rune(len(contents)))
		add("memory "+name, content, text(content))
		filed["disk "+name] = newOnDisk(t, content)
		add("disk "+name, content, filed["disk "+name])
	}
	// Extent does not have it any more, when it is asked.
	evicted := newOnDisk(t, noise(most))
	evicted.gone = true
	add("evicted", string(evicted.text), evicted)

	e := serve(t, tr, nil)
	e.both(func(t *testing.T, w *wire) {
		w.hurry(3 * patience)
		limit := uint64(most)
		if w.packets {
			limit = 32 << 10
		}
		for name, content := range contents {
			n, size := e.node("films", name), uint64(len(content))
			offsets := []uint64{0, 1, size / 2, size - 1, size, size + 1, 1 << 31, 1 << 32, 1<<63 - 1, 1 << 63, 1<<63 + 3, math.MaxUint64}
			counts := []uint64{0, 1, 3, 4096, minTail - 1, minTail, minTail + 1, most - 1, most, most + 1, 1 << 31, math.MaxUint32}
			for _, off := range offsets {
				for _, count := range counts {
					r := w.call(procRead, n, off, uint32(count))
					if err := isAttr(r.obj, n); r.status != statusOK || err != nil {
						t.Fatalf("%d bytes at %d of %q (%d): status %d, %v", count, off, name, size, r.status, err)
					}
					from := min(off, size)
					to := min(size, from+min(count, limit))
					want := content[from:to]
					if string(r.data) != want {
						t.Errorf("%d bytes at %d of %q (%d): %d bytes, want %d, or others", count, off, name, size, len(r.data), len(want))
					}
					if eof := off >= size || to == size; r.eof != eof {
						t.Errorf("%d bytes at %d of %q (%d): EOF %v, want %v", count, off, name, size, r.eof, eof)
					}
					if d := filed[name]; d != nil && !w.packets && len(want) >= minTail {
						if err := receiveFrom(t, d.done); err != nil {
							t.Errorf("%d bytes at %d of %q were sent with %v", count, off, name, err)
						}
					}
				}
			}
		}
	})
	for name, d := range filed {
		if n := len(d.done); n > 0 {
			t.Errorf("%q: %d parts of the file were used that were not asked for", name, n)
		}
	}
}

// TestReadIsCounted looks at what Options.Read is told: what was sent, and nothing else.
func TestReadIsCounted(t *testing.T) {
	tr := library(t)
	disk := newOnDisk(t, noise(1<<20))
	putFile(t, tr, tree.Infohash{5}, "disk", 500, 1<<20, disk)
	failing := newParked()
	failing.read = func([]byte) (int, error) { return 0, errors.New("damaged") }
	putFile(t, tr, tree.Infohash{6}, "failing", 600, 100, failing)
	e := serve(t, tr, nil)
	w := e.dial()
	ready := e.node("films", "a torrent", "ready.txt")
	w.call(procRead, ready, uint64(3), uint32(5))
	w.call(procRead, ready, uint64(3), uint32(0))
	w.call(procRead, ready, uint64(300), uint32(5))
	w.call(procRead, e.node("films"), uint64(0), uint32(5))
	w.call(procRead, e.node("films", "disk"), uint64(1), uint32(2<<20))
	if err := receiveFrom(t, disk.done); err != nil {
		t.Error(err)
	}
	xid := w.send(procRead, pack(e.node("films", "failing"), uint64(0), uint32(5)))
	failing.come <- nil
	w.expectXID(xid, procRead)
	e.mu.Lock()
	defer e.mu.Unlock()
	want := []seen{{ready, 3, 5}, {e.node("films", "disk"), 1, 1<<20 - 1}}
	if !slices.Equal(e.reads, want) {
		t.Errorf("told of %v, want %v", e.reads, want)
	}
}

func TestReadFolder(t *testing.T) {
	e := serve(t, library(t), nil)
	e.both(func(t *testing.T, w *wire) {
		for what, n := range e.places() {
			if !n.IsDir() {
				continue
			}
			for _, off := range []uint64{0, 4096, math.MaxUint64} {
				r := w.call(procRead, n, off, uint32(10))
				if err := isAttr(r.obj, n); r.status != statusInval || err != nil {
					t.Errorf("%s at %d: status %d, %v; want INVAL", what, off, r.status, err)
				}
			}
		}
	})
}

// faulty is content that is ready, and then is not.
type faulty struct {
	text
	n   int
	err error
}

func (f faulty) ReadAt(_ context.Context, p []byte, _ int64) (int, error) {
	n := min(f.n, len(p))
	copy(p[:n], bytes.Repeat([]byte("secret"), len(p)/6+1))
	return n, f.err
}

// TestReadFails has content that was there a moment ago. Of what came before the error nothing is sent.
func TestReadFails(t *testing.T) {
	tr := library(t)
	tests := []struct {
		name string
		faulty
		want uint32
	}{
		{"whole, and the end", faulty{n: 100, err: io.EOF}, statusOK},
		{"whole", faulty{n: 100}, statusOK},
		{"evicted", faulty{err: context.Canceled}, statusJukebox},
		{"evicted in the middle", faulty{n: 50, err: context.Canceled}, statusJukebox},
		{"evicted, wrapped", faulty{err: errors.Join(errors.New("not there"), context.Canceled)}, statusJukebox},
		{"cut off", faulty{n: 50, err: io.EOF}, statusIO},
		{"cut off without a word", faulty{n: 50}, statusIO},
		{"damaged", faulty{n: 99, err: errors.New("checksum")}, statusIO},
		{"whole, and damaged", faulty{n: 100, err: errors.New("checksum")}, statusIO},
	}
	for i, test := range tests {
		putFile(t, tr, tree.Infohash{100, byte(i)}, test.name, uint64(2000+10*i), 100, test.faulty)
	}
	e := serve(t, tr, nil)
	e.both(func(t *testing.T, w *wire) {
		for _, test := range tests {
			n := e.node("films", test.name)
			r := w.call(procRead, n, uint64(0), uint32(1000))
			if err := isAttr(r.obj, n); r.status != test.want || err != nil {
				t.Errorf("%s: status %d, %v; want %d", test.name, r.status, err, test.want)
			}
		}
	})
}
