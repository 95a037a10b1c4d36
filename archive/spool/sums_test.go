package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// finished decodes a member into a folder, closes the spool, and returns the path of the file.
func finished(t *testing.T, dir string, b []byte) string {
	t.Helper()
	s := open(t, Options{Dir: dir})
	check(t, member(t, s, "a", len(b), &codec{b: b}), b, 0, len(b))
	eventually(t, "not finished", func() bool { done, _ := files(t, dir); return done == 1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(dir, "*"+doneSuffix))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0]
}

// flip changes a byte of a file.
func flip(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedOnDisk decodes anew what a file of an earlier run has wrong, whatever of it that is, and leaves alone what is read elsewhere.
func TestDamagedOnDisk(t *testing.T) {
	const size = 3*sumLength + 1000
	b := content(1, size)
	for name, c := range map[string]struct {
		at      int64
		damaged bool
	}{
		"first byte":          {0, false},
		"before what is read": {sumLength - 1, false},
		"start of the sum's":  {sumLength, true},
		"what is read":        {sumLength + 5000, true},
		"end of the sum's":    {2*sumLength - 1, true},
		"behind it":           {2 * sumLength, false},
		"last byte":           {size - 1, false},
		"the sum":             {size + crc32.Size, true},
		"another sum":         {size + 2*crc32.Size, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := finished(t, dir, b)
			flip(t, path, c.at)
			r := &room{free: 1 << 30}
			s := open(t, Options{Dir: dir, Room: r})
			again := &codec{b: b}
			m := member(t, s, "a", size, again)
			if !m.Ready(0, size) {
				t.Fatal("it is not there after a restart")
			}
			check(t, m, b, sumLength+4000, 5000)
			if n := again.opened.Load(); (n == 1) != c.damaged || n > 1 {
				t.Errorf("decoded %d times", n)
			}
			check(t, m, b, 0, size) // the rest
			eventually(t, "the decoder goes on", func() bool { return again.active.Load() == 0 })
			if n := again.opened.Load(); n != 1 {
				t.Errorf("decoded %d times", n)
			}
			eventually(t, "not finished again", func() bool { done, part := files(t, dir); return done == 1 && part == 0 })
			took, gave := r.sums()
			if want := blocks(fileSize(size)); took-gave != want || s.Used() != fileSize(size) {
				t.Errorf("%d bytes of room taken, want %d; %d used", took-gave, want, s.Used())
			}
		})
	}
}

// TestChecked looks at each part of a file once in a run.
func TestChecked(t *testing.T) {
	b := content(2, 2*sumLength)
	dir := t.TempDir()
	path := finished(t, dir, b)
	s := open(t, Options{Dir: dir})
	m := member(t, s, "a", len(b), &codec{b: b})
	check(t, m, b, 0, 10)
	flip(t, path, 1000)
	if _, err := m.ReadAt(t.Context(), make([]byte, 10), 20); err != nil || !m.Ready(0, int64(len(b))) {
		t.Errorf("it is looked at again: %v", err)
	}
	flip(t, path, sumLength+1000)
	check(t, m, b, sumLength, 10)
	eventually(t, "not decoded again", func() bool { _, err := os.Stat(path); return os.IsNotExist(err) })
	check(t, m, b, 0, len(b))
}

// TestCutOnDisk decodes anew what lost its end in this run.
func TestCutOnDisk(t *testing.T) {
	b := content(3, sumLength)
	dir := t.TempDir()
	path := finished(t, dir, b)
	s := open(t, Options{Dir: dir})
	m := member(t, s, "a", len(b), &codec{b: b})
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	check(t, m, b, 1000, 10)
}

// TestPartLost decodes anew what somebody else removes or cuts while it is not finished, whether it is being decoded or rests.
func TestPartLost(t *testing.T) {
	const size = 3 << 20
	b := content(4, size)
	for name, lose := range map[string]func(path string) error{
		"removed": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 100) },
	} {
		for _, way := range []struct{ rests, goesOn bool }{{}, {rests: true}, {rests: true, goesOn: true}} {
			rests := way.rests
			t.Run(fmt.Sprintf("%s, rests %t, goes on %t", name, rests, way.goesOn), func(t *testing.T) {
				idle := time.Hour
				if rests {
					idle = time.Millisecond
				}
				r := &room{free: 1 << 30}
				s := open(t, Options{Ahead: 1, Idle: idle, Room: r})
				c := &codec{b: b}
				m := member(t, s, "a", size, c)
				check(t, m, b, 0, 1<<20)
				eventually(t, "the decoder goes on", func() bool { return !rests || c.active.Load() == 0 })
				parts, err := filepath.Glob(filepath.Join(s.o.Dir, "*"+partSuffix))
				if err != nil || len(parts) != 1 {
					t.Fatal(parts, err)
				}
				if err := lose(parts[0]); err != nil {
					t.Fatal(err)
				}
				if way.goesOn { // where decoding stopped
					check(t, m, b, 2<<20, 1000)
				}
				check(t, m, b, 1000, 1000)
				check(t, m, b, 0, size)
				eventually(t, "not finished", func() bool { done, part := files(t, s.o.Dir); return done == 1 && part == 0 })
				if took, gave := r.sums(); took-gave != blocks(fileSize(size)) {
					t.Errorf("%d bytes of room taken, want %d", took-gave, blocks(fileSize(size)))
				}
			})
		}
	}
}

// TestSums makes the same sums of data that come in parts of any length.
func TestSums(t *testing.T) {
	b := content(4, 2*sumLength+77)
	var want []byte
	for off := 0; off < len(b); off += sumLength {
		want = binary.LittleEndian.AppendUint32(want, crc32.Checksum(b[off:min(off+sumLength, len(b))], castagnoli))
	}
	for _, step := range []int{1000, sumLength - 1, sumLength, sumLength + 1, len(b)} {
		for _, n := range []int{0, 1, sumLength, len(b)} {
			var s sums
			for off := 0; off < n; off += step {
				s.add(b[off:min(off+step, n)])
			}
			end := s.end()
			if int64(len(end)) != sumsSize(int64(n)) || n == len(b) && !bytes.Equal(end, want) {
				t.Errorf("%d bytes in steps of %d: %d bytes of sums", n, step, len(end))
			}
		}
	}
}

// TestForeignSize removes files whose trailers say something about their size that cannot be.
func TestForeignSize(t *testing.T) {
	dir := t.TempDir()
	path := finished(t, dir, content(5, 1000))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hash := filepath.Base(path)[:hashDigits]
	old := append(append([]byte(nil), whole[:1000]...), "shoalsp1"...)
	old = binary.LittleEndian.AppendUint64(old, 1000)
	old = binary.LittleEndian.AppendUint32(old, crc32.Update(crc32.Checksum([]byte(hash), castagnoli), castagnoli, old[1000:]))
	for name, b := range map[string][]byte{
		"an old one":    old,
		"none":          whole[:trailerSize-1],
		"huge":          append(append([]byte(nil), whole[:1004]...), trailer(hash, 1<<62)...),
		"negative":      append(append([]byte(nil), whole[:1004]...), trailer(hash, -1)...),
		"one byte more": append(append([]byte(nil), whole[:1004]...), trailer(hash, 1001)...),
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir})
		if done, part := files(t, dir); done+part != 0 || s.Used() != 0 {
			t.Errorf("%s: it is kept", name)
		}
	}
}

// TestSumsOfParts finds right after a restart what was decoded by two decoders, one after the other.
func TestSumsOfParts(t *testing.T) {
	b := content(6, 6*sumLength+99)
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Ahead: 1, Idle: 10 * time.Millisecond})
	first := &codec{b: b}
	m := member(t, s, "a", len(b), first)
	check(t, m, b, 0, sumLength+1000)
	eventually(t, "the decoder stays", func() bool { return first.active.Load() == 0 })
	check(t, m, b, 0, len(b))
	eventually(t, "not finished", func() bool { done, _ := files(t, dir); return done == 1 })
	if err := s.Close(); err != nil || first.opened.Load() != 2 {
		t.Fatalf("decoded %d times, %v", first.opened.Load(), err)
	}
	second := &codec{b: b}
	s = open(t, Options{Dir: dir})
	check(t, member(t, s, "a", len(b), second), b, 0, len(b))
	if n := second.opened.Load(); n != 0 {
		t.Errorf("decoded %d times after a restart", n)
	}
}
