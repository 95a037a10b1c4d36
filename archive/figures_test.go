package archive

import (
	stdzip "archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"shoal/archive/rar/rartest"
	"shoal/archive/spool"
)

// pieces is a File of a torrent that counts which pieces of it are touched: each is a download.
type pieces struct {
	io.ReaderAt

	size   int64
	length int64 // of a piece, in bytes
	offset int64 // of the file in the torrent

	*touched
}

type touched struct {
	mu     sync.Mutex
	pieces map[int64]bool
}

func newTouched() *touched { return &touched{pieces: make(map[int64]bool)} }

// take returns how many pieces were touched since the last call.
func (t *touched) take() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.pieces)
	clear(t.pieces)
	return n
}

func (p *pieces) touch(off, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := p.offset + off; n > 0; {
		p.pieces[at/p.length] = true
		step := p.length - at%p.length
		at, n = at+step, n-step
	}
}

func (p *pieces) Size() int64 { return p.size }

func (p *pieces) ReadAt(_ context.Context, b []byte, off int64) (int, error) {
	p.touch(off, min(int64(len(b)), p.size-off))
	return io.NewSectionReader(p.ReaderAt, 0, p.size).ReadAt(b, off)
}

func (p *pieces) Ready(int64, int) bool { return false }

func (p *pieces) Await(_ context.Context, off int64, n int) (func(), error) {
	p.touch(off, min(int64(n), p.size-off))
	return func() {}, nil
}

// holes writes to a file, and leaves out what is only zeros.
type holes struct{ *os.File }

var zeros [64 << 10]byte

func (h holes) Write(b []byte) (int, error) {
	if len(b) <= len(zeros) && bytes.Equal(b, zeros[:len(b)]) {
		_, err := h.Seek(int64(len(b)), io.SeekCurrent)
		return len(b), err
	}
	return h.File.Write(b)
}

// writeManyZip makes a zip of stored members, each with its number at its beginning and zeros behind it. It takes next to nothing on a disk.
func writeManyZip(t *testing.T, path string, members int, size uint64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := stdzip.NewWriter(holes{f})
	for i := range members {
		b := binary.BigEndian.AppendUint64(nil, uint64(i))
		part, err := w.CreateRaw(&stdzip.FileHeader{
			Name: fmt.Sprintf("folder %d/member %d.bin", i%110, i), Method: stdzip.Store, CompressedSize64: size, UncompressedSize64: size, // nobody looks at the CRC
		})
		if err == nil {
			_, err = part.Write(b)
		}
		for left := size - uint64(len(b)); err == nil && left > 0; {
			n := min(left, uint64(len(zeros)))
			_, err = part.Write(zeros[:n])
			left -= n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestManyZipPieces opens a zip of 2,000 members in 4 GiB, by two pieces of 4 MiB to list it and two more for a member.
func TestManyZipPieces(t *testing.T) {
	const members, size = 2000, 2 << 20
	path := filepath.Join(t.TempDir(), "many.zip")
	writeManyZip(t, path, members, size)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file := &pieces{ReaderAt: f, size: st.Size(), length: 4 << 20, touched: newTouched()}
	store := newStore(t, t.TempDir())
	list, err := store.Archive("t/0", "many.zip", file, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listing := file.take()
	if listing == 0 || listing > 2 {
		t.Errorf("listing %d bytes of zip touches %d pieces, want at most 2", file.size, listing)
	}
	files := slices.DeleteFunc(list, func(m Member) bool { return m.Dir })
	if len(files) != members {
		t.Errorf("there are %d members, want %d", len(files), members)
	}
	for i := 0; i < len(files); i += 97 {
		m := files[i]
		b := make([]byte, 4096)
		if n, err := m.File.ReadAt(t.Context(), b, 0); n < len(b) || err != nil {
			t.Fatalf("%q: %d bytes, %v", m.Name, n, err)
		}
		if want := fmt.Sprintf("member %d.bin", binary.BigEndian.Uint64(b)); m.Name != want || m.Size != size {
			t.Errorf("in %q of %d bytes is %q", m.Name, m.Size, want)
		}
		if n := file.take(); n == 0 || n > 2 {
			t.Errorf("a read in %q touches %d pieces, want at most 2", m.Name, n)
		}
	}
}

// TestVolumesPieces seeks to the middle of a film in 21 volumes of RAR, by four pieces of the torrent, listing included.
func TestVolumesPieces(t *testing.T) {
	const size, volumeSize, pieceLength = 1 << 30, 52_000_000, 4 << 20
	film := rartest.Pattern{Seed: 1}
	for _, format := range []int{4, 5} {
		volumes, err := rartest.Write(rartest.Options{Format: format, VolumeSize: volumeSize},
			rartest.File{Name: "film.mkv", Data: film, Size: size, ModTime: rartest.Time})
		if err != nil {
			t.Fatal(err)
		}
		all := newTouched()
		folder := make(piecesFolder)
		var offset int64
		for i, v := range volumes {
			folder[fmt.Sprintf("film.part%02d.rar", i+1)] = &pieces{ReaderAt: v, size: v.Size(), length: pieceLength, offset: offset, touched: all}
			offset += v.Size()
		}
		if len(volumes) != 21 {
			t.Fatalf("format %d: there are %d volumes", format, len(volumes))
		}
		a := newStore(t, t.TempDir()).Archive("t/1", "film.part01.rar", folder["film.part01.rar"], folder)
		list, err := a.Members(t.Context())
		if err != nil || len(list) != 1 || list[0].Size != size {
			t.Fatalf("format %d: the members are %v, %v", format, list, err)
		}
		got, want := make([]byte, 64<<10), make([]byte, 64<<10)
		if n, err := list[0].File.ReadAt(t.Context(), got, size/2); n < len(got) || err != nil {
			t.Fatalf("format %d: in the middle are %d bytes, %v", format, n, err)
		}
		if _, _ = film.ReadAt(want, size/2); !bytes.Equal(got, want) {
			t.Errorf("format %d: other bytes are in the middle", format)
		}
		if n := all.take(); n == 0 || n > 4 {
			t.Errorf("format %d: listing and a read in the middle touch %d pieces, want at most 4", format, n)
		}
	}
}

type piecesFolder map[string]*pieces

func (v piecesFolder) File(name string) (File, bool) {
	f, ok := v[name]
	return f, ok
}

// smallStore returns a store that keeps a part of the segments of a member only.
func smallStore(t *testing.T, dir string) *Store {
	t.Helper()
	return openStore(t, dir, Options{Spool: spool.Options{Limit: func() int64 { return 0 }}, Segments: 7 << 20})
}

// TestDeflatedFigures reads a member in random places, and in disorder as an NFS client does, and looks at what that costs.
func TestDeflatedFigures(t *testing.T) {
	const pieceLength, window, read = 1 << 20, 16, 128 << 10
	content := text(1, 10<<20)
	z := makeZip(t, zipEntry{name: "text", data: content})
	file := &pieces{ReaderAt: bytes.NewReader(z), size: int64(len(z)), length: pieceLength, touched: newTouched()}
	dir := t.TempDir()
	store := smallStore(t, dir)
	list, err := store.Archive("t/0", "text.zip", file, nil).Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	member := list[0].File
	readAt := func(off int64, n int) {
		t.Helper()
		b := make([]byte, n)
		if got, err := member.ReadAt(t.Context(), b, off); got < n || err != nil || !bytes.Equal(b, content[off:][:n]) {
			t.Fatalf("at %d: %d bytes of %d, or others; %v", off, got, n, err)
		}
	}

	// In disorder, from the beginning to the end.
	r := rand.New(rand.NewPCG(1, 1))
	for first := 0; first < len(content); first += window * read {
		for _, i := range r.Perm(window) {
			readAt(int64(first+i*read), read)
		}
	}
	s := store.Stats()
	if s.Delivered != int64(len(content)) || s.Inflated < s.Delivered || float64(s.Inflated) > 1.1*float64(s.Delivered) {
		t.Errorf("%d bytes were inflated for %d that were read, want at most 1.1 times as many", s.Inflated, s.Delivered)
	}
	if s.Open != 1 || s.Segments == 0 || s.SegmentBytes < int64(s.Segments) {
		t.Errorf("the store says %+v, want one open member and its segments", s)
	}

	// What is learned stays on the disk, and is enough for a random read.
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	index, err := os.Stat(filepath.Join(dir, "index", "t", "0", "0"+pointsSuffix))
	if err != nil || float64(index.Size()) > 0.003*float64(len(content)) {
		t.Errorf("the index of %d bytes takes %d, want at most 0.3 %%; %v", len(content), index.Size(), err)
	}
	store = smallStore(t, dir)
	if list, err = store.Archive("t/0", "text.zip", file, nil).Members(t.Context()); err != nil {
		t.Fatal(err)
	}
	member = list[0].File
	readAt(0, 1) // finds out where the data begins
	for range 20 {
		before := store.Stats().Inflated
		file.take()
		readAt(r.Int64N(int64(len(content)-64<<10)), 64<<10)
		if n := file.take(); n > 2 {
			t.Errorf("a random read touches %d pieces, want at most 2", n)
		}
		if n := store.Stats().Inflated - before; n > 4<<20 {
			t.Errorf("a random read inflates %d bytes, want a segment or two", n)
		}
	}
}

// TestXZBlocksFigures reads in a file of many xz blocks near its end: that fetches what the block has, and what says where it is.
func TestXZBlocksFigures(t *testing.T) {
	const pieceLength, most = 32 << 10, 8 // of 64
	content := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // never fails
	data := compress(t, "xz in blocks", content)
	file := &pieces{ReaderAt: bytes.NewReader(data), size: int64(len(data)), length: pieceLength, touched: newTouched()}
	list, err := newStore(t, t.TempDir()).Archive("t/0", "a.bin.xz", file, nil).Members(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("the members are %v, %v", list, err)
	}
	b, off := make([]byte, 1000), int64(len(content)-150_000)
	if n, err := list[0].File.ReadAt(t.Context(), b, off); n < len(b) || !bytes.Equal(b, content[off:][:n]) {
		t.Errorf("%d bytes, or others; %v", n, err)
	}
	if n := file.take(); n > most {
		t.Errorf("listing it and a read near its end touch %d pieces, want at most %d", n, most)
	}
}

// TestCompressedTarFigures reads in random places of a tar.gz that is complete, and was listed: each read decodes a segment at the most, or
// two where it is in both.
func TestCompressedTarFigures(t *testing.T) {
	const most = 2 << 20 // of a segment, in bytes: it ends at the first block after 1.25 MiB
	content := text(1, 12<<20)
	file := &memory{data: compress(t, "gz", makeTar(t, "film", content))}
	store := smallStore(t, t.TempDir())
	list, err := store.Archive("t/0", "a.tar.gz", file, nil).Members(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("the members are %v, %v", list, err)
	}
	r := rand.New(rand.NewPCG(2, 2))
	b, decoded := make([]byte, 4096), 0
	for range 30 {
		before := store.Stats().Inflated
		off := r.Int64N(int64(len(content) - len(b)))
		if n, err := list[0].File.ReadAt(t.Context(), b, off); n < len(b) || err != nil || !bytes.Equal(b, content[off:][:len(b)]) {
			t.Fatalf("at %d: %d bytes, or others; %v", off, n, err)
		}
		switch n := store.Stats().Inflated - before; {
		case n > most:
			t.Errorf("a read at %d decodes %d bytes, want a segment", off, n)
		case n > 0:
			decoded++
		}
	}
	if decoded == 0 {
		t.Error("no read has decoded anything: all was in memory")
	}
}
