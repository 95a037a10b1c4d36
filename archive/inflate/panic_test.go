package inflate

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
)

// fragile is a Source that panics once it is told to, as a decoder may that others wrote: both run on goroutines of the Reader.
type fragile struct {
	memory
	broken atomic.Bool // a window may still be made small beside the test
}

func (f *fragile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if f.broken.Load() {
		panic("out of order")
	}
	return f.memory.ReadAt(ctx, p, off)
}

// TestPanicIsDamage has the first pass panic, and a decode from a checkpoint.
func TestPanicIsDamage(t *testing.T) {
	plain := incompressible(1, 3<<20)
	source := &fragile{memory: deflated(t, plain, 6)}
	open := func(index []byte) *Reader {
		return newReader(t, Options{Source: source, Compressed: int64(len(source.memory)), Size: int64(len(plain)), Index: index})
	}
	r := open(nil)
	var one [1]byte
	if _, err := r.ReadAt(t.Context(), one[:], 0); err != nil || one[0] != plain[0] {
		t.Fatal(err)
	}
	source.broken.Store(true)
	for range 2 { // it is remembered
		if _, err := r.ReadAt(t.Context(), one[:], int64(len(plain)-1)); !errors.Is(err, ErrFormat) {
			t.Errorf("where the first pass panicked: %v", err)
		}
	}
	if !errors.Is(r.Damage(), ErrFormat) {
		t.Errorf("the damage is %v", r.Damage())
	}

	source.broken.Store(false)
	r = open(nil)
	if _, err := r.ReadAt(t.Context(), one[:], int64(len(plain)-1)); err != nil {
		t.Fatal(err)
	}
	index, _ := r.Index()
	again := open(index)
	source.broken.Store(true)
	if _, err := again.ReadAt(t.Context(), one[:], 1<<20+5); !errors.Is(err, ErrFormat) {
		t.Errorf("where a decode panicked: %v", err)
	}
	source.broken.Store(false)
	if _, err := again.ReadAt(t.Context(), one[:], 1<<20+5); err != nil || one[0] != plain[1<<20+5] {
		t.Errorf("once it is in order: %v", err)
	}
}

// forgetful is a Source that panics where it is read again, as it is to make windows small.
type forgetful struct {
	memory
	read, panics atomic.Int64
}

func (f *forgetful) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < f.read.Load() {
		f.panics.Add(1)
		panic("out of order")
	}
	n, err := f.memory.ReadAt(ctx, p, off)
	f.read.Store(off + int64(n))
	return n, err
}

// TestPanicWhilePacking leaves a window as it is.
func TestPanicWhilePacking(t *testing.T) {
	plain := incompressible(1, 8<<20)
	source := &forgetful{memory: deflated(t, plain, 6)}
	r := newReader(t, Options{Source: source, Compressed: int64(len(source.memory)), Size: int64(len(plain))})
	var one [1]byte
	if _, err := r.ReadAt(t.Context(), one[:], int64(len(plain)-1)); err != nil || one[0] != plain[len(plain)-1] {
		t.Errorf("%q, %v", one, err)
	}
	if err := r.Close(); err != nil || source.panics.Load() == 0 {
		t.Errorf("%d panics, %v", source.panics.Load(), err)
	}
}

// crash is a decoder that panics.
type crash struct{ resetter }

func (crash) Read([]byte) (int, error) { panic("out of order") }

// TestDecoderThatPanicked is not used again, as nobody knows its state.
func TestDecoderThatPanicked(t *testing.T) {
	d := newDecoder()
	r := newReader(t, Options{Source: memory("x"), Compressed: 1, Size: UnknownSize})
	d.reset(r, r.points[0], nil, 1)
	d.feed.ctx, d.feed.turn = t.Context(), new(turn)
	d.blocks, d.state = crash{}, inBlocks
	for range 2 {
		if n, err := d.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrFormat) || errors.Is(err, io.EOF) {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	if d.blocks != nil {
		t.Error("the decoder is kept")
	}
}
