package inflate

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Of the 32 KiB that data after a checkpoint may refer to, it refers to a few parts only. The others become zeros, and the whole is
// compressed: a window takes 2 KiB then, as a rule. Which bytes are referred to is found out by decoding what follows twice, with other
// windows: in those the two bytes at a place differ, and tell the place, so wherever the two results differ, it is known from where
// that came. What is more than a window's length behind the checkpoint cannot refer to it any more.

// tracer finds out what DEFLATE data refers to.
type tracer struct {
	blocks  resetter
	windows [2][windowLength]byte
	results [2][windowLength]byte
}

var tracerPool = sync.Pool{New: func() any {
	t := &tracer{blocks: flate.NewReaderOpts(nil).(resetter)}
	for i := range windowLength {
		high, low := byte(i>>7), byte(i&0x7f)
		t.windows[0][i], t.windows[1][i] = high, high+1+low
	}
	return t
}}

// sparse returns the window with zeros where compressed, which goes on behind it at a bit of its first byte, does not refer to it, and
// without the beginning that is all zeros. It is not ok if compressed makes less than need bytes, and does not end in order.
func sparse(window, compressed []byte, bit uint8, need int) (result []byte, ok bool) {
	t := tracerPool.Get().(*tracer)
	defer func() {
		if v := recover(); v != nil { // the decoder's: whatever it is about, the window as it is will do
			result, ok = nil, false
			return
		}
		tracerPool.Put(t)
	}()
	length := windowLength
	for i := range t.windows {
		n, whole := t.decode(i, len(window), compressed, bit)
		if n < need && !whole {
			return nil, false
		}
		length = min(length, n)
	}
	result = make([]byte, len(window))
	first := len(window)
	for at := range length {
		a, b := t.results[0][at], t.results[1][at]
		if a == b {
			continue
		}
		i := int(a)<<7 | int((b-a-1)&0x7f) - (windowLength - len(window))
		result[i] = window[i]
		first = min(first, i)
	}
	return result[first:], true
}

// decode decodes with the window i, as long as said, and returns how many bytes that made, and whether the data ended in order.
func (t *tracer) decode(i, length int, compressed []byte, bit uint8) (n int, whole bool) {
	from := flate.InflateCheckpoint{BitOffset: bit, Window: t.windows[i][windowLength-length:]}
	if err := t.blocks.ResetCP(bytes.NewReader(compressed), from); err != nil {
		return 0, false
	}
	for n < windowLength {
		m, err := t.blocks.Read(t.results[i][n:])
		n += m
		if err != nil {
			return n, err == io.EOF //nolint:errorlint // package flate returns it as it is
		}
	}
	return n, true
}

// packer compresses windows.
type packer struct {
	writer *flate.Writer
	to     bytes.Buffer
}

var packerPool = sync.Pool{New: func() any {
	p := new(packer)
	p.writer, _ = flate.NewWriter(&p.to, flate.DefaultCompression) // that level exists
	return p
}}

// pack compresses a window. Nothing stays nothing.
func pack(window []byte) []byte {
	if len(window) == 0 {
		return nil
	}
	p := packerPool.Get().(*packer)
	defer packerPool.Put(p)
	p.to.Reset()
	p.writer.Reset(&p.to)
	p.writer.Write(window) //nolint:errcheck // a Buffer takes everything
	p.writer.Close()
	return bytes.Clone(p.to.Bytes())
}

// unpackerPool has decoders of windows.
var unpackerPool = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// unpack returns what pack was given.
func unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	blocks := unpackerPool.Get().(io.Reader)
	defer unpackerPool.Put(blocks)
	if err := blocks.(flate.Resetter).Reset(bytes.NewReader(packed), nil); err != nil {
		return nil, fmt.Errorf("%w: window of a checkpoint: %w", ErrFormat, err)
	}
	window := make([]byte, windowLength)
	n, err := io.ReadFull(blocks, window)
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF && n > 0 {
		return window[:n], nil
	}
	return nil, fmt.Errorf("%w: window of a checkpoint: %w", ErrFormat, err)
}
