package inflate

import (
	"bytes"
	stdflate "compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/flate"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Source of bytes.
type memory []byte

func (m memory) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return bytes.NewReader(m).ReadAt(p, off)
}

// sample is text-like content that no two blocks of 64 KiB have in common.
func sample(seed uint64, size int) []byte {
	words := bytes.Fields([]byte(`the quick brown fox jumps over a lazy dog while seventy-three swarms of peers seed pieces, blocks and ` +
		`segments of this archive; nobody waits longer than needed: 0123456789 abcdef {return nil, err} <html> 2026-11-23T00:30:00Z`))
	var b bytes.Buffer
	for x := seed*2654435761 + 1; b.Len() < size; {
		x = x*6364136223846793005 + 1442695040888963407
		b.Write(words[x>>33%uint64(len(words))])
		fmt.Fprintf(&b, " %x ", x>>48)
	}
	return b.Bytes()[:size]
}

// deflated compresses at a level of package flate of klauspost, or at 100 plus one of the standard library, with flushes.
func deflated(t testing.TB, plain []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		io.WriteCloser
		Flush() error
	}
	var err error
	if level >= 98 {
		w, err = stdflate.NewWriter(&b, level-100)
	} else {
		w, err = flate.NewWriter(&b, level)
	}
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(plain, 300<<10) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pointsOf decodes everything and returns all checkpoints, each with its window in raw.
func pointsOf(t testing.TB, r *Reader) (points []point, plain []byte) {
	t.Helper()
	d := newDecoder()
	d.reset(r, point{isHeader: r.format == Gzip}, nil, r.compressed)
	d.onPoint = func(p point, window []byte) {
		p.raw = bytes.Clone(window)
		points = append(points, p)
	}
	return points, drain(t, d, 1<<30)
}

// drain decodes n bytes, or up to the end.
func drain(t testing.TB, d *decoder, n int) (plain []byte) {
	t.Helper()
	d.feed.ctx, d.feed.turn = t.Context(), new(turn)
	p := make([]byte, 64<<10)
	for len(plain) < n {
		m, err := d.Read(p[:min(len(p), n-len(plain))])
		plain = append(plain, p[:m]...)
		if errors.Is(err, io.EOF) || err != nil && len(plain) == n {
			break
		}
		if err != nil {
			t.Fatalf("decode after %d bytes: %v", d.out, err)
		}
	}
	return plain
}

func newReader(t testing.TB, o Options) *Reader {
	t.Helper()
	if o.Cache == nil {
		o.Cache = NewCache(DefaultCacheLimit)
	}
	if o.Pool == nil {
		o.Pool = NewPool(2, 16)
	}
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// resume checks that decoding goes on at each of some checkpoints, with the window as it is and with that which is kept.
func resume(t *testing.T, r *Reader, plain []byte, points []point) {
	t.Helper()
	compressed := []byte(r.source.(memory))
	for _, p := range points {
		want := plain[p.out:min(int64(len(plain)), p.out+40<<10)]
		need := min(windowLength, len(plain)-int(p.out))
		window, ok := sparse(p.raw, compressed[p.in/8:], uint8(p.in%8), need)
		if !ok {
			t.Fatalf("checkpoint %d/%d: window cannot be traced", p.out, p.in)
		}
		if len(window) > 0 && window[0] == 0 && p.raw[len(p.raw)-len(window)] != 0 {
			t.Fatalf("checkpoint %d/%d: window begins with what nothing refers to", p.out, p.in)
		}
		unpacked, err := unpack(pack(window))
		if err != nil || !bytes.Equal(unpacked, window) {
			t.Fatalf("checkpoint %d/%d: window is not what was packed: %v", p.out, p.in, err)
		}
		for kind, window := range map[string][]byte{"raw": p.raw, "packed": unpacked} {
			d := r.borrowDecoder(p, window, r.compressed)
			if got := drain(t, d, len(want)); !bytes.Equal(got, want) {
				t.Fatalf("checkpoint %d/%d with its %s window: %d bytes are not those of the content", p.out, p.in, kind, len(got))
			}
			d.giveBack()
		}
	}
}

func TestEveryCheckpointOfGeneratedData(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 15
	}
	total, bitOffsets := 0, [8]int{}
	for seed := range seeds {
		plain, compressed := generate(seed, 40<<10)
		r := newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: int64(len(plain))})
		points, got := pointsOf(t, r)
		if !bytes.Equal(got, plain) {
			t.Fatalf("seed %d: the decoder does not understand the generator", seed)
		}
		resume(t, r, plain, points)
		total += len(points)
		for _, p := range points {
			bitOffsets[p.in%8]++
		}
	}
	if total < int(seeds)*5 || slices.Contains(bitOffsets[:], 0) {
		t.Errorf("%d checkpoints, at bits %d: too few to tell anything", total, bitOffsets)
	}
}

func TestEveryCheckpointOfEncoders(t *testing.T) {
	plain := sample(1, 700<<10)
	copy(plain[200<<10:], incompressible(2, 200<<10))
	for _, level := range []int{-2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 98, 100, 101, 106, 109} {
		compressed := deflated(t, plain, level)
		r := newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: int64(len(plain))})
		points, got := pointsOf(t, r)
		if !bytes.Equal(got, plain) {
			t.Fatalf("level %d: content is wrong", level)
		}
		if len(points) < 5 {
			t.Errorf("level %d: %d checkpoints", level, len(points))
		}
		resume(t, r, plain, points)
	}
}

// incompressible is random content.
func incompressible(seed uint64, size int) []byte {
	b := make([]byte, 0, size+8)
	for x := seed; len(b) < size; {
		x = x*6364136223846793005 + 1442695040888963407
		y := (x ^ x>>29) * 0xbf58476d1ce4e5b9
		b = append(b, byte(y>>56), byte(y>>48), byte(y>>40))
	}
	return b[:size]
}
