package cache

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

// begin makes a torrent whose first piece has room, and is wanted by an engine that knows nothing.
func begin(t *testing.T) (*Cache, *Pieces) {
	t.Helper()
	c := openCache(t, t.TempDir(), 1<<30)
	p := mustOpen(t, c, keyOf(0), ten)
	p.Fetch(true)
	p.Want(Span{0, 0}, Now, 1, ticket.Add(1))
	return c, p
}

func write(t *testing.T, p *Pieces, piece int) []byte {
	t.Helper()
	b := content(p.key, &p.Geometry, piece)
	if n, err := p.WriteAt(piece, b, 0); n != len(b) || err != nil {
		t.Fatalf("%d bytes were written, %v", n, err)
	}
	return b
}

// TestVerifiedIsHashed believes nothing to be right that was not hashed as it is.
func TestVerifiedIsHashed(t *testing.T) {
	tests := map[string]struct {
		between func(p *Pieces)
		want    State
	}{
		"nothing":           {func(*Pieces) {}, Present},
		"written over":      {func(p *Pieces) { _, _ = p.WriteAt(0, []byte("wrong"), 9) }, Missing},
		"another engine":    {func(p *Pieces) { p.Fetch(false); p.Fetch(true) }, Missing},
		"taken for wrong":   {func(p *Pieces) { p.Reset(0) }, Missing},
		"not wanted":        {func(p *Pieces) { p.Want(Span{0, 0}, Now, -1, ticket.Load()) }, Present},
		"hashed once again": {func(p *Pieces) { _, _ = p.Hash(0, io.Discard, 16<<10) }, Present},
		"evicted": {func(p *Pieces) {
			p.Want(Span{0, 0}, Now, -1, ticket.Load())
			p.cache.SetLimit(1)
			for range 3 {
				_, _ = p.cache.evict()
			}
		}, Present}, // for which it is too late
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, p := begin(t)
			b := write(t, p, 0)
			var got bytes.Buffer
			if n, err := p.Hash(0, &got, int64(len(b))); n != int64(len(b)) || err != nil || !bytes.Equal(got.Bytes(), b) {
				t.Fatalf("%d bytes were hashed, %v", n, err)
			}
			test.between(p)
			p.Verified(0)
			c.SetLimit(1 << 30)
			if got := p.State(0); got != test.want && test.want != Present || test.want == Present && name != "evicted" && got != Present {
				t.Errorf("the piece is in state %d, want %d", got, test.want)
			}
			p.mu.Lock()
			if p.slots[0].readers != 0 {
				t.Errorf("%d still use the piece", p.slots[0].readers)
			}
			p.mu.Unlock()
			checkAccount(t, c)
		})
	}
}

// TestThrownAway writes without room, and what is there already.
func TestThrownAway(t *testing.T) {
	c, p := begin(t)
	b := write(t, p, 1) // which nobody wants
	if _, err := p.Hash(1, io.Discard, int64(len(b))); !errors.Is(err, ErrTorn) {
		t.Errorf("hash of what was thrown away: %v, want %v", err, ErrTorn)
	}
	p.Want(Span{1, 1}, Now, 1, ticket.Add(1))
	write(t, p, 1)
	if _, err := p.Hash(1, io.Discard, int64(len(b))); !errors.Is(err, ErrTorn) {
		t.Errorf("hash, as far as the engine knows, of two halves: %v, want %v", err, ErrTorn)
	}
	p.Reset(1)
	fill(t, p, Span{0, 1})
	p.Fetch(true)
	// A piece that comes again once it is complete, and is evicted, comes only once more.
	write(t, p, 0)
	c.SetLimit(1)
	p.Want(Span{0, 0}, Now, -1, ticket.Load()-1)
	await(t, "it is evicted", func() bool { return p.State(0) == Missing })
	c.SetLimit(1 << 30)
	e := startEngine(p)
	defer e.close()
	if err := read(t.Context(), p, Span{0, 0}, func() {}); err != nil {
		t.Fatal(err)
	}
	if got := e.written.Load(); got > 2*ten.PieceLength { // the other one is wanted still
		t.Errorf("%d bytes came for a piece of %d", got, ten.PieceLength)
	}
}

// TestHashOfBrokenDisk cannot read what was written: the engine is told so, instead of fetching it for ever.
func TestHashOfBrokenDisk(t *testing.T) {
	c, p := begin(t)
	c.assemblies.left = 0 // it goes to the disk at once
	b := write(t, p, 0)
	if err := os.Truncate(p.File().Name(), 100); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Hash(0, io.Discard, int64(len(b))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("hash: %v, want %v", err, io.ErrUnexpectedEOF)
	}
	p.Reset(0)
	if _, err := p.WriteAt(0, b, 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("write: %v, want %v", err, io.ErrUnexpectedEOF)
	}
	// Which was said once.
	write(t, p, 0)
	if _, err := p.Hash(0, io.Discard, int64(len(b))); err != nil {
		t.Error(err)
	}
	if !p.Verified(0) || p.State(0) != Present {
		t.Errorf("state %d", p.State(0))
	}
}

// TestDistrust has what was present checked again.
func TestDistrust(t *testing.T) {
	c, p := begin(t)
	fill(t, p, Span{0, 3})
	mustClose(t, p)
	p = mustOpen(t, c, keyOf(0), ten)
	flip(t, p.File().Name(), 5)
	p.Distrust(Span{0, 1})
	if p.Ready(Span{0, 1}) || !p.Ready(Span{2, 3}) {
		t.Error("the wrong pieces are trusted")
	}
	checkAccount(t, c)
	mustClose(t, p)
	p = mustOpen(t, c, keyOf(0), ten) // nor are they now
	if present, suspect := p.Counts(); present != 2 || suspect != 2 {
		t.Errorf("%d present and %d suspect pieces, want 2 and 2", present, suspect)
	}
	if err := p.Check(t.Context(), Span{0, 3}); err != nil {
		t.Fatal(err)
	}
	if p.State(0) != Missing || p.State(1) != Present {
		t.Errorf("states %d and %d, want %d and %d", p.State(0), p.State(1), Missing, Present)
	}
	fill(t, p, Span{0, 3})
	checkAccount(t, c)
}

// TestHashLeaving hashes a piece, on the disk, that is being evicted.
func TestHashLeaving(t *testing.T) {
	c := openCache(t, t.TempDir(), 1<<30)
	c.assemblies.left = 0
	p := mustOpen(t, c, keyOf(0), ten)
	p.Fetch(true)
	own := ticket.Add(1)
	p.Want(Span{0, 0}, Now, 1, own)
	content := write(t, p, 0)
	p.Want(Span{0, 0}, Now, -1, own)
	c.evicting.Lock()
	var b batch
	if p.doom(Span{0, 0}, classFree, &b) == 0 {
		t.Fatal("it cannot be evicted")
	}
	if _, err := p.Hash(0, io.Discard, int64(len(content))); !errors.Is(err, ErrTorn) {
		t.Errorf("hashing it: %v, want %v", err, ErrTorn)
	}
	err := p.dropDoomed(b)
	c.evicting.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	checkAccount(t, c)
}
