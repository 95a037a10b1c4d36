package cache

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLend gives pages of the file away, as a READ does, and evicts what they hold before anybody has received them. The kernel has
// read them from the disk, which it does in groups of pages, or has them still as they were written.
func TestLend(t *testing.T) {
	for _, pieceLength := range []int64{16 << 10, 20 << 10, 256 << 10} {
		for _, fromDisk := range []bool{false, true} {
			g := Geometry{PieceLength: pieceLength, Pieces: int(2<<20/pieceLength) + 1, Size: 2<<20/pieceLength*pieceLength + 5000}
			c := openCache(t, t.TempDir(), 1<<30)
			p := mustOpen(t, c, keyOf(0), g)
			fill(t, p, Span{0, g.Pieces - 1})
			if !p.Lendable() {
				t.Skip("pages are larger than pieces here")
			}
			for parity := range 2 {
				lend(t, p, parity, fromDisk)
				fill(t, p, Span{0, g.Pieces - 1})
			}
		}
	}
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
	sent, err := sendFile(from, int(data.Fd()), p.Size)
	p.Release(all)
	if err != nil || sent < p.Size/4 {
		t.Fatalf("%d bytes were sent, %v", sent, err)
	}
	var doomed []int
	for i := parity; i < p.Len(); i += 2 {
		if p.doom(i, classFree) {
			doomed = append(doomed, i)
		}
	}
	p.cache.evicting.Lock()
	err = p.evict(doomed)
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
