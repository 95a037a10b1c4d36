package archivetest

import (
	"bytes"
	"compress/flate"
	"io"
	"testing"
)

// Compressed returns what becomes of data in a compressor.
func Compressed(tb testing.TB, data []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := open(&b)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// Deflated compresses with Go's own DEFLATE.
func Deflated(tb testing.TB, data []byte) []byte {
	tb.Helper()
	return Compressed(tb, data, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
}
