package rar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"shoal/archive/rar/rartest"
)

// write is rartest.Write.
func write(t testing.TB, o rartest.Options, files ...rartest.File) rartest.Volumes {
	t.Helper()
	v, err := rartest.Write(o, files...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// read is Read, of what has to be whole.
func read(t testing.TB, v Volumes) *Archive {
	t.Helper()
	a, err := Read(v, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Truncated != nil {
		t.Errorf("truncated: %v", a.Truncated)
	}
	return a
}

// content returns what the extents of a member have.
func content(t testing.TB, v Volumes, m *Member) []byte {
	t.Helper()
	if !m.Plain() {
		t.Errorf("%q is not plain: %s", m.Name, m.Problem)
	}
	var b bytes.Buffer
	for _, e := range m.Extents {
		r, _, err := v.Open(e.Volume)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(&b, io.NewSectionReader(r, e.Off, e.Len)); n != e.Len || err != nil {
			t.Fatalf("%q: %d bytes of %+v, %v", m.Name, n, e, err)
		}
	}
	return b.Bytes()
}

// sized is a file of that many bytes, all different from those of others.
func sized(name string, n int64) rartest.File {
	return rartest.File{Name: name, Data: rartest.Pattern{Seed: uint64(n)}, Size: n, ModTime: rartest.Time}
}

func data(t testing.TB, f rartest.File) []byte {
	t.Helper()
	b := make([]byte, f.Size)
	if f.Data != nil {
		if _, err := io.ReadFull(io.NewSectionReader(f.Data, 0, f.Size), b); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestRead lists archives of all forms, with and without predictions, and compares every byte.
func TestRead(t *testing.T) {
	options := map[string]rartest.Options{
		"one volume":  {},
		"volumes":     {VolumeSize: 5000},
		"many":        {VolumeSize: 400},
		"no end":      {VolumeSize: 5000, NoEnd: true},
		"one, no end": {NoEnd: true},
		"comment":     {VolumeSize: 5000, Comment: "hello"},
		"comments":    {VolumeSize: 5000, Comment: "hello", CommentAll: true},
		"recovery":    {VolumeSize: 5000, Recovery: 700},
		"in one only": {VolumeSize: 5000, Recovery: 700, RecoveryIn: 3},
		"program":     {Stub: bytes.Repeat([]byte("MZ Rar!\x1a\x00"), 8<<10), VolumeSize: 100_000},
		"short":       {VolumeSize: 5000, ShortNumbers: true},
		"quick":       {QuickOpen: true},
	}
	sets := map[string][]rartest.File{
		"film":        {sized("film.mkv", 32_321)},
		"film, notes": {sized("film.mkv", 41_234), sized("film.nfo", 100)},
		"notes, film": {rartest.Bytes("a/film.nfo", "info"), sized("a/film.mkv", 40_000)},
		"season":      {sized("1", 20_000), sized("2", 21_000), sized("3", 30_000), {Name: "d", Dir: true}, sized("4", 7), {Name: "none"}},
	}
	for _, format := range []int{4, 5} {
		for how, o := range options {
			for what, files := range sets {
				t.Run(fmt.Sprintf("%d/%s/%s", format, how, what), func(t *testing.T) {
					o.Format = format
					compare(t, write(t, o, files...), files)
				})
			}
		}
	}
}

// compare reads a set, predicting and not, and compares it with the files in it. Where a prediction can't hold, Verify has to say so.
func compare(t *testing.T, v rartest.Volumes, files []rartest.File) {
	all, err := ReadAll(v, Limits{})
	if err != nil || all.Truncated != nil {
		t.Fatal(err, all)
	}
	a := read(t, v)
	held := true
	for n := range v {
		ok, err := a.Verify(v, n)
		if err != nil {
			t.Fatal(err)
		}
		held = held && ok
	}
	if same := reflect.DeepEqual(extents(a), extents(all)); same != held {
		t.Errorf("predictions hold: %v, but Verify says %v:\n%v\n%v", same, held, extents(a), extents(all))
	}
	if all.Volumes != len(v) || a.Volumes != len(v) {
		t.Errorf("%d and %d volumes, want %d", all.Volumes, a.Volumes, len(v))
	}
	if len(all.Members) != len(files) {
		t.Fatalf("%d members, want %d: %v", len(all.Members), len(files), all.Members)
	}
	for i := range files {
		m, f := &all.Members[i], files[i]
		name := strings.Map(func(r rune) rune {
			if r == '\\' && all.Format == 4 {
				return '/'
			}
			return r
		}, m.Name)
		if name != f.Name || m.Size != f.Size || m.IsDir() != f.Dir || m.Predicted || m.Packed != f.Size {
			t.Errorf("member %+v, want %+v", m, f)
		}
		if !f.ModTime.IsZero() && !m.ModTime.Equal(f.ModTime) {
			t.Errorf("%q is of %v", m.Name, m.ModTime)
		}
		if !f.Dir && !bytes.Equal(content(t, v, m), data(t, f)) {
			t.Errorf("wrong content of %q", m.Name)
		}
	}
}

func extents(a *Archive) (all [][]Extent) {
	for i := range a.Members {
		all = append(all, a.Members[i].Extents)
	}
	return all
}

// counted counts the reads of volumes, and the different blocks of some size that they touch.
type counted struct {
	Volumes
	block  int64
	opens  int
	reads  int
	blocks map[[2]int64]bool
}

type countedVolume struct {
	io.ReaderAt
	c *counted
	n int
}

func (c *counted) Open(n int) (io.ReaderAt, int64, error) {
	c.opens++
	r, size, err := c.Volumes.Open(n)
	return countedVolume{r, c, n}, size, err
}

func (v countedVolume) ReadAt(p []byte, off int64) (int, error) {
	v.c.reads++
	for at := off / v.c.block; at <= (off+int64(len(p))-1)/v.c.block; at++ {
		v.c.blocks[[2]int64{int64(v.n), at}] = true
	}
	return v.ReaderAt.ReadAt(p, off)
}

func count(v Volumes, block int64) *counted {
	return &counted{Volumes: v, block: block, blocks: map[[2]int64]bool{}}
}

// TestFilm is what people have: 1 GiB in 21 volumes. Listing takes the first blocks of two volumes, a seek those of another and the data.
func TestFilm(t *testing.T) {
	const size = 1 << 30
	for _, format := range []int{4, 5} {
		film := sized("film.mkv", size)
		v := write(t, rartest.Options{Format: format, VolumeSize: 50 << 20}, film)
		c := count(v, blockSize)
		a, err := Read(c, Limits{})
		if err != nil || len(v) != 21 || a.Volumes != 21 {
			t.Fatal(err, len(v), a)
		}
		if c.reads != 2 || len(c.blocks) != 2 {
			t.Errorf("format %d: listing took %d reads of %d blocks, want 2 and 2", format, c.reads, len(c.blocks))
		}
		m := &a.Members[0]
		if !m.Predicted || !m.Plain() || m.HasCRC || len(m.Extents) != 21 {
			t.Errorf("not predicted: %+v", m)
		}
		all, err := ReadAll(v, Limits{})
		if err != nil || !reflect.DeepEqual(all.Members[0].Extents, m.Extents) {
			t.Errorf("predicted %v, but there is %v, %v", m.Extents, all.Members[0].Extents, err)
		}
		middle := m.Extents[10]
		if held, err := a.Verify(c, middle.Volume); !held || err != nil {
			t.Error(held, err)
		}
		if c.reads != 3 || len(c.blocks) != 3 {
			t.Errorf("format %d: the seek took %d reads, want 1", format, c.reads-2)
		}
		for i := range 2 { // those that were read are not read again
			if held, err := a.Verify(c, i); !held || err != nil || c.reads != 3 {
				t.Error(held, err, c.reads)
			}
		}
	}
}

// TestManyVolumes has volume numbers of more than one byte.
func TestManyVolumes(t *testing.T) {
	v := write(t, rartest.Options{Format: 5, VolumeSize: 1000}, sized("x", 290_000))
	c := count(v, blockSize)
	a := read(t, c)
	if c.reads != 2 || len(v) < 300 {
		t.Errorf("%d reads for %d volumes", c.reads, len(v))
	}
	for n := range v {
		if held, err := a.Verify(v, n); !held || err != nil {
			t.Fatalf("volume %d: %v, %v", n, held, err)
		}
	}
}

// TestSeason has films one after another: only the volumes where one begins or ends, and one more, are read.
func TestSeason(t *testing.T) {
	for _, format := range []int{4, 5} {
		v := write(t, rartest.Options{Format: format, VolumeSize: 10_000}, sized("1", 200_001), sized("2", 200_002), sized("3", 200_003))
		c := count(v, blockSize)
		a := read(t, c)
		compare(t, v, []rartest.File{sized("1", 200_001), sized("2", 200_002), sized("3", 200_003)})
		if c.reads > 7 || len(v) < 60 {
			t.Errorf("format %d: %d reads for %d volumes", format, c.reads, len(v))
		}
		for i := range a.Members {
			if m := &a.Members[i]; !m.Predicted || m.HasCRC != (i < 2) {
				t.Errorf("not predicted: %+v", m)
			}
		}
	}
}

// TestMissing takes volumes away.
func TestMissing(t *testing.T) {
	files := []rartest.File{sized("first", 3000), sized("film", 30_000), sized("last", 3000)}
	for _, format := range []int{4, 5} {
		for _, gone := range []int{1, 3, 7} {
			v := write(t, rartest.Options{Format: format, VolumeSize: 5000}, files...)
			if len(v) != 8 {
				t.Fatal(len(v))
			}
			v[gone] = nil
			a, err := Read(v, Limits{})
			if err != nil || !errors.Is(a.Truncated, fs.ErrNotExist) {
				t.Fatalf("without volume %d: %v, %+v", gone, err, a)
			}
			if m := &a.Members[0]; !m.Plain() || !bytes.Equal(content(t, v, m), data(t, files[0])) {
				t.Errorf("without volume %d the first is %+v", gone, m)
			}
			if m := &a.Members[len(a.Members)-1]; m.Plain() || m.Problem != "its end is missing" {
				t.Errorf("without volume %d the last is %+v", gone, m)
			}
		}
		v := write(t, rartest.Options{Format: format, VolumeSize: 5000}, files...)
		v[0] = nil
		if a, err := Read(v, Limits{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without the first: %v, %v", a, err)
		}
	}
}

// TestLastMissing has a long set without its last volume, which makes all predictions impossible: they are given up.
func TestLastMissing(t *testing.T) {
	v := write(t, rartest.Options{Format: 5, VolumeSize: 500}, sized("a", 200_000))
	v[len(v)-1] = nil
	c := count(v, blockSize)
	if a, err := Read(c, Limits{}); err != nil || !errors.Is(a.Truncated, fs.ErrNotExist) || a.Members[0].Plain() {
		t.Errorf("%+v, %v", a, err)
	}
	if c.opens > len(v)*(maxMisses+1) || len(v) < 400 {
		t.Errorf("%d volumes were opened %d times", len(v), c.opens)
	}
}

// TestWrongVolume puts volumes of another set, or in another order.
func TestWrongVolume(t *testing.T) {
	for _, format := range []int{4, 5} {
		o := rartest.Options{Format: format, VolumeSize: 5000}
		v := write(t, o, sized("a", 30_000))
		other := write(t, o, sized("b", 30_000))
		a := read(t, v)
		mixed := append(rartest.Volumes{}, v...)
		mixed[3] = other[3]
		if held, err := a.Verify(mixed, 3); held || err != nil {
			t.Errorf("format %d: another set's volume is good: %v", format, err)
		}
		last := len(v) - 1
		mixed[3] = v[last]
		if held, err := a.Verify(mixed, 3); held || err != nil {
			t.Errorf("format %d: the last volume is as good as another: %v", format, err)
		}
		mixed[3] = v[3]
		if held, err := a.Verify(mixed, 3); !held || err != nil {
			t.Errorf("format %d: the right one is wrong: %v", format, err)
		}
		mixed[1] = other[1]
		b, err := Read(mixed, Limits{})
		if err != nil || !errors.Is(b.Truncated, ErrFormat) || b.Members[0].Plain() {
			t.Errorf("format %d: mixed sets: %v, %+v", format, err, b)
		}
		if format == 5 {
			mixed[1] = v[2]
			if b, err := Read(mixed, Limits{}); err != nil || !errors.Is(b.Truncated, ErrFormat) {
				t.Errorf("volume 2 in the place of 1: %v, %+v", err, b)
			}
		}
	}
}

var errSwarm = errors.New("no peers")

// failing is Volumes whose read number left fails.
type failing struct {
	Volumes
	left *int
}

type failingVolume struct {
	io.ReaderAt
	left *int
}

func (f failing) Open(n int) (io.ReaderAt, int64, error) {
	r, size, err := f.Volumes.Open(n)
	return failingVolume{r, f.left}, size, err
}

func (f failingVolume) ReadAt(p []byte, off int64) (int, error) {
	if *f.left--; *f.left < 0 {
		return 0, errSwarm
	}
	return f.ReaderAt.ReadAt(p, off)
}

// TestSwarmErrors fails each read in turn: the error comes back, and nothing is said about the archive.
func TestSwarmErrors(t *testing.T) {
	for _, format := range []int{4, 5} {
		for _, o := range []rartest.Options{{VolumeSize: 300_000}, {QuickOpen: true}} {
			o.Format = format
			v := write(t, o, sized("1", 600_000), sized("2", 200_000), sized("3", 900_000), sized("4", 9))
			good := 0
			for n := 0; good == 0; n++ {
				left := n
				a, err := Read(failing{v, &left}, Limits{})
				switch {
				case err == nil && left >= 0:
					good = n
				case !errors.Is(err, errSwarm) || errors.Is(err, ErrFormat) || a != nil:
					t.Fatalf("read %d failed: %v, %v", n, a, err)
				}
			}
			if good < 2 {
				t.Errorf("only %d reads", good)
			}
			left := 0
			a := read(t, v)
			for n := range v {
				if m, _ := a.predictedIn(n); m == nil {
					continue
				}
				if held, err := a.Verify(failing{v, &left}, n); held || !errors.Is(err, errSwarm) {
					t.Errorf("Verify: %v, %v", held, err)
				}
			}
		}
	}
}

func TestLimits(t *testing.T) {
	var files []rartest.File
	for i := range 20 {
		files = append(files, sized(fmt.Sprint(i), 100_000+int64(i)))
	}
	for _, format := range []int{4, 5} {
		one := write(t, rartest.Options{Format: format}, files...)
		film := write(t, rartest.Options{Format: format, VolumeSize: 1000}, sized("film", 10_000))
		many := write(t, rartest.Options{Format: format, VolumeSize: 100_000}, files...)
		for _, c := range []struct {
			v    Volumes
			l    Limits
			want error // of Read
			part error // Truncated
		}{
			{one, Limits{Entries: 19}, ErrLimit, nil},
			{one, Limits{Entries: 20}, nil, nil},
			{one, Limits{HeaderBytes: 500}, ErrLimit, nil},
			{one, Limits{HeaderBytes: 2000}, nil, nil},
			{one, Limits{Reads: 5}, nil, ErrBudget},
			{one, Limits{BlockBytes: 5 * blockSize}, nil, ErrBudget},
			{one, Limits{BlockBytes: 1, Reads: 1}, nil, ErrBudget},
			{many, Limits{Volumes: 5}, ErrLimit, nil},
			{many, Limits{Reads: 5}, nil, ErrBudget},
			{many, Limits{Volumes: len(many)}, nil, nil},
			{film, Limits{Volumes: len(film)}, nil, nil},
			{film, Limits{Volumes: len(film) - 1}, ErrLimit, nil},
		} {
			a, err := Read(c.v, c.l)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%+v: %v, want %v", c.l, err, c.want)
				continue
			}
			if err == nil && (!errors.Is(a.Truncated, c.part) || (a.Truncated == nil) != (c.part == nil) || len(a.Members) == 0) {
				t.Errorf("%+v: truncated: %v, want %v", c.l, a.Truncated, c.part)
			}
		}
	}
}
