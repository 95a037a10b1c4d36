package tar

import (
	stdtar "archive/tar"
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// archive builds archives with Go's writer.
type archive struct {
	t testing.TB
	b bytes.Buffer
	w *stdtar.Writer
}

func newArchive(t testing.TB) *archive {
	a := &archive{t: t}
	a.w = stdtar.NewWriter(&a.b)
	return a
}

func (a *archive) add(h stdtar.Header, data string) *archive {
	a.t.Helper()
	if h.Typeflag == 0 {
		h.Typeflag = stdtar.TypeReg
	}
	h.Size = int64(len(data))
	if err := a.w.WriteHeader(&h); err != nil {
		a.t.Fatal(err)
	}
	if _, err := io.WriteString(a.w, data); err != nil {
		a.t.Fatal(err)
	}
	return a
}

func (a *archive) bytes() []byte {
	a.t.Helper()
	if err := a.w.Close(); err != nil {
		a.t.Fatal(err)
	}
	return a.b.Bytes()
}

// forward fails reads that go back, and counts what is read.
type forward struct {
	io.ReaderAt
	t     testing.TB
	end   int64
	bytes int64
	reads int
}

func (f *forward) ReadAt(p []byte, off int64) (int, error) {
	if off < f.end {
		f.t.Errorf("reading at %d after having read up to %d", off, f.end)
	}
	n, err := f.ReaderAt.ReadAt(p, off)
	f.end = off + int64(n)
	f.bytes += int64(n)
	f.reads++
	return n, err
}

func walk(t testing.TB, b []byte, o Options) (*Index, error) {
	t.Helper()
	return Walk(t.Context(), &forward{ReaderAt: bytes.NewReader(b), t: t}, int64(len(b)), o)
}

func mustWalk(t testing.TB, b []byte, o Options) *Index {
	t.Helper()
	x, err := walk(t, b, o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// content reads a member by its extents. Holes are cut to a limit.
func content(archive []byte, m *Member) []byte {
	var out []byte
	for _, e := range m.Extents {
		if e.Off == Hole {
			out = append(out, make([]byte, min(e.Len, 1<<20))...)
			continue
		}
		out = append(out, archive[e.Off:e.Off+e.Len]...)
	}
	return out
}

// fixture reads a file of Go's own tests of archive/tar.
func fixture(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch filepath.Ext(path) {
	case ".base64":
		b, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(b)), ""))
	case ".bz2":
		b, err = io.ReadAll(bzip2.NewReader(bytes.NewReader(b)))
	}
	if err != nil {
		t.Fatal(path, err)
	}
	return b
}

// differences from Go's archive/tar, which gives up a whole archive where a field is wrong that nobody here needs, or a single
// member is.
var differences = map[string]string{
	"gnu-sparse-many-zeros.tar.bz2": "1 more are dropped", // Go, too, refuses the member, and all after it
	"invalid-go17.tar":              `"foo" type 1 to "", want "` + strings.Repeat("a", 97) + `/foo" type 0 to ""`,
	"pax-bad-mtime-file.tar":        "1 members, want 0, and then archive/tar: invalid tar header",
	"pax-nul-path.tar":              "1 more are dropped",
	"pax-nul-xattrs.tar":            "1 members, want 0, and then archive/tar: invalid tar header",
	"writer-big-long.tar.base64":    `"` + strings.Repeat("longname/", 15) + `16gig.txt" is missing`, // as its data are
	"writer-big.tar":                `"tmp/16gig.txt" is missing`,
}

func fixtures(t testing.TB) []string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src/archive/tar/testdata/*.tar*"))
	if err != nil || len(paths) < 40 {
		t.Fatalf("%d fixtures of Go's archive/tar: %v", len(paths), err)
	}
	return paths
}

// TestFixtures compares what is listed, and every byte, with Go's archive/tar for all its fixtures.
func TestFixtures(t *testing.T) {
	for _, path := range fixtures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b := fixture(t, path)
			got, err := walk(t, b, Options{MemberSize: -1})
			text := ""
			switch {
			case err != nil:
				text = err.Error()
			case got.Damage != "":
				text = got.Damage
			}
			if diff, want := compare(b, got), differences[filepath.Base(path)]; diff != want {
				t.Errorf("difference %q, want %q; %s", diff, want, text)
			}
		})
	}
}

// compare returns the first difference from Go's reader.
func compare(b []byte, x *Index) string {
	if x == nil {
		x = &Index{Damage: "all of it"}
	}
	r := stdtar.NewReader(bytes.NewReader(b))
	n, dropped := 0, x.Dropped.Special+x.Dropped.Names+x.Dropped.Sizes+x.Dropped.Sparse
	for {
		h, err := r.Next()
		if err != nil {
			switch {
			case n != len(x.Members):
				return fmt.Sprintf("%d members, want %d, and then %v", len(x.Members), n, err)
			case dropped > 0:
				return fmt.Sprintf("%d more are dropped", dropped)
			case errors.Is(err, io.EOF) != (x.Damage == ""):
				return fmt.Sprintf("damage %q, want %v", x.Damage, err)
			}
			return ""
		}
		types := map[byte]Type{'0': File, '7': File, 'S': File, '5': Dir, 'D': Dir, '2': Symlink, '1': HardLink}
		want, listed := types[h.Typeflag]
		switch {
		case h.Typeflag == stdtar.TypeXGlobalHeader:
			continue
		case !listed && dropped > 0:
			dropped--
			continue
		case n >= len(x.Members):
			return fmt.Sprintf("%q is missing", h.Name)
		}
		m := &x.Members[n]
		n++
		switch {
		case m.Name != h.Name || m.Type != want || m.Link != h.Linkname:
			return fmt.Sprintf("%q type %d to %q, want %q type %c to %q", m.Name, m.Type, m.Link, h.Name, h.Typeflag, h.Linkname)
		case m.Mode != uint32(h.Mode)&0o777 || !m.ModTime.Equal(h.ModTime):
			return fmt.Sprintf("%q: mode %o, mtime %v, want %o, %v", m.Name, m.Mode, m.ModTime, h.Mode, h.ModTime)
		case m.Type == File && m.Size != h.Size:
			return fmt.Sprintf("%q: %d bytes, want %d", m.Name, m.Size, h.Size)
		}
		if m.Type != File || m.Size > 16<<20 {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(data, content(b, m)) {
			return fmt.Sprintf("%q: other content, %v", m.Name, err)
		}
	}
}

// TestMembers checks what each kind of header becomes.
func TestMembers(t *testing.T) {
	long := strings.Repeat("long/", 50) + "name"
	when := time.Unix(1234567890, 123456789)
	b := newArchive(t).
		add(stdtar.Header{Name: "dir/", Typeflag: stdtar.TypeDir, Mode: 0o4755}, "").
		add(stdtar.Header{Name: "dir/a", Mode: 0o640, ModTime: when, Format: stdtar.FormatPAX}, "hello").
		add(stdtar.Header{Name: "b", Typeflag: stdtar.TypeLink, Linkname: "./dir/a"}, "").
		add(stdtar.Header{Name: "c", Typeflag: stdtar.TypeSymlink, Linkname: "dir/a"}, "").
		add(stdtar.Header{Name: "dev", Typeflag: stdtar.TypeChar}, "").
		add(stdtar.Header{Name: "fifo", Typeflag: stdtar.TypeFifo}, "").
		add(stdtar.Header{Name: "../out"}, "x").
		add(stdtar.Header{Name: long, Format: stdtar.FormatPAX}, "pax").
		add(stdtar.Header{Name: strings.Repeat("n", 200), Format: stdtar.FormatGNU}, "gnu").
		add(stdtar.Header{Name: strings.Repeat("n", 256), Format: stdtar.FormatPAX}, "too long").
		add(stdtar.Header{Name: "d", Typeflag: stdtar.TypeLink, Linkname: "b"}, "").
		add(stdtar.Header{Name: "e", Typeflag: stdtar.TypeLink, Linkname: "nowhere"}, "").
		add(stdtar.Header{Name: "empty"}, "").
		bytes()
	x := mustWalk(t, b, Options{Depth: 60})
	if want := (Dropped{Special: 2, Names: 2}); x.Dropped != want || x.Damage != "" || x.Truncated {
		t.Errorf("%+v %q %v, want %+v", x.Dropped, x.Damage, x.Truncated, want)
	}
	want := []string{
		"dir/ 2 755 0  -1", "dir/a 1 640 5  -1 hello", "b 4 640 5 ./dir/a 1 hello", "c 3 0 5 dir/a -1", long + " 1 0 3  -1 pax",
		strings.Repeat("n", 200) + " 1 0 3  -1 gnu", "d 4 640 5 b 1 hello", "e 4 0 0 nowhere -1", "empty 1 0 0  -1",
	}
	for i := range max(len(want), len(x.Members)) {
		got := ""
		if i < len(x.Members) {
			m := &x.Members[i]
			got = strings.TrimSuffix(fmt.Sprintf("%s %d %o %d %s %d %s", m.Name, m.Type, m.Mode, m.Size, m.Link, m.Target, content(b, m)), " ")
		}
		if i >= len(want) || got != want[i] {
			t.Errorf("member %d: %q", i, got)
		}
	}
	if got := x.Members[1].ModTime; !got.Equal(when) {
		t.Errorf("modified %v, want %v", got, when)
	}
}

// TestSparseRealSize reads a sparse member whose extended header claims the size with holes as that of its data, as libarchive 3.6
// writes it above 8 GiB.
func TestSparseRealSize(t *testing.T) {
	const size = 10 << 30
	records := ""
	for _, r := range []string{
		"size=10737418240", "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=big", "GNU.sparse.realsize=10737418240",
	} {
		records += record(r)
	}
	b := slices.Concat(extended(records), rawHeader("stored", typeFile, blockSize+3), rawBlocks("1\n4096\n3\n"), rawBlocks("foo"),
		rawHeader("next", typeFile, 0))
	signHeaders(b)
	x := mustWalk(t, b, Options{})
	if len(x.Members) != 2 || x.Damage != "" || x.Members[0].Name != "big" || x.Members[0].Size != size {
		t.Fatalf("%+v", x)
	}
	if want := []Extent{{Hole, 4096}, {4 * blockSize, 3}, {Hole, size - 4099}}; !slices.Equal(x.Members[0].Extents, want) {
		t.Errorf("%v, want %v", x.Members[0].Extents, want)
	}
}

// TestSparseComments reads a map of holes with lines that are no numbers, as one of libarchive's fixtures has them.
func TestSparseComments(t *testing.T) {
	records := record("GNU.sparse.major=1") + record("GNU.sparse.minor=0") + record("GNU.sparse.name=s") + record("GNU.sparse.realsize=10")
	b := slices.Concat(extended(records), rawHeader("stored", typeFile, blockSize+3), rawBlocks("#!gnu-sparse-format\n1\n#1.0\n7\n3\n"),
		rawBlocks("foo"), rawHeader("next", typeFile, 0))
	signHeaders(b)
	x := mustWalk(t, b, Options{})
	if len(x.Members) != 2 || x.Damage != "" || !slices.Equal(x.Members[0].Extents, []Extent{{Hole, 7}, {4 * blockSize, 3}}) {
		t.Errorf("%+v", x)
	}
}

// TestLimits goes beyond each limit by one.
func TestLimits(t *testing.T) {
	a := newArchive(t)
	for i := range 10 {
		a.add(stdtar.Header{Name: fmt.Sprintf("a/b/%03d", i)}, strings.Repeat("x", 100+i))
	}
	b := a.bytes()
	tests := map[string]struct {
		o       Options
		members int
		err     error
	}{
		"none":            {Options{}, 10, nil},
		"entries":         {Options{Entries: 10}, 10, nil},
		"entries over":    {Options{Entries: 9}, 0, ErrLimit},
		"names":           {Options{NameBytes: 70}, 10, nil},
		"names over":      {Options{NameBytes: 69}, 0, ErrLimit},
		"depth":           {Options{Depth: 3}, 10, nil},
		"depth over":      {Options{Depth: 2}, 0, nil},
		"path over":       {Options{Path: 6}, 0, nil},
		"component over":  {Options{Component: 2}, 0, nil},
		"size over":       {Options{MemberSize: 104}, 5, nil},
		"dropped counted": {Options{MemberSize: 104, Entries: 9}, 0, ErrLimit},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			x, err := walk(t, b, tt.o)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err == nil && (len(x.Members) != tt.members || x.Dropped.Names+x.Dropped.Sizes != 10-tt.members) {
				t.Errorf("%d members, dropped %+v, want %d", len(x.Members), x.Dropped, tt.members)
			}
		})
	}
}

// TestBudget walks an archive of 20 members of 100,000 bytes within budgets of blocks.
func TestBudget(t *testing.T) {
	a := newArchive(t)
	for i := range 20 {
		a.add(stdtar.Header{Name: fmt.Sprint(i)}, strings.Repeat("x", 100_000))
	}
	b := a.bytes()
	tests := map[string]struct {
		o       Options
		members int
		bytes   int64
	}{
		"all":       {Options{}, 20, 0},
		"one block": {Options{Fetch: fetchBlock}, 1, fetchBlock},
		"5 blocks":  {Options{Fetch: 6*fetchBlock - 1}, 5, 5 * fetchBlock},
		"no limit":  {Options{Fetch: -1}, 20, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &forward{ReaderAt: bytes.NewReader(b), t: t}
			x, err := Walk(t.Context(), r, int64(len(b)), tt.o)
			if err != nil || len(x.Members) != tt.members || x.Truncated != (tt.members < 20) {
				t.Fatalf("%v, %d members, truncated %v, want %d", err, len(x.Members), x.Truncated, tt.members)
			}
			if tt.bytes > 0 && r.bytes > tt.bytes {
				t.Errorf("%d bytes read, want at most %d", r.bytes, tt.bytes)
			}
		})
	}
}

// failing fails from an offset on.
type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

// TestErrors checks that what the swarm says is not taken for damage, nor damage for anything else.
func TestErrors(t *testing.T) {
	b := newArchive(t).add(stdtar.Header{Name: "a"}, strings.Repeat("x", 200_000)).add(stdtar.Header{Name: "b"}, "b").bytes()
	lost := errors.New("no peers")
	for _, from := range []int64{0, 100_000} {
		x, err := Walk(t.Context(), &failing{bytes.NewReader(b), from, lost}, int64(len(b)), Options{})
		if !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
			t.Errorf("failing from %d: %v, %v", from, x, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Walk(ctx, bytes.NewReader(b), int64(len(b)), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, bad := range [][]byte{nil, b[:100], bytes.Repeat([]byte("text"), 1000)} {
		if _, err := walk(t, bad, Options{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes of something else: %v", len(bad), err)
		}
	}
	for n, members := range map[int]int{200_000: 0, 200_704: 1, 201_000: 1, 201_216: 1, 201_217: 2, 201_729: 2, 202_240: 2} {
		x, err := walk(t, b[:n], Options{})
		if err != nil || len(x.Members) != members {
			t.Errorf("cut at %d: %v, %+v, want %d members", n, err, x, members)
			continue
		}
		if whole := n == 200_704 || n == 201_217 || n == 202_240; whole != (x.Damage == "") {
			t.Errorf("cut at %d: damage %q", n, x.Damage)
		}
	}
}

func FuzzWalk(f *testing.F) {
	for _, path := range fixtures(f) {
		if b := fixture(f, path); len(b) < 1<<16 {
			f.Add(b, false)
			f.Add(b, true)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign {
			signHeaders(b)
		}
		x, err := walk(t, b, Options{MemberSize: -1})
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrLimit) {
				t.Fatalf("neither damaged nor too large: %v", err)
			}
			return
		}
		for i := range x.Members {
			m := &x.Members[i]
			sum := int64(0)
			for _, e := range m.Extents {
				if e.Len <= 0 || e.Off < Hole || e.Off >= 0 && e.Off+e.Len > int64(len(b)) {
					t.Fatalf("member %d: extent %+v of %d bytes", i, e, len(b))
				}
				sum += e.Len
			}
			if (m.Type == File || m.Target >= 0) && sum != m.Size {
				t.Fatalf("member %d: extents of %d bytes, size %d", i, sum, m.Size)
			}
		}
		saved := x.Append(nil)
		y, err := ParseIndex(saved, x.ArchiveSize)
		if err != nil || !bytes.Equal(y.Append(nil), saved) {
			t.Fatalf("saved index: %v", err)
		}
	})
}

// signHeaders gives every block that has a type the right checksum, so that fuzzing gets behind it.
func signHeaders(b []byte) {
	for ; len(b) >= blockSize; b = b[blockSize:] {
		if h := b[:blockSize]; h[0] != 0 && h[156] != 0 {
			sum := 0
			copy(h[148:156], "        ")
			for _, c := range h {
				sum += int(c)
			}
			copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		}
	}
}
