package inflate

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// small has a Reader note checkpoints at the end of each block, nearly.
func small(r *Reader) *Reader {
	r.spacing, r.longest = 1, chunkLength
	return r
}

// gzipped compresses as gzip members with parts of the content, with all fields that a header may have.
func gzipped(t testing.TB, plain []byte, part int) []byte {
	t.Helper()
	var b bytes.Buffer
	for i := 0; i < len(plain) || i == 0; i += part {
		w, err := gzip.NewWriterLevel(&b, 1+i/part%9)
		if err != nil {
			t.Fatal(err)
		}
		w.Name, w.Comment, w.Extra = "name", "comment", []byte("extra")
		if _, err := w.Write(plain[i:min(len(plain), i+part)]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// readAll reads everything in parts, from the front.
func readAll(t testing.TB, r *Reader, part int) []byte {
	t.Helper()
	var b []byte
	for p := make([]byte, part); ; {
		n, err := r.ReadAt(t.Context(), p, int64(len(b)))
		b = append(b, p[:n]...)
		if errors.Is(err, io.EOF) {
			return b
		}
		if err != nil {
			t.Fatalf("read at %d: %v", len(b), err)
		}
	}
}

// readSome compares reads at random places.
func readSome(t testing.TB, r *Reader, plain []byte, random *rand.Rand, count int) {
	t.Helper()
	for range count {
		off := random.IntN(len(plain) + 1)
		p := make([]byte, 1+random.IntN(1<<(1+random.IntN(18))))
		n, err := r.ReadAt(t.Context(), p, int64(off))
		want := plain[off:min(len(plain), off+len(p))]
		if !bytes.Equal(p[:n], want) {
			t.Fatalf("read of %d bytes at %d: %d bytes, not those of the content (%v)", len(p), off, n, err)
		}
		if isEnd := n < len(p); isEnd != errors.Is(err, io.EOF) || !isEnd && err != nil {
			t.Fatalf("read of %d bytes at %d of %d: %v", len(p), off, len(plain), err)
		}
	}
}

// fixture is content in one of the ways it is found.
type fixture struct {
	name       string
	plain      []byte
	compressed []byte
	format     Format
}

func fixtures(t testing.TB) (list []fixture) {
	text := sample(3, 900<<10)
	mixed := append(append(incompressible(1, 200<<10), text[:300<<10]...), make([]byte, 300<<10)...)
	levels, seeds := []int{-2, 0, 1, 6, 9, 106}, uint64(8)
	if testing.Short() {
		levels, seeds = []int{0, 1, 6, 106}, 3
	}
	for _, level := range levels {
		list = append(list, fixture{fmt.Sprint("level", level), mixed, deflated(t, mixed, level), Raw})
	}
	for seed := range seeds {
		plain, compressed := generate(seed+1000, 300<<10)
		list = append(list, fixture{fmt.Sprint("generated", seed), plain, compressed, Raw})
	}
	for _, part := range []int{1 << 20, 64 << 10, 5000} {
		list = append(list, fixture{fmt.Sprint("gzip", part), mixed, gzipped(t, mixed, part), Gzip})
	}
	garbage := append(gzipped(t, text, 400<<10), "\x00\x00garbage"...)
	return append(list, fixture{"garbage behind gzip", text, garbage, Gzip}, fixture{"garbage behind", text, append(deflated(t, text, 6), "PK"...), Raw},
		fixture{"empty", nil, deflated(t, nil, 6), Raw}, fixture{"empty gzip", nil, gzipped(t, nil, 1), Gzip})
}

func (f *fixture) open(t testing.TB, size int64, index []byte) *Reader {
	t.Helper()
	return newReader(t, Options{
		Source: memory(f.compressed), Compressed: int64(len(f.compressed)), Size: size, Format: f.format, Index: index,
	})
}

func TestReadsAnywhere(t *testing.T) {
	for _, f := range fixtures(t) {
		for _, size := range []int64{int64(len(f.plain)), UnknownSize} {
			t.Run(fmt.Sprint(f.name, "/", size), func(t *testing.T) {
				random := rand.New(rand.NewPCG(1, uint64(len(f.compressed))))
				r := small(f.open(t, size, nil))
				readSome(t, r, f.plain, random, 20)
				if got := readAll(t, r, 10_000); !bytes.Equal(got, f.plain) {
					t.Fatal("from the front, content is wrong")
				}
				if size, known := r.Size(); !known || size != int64(len(f.plain)) {
					t.Errorf("size is %d, %v", size, known)
				}
				if err := r.Damage(); err != nil {
					t.Error(err)
				}
				index, progress := r.Index()
				if size == UnknownSize && progress != 1 && len(r.points) > 1 {
					t.Errorf("after all was read, progress is %v", progress)
				}

				again := small(f.open(t, size, index))
				if len(again.points) != len(r.points) {
					t.Fatalf("%d checkpoints were saved, %d loaded", len(r.points), len(again.points))
				}
				if _, known := again.Size(); !known {
					t.Error("the size was not saved")
				}
				readSome(t, again, f.plain, random, 40)
			})
		}
	}
}

func TestIndexSavesWork(t *testing.T) {
	f := fixtures(t)[2]
	r := small(f.open(t, int64(len(f.plain)), nil))
	readAll(t, r, 1<<16)
	index, _ := r.Index()
	again := f.open(t, int64(len(f.plain)), index)
	p := make([]byte, 10)
	if _, err := again.ReadAt(t.Context(), p, int64(len(f.plain)-100)); err != nil {
		t.Fatal(err)
	}
	if inflated := again.cache.Stats().Inflated; inflated > int64(len(f.plain)/3) {
		t.Errorf("with an index a read near the end inflated %d bytes of %d", inflated, len(f.plain))
	}
}

func TestIndexThatDoesNotFitIsIgnored(t *testing.T) {
	f := fixtures(t)[2]
	size := int64(len(f.plain))
	r := small(f.open(t, size, nil))
	if _, err := r.ReadAt(t.Context(), make([]byte, 1), size/2); err != nil {
		t.Fatal(err)
	}
	half, progress := r.Index()
	if progress < 0.3 || progress > 0.97 {
		t.Errorf("in the middle, progress is %v", progress)
	}
	other := newReader(t, Options{Source: memory(f.compressed), Compressed: int64(len(f.compressed)) - 1, Size: size, Index: half})
	if len(other.points) != 1 {
		t.Error("the index of other data was taken")
	}
	for i := range half {
		broken := bytes.Clone(half)
		broken[i] ^= 0x10
		if r := f.open(t, size, broken); len(r.points) != 1 || r.cut != 0 {
			t.Fatalf("an index with byte %d changed was taken", i)
		}
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, index := range [][]byte{half, half[:len(half)/2], half[:3], []byte("garbage"), nil} {
		readSome(t, small(f.open(t, size, index)), f.plain, random, 20)
	}
	if again := f.open(t, size, half); len(again.points) != len(r.points) || again.cut == 0 {
		t.Error("an index of half the data was not taken")
	}
}

// TestOutOfOrder reads as an NFS client does: 8 requests at a time, in any order within 16.
func TestOutOfOrder(t *testing.T) {
	plain := sample(9, 24<<20)
	compressed := deflated(t, plain, 6)
	cache := NewCache(DefaultCacheLimit)
	r := newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: int64(len(plain)), Cache: cache})
	for pass := range 2 {
		const part = 128 << 10
		random := rand.New(rand.NewPCG(1, 2))
		offsets := make(chan int)
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				p := make([]byte, part)
				for off := range offsets {
					n, err := r.ReadAt(t.Context(), p, int64(off))
					if err != nil || !bytes.Equal(p[:n], plain[off:off+part]) {
						t.Errorf("read at %d: %d bytes, %v", off, n, err)
					}
				}
			})
		}
		before := cache.Stats().Inflated
		for first := 0; first < len(plain); first += 16 * part {
			for _, i := range random.Perm(min(16, (len(plain)-first)/part)) {
				offsets <- first + i*part
			}
		}
		close(offsets)
		readers.Wait()
		if ratio := float64(cache.Stats().Inflated-before) / float64(len(plain)); ratio > 1.1 {
			t.Errorf("pass %d inflated %.2f bytes for each one delivered", pass, ratio)
		}
		cache.charge(DefaultCacheLimit) // all segments go
		cache.charge(-DefaultCacheLimit)
	}
	index, _ := r.Index()
	if share := float64(len(index)) / float64(len(plain)); share > 0.005 { // of this content, which refers to more of the window than most
		t.Errorf("the index takes %.2f %% of the data", share*100)
	}
	if points := len(r.points); points < 16 || points > 20 {
		t.Errorf("%d checkpoints in 24 MiB", points)
	}
}

func TestCacheCountsWhatItTakes(t *testing.T) {
	plain := sample(9, 6<<20)
	compressed := deflated(t, plain, 6)
	cache := NewCache(3200 << 10)
	open := func() *Reader {
		return newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: int64(len(plain)), Cache: cache})
	}
	readers := []*Reader{open(), open()}
	for _, r := range readers {
		readSome(t, r, plain, rand.New(rand.NewPCG(1, 1)), 50)
		if s := cache.Stats(); s.Used > 3200<<10 || s.Segments == 0 {
			t.Errorf("with reads that are over it takes %d bytes for %d segments", s.Used, s.Segments)
		}
	}
	for _, r := range readers {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s := cache.Stats(); s.Used != 0 || s.Segments != 0 {
		t.Errorf("with all closed it takes %d bytes for %d segments", s.Used, s.Segments)
	}
	if _, err := readers[0].ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("read of a closed Reader: %v", err)
	}
}

func TestZeros(t *testing.T) {
	plain := make([]byte, 40<<20)
	compressed := deflated(t, plain, 9)
	r := newReader(t, Options{Source: memory(compressed), Compressed: int64(len(compressed)), Size: int64(len(plain))})
	readSome(t, r, plain, rand.New(rand.NewPCG(1, 1)), 30)
}

// TestOneBlock reads data without any checkpoint, of which most has to be decoded again for a read near the end.
func TestOneBlock(t *testing.T) {
	g := &generator{random: rand.New(rand.NewPCG(1, 1))}
	g.compressed(40<<20, true, true)
	g.Align()
	cache := NewCache(20 << 20)
	r := newReader(t, Options{Source: memory(g.Out), Compressed: int64(len(g.Out)), Size: int64(len(g.plain)), Cache: cache})
	for range 2 {
		before := cache.Stats().Inflated
		if got := readAll(t, r, 1<<20); !bytes.Equal(got, g.plain) {
			t.Fatal("content is wrong")
		}
		if inflated := cache.Stats().Inflated - before; inflated > int64(len(g.plain))*3/2 {
			t.Errorf("reading %d bytes from the front inflated %d", len(g.plain), inflated)
		}
		if s := cache.Stats(); s.Used > 20<<20 {
			t.Errorf("it takes %d bytes", s.Used)
		}
	}
	readSome(t, r, g.plain, rand.New(rand.NewPCG(1, 1)), 5)
	if index, _ := r.Index(); len(index) > 100 {
		t.Errorf("the index of data without checkpoints takes %d bytes", len(index))
	}
}

// TestBlocksWithoutContent reads what would take seconds to find that there is nothing.
func TestBlocksWithoutContent(t *testing.T) {
	g := &generator{random: rand.New(rand.NewPCG(1, 1))}
	for range 2 << 20 {
		g.Put(2, 3) // fixed codes, of which that of the end is seven zeros
		g.Put(0, 7)
	}
	g.stored([]byte("content"), true)
	empty := gzipped(t, nil, 1)
	for _, f := range []fixture{{"blocks", nil, g.Out, Raw}, {"members", nil, bytes.Repeat(empty, 4<<20/len(empty)), Gzip}} {
		r := f.open(t, UnknownSize, nil)
		if n, err := r.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "no content") {
			t.Errorf("%s: %d bytes, %v", f.name, n, err)
		}
	}
}

func TestImpossibleSizesAreRefused(t *testing.T) {
	for _, sizes := range [][2]int64{{10, 10321}, {-1, 5}, {0, 1}, {10, -2}, {1 << 60, 5}} {
		_, err := Open(Options{Source: memory(nil), Cache: NewCache(0), Pool: NewPool(1, 1), Compressed: sizes[0], Size: sizes[1]})
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes that make %d: %v", sizes[0], sizes[1], err)
		}
	}
	if _, err := Open(Options{}); err == nil || errors.Is(err, ErrFormat) {
		t.Errorf("without anything: %v", err)
	}
}

func TestDamage(t *testing.T) {
	plain := sample(5, 500<<10)
	raw, zipped := deflated(t, plain, 6), gzipped(t, plain, 200<<10)
	changed := func(b []byte, at int, to ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], to)
		return b
	}
	size := int64(len(plain))
	for name, c := range map[string]struct {
		compressed []byte
		format     Format
		size       int64
		good       int64 // bytes that can be read
		reason     string
	}{
		"truncated":          {raw[:len(raw)/2], Raw, size, 200 << 10, "ends too early"},
		"truncated, unknown": {zipped[:len(zipped)/2], Gzip, UnknownSize, 200 << 10, "ends too early"},
		"less than said":     {raw, Raw, size + 1, size, "more was announced"},
		"more than said":     {raw, Raw, size - 1, size - 1, "no more was announced"},
		"reserved block":     {append(deflatedOpen(t, plain), 0xff, 0xff), Raw, size + 10, size, "corrupt"},
		"no gzip":            {raw, Gzip, UnknownSize, 0, "does not begin"},
		"gzip of method 7":   {changed(zipped, 2, 7), Gzip, UnknownSize, 0, "method 7"},
		"gzip with flags":    {changed(zipped, 3, 0x20), Gzip, UnknownSize, 0, "flags 0x20"},
		"gzip with a name without end": {
			append([]byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte("a"), 1<<20)...),
			Gzip, UnknownSize, 0, "longer than",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := fixture{name, plain, c.compressed, c.format}
			r := small(f.open(t, c.size, nil))
			for range 2 {
				p := make([]byte, size+2)
				n, err := r.ReadAt(t.Context(), p, 0)
				if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.reason) {
					t.Errorf("error is %v", err)
				}
				if int64(n) < c.good || !bytes.Equal(p[:n], plain[:n]) {
					t.Errorf("%d bytes could be read of %d good ones", n, c.good)
				}
				if !errors.Is(r.Damage(), ErrFormat) {
					t.Errorf("damage is %v", r.Damage())
				}
			}
			if _, progress := r.Index(); progress == 1 {
				t.Error("the index of damaged data is complete")
			}
		})
	}
}

func TestWrongChecksumSpoilsNoRead(t *testing.T) {
	plain := sample(5, 500<<10)
	for _, fromEnd := range []int{1, 5} { // the length, the checksum
		compressed := gzipped(t, plain, 200<<10)
		compressed[len(compressed)-fromEnd] ^= 1
		f := fixture{"", plain, compressed, Gzip}
		r := small(f.open(t, UnknownSize, nil))
		if got := readAll(t, r, 1000); !bytes.Equal(got, plain) {
			t.Errorf("%d bytes could be read", len(got))
		}
		if err := r.Damage(); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("damage is %v", err)
		}
	}
}

// deflatedOpen compresses without an end.
func deflatedOpen(t testing.TB, plain []byte) []byte {
	t.Helper()
	all := deflated(t, plain, 6)
	return all[:bytes.LastIndex(all, []byte{0, 0, 0xff, 0xff})+4]
}
