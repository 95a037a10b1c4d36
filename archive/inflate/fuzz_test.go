package inflate

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
	"time"
)

// FuzzIndex loads any index, and reads with it: it may make reads fail, and nothing else.
func FuzzIndex(f *testing.F) {
	plain, compressed := generate(1, 100<<10)
	source := memory(compressed)
	open := func(t testing.TB) *Reader {
		return small(newReader(t, Options{Source: source, Compressed: int64(len(compressed)), Size: int64(len(plain))}))
	}
	r := open(f)
	for _, n := range []int{0, 1000, 50_000, len(plain)} {
		if _, err := r.ReadAt(f.Context(), make([]byte, n), 0); err != nil {
			f.Fatal(err)
		}
		index, _ := r.Index()
		f.Add(index)
	}
	f.Add([]byte(indexMagic))
	f.Fuzz(func(t *testing.T, index []byte) {
		r := open(t)
		if err := r.load(sealed(index)); err != nil {
			r.points = r.points[:1]
		}
		if len(r.points) > len(index) {
			t.Fatalf("%d bytes make %d checkpoints", len(index), len(r.points))
		}
		end := int64(0)
		for _, p := range r.points[1:] {
			if p.out <= end || p.out > int64(len(plain)) || p.in > int64(len(compressed))*8 {
				t.Fatalf("a checkpoint is at %d/%d", p.out, p.in)
			}
			end = p.out
		}
		p := make([]byte, 300)
		for off := int64(0); off < int64(len(plain)); off += 20_000 {
			n, err := r.ReadAt(t.Context(), p, off)
			if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, io.EOF) {
				t.Fatalf("read of %d bytes at %d: %v", n, off, err)
			}
		}
		saved, _ := r.Index()
		again := open(t)
		if err := again.load(saved); err != nil || len(again.points) != len(r.points) {
			t.Fatalf("of %d checkpoints saved, %d are loaded: %v", len(r.points), len(again.points), err)
		}
	})
}

// sealed returns an index with the checksum that it should have.
func sealed(index []byte) []byte {
	if len(index) < checksumLength {
		return index
	}
	content := bytes.Clone(index[:len(index)-checksumLength])
	return binary.LittleEndian.AppendUint32(content, crc32.Checksum(content, castagnoli))
}

// FuzzReader reads any data, with any claims about it, and compares with the standard library.
func FuzzReader(f *testing.F) {
	for seed := range uint64(6) {
		plain, compressed := generate(seed, 20<<10)
		f.Add(compressed, int64(len(plain)), false, uint16(seed*5000))
		f.Add(compressed, int64(len(plain))-5, false, uint16(0))
	}
	text := sample(1, 50<<10)
	f.Add(gzipped(f, text, 9000), int64(len(text)), true, uint16(100))
	f.Add(gzipped(f, text, 9000), int64(UnknownSize), true, uint16(40_000))
	f.Add(deflated(f, make([]byte, 4<<20), 9), int64(4<<20), false, uint16(3))
	f.Fuzz(func(t *testing.T, compressed []byte, size int64, isGzip bool, first uint16) {
		o := Options{
			Source: memory(compressed), Compressed: int64(len(compressed)), Size: size, Cache: NewCache(1 << 20), Pool: NewPool(1, 1),
		}
		if isGzip {
			o.Format = Gzip
		}
		r, err := Open(o)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		defer r.Close()
		small(r)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		p := make([]byte, 10_000)
		checkRead(ctx, t, r, p, int64(first))
		checkRead(ctx, t, r, p, 0)
		n, _ := r.ReadAt(ctx, p, 0)
		if !isGzip {
			want := make([]byte, len(p))
			m, err := io.ReadFull(flate.NewReader(bytes.NewReader(compressed)), want)
			if size != UnknownSize {
				m = int(min(int64(m), size))
			}
			isWhole := err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && r.Damage() == nil
			if isWhole && n != m || !bytes.Equal(p[:min(n, m)], want[:min(n, m)]) { // before damage, one decodes a little more
				t.Fatalf("%d bytes were read, %d are there: %v", n, m, err)
			}
		}
		if used := o.Cache.Stats().Used; used > 3<<20 {
			t.Fatalf("it takes %d bytes", used)
		}
		index, _ := r.Index()
		o.Index = index
		again, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		small(again)
		q := make([]byte, len(p))
		m, _ := again.ReadAt(ctx, q, 0)
		if !bytes.Equal(p[:n], q[:m]) {
			t.Fatalf("%d bytes were read, and %d with the index", n, m)
		}
	})
}

// checkRead reads, where what can be read is not known.
func checkRead(ctx context.Context, t *testing.T, r *Reader, p []byte, off int64) {
	t.Helper()
	n, err := r.ReadAt(ctx, p, off)
	if n < len(p) && err == nil || err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, io.EOF) {
		t.Fatalf("read of %d bytes at %d: %d, %v", len(p), off, n, err)
	}
	if errors.Is(err, io.EOF) && r.Damage() != nil && errors.Is(r.Damage(), io.EOF) {
		t.Fatal("damage looks like an end")
	}
}

// FuzzSparse takes out of windows what is not referred to, and decodes with what is left.
func FuzzSparse(f *testing.F) {
	for seed := range uint64(4) {
		plain, compressed := generate(seed, 70<<10)
		r := newReader(f, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: int64(len(plain))})
		points, _ := pointsOf(f, r)
		for _, p := range points[:3] {
			f.Add(p.raw, compressed[p.in/8:], uint8(p.in%8))
		}
	}
	f.Fuzz(func(t *testing.T, window, compressed []byte, bit uint8) {
		bit %= 8
		window = window[max(0, len(window)-windowLength):]
		less, ok := sparse(window, compressed, bit, windowLength)
		if !ok {
			return
		}
		unpacked, err := unpack(pack(less))
		if err != nil || !bytes.Equal(unpacked, less) {
			t.Fatalf("%d bytes are packed, %d unpacked: %v", len(less), len(unpacked), err)
		}
		r := newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: UnknownSize})
		var results [2][]byte
		for i, window := range [][]byte{window, unpacked} {
			d := r.borrowDecoder(point{in: int64(bit)}, window, r.compressed)
			d.feed.ctx, d.feed.turn = t.Context(), new(turn)
			p := make([]byte, 3*windowLength)
			n := 0
			for n < len(p) {
				m, err := d.Read(p[n:])
				n += m
				if err != nil {
					break
				}
			}
			results[i] = p[:n]
			d.giveBack()
		}
		if !bytes.Equal(results[0], results[1]) {
			t.Fatalf("with the window %d bytes come, with less of it %d others", len(results[0]), len(results[1]))
		}
	})
}

// FuzzUnpack unpacks anything.
func FuzzUnpack(f *testing.F) {
	f.Add(pack(sample(1, windowLength)))
	f.Add(pack(make([]byte, windowLength)))
	f.Fuzz(func(t *testing.T, packed []byte) {
		window, err := unpack(packed)
		if err != nil && !errors.Is(err, ErrFormat) || len(window) > windowLength {
			t.Fatalf("%d bytes, %v", len(window), err)
		}
	})
}
