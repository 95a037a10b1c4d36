package rar

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"testing"

	"shoal/archive/rar/rartest"
)

// manyFiles returns n files of which every third is large.
func manyFiles(n int, large int64) (files []rartest.File) {
	for i := range n {
		size := large + int64(i)
		if i%3 > 0 {
			size = int64(10 + i)
		}
		files = append(files, sized(fmt.Sprintf("d/%d", i), size))
	}
	return files
}

// TestQuickOpen lists 3,000 members that lie over 17 GiB: with the record in two places, without it in many.
func TestQuickOpen(t *testing.T) {
	files := manyFiles(3000, 17<<20)
	plain, err := Read(write(t, rartest.Options{Format: 5}, files...), Limits{BlockBytes: 1 << 30, Reads: 1 << 20})
	if err != nil || plain.Truncated != nil || len(plain.Members) != len(files) {
		t.Fatal(err, plain.Truncated)
	}
	v := write(t, rartest.Options{Format: 5, QuickOpen: true}, files...)
	c := count(v, 4<<20)
	a := read(t, c)
	if len(c.blocks) > 2 || c.reads > 4 {
		t.Errorf("%d reads of %d blocks of 4 MiB", c.reads, len(c.blocks))
	}
	// The locator makes the main header 10 bytes longer.
	shift := a.Members[0].Extents[0].Off - plain.Members[0].Extents[0].Off
	for i := range plain.Members {
		plain.Members[i].Extents[0].Off += shift
	}
	if !reflect.DeepEqual(a.Members, plain.Members) {
		t.Error("the record gives another list than the headers")
	}
}

// TestQuickOpenOfLarge has a record of the large members only, as rar makes it by default: the others' headers are read.
func TestQuickOpenOfLarge(t *testing.T) {
	files := manyFiles(60, 100_000)
	compare(t, write(t, rartest.Options{Format: 5, QuickOpen: true, QuickMin: 100_000}, files...), files)
}

// TestQuickOpenTooLarge has a record that would take most of what listing may cost: the headers are read.
func TestQuickOpenTooLarge(t *testing.T) {
	files := manyFiles(60, 100_000)
	v := write(t, rartest.Options{Format: 5, QuickOpen: true}, files...)
	a, err := Read(v, Limits{HeaderBytes: 4000})
	if err != nil || a.Truncated != nil || len(a.Members) != len(files) {
		t.Errorf("%v, %+v", err, a)
	}
}

// TestQuickOpenLies has records that are damaged or lie: what can be seen to be wrong is read from the headers themselves, and nothing
// of the list points outside.
func TestQuickOpenLies(t *testing.T) {
	files := []rartest.File{sized("a", 200_000), sized("b", 300_000), sized("c", 100_000)}
	want := extents(read(t, write(t, rartest.Options{Format: 5, QuickOpen: true}, files...)))
	long := rartest.File{Name: "b", Size: 1 << 40}
	for what, change := range map[string]func([]byte) []byte{
		"wrong CRC":    func(h []byte) []byte { return append([]byte{^h[0]}, h[1:]...) },
		"cut":          func(h []byte) []byte { return h[:len(h)-1] },
		"too long":     func(h []byte) []byte { return append(slices.Clip(h), 0) },
		"nothing":      func([]byte) []byte { return nil },
		"goes outside": func([]byte) []byte { return header5(long) },
		"no header":    func([]byte) []byte { return make([]byte, 20) },
		"the truth":    func(h []byte) []byte { return h },
	} {
		v := write(t, rartest.Options{Format: 5, QuickOpen: true, ChangeCopy: change}, files...)
		if got := extents(read(t, v)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
}

// header5 returns the header of a file.
func header5(f rartest.File) []byte {
	b := rartest.Vint(nil, 0, 1)
	b = rartest.Vint(b, uint64(f.Size), 1)
	b = append(b, 0, 0, 1, byte(len(f.Name)))
	return rartest.Header5(2, 0, append(b, f.Name...), nil, f.Size, 1)
}

// entry returns an entry of a quick open record.
func entry(back uint64, header []byte) []byte {
	b := rartest.Vint([]byte{0}, back, 1)
	b = append(rartest.Vint(b, uint64(len(header)), 1), header...)
	b = append(rartest.Vint(nil, uint64(len(b)), 1), b...)
	return append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)), b...)
}

func TestParseQuickOpen(t *testing.T) {
	h := header5(rartest.File{Name: "a"})
	good := entry(100, h)
	damaged := append([]byte{}, good...)
	damaged[len(damaged)-1]++
	for _, c := range []struct {
		what string
		data []byte
		want []int64
	}{
		{"one", good, []int64{900}},
		{"two", append(entry(200, h), good...), []int64{800, 900}},
		{"before the volume", append(entry(1001, h), good...), nil},
		{"at its beginning", entry(1000, h), []int64{0}},
		{"at the record", entry(0, h), nil},
		{"into the record", entry(uint64(len(h)-1), h), nil},
		{"up to the record", entry(uint64(len(h)), h), []int64{1000 - int64(len(h))}},
		{"huge", entry(1<<63, h), nil},
		{"short header", entry(100, h[:6]), nil},
		{"damaged", append(append([]byte{}, damaged...), good...), nil},
		{"cut", good[:len(good)-1], nil},
		{"after a good one", append(append([]byte{}, good...), damaged...), []int64{900}},
		{"nothing", nil, nil},
	} {
		q := parseQuickOpen(c.data, 1000)
		if len(q.headers) != len(c.want) {
			t.Errorf("%s: %d headers, want %v", c.what, len(q.headers), c.want)
		}
		for _, at := range c.want {
			if string(q.headers[at]) != string(h) {
				t.Errorf("%s: no header at %d", c.what, at)
			}
		}
	}
}

// TestQuickOpenLocator has locators that point at something else.
func TestQuickOpenLocator(t *testing.T) {
	for _, place := range []uint64{1, 20, 100, 150_000, 1 << 20, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		locator := rartest.Record5(1, rartest.Vint([]byte{1}, place, 1))
		b := append([]byte("Rar!\x1a\x07\x01\x00"), rartest.Header5(1, 0, []byte{0}, locator, -1, 1)...)
		b = append(b, header5(rartest.File{Name: "a", Size: 200_000})...)
		b = append(b, make([]byte, 200_000)...)
		b = append(b, header5(rartest.File{Name: "b"})...)
		a, err := Read(plainVolumes{b}, Limits{})
		if err != nil || len(a.Members) != 2 || a.Truncated != nil {
			t.Errorf("a record at %d: %v, %+v", place, err, a)
		}
	}
}
