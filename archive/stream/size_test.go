package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// counting counts what is read.
type counting struct {
	io.ReaderAt
	reads int
	bytes int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.reads++
	c.bytes += int64(n)
	return n, err
}

func TestXZIndex(t *testing.T) {
	b := text(1_000_000)
	two := append(xzOf(b[:600_000], 100_000), 0, 0, 0, 0)
	two = append(append(two, xzOf(b[600_000:], 1<<30)...), 0, 0, 0, 0, 0, 0, 0, 0)
	tests := map[string]struct {
		in     []byte
		blocks int
		want   []byte
		reads  int
	}{
		"one block":   {xzOf(b, 1<<30), 1, b, 2},
		"ten blocks":  {xzOf(b, 100_000), 10, b, 2},
		"two streams": {two, 7, b, 4},
		"nothing":     {xzOf(nil, 100), 1, nil, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &counting{ReaderAt: bytes.NewReader(tt.in)}
			x, err := ReadXZIndex(r, int64(len(tt.in)))
			if err != nil || x.Size != int64(len(tt.want)) || len(x.Blocks) != tt.blocks {
				t.Fatalf("%+v, %v, want %d blocks", x, err, tt.blocks)
			}
			if r.reads > tt.reads {
				t.Errorf("%d reads, want %d", r.reads, tt.reads)
			}
			for i := len(x.Blocks) - 1; i >= 0; i-- {
				k := &x.Blocks[i]
				r := &counting{ReaderAt: bytes.NewReader(tt.in)}
				got, err := readAll(Limits{}.OpenBlock(k, r))
				if err != nil || !bytes.Equal(got, tt.want[k.At:k.At+k.Size]) {
					t.Errorf("block %d: %d bytes, %v", i, len(got), err)
				}
				if r.bytes > k.Len {
					t.Errorf("block %d: %d bytes read, want %d", i, r.bytes, k.Len)
				}
			}
			for i := range tt.in {
				bad := append([]byte(nil), tt.in...)
				bad[i] ^= 1
				checkXZ(t, bad)
				if i == 64 {
					break
				}
			}
			for i := max(0, len(tt.in)-100); i < len(tt.in); i++ {
				bad := append([]byte(nil), tt.in...)
				bad[i] ^= 1
				checkXZ(t, bad)
				checkXZ(t, tt.in[:i])
			}
		})
	}
	lost := errors.New("no peers")
	if _, err := ReadXZIndex(failing{lost}, 1000); !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
		t.Errorf("failing: %v", err)
	}
}

func readAll(r io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// checkXZ checks what an index says for contradictions.
func checkXZ(t *testing.T, b []byte) {
	t.Helper()
	x, err := ReadXZIndex(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) {
			t.Fatal(err)
		}
		return
	}
	at, off := int64(0), int64(xzHeaderSize)
	for i := range x.Blocks {
		k := &x.Blocks[i]
		if k.At != at || k.Size < 0 || k.Off < off || k.Len <= 0 || k.Len > int64(len(b))-k.Off || k.Len%4 != 0 {
			t.Fatalf("block %d of %d: %+v after %d in a file of %d", i, len(x.Blocks), k, off, len(b))
		}
		at, off = at+k.Size, k.Off+k.Len
	}
	if at != x.Size {
		t.Fatalf("%d bytes, want %d", x.Size, at)
	}
}

// TestXZBlockDamaged changes the check of a block.
func TestXZBlockDamaged(t *testing.T) {
	b := xzOf(text(50_000), 20_000)
	x, err := ReadXZIndex(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	b[x.Blocks[1].Off+x.Blocks[1].Len-1] ^= 1
	for i := range x.Blocks {
		if _, err := readAll(Limits{}.OpenBlock(&x.Blocks[i], bytes.NewReader(b))); errors.Is(err, ErrFormat) != (i == 1) {
			t.Errorf("block %d: %v", i, err)
		}
	}
	x.Blocks[0].Size--
	if _, err := readAll(Limits{}.OpenBlock(&x.Blocks[0], bytes.NewReader(b))); !errors.Is(err, ErrFormat) {
		t.Errorf("a block larger than its index says: %v", err)
	}
}

// TestXZVLI refuses numbers with more bytes than needed (section 1.2), or more bits than there are.
func TestXZVLI(t *testing.T) {
	tests := map[string]bool{
		"\x00": true, "\x7f": true, "\x80\x01": true, "\x80\x00": false, "\x81\x80\x00": false, "\x80": false, "": false,
		"\xff\xff\xff\xff\xff\xff\xff\xff\x7f": true, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01": false,
	}
	for in, want := range tests {
		if n, _, ok := vli([]byte(in)); ok != want || n < 0 {
			t.Errorf("%x: %d, %v", in, n, ok)
		}
	}
}

func FuzzXZIndex(f *testing.F) {
	b := text(1000)
	f.Add(xzOf(b, 100))
	f.Add(append(append(xzOf(b, 300), 0, 0, 0, 0), xzOf(nil, 100)...))
	f.Fuzz(func(t *testing.T, b []byte) { checkXZ(t, b) })
}

func TestZstdSize(t *testing.T) {
	b := text(2_000_000)
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}
	whole := zstdOf(b)
	var streamed bytes.Buffer
	w := must(zstd.NewWriter(&streamed, zstd.WithEncoderConcurrency(1)))
	must(w.Write(b))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		in    []byte
		fetch int64
		want  int64
		err   error
	}{
		"one frame":     {whole, 1 << 30, 2_000_000, nil},
		"RLE":           {zstdOf(make([]byte, 1_000_000)), 1 << 20, 1_000_000, nil},
		"no checksum":   {zstdOf(b, zstd.WithEncoderCRC(false)), 1 << 30, 2_000_000, nil},
		"three":         {append(append(append([]byte(nil), whole...), skippable...), zstdOf(b[:1000])...), 1 << 30, 2_001_000, nil},
		"not told":      {streamed.Bytes(), 1 << 30, 0, ErrUnknownSize},
		"budget":        {whole, 2 * zstdBlock, 0, ErrUnknownSize},
		"cut":           {whole[:len(whole)-5], 1 << 30, 0, ErrFormat},
		"cut checksum":  {whole[:len(whole)-1], 1 << 30, 0, ErrFormat},
		"something":     {append(append([]byte(nil), whole...), "text"...), 1 << 30, 0, ErrFormat},
		"reserved type": {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 7, 0, 0}, 1 << 30, 0, ErrFormat},
		"empty":         {nil, 1 << 30, 0, ErrFormat},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &counting{ReaderAt: bytes.NewReader(tt.in)}
			n, err := ZstdSize(t.Context(), r, int64(len(tt.in)), tt.fetch)
			if n != tt.want || !errors.Is(err, tt.err) || r.bytes > tt.fetch {
				t.Errorf("%d, %v, %d bytes read, want %d, %v", n, err, r.bytes, tt.want, tt.err)
			}
		})
	}
	lost := errors.New("no peers")
	if _, err := ZstdSize(t.Context(), failing{lost}, 1000, 1<<20); !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
		t.Errorf("failing: %v", err)
	}
}

func FuzzZstdSize(f *testing.F) {
	f.Add(zstdOf(text(1000)))
	f.Add(zstdOf(make([]byte, 1000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ZstdSize(context.Background(), bytes.NewReader(b), int64(len(b)), 1<<20)
		if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnknownSize) || n < 0 {
			t.Fatal(n, err)
		}
	})
}
