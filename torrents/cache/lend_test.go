package cache

import (
	"bytes"
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
	g := Geometry{PieceLength: groupSize, Pieces: 5, Size: 4*groupSize + 100_000}
	c := openCache(t, t.TempDir(), 1<<30)
	p := mustOpen(t, c, keyOf(0), g)
	fill(t, p, Span{0, g.Pieces - 1})
	if !p.Lend() {
		t.Skip("groups of pages are larger here")
	}
	for _, fromDisk := range []bool{false, true} {
		for parity := range 2 {
			lend(t, p, parity, fromDisk)
			fill(t, p, Span{0, g.Pieces - 1})
		}
	}
}

// TestLendSmallPieces has pieces that may be parts of groups of pages: they stay for a while, and while that is in the way, and in
// small caches, nothing is lent.
func TestLendSmallPieces(t *testing.T) {
	c := openCache(t, t.TempDir(), lendRoom)
	p := mustOpen(t, c, keyOf(0), ten)
	fill(t, p, Span{0, 9})
	c.SetLimit(lendRoom - 1)
	if p.Lend() {
		t.Error("a small cache lends")
	}
	c.lendRoom = tenCost
	some := Span{2, 4}
	if !p.Hold(some) || !p.Lend() {
		t.Fatal("a large cache does not lend")
	}
	began := time.Now()
	p.ReleaseLent(some)
	c.SetLimit(1)
	await(t, "lent pieces go", func() bool { return p.State(3) == Missing })
	if took := time.Since(began); took < lendTime-tickTime {
		t.Errorf("lent pieces were evicted after %v, want %v", took, lendTime)
	}
	c.SetLimit(lendRoom)
	if p.Lend() {
		t.Error("lending was in the way, and goes on")
	}
	checkAccount(t, c)
}

// lend is one round of TestLend, in which every second piece is evicted.
func lend(t *testing.T, p *Pieces, parity int, fromDisk bool) {
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
	to, from := connected(t)
	sent, err := sendFile(from, int(data.Fd()), groupSize+groupSize/2)
	p.Release(all)
	if err != nil || sent < 1<<20 {
		t.Fatalf("%d bytes were sent, %v", sent, err)
	}
	var doomed []int
	for i := parity; i < p.Len(); i += 2 {
		if p.doom(i, classFree) {
			doomed = append(doomed, i)
		}
	}
	p.cache.evicting.Lock()
	err = p.dropDoomed(doomed)
	p.cache.evicting.Unlock()
	if err != nil || len(doomed) < p.Len()/2 {
		t.Fatalf("%d pieces were evicted, %v", len(doomed), err)
	}
	got := make([]byte, sent)
	if _, err := io.ReadFull(to, got); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for i := range p.Len() {
		want.Write(content(p.key, &p.Geometry, i))
	}
	if !bytes.Equal(got, want.Bytes()[:sent]) {
		t.Errorf("pieces of %d, from the disk %v: of %d bytes that were sent, some are not those of the pieces: %d are zeros",
			p.PieceLength, fromDisk, sent, bytes.Count(got, []byte{0}))
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

// sendFile sends as much of the first n bytes of a file as the connection takes at once.
func sendFile(conn *net.TCPConn, file int, n int64) (sent int64, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	other := raw.Control(func(fd uintptr) {
		for err == nil && sent < n {
			_, err = unix.Sendfile(int(fd), file, &sent, int(n-sent))
		}
		if errors.Is(err, unix.EAGAIN) {
			err = nil
		}
	})
	return sent, errors.Join(err, other)
}
