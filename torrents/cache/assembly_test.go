package cache

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
)

// blocks are the offsets of the blocks of a piece, in any order.
func blocks(length int64) []int64 {
	var list []int64
	for at := int64(0); at < length; at += chunk {
		list = append(list, at)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// download fetches a piece, whose hash is right, by blocks in any order.
func download(p *Pieces, piece int) error {
	b := content(p.key, &p.Geometry, piece)
	for _, at := range blocks(int64(len(b))) {
		if _, err := p.WriteAt(piece, b[at:min(at+chunk, int64(len(b)))], at); err != nil {
			return err
		}
	}
	var got bytes.Buffer
	if _, err := p.Hash(piece, &got, int64(len(b))); err != nil {
		return err
	}
	if !bytes.Equal(got.Bytes(), b) {
		return errors.New("what is hashed is not what was written")
	}
	if !p.Verified(piece) {
		return errors.New("the piece is not present")
	}
	return nil
}

// checkMemory wants all the memory to be given back.
func checkMemory(t *testing.T, c *Cache) {
	t.Helper()
	c.assemblies.mu.Lock()
	defer c.assemblies.mu.Unlock()
	if c.assemblies.left != assemblyLimit || len(c.assemblies.list) > 0 {
		t.Errorf("of the memory %d bytes are left, want %d, and %d pieces have some", c.assemblies.left, assemblyLimit, len(c.assemblies.list))
	}
}

// TestAssembly puts pieces together of which nothing is on disk before they are right.
func TestAssembly(t *testing.T) {
	tests := map[string]Geometry{
		"less than a part":    {PieceLength: 16 << 10, Pieces: 3, Size: 40 << 10},
		"some parts":          {PieceLength: 256 << 10, Pieces: 3, Size: 600 << 10},
		"odd":                 {PieceLength: 100_001, Pieces: 3, Size: 250_000},
		"larger than allowed": {PieceLength: assemblyLimit * 2, Pieces: 2, Size: assemblyLimit*2 + 1},
	}
	for name, g := range tests {
		t.Run(name, func(t *testing.T) {
			c := openCache(t, t.TempDir(), 1<<30)
			p := mustOpen(t, c, keyOf(0), g)
			defer mustClose(t, p)
			p.Fetch(true)
			p.Want(Span{0, g.Pieces - 1}, Now, 1, ticket.Add(1))
			b := content(p.key, &p.Geometry, 0)
			if _, err := p.WriteAt(0, b[:chunk], 0); err != nil {
				t.Fatal(err)
			}
			st, err := p.File().Stat()
			if err != nil {
				t.Fatal(err)
			}
			if isLarge := g.PieceLength > assemblyLimit; allocated(st) > 0 != isLarge {
				t.Errorf("%d bytes are on disk while the first block is there", allocated(st))
			}
			for i := range g.Pieces {
				if err := download(p, i); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, g.length(i))
				if _, err := p.ReadAt(i, got, 0); err != nil || !bytes.Equal(got, content(p.key, &p.Geometry, i)) {
					t.Fatalf("piece %d is not what was written, %v", i, err)
				}
			}
			checkMemory(t, c)
			checkAccount(t, c)
		})
	}
}

// TestPadding puts together what peers do not send all of: the rest is zeros on the disk as well, where it is hashed after a restart (BEP 47).
func TestPadding(t *testing.T) {
	for range 8 { // what was in use before has other bytes
		dirty := new(part)
		for i := range dirty {
			dirty[i] = 0xff
		}
		partPool.Put(dirty)
	}
	const length, data = 256 << 10, 100 << 10
	c := openCache(t, t.TempDir(), 1<<30)
	p := mustOpen(t, c, keyOf(0), Geometry{PieceLength: length, Pieces: 2, Size: 2 * length})
	p.Fetch(true)
	p.Want(Span{0, 0}, Now, 1, ticket.Add(1))
	want := make([]byte, length)
	copy(want, content(p.key, &p.Geometry, 0)[:data])
	if _, err := p.WriteAt(0, want[:data], 0); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{data, length} { // as of version 2, and of version 1
		var hashed bytes.Buffer
		if _, err := p.Hash(0, &hashed, n); err != nil || !bytes.Equal(hashed.Bytes(), want[:n]) {
			t.Errorf("what is hashed of %d bytes is not what was written, %v", n, err)
		}
	}
	got := make([]byte, length)
	if _, err := p.ReadAt(0, got, 0); !p.Verified(0) || !errors.Is(err, ErrMissing) {
		t.Fatalf("the piece is not present once it is verified, or was before: %v", err)
	}
	if _, err := p.ReadAt(0, got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what is on the disk is not what was written, %v", err)
	}
}

// TestSpill puts many more pieces together at a time than there is memory for, and leaves some as they are.
func TestSpill(t *testing.T) {
	c := openCache(t, t.TempDir(), 1<<30)
	g := Geometry{PieceLength: 100_000, Pieces: 64, Size: 64 * 100_000}
	c.assemblies.left = 5 * g.PieceLength
	var all []*Pieces
	for i := range 3 {
		p := mustOpen(t, c, keyOf(i), g)
		p.Fetch(true)
		p.Want(Span{0, g.Pieces - 1}, Now, 1, ticket.Add(1))
		all = append(all, p)
	}
	var peers sync.WaitGroup
	for _, p := range all {
		for first := range 4 {
			peers.Go(func() {
				for i := first; i < g.Pieces; i += 4 {
					if i%7 == 0 { // it is only begun
						_, _ = p.WriteAt(i, content(p.key, &p.Geometry, i)[:chunk], 0)
						continue
					}
					if err := download(p, i); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	peers.Wait()
	checkAccount(t, c)
	for i := 0; i < g.Pieces; i += 7 {
		if err := download(all[0], i); err != nil {
			t.Error(err)
		}
	}
	mustClose(t, all[0])
	// What is in memory is given up for who needs the room, and comes again.
	c.SetLimit(1)
	for i := range g.Pieces {
		all[1].Want(Span{i, i}, Now, -1, ticket.Load()-1)
	}
	await(t, "all is evicted", func() bool { used, _ := c.Use(); return used < 2*all[1].cost(0)+3*g.statesCost() })
	c.SetLimit(1 << 30)
	for _, p := range all[1:] {
		mustClose(t, p)
	}
	c.assemblies.left += assemblyLimit - 5*g.PieceLength
	checkMemory(t, c)
	checkAccount(t, c)
}

// TestBrokenWrite has a disk that takes nothing: who downloads is told so, once, and the piece stays missing.
func TestBrokenWrite(t *testing.T) {
	c, p := begin(t)
	data := p.data
	readOnly, err := os.Open(data.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	p.data = readOnly
	if err := download(p, 0); err == nil || p.State(0) != Missing {
		t.Errorf("state %d, %v", p.State(0), err)
	}
	p.data = data
	if _, err := p.WriteAt(0, []byte("x"), 0); !errors.Is(err, syscall.EBADF) {
		t.Errorf("write: %v, want %v", err, syscall.EBADF)
	}
	p.Reset(0)
	if err := download(p, 0); err != nil {
		t.Error(err)
	}
	checkMemory(t, c)
	checkAccount(t, c)
}

// TestAssemblyMemory begins many pieces that are smaller than what memory is taken by.
func TestAssemblyMemory(t *testing.T) {
	g := Geometry{PieceLength: 4 << 10, Pieces: 1024, Size: 4 << 20}
	c := openCache(t, t.TempDir(), 1<<30)
	const limit = 32 * partLength
	c.assemblies.left = limit
	p := mustOpen(t, c, keyOf(0), g)
	p.Fetch(true)
	p.Want(Span{0, g.Pieces - 1}, Now, 1, ticket.Add(1))
	for i := range g.Pieces {
		write(t, p, i)
	}
	var taken int
	for _, a := range c.assemblies.list {
		taken += len(a.parts) * partLength
	}
	if taken == 0 || taken > limit {
		t.Errorf("%d bytes of memory are taken, the limit is %d", taken, limit)
	}
}

// TestSpillFails hashes a piece that cannot be written out while it waits for its turn.
func TestSpillFails(t *testing.T) {
	c, p := begin(t)
	content := write(t, p, 0)
	block := make(chan struct{})
	var busy sync.WaitGroup
	for range Workers {
		began := make(chan struct{})
		busy.Go(func() { c.workers.do(func() { close(began); <-block }) })
		<-began
	}
	hashed := make(chan error)
	go func() {
		_, err := p.Hash(0, io.Discard, int64(len(content)))
		hashed <- err
	}()
	await(t, "it waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.slots[0].readers > 0
	})
	undo := readOnly(t, p.data)
	c.assemblies.need(assemblyLimit)
	undo()
	close(block)
	if err := <-hashed; !errors.Is(err, ErrTorn) {
		t.Errorf("hashing what was lost: %v, want %v", err, ErrTorn)
	}
	busy.Wait()
}
