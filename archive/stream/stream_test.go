package stream

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is data that compress, and differ at every place.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%d lines of %x; ", b.Len(), r.Uint32())
	}
	return b.Bytes()[:n]
}

// bzip2Hello is "hello, hello, hello\n" by bzip2 1.0.8.
const bzip2Hello = "QlpoOTFBWSZTWctS5WcAAAVRAAAQQAQCRKAAISQxCGAvGETHFReLuSKcKEhlqXKzgA=="

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func zstdOf(b []byte, o ...zstd.EOption) []byte {
	return must(zstd.NewWriter(nil, append(o, zstd.WithEncoderConcurrency(1))...)).EncodeAll(b, nil)
}

// xzOf makes a stream of blocks of at most a length.
func xzOf(b []byte, block int64) []byte {
	var out bytes.Buffer
	w := must(xz.WriterConfig{BlockSize: block, DictCap: 1 << 16}.NewWriter(&out))
	must(w.Write(b))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// zipLZMAOf makes the data of a zip member of method 14.
func zipLZMAOf(b []byte, marker bool) []byte {
	var out bytes.Buffer
	w := must(lzma.WriterConfig{DictCap: 1 << 16, EOSMarker: marker, SizeInHeader: !marker, Size: int64(len(b))}.NewWriter(&out))
	must(w.Write(b))
	if err := w.Close(); err != nil {
		panic(err)
	}
	header := out.Next(lzma.HeaderLen)
	return append(append([]byte{9, 20, 5, 0}, header[:5]...), out.Bytes()...)
}

func decode(m Method, r io.Reader, size int64) ([]byte, error) {
	d, err := Open(m, r, size)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(d)
	return b, errors.Join(err, d.Close())
}

func TestOpen(t *testing.T) {
	b := text(300_000)
	hello := must(base64.StdEncoding.DecodeString(bzip2Hello))
	tests := map[string]struct {
		m    Method
		in   []byte
		size int64
		want []byte
	}{
		"bzip2 and more":    {Bzip2, append(slices.Clip(hello), "garbage"...), -1, []byte("hello, hello, hello\n")},
		"bzip2":             {Bzip2, append(slices.Clip(hello), hello...), -1, []byte(strings.Repeat("hello, hello, hello\n", 2))},
		"zstd":              {Zstd, append(zstdOf(b), zstdOf([]byte("more"))...), -1, append(slices.Clip(b), "more"...)},
		"xz":                {XZ, xzOf(b, 100_000), -1, b},
		"lzma, marker":      {ZipLZMA, zipLZMAOf(b, true), -1, b},
		"lzma, both":        {ZipLZMA, zipLZMAOf(b, true), int64(len(b)), b},
		"lzma, size":        {ZipLZMA, zipLZMAOf(b, false), int64(len(b)), b},
		"lzma, empty":       {ZipLZMA, zipLZMAOf(nil, true), 0, nil},
		"xz, nothing in it": {XZ, xzOf(nil, 1000), -1, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decode(tt.m, bytes.NewReader(tt.in), tt.size)
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes, %v, want %d", len(got), err, len(tt.want))
			}
			lost := errors.New("no peers")
			for _, n := range []int{0, 3, len(tt.in) * 2 / 3} {
				_, err := decode(tt.m, io.MultiReader(bytes.NewReader(tt.in[:n]), iotest.ErrReader(lost)), tt.size)
				if !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
					t.Errorf("failing after %d bytes: %v", n, err)
				}
				if _, err := decode(tt.m, bytes.NewReader(tt.in[:n]), tt.size); n > 0 && !errors.Is(err, ErrFormat) {
					t.Errorf("cut after %d bytes: %v", n, err)
				}
			}
			bad := append([]byte(nil), tt.in...)
			bad[len(bad)*2/3] ^= 0x10
			if got, err := decode(tt.m, bytes.NewReader(bad), tt.size); tt.m != ZipLZMA && !errors.Is(err, ErrFormat) {
				t.Errorf("damaged: %d bytes, %v", len(got), err)
			}
		})
	}
	if _, err := Open(77, bytes.NewReader(nil), -1); !errors.Is(err, ErrUnsupported) {
		t.Errorf("no such method: %v", err)
	}
}

// hugeXZ is the start of an xz file whose dictionary is of a size that a byte tells: 40 is 4 GiB, 30 128 MiB.
func hugeXZ(dictionary byte) []byte {
	b := xzStreamHeader([2]byte{0, 1})
	block := []byte{2, 0, 0x21, 1, dictionary, 0, 0, 0}
	b = append(b, binary.LittleEndian.AppendUint32(block, crc32.ChecksumIEEE(block))...)
	return append(b, 1, 0, 4, 'h', 'e', 'l', 'l', 'o', 0, 0, 0)
}

// TestCVE_2025_58058_Memory: ulikunitz/xz took what headers claim. Here is measured what those that claim too much, and the largest that
// are allowed, take.
func TestCVE_2025_58058_Memory(t *testing.T) {
	frame := func(window byte) []byte { // RFC 8878, 3.1.1.1.2
		return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window, 5<<3 | 1, 0, 0, 'h', 'e', 'l', 'l', 'o'}
	}
	lzmaOf := func(dict uint32) []byte {
		b := zipLZMAOf([]byte("hello"), true)
		binary.LittleEndian.PutUint32(b[5:], dict)
		return b
	}
	tests := map[string]struct {
		m       Method
		in      []byte
		refused bool
		bytes   uint64 // at most
	}{
		"xz 4 GiB":       {XZ, hugeXZ(40), true, 1 << 20},
		"xz 96 MiB":      {XZ, hugeXZ(29), true, 1 << 20},
		"xz 64 MiB":      {XZ, hugeXZ(28), false, MaxDictionary + 4<<20},
		"zstd 3.75 TiB":  {Zstd, frame(0xff), true, 4 << 20},
		"zstd 144 MiB":   {Zstd, frame(17<<3 | 1), true, 4 << 20},
		"zstd 128 MiB":   {Zstd, frame(17 << 3), false, 2 * MaxWindow},
		"lzma 4 GiB":     {ZipLZMA, lzmaOf(1<<32 - 1), true, 1 << 20},
		"lzma 64 MiB":    {ZipLZMA, lzmaOf(MaxDictionary), false, MaxDictionary + 4<<20},
		"lzma 64 MiB, 1": {ZipLZMA, lzmaOf(MaxDictionary + 1), true, 1 << 20},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := decode(tt.m, bytes.NewReader(tt.in), -1)
			runtime.ReadMemStats(&after)
			if errors.Is(err, ErrUnsupported) != tt.refused || !tt.refused && string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
			n := after.TotalAlloc - before.TotalAlloc
			t.Logf("%.1f MiB", float64(n)/(1<<20))
			if n > tt.bytes {
				t.Errorf("took %d bytes, want at most %d", n, tt.bytes)
			}
		})
	}
}

// rarOf makes a RAR5 archive of stored members, or folders where the data are nil.
func rarOf(data ...[]byte) []byte {
	b := []byte("Rar!\x1a\x07\x01\x00")
	block := func(h []byte) {
		h = append(binary.AppendUvarint(nil, uint64(len(h))), h...)
		b = append(binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(h)), h...)
	}
	block([]byte{1, 0, 0})
	for i, d := range data {
		name := fmt.Sprintf("member%d", i)
		h := binary.AppendUvarint([]byte{2, 2}, uint64(len(d))) // file, with a data area
		flags, sum := byte(4), crc32.ChecksumIEEE(d)
		if d == nil {
			flags |= 1
		}
		h = append(h, flags)
		h = binary.AppendUvarint(h, uint64(len(d)))
		h = append(h, 0x20)
		h = binary.LittleEndian.AppendUint32(h, sum)
		h = append(h, 0, 1, byte(len(name)))
		block(append(h, name...))
		b = append(b, d...)
	}
	block([]byte{5, 0, 0})
	return b
}

// TestOpenRAR is about what is ours: members, volumes and errors. Decoding is the library's.
func TestOpenRAR(t *testing.T) {
	b := rarOf(text(1000), nil, text(500_000), []byte("last"))
	open := func(b []byte, ordinal int, size int64) ([]byte, error) {
		r, err := OpenRAR([]RARVolume{{"a.rar", bytes.NewReader(b), int64(len(b))}}, ordinal, size)
		if err != nil {
			return nil, err
		}
		out, err := io.ReadAll(r)
		return out, errors.Join(err, r.Close())
	}
	for i, want := range map[int][]byte{0: text(1000), 2: text(500_000), 3: []byte("last")} {
		if got, err := open(b, i, int64(len(want))); err != nil || !bytes.Equal(got, want) {
			t.Errorf("member %d: %d bytes, %v", i, len(got), err)
		}
	}
	for i, size := range map[int]int64{0: 999, 1: 0, 4: 0} {
		if _, err := open(b, i, size); !errors.Is(err, ErrFormat) {
			t.Errorf("member %d of %d bytes: %v", i, size, err)
		}
	}
	if _, err := open(b[:3000], 2, 500_000); !errors.Is(err, ErrFormat) {
		t.Errorf("cut: %v", err)
	}
	lost := errors.New("no peers")
	r, err := OpenRAR([]RARVolume{{"a.rar", failing{lost}, 5000}}, 0, 1000)
	if !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
		t.Errorf("failing: %v, %v", r, err)
	}
	f := &rarFiles{}
	if _, err := f.Open("a.r00"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a volume that is not there: %v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// clumsy is a decoder that panics once it has read to the end of its source, or that has failed.
type clumsy struct{ r io.Reader }

func (c clumsy) Read([]byte) (int, error) {
	_, err := io.Copy(io.Discard, c.r)
	panic(fmt.Sprint("what now: ", err))
}

// TestPanic: data are damaged where a decoder panics, unless its source has failed before.
func TestPanic(t *testing.T) {
	lost := errors.New("no peers")
	for _, c := range []struct {
		source  io.Reader
		want    error
		damaged bool
	}{
		{bytes.NewReader(text(1000)), ErrFormat, true},
		{io.MultiReader(bytes.NewReader(text(1000)), iotest.ErrReader(lost)), lost, false},
	} {
		src := &source{r: c.source}
		d := &decoder{what: "test", src: src, r: clumsy{src}, begun: true}
		for range 2 {
			if _, err := d.Read(make([]byte, 10)); !errors.Is(err, c.want) || errors.Is(err, ErrFormat) != c.damaged {
				t.Errorf("%v, want %v", err, c.want)
			}
		}
	}
}
