package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLend gives pages of the file away, as a READ does, and evicts what they hold before anybody has received them. The kernel has
// read them from the disk, which it does in groups of pages, or has them still as they were written.
func TestLend(t *testing.T) {
	for name, g := range map[string]Geometry{
		"large pieces": {PieceLength: groupSize, Pieces: 5, Size: 4*groupSize + 100_000},
		"small pieces": {PieceLength: groupSize / 64, Pieces: 4*64 + 4, Size: 4*groupSize + 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := openCache(t, t.TempDir(), 1<<30)
			p := mustOpen(t, c, keyOf(0), g)
			fill(t, p, Span{0, g.Pieces - 1})
			if !p.Lend() {
				t.Skip("groups of pages are larger here")
			}
			for _, fromDisk := range []bool{false, true} {
				for parity := range 2 {
					evicted := lend(t, p, parity, fromDisk)
					for _, piece := range evicted {
						fill(t, p, Span{piece, piece})
					}
				}
			}
			checkAccount(t, c)
		})
	}
}

// lend is one round of TestLend, in which a piece of every second group is evicted. It returns those that were.
func lend(t *testing.T, p *Pieces, parity int, fromDisk bool) (evicted []int) {
	t.Helper()
	data, all := p.File(), Span{0, p.Len() - 1}
	if fromDisk {
		if err := errors.Join(data.Sync(), unix.Fadvise(int(data.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
			t.Fatal(err)
		}
	}
	if !p.Hold(all) {
		t.Fatal("the pieces are not there")
	}
	var want bytes.Buffer
	for i := range p.Len() {
		want.Write(content(p.key, &p.Geometry, i))
	}
	var checks []func()
	for _, off := range []int64{0, p.Size / groupSize * groupSize} { // of the end, too
		to, from := connected(t)
		n := min(groupSize+groupSize/2, p.Size-off)
		sent, err := sendFile(from, int(data.Fd()), off, n)
		if err != nil || sent < min(n, 1<<20) {
			t.Fatalf("%d bytes were sent, %v", sent, err)
		}
		checks = append(checks, func() {
			got := make([]byte, sent)
			if _, err := io.ReadFull(to, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want.Bytes()[off:off+sent]) {
				t.Errorf("from the disk %v: of %d bytes that were sent, some are not those of the pieces: %d are zeros",
					fromDisk, sent, bytes.Count(got, []byte{0}))
			}
		})
	}
	p.Release(all)
	const at = groupSize / 4 // where no group begins, with small pieces
	for off := int64(parity*groupSize + at); off < p.Size; off += 2 * groupSize {
		piece := int(off / p.PieceLength)
		if freed, err := p.Evict(Span{piece, piece}); freed == 0 || err != nil {
			t.Fatalf("%d bytes were evicted, %v", freed, err)
		}
	}
	if parity == p.Len()*int(p.PieceLength)/groupSize%2 {
		if _, err := p.Evict(Span{p.Len() - 1, p.Len() - 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, check := range checks {
		check()
	}
	for i := range p.Len() {
		if p.State(i) == Missing {
			evicted = append(evicted, i)
		}
	}
	return evicted
}

// TestLendSmallPieces has pieces that are parts of groups of pages: once some were lent, those of a group go together, or not at all, open
// or closed, and none gets room meanwhile. Small caches do not lend them.
func TestLendSmallPieces(t *testing.T) {
	const perGroup = 8
	g := Geometry{PieceLength: groupSize / perGroup, Pieces: 3 * perGroup, Size: 3 * groupSize}
	c := openCache(t, t.TempDir(), lendRoom)
	p := mustOpen(t, c, keyOf(0), g)
	fill(t, p, Span{0, g.Pieces - 1})
	evict := func(piece int) {
		t.Helper()
		if _, err := p.Evict(Span{piece, piece}); err != nil {
			t.Fatal(err)
		}
	}
	c.SetLimit(lendRoom - 1)
	if p.Lend() {
		t.Error("a small cache lends")
	}
	evict(0)
	if present, _ := p.Counts(); present != g.Pieces-1 {
		t.Errorf("of what was not lent %d pieces are left, want %d", present, g.Pieces-1)
	}
	c.SetLimit(lendRoom)
	held := Span{perGroup, perGroup}
	if !p.Hold(held) || !p.Lend() {
		t.Fatal("a large cache does not lend")
	}
	evict(perGroup + 3)
	if present, _ := p.Counts(); present != g.Pieces-1 {
		t.Errorf("beside one that is held %d pieces are left, want %d", present, g.Pieces-1)
	}
	p.Release(held)

	// What is not there of a group that is being freed has to wait until it is.
	c.evicting.Lock()
	var b batch
	if freed := p.doom(p.unit(3), classFree, &b); freed != (perGroup-1)*g.PieceLength || len(b.freed) != perGroup {
		t.Errorf("%d bytes are evicted, and %d pieces freed", freed, len(b.freed))
	}
	p.Fetch(true)
	p.Want(Span{0, 0}, Now, 1, ticket.Add(1))
	if p.slots[0].has(hasRoom) {
		t.Error("a piece got room that is being freed")
	}
	err := p.dropDoomed(b)
	c.evicting.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if !p.slots[0].has(hasRoom) {
		t.Error("it gets none afterwards")
	}
	p.Want(Span{0, 0}, Now, -1, ticket.Load())
	checkAccount(t, c)

	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	c.evicting.Lock()
	freed, err := c.evictClosed(1, false)
	c.evicting.Unlock()
	if freed != groupSize || err != nil {
		t.Errorf("%d bytes of the closed torrent were evicted, want %d; %v", freed, groupSize, err)
	}
}

// TestLendLeast reads a torrent that was lent once the cache has become as small as it may.
func TestLendLeast(t *testing.T) {
	g := Geometry{PieceLength: 16 << 10, Pieces: 512, Size: 8 << 20}
	c := openCache(t, t.TempDir(), lendRoom)
	p := mustOpen(t, c, keyOf(0), g)
	fill(t, p, Span{0, 63})
	if !p.Lend() {
		t.Fatal("it is not lent")
	}
	const most = 1 << 20
	c.SetLimit(c.Least(&g, most, p.tally))
	e := startEngine(p)
	defer e.close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, first := range []int{64, 100, 300, 420, 90} {
		if err := read(ctx, p, Span{first, first + 63}, func() {}); err != nil {
			t.Errorf("reading from piece %d: %v", first, err)
		}
	}
}

// TestLendNever has pieces of which groups of pages hold parts.
func TestLendNever(t *testing.T) {
	c := openCache(t, t.TempDir(), 1<<30)
	for i, length := range []int64{3 << 18, 3 << 20, 16 << 10 / 3, 1 << 10} {
		g := Geometry{PieceLength: length, Pieces: 2, Size: 2 * length}
		if p := mustOpen(t, c, keyOf(i), g); p.Lend() {
			t.Errorf("pieces of %d bytes are lent", length)
		}
	}
}

// connected returns the ends of a TCP connection.
func connected(t *testing.T) (to, from *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	from, err = l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close(); from.Close() })
	return to, from
}

// sendFile sends as much of the n bytes at off of a file as the connection takes at once.
func sendFile(conn *net.TCPConn, file int, off, n int64) (sent int64, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	at := off
	other := raw.Control(func(fd uintptr) {
		for err == nil && at < off+n {
			_, err = unix.Sendfile(int(fd), file, &at, int(off+n-at))
		}
		if errors.Is(err, unix.EAGAIN) {
			err = nil
		}
	})
	return at - off, errors.Join(err, other)
}
