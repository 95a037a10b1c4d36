package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

const (
	zstdBlock   = 64 << 10  // bytes read at once
	zstdLargest = 128 << 10 // bytes of a block's data (RFC 8878, section 3.1.1.2.4)
	zstdPause   = 1 << 12   // steps between two looks at the context
)

// ZstdSize says how many bytes a zstd file of a size decodes to, if all its frames say so, by going from block to block. Without
// having read fetch bytes, in runs of 64 KiB, or when a frame doesn't say, the answer is ErrUnknownSize. A damaged
// file is ErrFormat; other errors are those of r and ctx.
func ZstdSize(ctx context.Context, r io.ReaderAt, size, fetch int64) (int64, error) {
	w := &zstdWalker{r: r, size: size, fetch: fetch}
	total := int64(0)
	for w.at < size || size == 0 {
		n, err := w.frame(ctx)
		if err == nil && n > math.MaxInt64-total {
			err = fmt.Errorf("%w: it claims more than 2^63 bytes", ErrFormat)
		}
		if err != nil {
			return 0, fmt.Errorf("zstd file of %d bytes, at %d: %w", size, w.at, err)
		}
		total += n
	}
	return total, nil
}

// zstdWalker goes over a zstd file without decoding it.
type zstdWalker struct {
	r           io.ReaderAt
	size, fetch int64
	at          int64
	steps       int

	buf   [zstdBlock]byte
	start int64
	held  int
}

// peek returns up to n bytes at the current place: fewer at the end of the file only.
func (w *zstdWalker) peek(n int) ([]byte, error) {
	n = int(min(int64(n), w.size-w.at))
	if w.at < w.start || w.at+int64(n) > w.start+int64(w.held) {
		want := int(min(zstdBlock, w.size-w.at))
		if w.fetch < int64(want) {
			return nil, fmt.Errorf("%w: there is more than may be fetched", ErrUnknownSize)
		}
		w.fetch -= int64(want)
		w.held = 0
		if got, err := w.r.ReadAt(w.buf[:want], w.at); got < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("reading %d bytes: %w", want, err)
		}
		w.start, w.held = w.at, want
	}
	return w.buf[w.at-w.start:][:n], nil
}

// skip goes forward within the file.
func (w *zstdWalker) skip(n int64) error {
	if n > w.size-w.at {
		return fmt.Errorf("%w: it ends within a frame", ErrFormat)
	}
	w.at += n
	return nil
}

// frame goes over a frame and says how large it is when decoded.
func (w *zstdWalker) frame(ctx context.Context) (int64, error) {
	if err := w.pause(ctx); err != nil {
		return 0, err
	}
	b, err := w.peek(zstd.HeaderMaxSize)
	if err != nil {
		return 0, err
	}
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return 0, fmt.Errorf("%w: no frame: %w", ErrFormat, err)
	}
	if err := w.skip(int64(h.HeaderSize)); err != nil || h.Skippable {
		if err == nil {
			err = w.skip(int64(h.SkippableSize))
		}
		return 0, err
	}
	if !h.HasFCS {
		return 0, ErrUnknownSize
	}
	if h.FrameContentSize > math.MaxInt64 {
		return 0, fmt.Errorf("%w: a frame claims %d bytes", ErrFormat, h.FrameContentSize)
	}
	for last := false; !last; {
		if err := w.pause(ctx); err != nil {
			return 0, err
		}
		if last, err = w.block(); err != nil {
			return 0, err
		}
	}
	if h.HasCheckSum {
		err = w.skip(4)
	}
	return int64(h.FrameContentSize), err
}

// block goes over a block (RFC 8878, section 3.1.1.2).
func (w *zstdWalker) block() (last bool, err error) {
	b, err := w.peek(3)
	if err != nil {
		return false, err
	}
	if len(b) < 3 {
		return false, fmt.Errorf("%w: it ends within a frame", ErrFormat)
	}
	n := int64(b[0])>>3 | int64(b[1])<<5 | int64(b[2])<<13
	last = b[0]&1 != 0
	switch kind := b[0] >> 1 & 3; {
	case kind == 3 || n > zstdLargest:
		return false, fmt.Errorf("%w: a block of type %d with %d bytes", ErrFormat, kind, n)
	case kind == 1: // a byte, n times
		n = 1
	}
	return last, w.skip(3 + n)
}

func (w *zstdWalker) pause(ctx context.Context) error {
	if w.steps++; w.steps%zstdPause == 0 {
		return ctx.Err()
	}
	return nil
}
