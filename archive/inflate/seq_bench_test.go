package inflate

import (
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/flate"
)

func benchData(b *testing.B) (memory, int64) {
	plain := sample(1, 64<<20)
	return deflated(b, plain, 6), int64(len(plain))
}

func BenchmarkPlain(b *testing.B) {
	data, size := benchData(b)
	b.SetBytes(size)
	buf := make([]byte, 128<<10)
	for b.Loop() {
		r := flate.NewReader(bytes.NewReader(data))
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf); n != size || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkFirstPass(b *testing.B) {
	data, size := benchData(b)
	b.SetBytes(size)
	buf := make([]byte, 128<<10)
	for b.Loop() {
		r := newReader(b, Options{Source: data, Compressed: int64(len(data)), Size: size})
		for off := int64(0); off < size; off += int64(len(buf)) {
			if n, err := r.ReadAt(b.Context(), buf, off); n == 0 {
				b.Fatal(n, err)
			}
		}
	}
}
