package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ten has ten pieces of 16 KiB.
var ten = Geometry{PieceLength: 16 << 10, Pieces: 10, Size: 10 * 16 << 10}

// tenCost is what all of it takes.
const tenCost = 10*16<<10 + blockSize

// haveAll says how many pieces there are of the torrents.
func haveAll(c *Cache, g *Geometry, n int) (list []int) {
	for i := range n {
		pieces, _ := c.Have(keyOf(i), g, 0, g.Size)
		list = append(list, pieces)
	}
	return list
}

func mustClose(t testing.TB, p *Pieces) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestClosedOldestFirst needs room for a fourth torrent: that which was closed first gives it, but if it is pinned.
func TestClosedOldestFirst(t *testing.T) {
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		c := openCache(t, dir, 3*tenCost+tenCost/2)
		for _, i := range []int{1, 0, 2} {
			p := mustOpen(t, c, keyOf(i), ten)
			fill(t, p, Span{0, 9})
			mustClose(t, p)
			time.Sleep(10 * time.Millisecond) // the file system's clock has to go on
		}
		if restart { // the times of the files tell
			c = openCache(t, dir, 3*tenCost+tenCost/2)
		}
		c.Pin(keyOf(1), true)
		p := mustOpen(t, c, keyOf(3), ten)
		fill(t, p, Span{0, 9})
		checkAccount(t, c)
		got := haveAll(c, &ten, 3)
		if got[1] != 10 || got[0] >= 10 || got[2] != 10 {
			t.Errorf("pieces left are %d, want all of the pinned one, which was closed first, and of the last", got)
		}
		// Now the pinned one is all that is left to evict, and is not.
		c.SetLimit(2*tenCost + tenCost/2)
		await(t, "the limit is reached", func() bool { used, limit := c.Use(); return used <= limit })
		c.SetLimit(tenCost / 2)
		await(t, "all others are evicted", func() bool { return haveAll(c, &ten, 4)[3] == 0 })
		if got := haveAll(c, &ten, 4); got[1] != 10 || got[0]+got[2]+got[3] != 0 {
			t.Errorf("pieces left are %d, want those of the pinned one", got)
		}
		c.Pin(keyOf(1), false)
		await(t, "the limit is reached", func() bool { used, limit := c.Use(); return used <= limit })
		checkAccount(t, c)
		if disk := onDisk(dir); disk > tenCost/2 {
			t.Errorf("%d bytes are on disk, the limit is %d", disk, tenCost/2)
		}
	}
}

// TestEdges fills a cache with heads and tails: they stay while they are within their share, open or closed.
func TestEdges(t *testing.T) {
	g := ten
	g.Edges = []Span{{0, 0}, {9, 9}} // a fifth: more than their share if all of the cache is like that
	const n = 8
	c := openCache(t, t.TempDir(), 4*tenCost)
	for i := range n {
		p := mustOpen(t, c, keyOf(i), g)
		fill(t, p, Span{0, 0})
		fill(t, p, Span{9, 9})
		fill(t, p, Span{1, 8})
		if i%2 == 0 {
			mustClose(t, p)
		}
	}
	// Somebody reads much else.
	plain := Geometry{PieceLength: ten.PieceLength, Pieces: 100, Size: 100 * ten.PieceLength}
	fill(t, mustOpen(t, c, keyOf(n), plain), Span{0, 99})
	checkAccount(t, c)
	var edges int64
	for i := range n {
		_, head := c.Have(keyOf(i), &g, 0, g.PieceLength)
		_, tail := c.Have(keyOf(i), &g, 9*g.PieceLength, g.Size)
		edges += head + tail
	}
	share := int64(4*tenCost) / edgeShare
	if edges < share-2*g.PieceLength || edges > share+g.PieceLength {
		t.Errorf("%d bytes of heads and tails are left, their share is %d", edges, share)
	}
}

// TestBadFiles has torrents whose files are not what they should be: others are evicted all the same.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir, 3*tenCost)
	for i := range 2 {
		p := mustOpen(t, c, keyOf(i), ten)
		fill(t, p, Span{0, 9})
		mustClose(t, p)
	}
	_, states := paths(dir, keyOf(0))
	if err := errors.Join(os.Remove(states), os.MkdirAll(filepath.Join(states, "in the way"), 0o755)); err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, keyOf(2), ten)
	fill(t, p, Span{0, 9})
	mustClose(t, p)
	p = mustOpen(t, c, keyOf(3), ten)
	fill(t, p, Span{0, 9})
	if got := haveAll(c, &ten, 4); got[1]+got[2] >= 20 || got[3] != 10 {
		t.Errorf("pieces left: %d", got)
	}
	if err := c.Remove(keyOf(0)); err == nil {
		t.Error("a folder that is not empty was removed")
	}
	if err := os.RemoveAll(states); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(keyOf(0)); err != nil {
		t.Error(err)
	}
	checkAccount(t, c)
}

// TestNoBlocksLeftBehind reads a torrent several times whose pieces share blocks, through a cache that holds little of it.
func TestNoBlocksLeftBehind(t *testing.T) {
	g := Geometry{PieceLength: 10_001, Pieces: 400, Size: 399*10_001 + 5000}
	dir := t.TempDir()
	c := openCache(t, dir, 12*g.cost(0)+g.statesCost())
	p := mustOpen(t, c, keyOf(0), g)
	e := startEngine(p)
	defer e.close()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	for i := range 2 * g.Pieces {
		piece := i * 7 % g.Pieces
		if err := read(ctx, p, Span{piece, piece}, func() {}); err != nil {
			t.Fatalf("piece %d: %v", piece, err)
		}
		if disk := onDisk(dir); disk > c.limit+g.cost(0) {
			t.Fatalf("after %d reads %d bytes are on disk, the limit is %d", i, disk, c.limit)
		}
	}
	await(t, "little is left behind", func() bool {
		c.measure()
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.overhead <= 2*blockSize // where a file system writes down what is where
	})
	// That is so as well for what is evicted while it is closed, as far as anything is left.
	mustClose(t, p)
	c.SetLimit(3 * g.cost(0))
	await(t, "the limit is reached", func() bool { used, limit := c.Use(); return used <= limit })
	checkAccount(t, c)
	pieces, _ := c.Have(keyOf(0), &g, 0, 0)
	if disk := onDisk(dir); disk > int64(pieces)*g.cost(0)+g.statesCost()+2*blockSize {
		t.Errorf("%d pieces take %d bytes", pieces, disk)
	}
}

// readOnly makes a file one that cannot be written, until the function is called that it returns.
func readOnly(t testing.TB, f *os.File) (undo func()) {
	t.Helper()
	fd := int(f.Fd())
	before, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Dup3(int(other.Fd()), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(unix.Dup3(before, fd, unix.O_CLOEXEC), unix.Close(before)); err != nil {
			t.Error(err)
		}
	}
}

// TestEvictFails has a disk that cannot be written for a while: nothing is lost, and eviction goes on afterwards.
func TestEvictFails(t *testing.T) {
	c := openCache(t, t.TempDir(), 2*tenCost)
	p := mustOpen(t, c, keyOf(0), ten)
	fill(t, p, Span{0, 9})
	writable := readOnly(t, p.File())
	c.SetLimit(tenCost / 2)
	await(t, "evicting fails", func() bool { _, suspect := p.Counts(); return suspect > 0 })
	for i := range ten.Pieces {
		// It may be on its way out just now.
		await(t, "the piece is there still", func() bool {
			return p.Check(t.Context(), Span{i, i}) == nil && p.State(i) == Present
		})
	}
	writable()
	await(t, "the limit is reached", func() bool { used, limit := c.Use(); return used <= limit })
	checkAccount(t, c)
	if _, err := p.ReadAt(0, make([]byte, 1), 0); !errors.Is(err, ErrMissing) && err != nil {
		t.Error(err)
	}
	c.SetLimit(2 * tenCost)
	fill(t, p, Span{0, 9})
}

// TestNoHoles is about disks that cannot free a part of a file.
func TestNoHoles(t *testing.T) {
	for _, open := range []bool{false, true} {
		dir := t.TempDir()
		c := openCache(t, dir, 2*tenCost+tenCost/2)
		c.noHoles.Store(true)
		if got := c.Least(&ten, 1, nil); got != tenCost {
			t.Errorf("at least %d bytes are needed, want %d", got, tenCost)
		}
		for i := range 5 {
			p := mustOpen(t, c, keyOf(i), ten)
			fill(t, p, Span{0, 9})
			p.Want(Span{0, 9}, Ahead, 1, 0) // of who reads on, or has hung up
			p.Want(Span{0, 9}, Ahead, -1, 0)
			if !open {
				mustClose(t, p)
			}
			checkAccount(t, c)
		}
		full := 0
		for i, n := range haveAll(c, &ten, 5) {
			switch n {
			case 10:
				full++
			case 0:
			default:
				t.Errorf("%d pieces of torrent %d are left, want all or none", n, i)
			}
		}
		if full != 2 {
			t.Errorf("%d torrents are left, want 2", full)
		}
		for i := range 5 {
			p := c.open[keyOf(i)]
			if p == nil {
				p = mustOpen(t, c, keyOf(i), ten)
			}
			fill(t, p, Span{0, 9}) // which compares
			mustClose(t, p)
		}

		// What was given up half way stays in the way of nothing.
		p := mustOpen(t, c, keyOf(4), ten)
		if present, suspect := p.Counts(); present != 10 || suspect != 0 {
			t.Errorf("%d present and %d suspect pieces, want 10 and none", present, suspect)
		}
		mustClose(t, p)
		p = mustOpen(t, c, keyOf(5), ten)
		fill(t, p, Span{2, 4})
		c.assemblies.left = 0 // it goes to the disk at once
		p.Want(Span{7, 7}, Now, 1, ticket.Add(1))
		await(t, "there is room", func() bool {
			_, err := p.WriteAt(7, []byte("part"), 0)
			p.mu.Lock()
			defer p.mu.Unlock()
			return err == nil && p.slots[7].has(partial)
		})
		mustClose(t, p)
		checkAccount(t, c)
		c.assemblies.left = assemblyLimit
		p = mustOpen(t, c, keyOf(5), ten)
		if present, suspect := p.Counts(); present != 3 || suspect != 0 {
			t.Errorf("%d present and %d suspect pieces, want 3 and none", present, suspect)
		}
		fill(t, p, Span{0, 9})
		checkAccount(t, c)
	}
}

// TestUsedIsNotEvicted holds and wants pieces while the limit is lowered.
func TestUsedIsNotEvicted(t *testing.T) {
	c := openCache(t, t.TempDir(), 2*tenCost)
	p := mustOpen(t, c, keyOf(0), ten)
	fill(t, p, Span{0, 9})
	if !p.Hold(Span{2, 4}) {
		t.Fatal("the pieces are not there")
	}
	c.SetLimit(blockSize)
	await(t, "the rest is evicted", func() bool { present, _ := p.Counts(); return present == 3 })
	if !c.Blocked() && p.State(3) != Present {
		t.Error("a piece that is held was evicted")
	}
	p.Release(Span{2, 4})
	await(t, "all is evicted", func() bool { present, _ := p.Counts(); return present == 0 })
	checkAccount(t, c)
}

// TestNoHolesWhileFetched wants a piece while a torrent is evicted as a whole: none is written into the file that is about to be emptied.
func TestNoHolesWhileFetched(t *testing.T) {
	c := openCache(t, t.TempDir(), 1<<30)
	c.noHoles.Store(true)
	p := mustOpen(t, c, keyOf(0), ten)
	fill(t, p, Span{0, 0})
	p.Fetch(true)
	c.evicting.Lock()
	doomed, _ := p.doomAll()
	p.Want(Span{1, 1}, Now, 1, ticket.Add(1))
	fetch := func() {
		write(t, p, 1)
		_, err := p.Hash(1, io.Discard, p.length(1))
		if err == nil {
			p.Verified(1)
		}
		if err != nil && !errors.Is(err, ErrTorn) {
			t.Fatal(err)
		}
	}
	fetch()
	err := p.dropDoomed(batch{pieces: doomed})
	c.evicting.Unlock()
	if len(doomed) != 1 || err != nil {
		t.Fatalf("%d pieces were evicted, %v", len(doomed), err)
	}
	if p.Ready(Span{1, 1}) {
		t.Error("the piece is taken for present, and its data is gone")
	}
	p.Reset(1)
	fetch()
	b := make([]byte, p.length(1))
	if _, err := p.ReadAt(1, b, 0); err != nil || !bytes.Equal(b, content(p.key, &p.Geometry, 1)) {
		t.Errorf("it cannot be fetched afterwards: %v", err)
	}
	p.Want(Span{1, 1}, Now, -1, ticket.Load())
	checkAccount(t, c)
}

// TestClosedWaitForNothing closes torrents whose pieces were wanted while there is no room: nothing of them is kept in memory.
func TestClosedWaitForNothing(t *testing.T) {
	c := openCache(t, t.TempDir(), tenCost/4)
	p := mustOpen(t, c, keyOf(0), ten)
	c.Pin(keyOf(0), true)
	p.Want(Span{0, 9}, Now, 1, ticket.Add(1)) // more than fits
	for _, u := range []Urgency{Now, Ahead} {
		q := mustOpen(t, c, keyOf(1), ten)
		q.Want(Span{0, 9}, u, 1, ticket.Add(1))
		mustClose(t, q)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range append(c.waitNow, c.waitAhead...) {
		if r.pieces != p {
			t.Fatalf("piece %d of a closed torrent waits for room", r.piece)
		}
	}
	if len(c.waitNow) == 0 {
		t.Error("nothing waits for room, so nothing was tested")
	}
}

// TestEvictorRests has somebody wait for room that cannot be made: the evictor is not to look again and again.
func TestEvictorRests(t *testing.T) {
	const piece = 64 << 10
	g := Geometry{PieceLength: piece, Pieces: 8, Size: 8 * piece}
	c := openCache(t, t.TempDir(), 5*piece)
	p := mustOpen(t, c, keyOf(0), g)
	p.Want(Span{0, 3}, Now, 1, 1)
	if err := c.Close(); err != nil { // it is called here
		t.Fatal(err)
	}
	p.Want(Span{4, 7}, Ahead, 1, 0)
	select {
	case <-c.kick:
	default:
		t.Error("a wish for which there is no room did not wake the evictor")
	}
	if freed, err := c.evict(); freed > 0 || err != nil {
		t.Errorf("evicted %d bytes, %v", freed, err)
	}
	if !c.Blocked() {
		t.Error("nobody waits for room")
	}
	select {
	case <-c.kick:
		t.Error("the evictor woke itself")
	default:
	}
}
