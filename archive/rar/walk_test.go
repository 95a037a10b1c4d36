package rar

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"shoal/archive/rar/rartest"
)

// TestRefused has archives of which nothing is listed, and what is none.
func TestRefused(t *testing.T) {
	mark4, mark5 := "Rar!\x1a\x07\x00", "Rar!\x1a\x07\x01\x00"
	for _, c := range []struct {
		what string
		in   string
		want error
	}{
		{"nothing", "", ErrFormat},
		{"a text", strings.Repeat("no archive ", 10), ErrFormat},
		{"a long text", strings.Repeat("no archive ", 500_000), ErrFormat},
		{"a signature", mark4, ErrFormat},
		{"one of format 5", mark5, ErrFormat},
		{"a long signature and nothing", mark5 + strings.Repeat("\x00", 1000), ErrFormat},
		{"version 1.4", "RE\x7e\x5e" + strings.Repeat("\x00", 100), ErrUnsupported},
		{"version 8", "Rar!\x1a\x07\x02\x00" + strings.Repeat("\x00", 100), ErrUnsupported},
		{"version 10", "Rar!\x1a\x07\x04\x00" + strings.Repeat("\x00", 100), ErrUnsupported},
		{"no version", "Rar!\x1a\x07\x01\x01" + strings.Repeat("\x00", 100), ErrUnsupported},
		{"no version either", "Rar!\x1a\x07\x05\x00" + strings.Repeat("\x00", 100), ErrFormat},
		{"no main header", mark4 + string(rartest.Header4(0x7b, 0, nil)), ErrFormat},
		{"no main header in 5", mark5 + string(rartest.Header5(5, 0, []byte{0}, nil, -1, 1)), ErrFormat},
		{"encrypted headers", mark4 + string(rartest.Header4(0x73, 0x80, make([]byte, 6))) + "secret", ErrEncrypted},
		{"encrypted headers in 5", mark5 + string(rartest.Header5(4, 0, make([]byte, 20), nil, -1, 1)) + "secret", ErrEncrypted},
		{"encrypted further on", string(archive5(rartest.Header5(4, 0, make([]byte, 20), nil, -1, 1))), ErrEncrypted},
		{"two main headers", string(archive5(rartest.Header5(1, 0, []byte{0}, nil, -1, 1))) + "and more", ErrFormat},
		{"another volume", mark5 + string(rartest.Header5(1, 0, []byte{3, 1}, nil, -1, 1)), ErrFormat},
		{"a header too large", mark5 + "\x00\x00\x00\x00\xff\xff\xff\x7f" + strings.Repeat("\x00", 100), ErrFormat},
		{"a signature too far off", strings.Repeat("\x00", maxStub+1) + string(archive4()), ErrFormat},
	} {
		a, err := Read(plainVolumes{[]byte(c.in)}, Limits{})
		if a != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v, want %v", c.what, a, err, c.want)
		}
	}
}

// TestEmpty has archives without members, and signatures in all places of a block.
func TestEmpty(t *testing.T) {
	for _, stub := range []int{
		0, 1, blockSize - 9, blockSize - 8, blockSize - 7, blockSize - 1, blockSize, 3*blockSize - 5, maxStub - 100, maxStub,
	} {
		for format, archive := range map[int][]byte{4: archive4(), 5: archive5()} {
			a, err := Read(plainVolumes{append(bytes.Repeat([]byte("R"), stub), archive...)}, Limits{})
			if err != nil || a.Format != format || len(a.Members) != 0 || a.Truncated != nil || a.Volumes != 1 || a.Multi {
				t.Errorf("format %d behind %d bytes: %+v, %v", format, stub, a, err)
			}
		}
	}
}

// TestFalseSignature has programs in front that have signatures of their own.
func TestFalseSignature(t *testing.T) {
	for what, stub := range map[string]string{
		"one":                "MZ Rar!\x1a\x07\x00 and text, as long as a header is",
		"of format 5":        "MZ Rar!\x1a\x07\x01\x00 and text, as long as a header is",
		"of no format":       "MZ Rar!\x1a\x07\x09\x00",
		"one at the front":   "Rar!\x1a\x07\x00",
		"one after another":  strings.Repeat("Rar!\x1a\x07\x01\x00", 20_000),
		"an end header only": "MZ Rar!\x1a\x07\x00" + string(rartest.Header4(0x7b, 0, nil)),
	} {
		for _, format := range []int{4, 5} {
			f := sized("a", 50)
			v := write(t, rartest.Options{Format: format, Stub: []byte(stub)}, f)
			a, err := Read(v, Limits{})
			if err != nil || len(a.Members) != 1 || !bytes.Equal(content(t, v, &a.Members[0]), data(t, f)) {
				t.Errorf("%s: %+v, %v", what, a, err)
			}
		}
		if a, err := Read(plainVolumes{[]byte(stub)}, Limits{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%s and nothing: %+v, %v", what, a, err)
		}
	}
}

// TestTruncated cuts an archive at every byte: what comes before is listed, and no more.
func TestTruncated(t *testing.T) {
	files := []rartest.File{sized("a", 50), sized("b", 60), sized("c", 70)}
	for _, format := range []int{4, 5} {
		v := write(t, rartest.Options{Format: format}, files...)
		whole := read(t, v)
		b := make([]byte, v[0].Size())
		if _, err := io.ReadFull(io.NewSectionReader(v[0], 0, v[0].Size()), b); err != nil {
			t.Fatal(err)
		}
		for n := range b {
			set := plainVolumes{b[:n]}
			a, err := Read(set, Limits{})
			if err != nil {
				if e := whole.Members[0].Extents[0]; !errors.Is(err, ErrFormat) || int64(n) >= e.Off {
					t.Errorf("%d of %d bytes: %v", n, len(b), err)
				}
				continue
			}
			if len(a.Members) == 0 {
				// So short that nothing was expected: there is no need for an end header.
				if int64(n) >= whole.Members[0].Extents[0].Off {
					t.Errorf("%d of %d bytes: no members", n, len(b))
				}
				continue
			}
			for i := range a.Members {
				m := &a.Members[i]
				e := whole.Members[i].Extents[0]
				if fits := e.Off+e.Len <= int64(n); fits != m.Plain() {
					t.Errorf("%d of %d bytes: %+v", n, len(b), m)
				} else if fits && !bytes.Equal(content(t, set, m), data(t, files[i])) {
					t.Errorf("%d of %d bytes: wrong content of %q", n, len(b), m.Name)
				}
			}
			if last := &a.Members[len(a.Members)-1]; !last.Plain() && !errors.Is(a.Truncated, ErrFormat) {
				t.Errorf("%d of %d bytes: truncated: %v", n, len(b), a.Truncated)
			}
		}
	}
}

// TestDamaged has a damaged header behind a good member.
func TestDamaged(t *testing.T) {
	for _, format := range []int{4, 5} {
		v := write(t, rartest.Options{Format: format}, sized("a", 50), sized("b", 60))
		at := read(t, v).Members[0].Extents[0]
		b := make([]byte, v[0].Size())
		if _, err := io.ReadFull(io.NewSectionReader(v[0], 0, v[0].Size()), b); err != nil {
			t.Fatal(err)
		}
		b[at.Off+at.Len+10] ^= 1
		a, err := Read(plainVolumes{b}, Limits{})
		if err != nil || len(a.Members) != 1 || !a.Members[0].Plain() || !errors.Is(a.Truncated, ErrFormat) {
			t.Errorf("format %d: %+v, %v", format, a, err)
		}
	}
}

// TestWrongSizes has stored members whose size is not that of their data.
func TestWrongSizes(t *testing.T) {
	in := append(fields4{packed: 3, size: 4, method: '0', name: "short"}.header(), "abc"...)
	in = append(in, fields4{packed: 3, size: 3, method: '0', name: "good"}.header()...)
	in = append(in, "def"...)
	in = append(in, fields4{packed: 3, size: 3, method: '0', name: "outside"}.header()...)
	a, err := Read(plainVolumes{archive4(in)}, Limits{})
	if err != nil || len(a.Members) != 3 {
		t.Fatal(err, a)
	}
	short, good, outside := &a.Members[0], &a.Members[1], &a.Members[2]
	if short.Plain() || !strings.Contains(short.Problem, "3 bytes, but should have 4") {
		t.Errorf("%+v", short)
	}
	if !good.Plain() || good.Packed != 3 {
		t.Errorf("%+v", good)
	}
	if outside.Plain() || len(outside.Extents) != 0 || !errors.Is(a.Truncated, ErrFormat) {
		t.Errorf("%+v, %v", outside, a.Truncated)
	}
}

// TestOrphan has the end of a member whose beginning is not there.
func TestOrphan(t *testing.T) {
	for _, format := range []int{4, 5} {
		v := write(t, rartest.Options{Format: format, VolumeSize: 1000}, sized("a", 1500), sized("b", 10))
		if format == 5 {
			continue // its volumes have numbers
		}
		a, err := Read(v[1:], Limits{})
		if err != nil || !errors.Is(a.Truncated, ErrFormat) || len(a.Members) != 1 || a.Members[0].Name != "b" || !a.Members[0].Plain() {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

// TestLinks has links of all kinds, in format 5.
func TestLinks(t *testing.T) {
	compressed := sized("z", 300)
	compressed.Method = 3
	v := write(t, rartest.Options{Format: 5}, sized("a", 100), compressed, rartest.File{Name: "d", Dir: true},
		rartest.File{Name: "hard", Link: "a", LinkType: 4},
		rartest.File{Name: "copy of it", Link: "hard", LinkType: 5},
		rartest.File{Name: "copy of z", Link: "z", LinkType: 5},
		rartest.File{Name: "lost", Link: "later", LinkType: 4},
		rartest.File{Name: "of d", Link: "d", LinkType: 4},
		rartest.File{Name: "itself", Link: "itself", LinkType: 4},
		rartest.File{Name: "soft", Link: "../a"},
		rartest.File{Name: "later"})
	a := read(t, v)
	by := map[string]*Member{}
	for i := range a.Members {
		by[a.Members[i].Name] = &a.Members[i]
	}
	for _, name := range []string{"hard", "copy of it"} {
		if m := by[name]; m.Size != 100 || m.Packed != 100 || !m.Plain() || !reflect.DeepEqual(m.Extents, by["a"].Extents) || !m.HasCRC {
			t.Errorf("%+v", m)
		}
	}
	if m := by["copy of z"]; m.Plain() || m.Method != 3 || m.Unpack != 50 || m.Dictionary != by["z"].Dictionary || m.Problem != "" {
		t.Errorf("%+v", m)
	}
	for _, name := range []string{"lost", "of d", "itself"} {
		if m := by[name]; m.Plain() || !strings.Contains(m.Problem, "which is not there") {
			t.Errorf("%+v", m)
		}
	}
	if m := by["soft"]; m.LinkKind != Symlink || m.Link != "../a" || m.Problem != "" {
		t.Errorf("%+v", m)
	}
}

// TestManyLinks has copies of what lies in many volumes: their parts would take more memory than anything else, and only so many have some.
func TestManyLinks(t *testing.T) {
	const copies = 6000
	files := []rartest.File{sized("a", 30_000)}
	for range copies {
		files = append(files, rartest.File{Name: "c", Link: "a", LinkType: 5})
	}
	a := read(t, write(t, rartest.Options{Format: 5, VolumeSize: 200}, files...))
	each := len(a.Members[0].Extents)
	if len(a.Members) != copies+1 || each*copies <= maxShared {
		t.Fatalf("there are %d members, the first in %d parts", len(a.Members), each)
	}
	parts := 0
	for i := range a.Members[1:] {
		m := &a.Members[i+1]
		parts += len(m.Extents)
		if fits := i < maxShared/each; m.Plain() != fits || (len(m.Extents) == each) != fits || m.Size != 30_000 {
			t.Fatalf("copy %d is %+v", i, m)
		}
	}
	if parts > maxShared {
		t.Errorf("they have %d parts", parts)
	}
}

// TestSkipped has headers of no interest, with and without data, between members.
func TestSkipped(t *testing.T) {
	old := fields4{packed: 3, size: 3, method: '0', name: "a"}
	in := archive4(
		rartest.Header4(0x75, 0, make([]byte, 6)), []byte{0, 0, 0x77, 0, 0x80, 11, 0, 5, 0, 0, 0}, []byte("12345"),
		rartest.Header4(0x78, 0x8000, []byte{2, 0, 0, 0, 9}), []byte("RR"), old.header(), []byte("abc"))
	a, err := Read(plainVolumes{in}, Limits{})
	if err != nil || len(a.Members) != 1 || a.Truncated != nil || string(content(t, plainVolumes{in}, &a.Members[0])) != "abc" {
		t.Errorf("format 4: %+v, %v", a, err)
	}
	in = archive5(rartest.Header5(77, 4, []byte("any"), nil, 5, 1), []byte("12345"), rartest.Header5(78, 0, nil, []byte("?"), -1, 1),
		header5(rartest.File{Name: "a", Size: 3}), []byte("abc"))
	a, err = Read(plainVolumes{in}, Limits{})
	if err != nil || len(a.Members) != 1 || a.Truncated != nil || string(content(t, plainVolumes{in}, &a.Members[0])) != "abc" {
		t.Errorf("format 5: %+v, %v", a, err)
	}
}

// TestCompressed lists what another has to decompress: with the volumes that it takes.
func TestCompressed(t *testing.T) {
	for _, format := range []int{4, 5} {
		z := sized("z", 20_000)
		z.Method, z.Solid = 5, true
		secret := sized("secret", 100)
		secret.Encrypted = true
		v := write(t, rartest.Options{Format: format, VolumeSize: 5000}, sized("a", 100), z, secret)
		a := read(t, v)
		m := &a.Members[1]
		if m.Plain() || m.Predicted || m.Problem != "" || len(m.Extents) != 5 || m.Packed != 20_000 {
			t.Errorf("format %d: %+v", format, m)
		}
		if m.Method != 5 || !m.Solid || m.Dictionary == 0 {
			t.Errorf("format %d: %+v", format, m)
		}
		if m := &a.Members[2]; m.Plain() || !m.Encrypted || m.Problem != "encrypted" {
			t.Errorf("format %d: %+v", format, m)
		}
	}
}

// TestShorterHeader has a last volume with a header that is shorter than the others', so that the sizes don't add up: the last is read, too.
func TestShorterHeader(t *testing.T) {
	film := sized("a", 6*4948+1+80) // the last part has less than 128 bytes, and its length a byte less
	v := write(t, rartest.Options{Format: 5, VolumeSize: 5000, ShortNumbers: true}, film)
	c := count(v, blockSize)
	a := read(t, c)
	m := &a.Members[0]
	if !m.Predicted || c.reads != 3 || len(v) != 7 || m.Extents[6].Off != m.Extents[5].Off-1 || !bytes.Equal(content(t, v, m), data(t, film)) {
		t.Errorf("%d reads: %+v", c.reads, m)
	}
}

// TestBareLast has a last volume without an end header, and with data in its place.
func TestBareLast(t *testing.T) {
	for _, format := range []int{4, 5} {
		o := rartest.Options{Format: format, VolumeSize: 5000}
		full := read(t, write(t, o, sized("a", 30_000)))
		var size int64
		for _, e := range full.Members[0].Extents[:6] {
			size += e.Len
		}
		o.BareLast = true
		for more := range int64(9) {
			film := sized("a", size+more)
			v := write(t, o, film)
			c := count(v, blockSize)
			m := &read(t, c).Members[0]
			if !m.Predicted || c.reads != 3 || !bytes.Equal(content(t, v, m), data(t, film)) {
				t.Errorf("format %d, %d bytes more in %d volumes, %d reads: %+v", format, more, len(v), c.reads, m)
			}
		}
	}
}

// TestRecovery has records for recovery that are a share of each volume. The last volume has a shorter one, and is read, too.
func TestRecovery(t *testing.T) {
	for _, format := range []int{4, 5} {
		for _, last := range []int64{1, 400, 3000} {
			film := sized("a", 6*(10_000-700)+last)
			v := write(t, rartest.Options{Format: format, VolumeSize: 10_000 + 120, Recovery: 700, LastRecovery: 1 + int(last)*7/100}, film)
			c := count(v, blockSize)
			m := &read(t, c).Members[0]
			if !m.Predicted || c.reads != 3 || !bytes.Equal(content(t, v, m), data(t, film)) {
				t.Errorf("format %d, %d bytes in the last of %d volumes, %d reads: %+v", format, last, len(v), c.reads, m)
			}
		}
	}
}

// TestEndHeader has something behind the end header, so that it is read: what it says of further volumes counts.
func TestEndHeader(t *testing.T) {
	for _, format := range []int{4, 5} {
		files := []rartest.File{sized("a", 300), sized("b", 300)}
		v := write(t, rartest.Options{Format: format, VolumeSize: 600}, files...)
		if len(v) != 2 {
			t.Fatal(len(v))
		}
		junk := make([]byte, 100)
		set := plainVolumes{append(flat(v, 0), junk...), append(flat(v, 1), junk...)}
		a := read(t, set)
		if len(a.Members) != 2 || a.Volumes != 2 || !bytes.Equal(content(t, set, &a.Members[1]), data(t, files[1])) {
			t.Errorf("format %d: %+v", format, a)
		}
		// The last says that it is: what is in a file with the next name is of no interest.
		if a := read(t, append(set, junk)); a.Volumes != 2 {
			t.Errorf("format %d: %+v", format, a)
		}
		one := write(t, rartest.Options{Format: format, VolumeSize: 2000}, files...)
		more := plainVolumes{append(bytes.TrimSuffix(flat(one, 0), lastEnd(format)), nextEnd(format)...)}
		more[0] = append(more[0], junk...)
		if a, err := Read(more, Limits{}); err != nil || len(a.Members) != 2 || !errors.Is(a.Truncated, fs.ErrNotExist) {
			t.Errorf("format %d: another volume was promised: %+v, %v", format, a, err)
		}
		other := write(t, rartest.Options{Format: 9 - format}, files...)
		set[1] = flat(other, 0)
		if a, err := Read(set, Limits{}); err != nil || !errors.Is(a.Truncated, ErrFormat) {
			t.Errorf("format %d: a volume of the other: %+v, %v", format, a, err)
		}
	}
}

func lastEnd(format int) []byte {
	if format == 4 {
		return rartest.Header4(0x7b, 0x4000, nil)
	}
	return rartest.Header5(5, 0, []byte{0}, nil, -1, 1)
}

func nextEnd(format int) []byte {
	if format == 4 {
		return rartest.Header4(0x7b, 0x4001, nil)
	}
	return rartest.Header5(5, 0, []byte{1}, nil, -1, 1)
}

// shortVolumes are shorter than Open says.
type shortVolumes struct{ plainVolumes }

func (s shortVolumes) Open(n int) (io.ReaderAt, int64, error) {
	r, size, err := s.plainVolumes.Open(n)
	return r, size + 1000, err
}

// unopened is Volumes of which one can't be opened.
type unopened struct {
	Volumes
	n int
}

func (u unopened) Open(n int) (io.ReaderAt, int64, error) {
	if n == u.n {
		return nil, 0, errSwarm
	}
	return u.Volumes.Open(n)
}

// TestVolumesErrors has errors that tell nothing about the archive, but of Volumes.
func TestVolumesErrors(t *testing.T) {
	v := write(t, rartest.Options{Format: 5, VolumeSize: 1000}, sized("a", 5000))
	for n := range len(v) + 1 {
		if a, err := Read(unopened{v, n}, Limits{}); a != nil || !errors.Is(err, errSwarm) {
			t.Errorf("volume %d of %d can't be opened: %+v, %v", n, len(v), a, err)
		}
	}
	if a, err := Read(shortVolumes{plainVolumes{flat(v, 0)}}, Limits{}); a != nil || !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrFormat) {
		t.Errorf("a volume that ends early: %+v, %v", a, err)
	}
}

// TestVerify changes what was predicted by a byte.
func TestVerify(t *testing.T) {
	for _, format := range []int{4, 5} {
		v := write(t, rartest.Options{Format: format, VolumeSize: 1000, Comment: "in each", CommentAll: true}, sized("a", 5000))
		for what, change := range map[string]func(m *Member){
			"place":           func(m *Member) { m.Extents[3].Off++ },
			"length":          func(m *Member) { m.Extents[3].Len-- },
			"name":            func(m *Member) { m.Name += "a" },
			"size":            func(m *Member) { m.Size++ },
			"another is last": func(m *Member) { m.Extents = m.Extents[:4] },
		} {
			a := read(t, v)
			if held, err := a.Verify(v, 3); !held || err != nil {
				t.Fatal(held, err)
			}
			change(&a.Members[0])
			if held, err := a.Verify(v, 3); held || err != nil {
				t.Errorf("format %d: another %s: %v, %v", format, what, held, err)
			}
		}
		a := read(t, v)
		for what, volume := range map[string][]byte{
			"no archive": make([]byte, 1000), "empty": {}, "no member": archive5(make([]byte, 900)),
			"encrypted": archive5(rartest.Header5(4, 0, make([]byte, 20), nil, -1, 1)),
		} {
			if held, err := a.Verify(plainVolumes{nil, nil, nil, volume}, 3); held || err != nil {
				t.Errorf("format %d: %s: %v, %v", format, what, held, err)
			}
		}
		if held, err := a.Verify(v[:3], 3); held || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("format %d: a volume that is gone: %v, %v", format, held, err)
		}
	}
}

// gone is Volumes of which the bytes of one are gone.
type gone struct {
	Volumes
	n int
}

func (g gone) Open(n int) (io.ReaderAt, int64, error) {
	r, size, err := g.Volumes.Open(n)
	if n == g.n && err == nil {
		r = goneReader{}
	}
	return r, size, err
}

type goneReader struct{}

func (goneReader) ReadAt([]byte, int64) (int, error) {
	return 0, &fs.PathError{Op: "open", Path: "piece", Err: fs.ErrNotExist}
}

// TestGone does not take a file that is missing behind a volume for the end of the set.
func TestGone(t *testing.T) {
	for _, format := range []int{4, 5} {
		split := write(t, rartest.Options{Format: format, VolumeSize: 1000}, sized("a", 300), sized("b", 5000))
		whole := write(t, rartest.Options{Format: format, VolumeSize: 600}, sized("a", 300), sized("b", 300))
		for _, v := range []Volumes{split, whole} {
			if a, err := ReadAll(gone{v, 1}, Limits{}); a != nil || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("format %d: %+v, %v", format, a, err)
			}
		}
		if a, err := ReadAll(split[:1], Limits{}); err != nil || !errors.Is(a.Truncated, fs.ErrNotExist) {
			t.Errorf("format %d, without the second volume: %+v, %v", format, a, err)
		}
	}
}
