package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small has two pieces of a block each and a short one.
var small = Geometry{PieceLength: blockSize, Pieces: 3, Size: 2*blockSize + 100, Edges: []Span{{0, 0}}}

// leave makes the cache of a torrent that is complete and was closed.
func leave(t testing.TB, dir string, key Key, g Geometry) {
	t.Helper()
	c := openCache(t, dir, 1<<30)
	p := mustOpen(t, c, key, g)
	fill(t, p, Span{0, g.Pieces - 1})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// flip changes a bit of a file. The time that the file was changed last stays what it was.
func flip(t testing.TB, path string, off int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, off)
	b[0] ^= 8
	if err == nil {
		_, err = f.WriteAt(b, off)
	}
	if err = errors.Join(err, os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
}

// TestReopen opens what an earlier run has left, after something has happened to it. Whatever that is, no piece is present whose
// bytes are wrong, and none is lost whose bytes are right unless the states do not say that it is there.
func TestReopen(t *testing.T) {
	other := keyOf(1)
	tests := map[string]struct {
		change  func(t *testing.T, dir, data, states string)
		present int // at once
		suspect int
		right   int // of these, after checking
	}{
		"nothing":      {func(*testing.T, string, string, string) {}, 3, 0, 3},
		"bit of data":  {func(t *testing.T, _, data, _ string) { flip(t, data, blockSize+7) }, 0, 3, 2},
		"last bit":     {func(t *testing.T, _, data, _ string) { flip(t, data, 2*blockSize+99) }, 0, 3, 2},
		"bit of state": {func(t *testing.T, _, _, states string) { flip(t, states, headerSize+1) }, 0, 3, 3},
		"present bit": {func(t *testing.T, _, _, states string) {
			b := mustRead(t, states)
			b[headerSize+2] ^= savedPresent
			mustWrite(t, states, b)
		}, 0, 2, 2},
		"bit of trailer":      {func(t *testing.T, _, _, states string) { flip(t, states, headerSize+3+20) }, 0, 3, 3},
		"bit of sum":          {func(t *testing.T, _, _, states string) { flip(t, states, headerSize+3+33) }, 0, 3, 3},
		"bit of magic":        {func(t *testing.T, _, _, states string) { flip(t, states, 2) }, 0, 0, 0},
		"bit of piece length": {func(t *testing.T, _, _, states string) { flip(t, states, 9) }, 0, 0, 0},
		"no trailer": {func(t *testing.T, _, _, states string) {
			if err := os.Truncate(states, headerSize+3); err != nil {
				t.Fatal(err)
			}
		}, 0, 3, 3},
		"states cut": {func(t *testing.T, _, _, states string) {
			if err := os.Truncate(states, headerSize+2); err != nil {
				t.Fatal(err)
			}
		}, 0, 0, 0},
		"states empty": {func(t *testing.T, _, _, states string) { mustWrite(t, states, nil) }, 0, 0, 0},
		"states lost": {func(t *testing.T, _, _, states string) {
			if err := os.Remove(states); err != nil {
				t.Fatal(err)
			}
		}, 0, 0, 0},
		"data lost": {func(t *testing.T, _, data, _ string) {
			if err := os.Remove(data); err != nil {
				t.Fatal(err)
			}
		}, 0, 0, 0},
		"data cut": {func(t *testing.T, _, data, _ string) {
			if err := os.Truncate(data, blockSize+1); err != nil {
				t.Fatal(err)
			}
		}, 0, 2, 1},
		"data longer": {func(t *testing.T, _, data, _ string) {
			if err := os.Truncate(data, 10*blockSize); err != nil {
				t.Fatal(err)
			}
		}, 0, 3, 3},
		"copied": {func(t *testing.T, _, data, _ string) {
			info, err := os.Stat(data)
			if err != nil {
				t.Fatal(err)
			}
			b := mustRead(t, data)
			if err := os.Remove(data); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, data, b)
			if err := os.Chtimes(data, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, 0, 3, 3},
		"data of another": {func(t *testing.T, dir, data, _ string) {
			leave(t, dir, other, small)
			otherData, _ := paths(dir, other)
			if err := os.Rename(otherData, data); err != nil {
				t.Fatal(err)
			}
		}, 0, 3, 0},
		"states of another": {func(t *testing.T, dir, _, states string) {
			leave(t, dir, other, small)
			_, otherStates := paths(dir, other)
			if err := os.Rename(otherStates, states); err != nil {
				t.Fatal(err)
			}
		}, 0, 3, 3},
		"format 1": {func(t *testing.T, _, _, states string) { mustWrite(t, states, []byte(magic1+"\x01\x00\x02")) }, 0, 2, 2},
		"format 1, lies": {func(t *testing.T, _, data, states string) {
			mustWrite(t, states, []byte(magic1+"\x02\x02\x02"))
			mustWrite(t, data, make([]byte, small.Size))
		}, 0, 3, 0},
		"format 1, of fewer pieces": {func(t *testing.T, _, _, states string) { mustWrite(t, states, []byte(magic1+"\x01\x01")) }, 0, 0, 0},
		// Somebody who can write the trailer can write the data as well: this is to know what is relied on.
		"trailer of other data": {func(t *testing.T, _, data, states string) {
			flip(t, data, 3)
			b := mustRead(t, states)
			for i := range 8 {
				b[headerSize+3+16+i]++ // ctime
			}
			mustWrite(t, states, b)
		}, 0, 3, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			key := keyOf(0)
			data, states := paths(dir, key)
			leave(t, dir, key, small)
			test.change(t, dir, data, states)

			c := openCache(t, dir, 1<<30)
			p := mustOpen(t, c, key, small)
			if present, suspect := p.Counts(); present != test.present || suspect != test.suspect {
				t.Errorf("%d present and %d suspect pieces, want %d and %d", present, suspect, test.present, test.suspect)
			}
			checkAccount(t, c)
			if err := p.Check(t.Context(), Span{0, 2}); err != nil {
				t.Fatal(err)
			}
			if present, suspect := p.Counts(); present != test.right || suspect != 0 {
				t.Errorf("checked: %d present and %d suspect pieces, want %d and none", present, suspect, test.right)
			}
			checkAccount(t, c)
			fill(t, p, Span{0, 2}) // which compares
			// And it can be left, and taken over, again.
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			p = mustOpen(t, c, key, small)
			if present, _ := p.Counts(); present != 3 {
				t.Errorf("opened again: %d present pieces, want 3", present)
			}
			checkAccount(t, c)
		})
	}
}

// TestKilled opens the files as they are while they are open.
func TestKilled(t *testing.T) {
	for _, g := range modelGeometries() {
		dir, copied := t.TempDir(), t.TempDir()
		key := keyOf(0)
		c := openCache(t, dir, 1<<30)
		p := mustOpen(t, c, key, g)
		half := Span{0, g.Pieces/2 - 1}
		fill(t, p, half)
		if g.Pieces > half.Len() { // and one that is not complete
			p.Want(Span{half.Len(), half.Len()}, Now, 1, ticket.Add(1))
			if _, err := p.WriteAt(half.Len(), []byte("part"), 3); err != nil {
				t.Fatal(err)
			}
		}
		for _, suffix := range []string{dataSuffix, statesSuffix} {
			mustWrite(t, copied+"/"+key.String()+suffix, mustRead(t, dir+"/"+key.String()+suffix))
		}
		again := openCache(t, copied, 1<<30)
		q := mustOpen(t, again, key, g)
		if present, suspect := q.Counts(); present != 0 || suspect != half.Len() {
			t.Errorf("pieces of %d: %d present and %d suspect ones, want none and %d", g.PieceLength, present, suspect, half.Len())
		}
		checkAccount(t, again)
		if err := q.Check(t.Context(), Span{0, g.Pieces - 1}); err != nil {
			t.Fatal(err)
		}
		if present, suspect := q.Counts(); present != half.Len() || suspect != 0 {
			t.Errorf("checked: %d present and %d suspect ones, want %d and none", present, suspect, half.Len())
		}
	}
}

// TestCloseKeepsTrailer opens and closes what is complete: the files are clean still, also where there is something to trim.
func TestCloseKeepsTrailer(t *testing.T) {
	for _, g := range modelGeometries() {
		dir := t.TempDir()
		leave(t, dir, keyOf(0), g)
		c := openCache(t, dir, 1<<30)
		for range 3 {
			p := mustOpen(t, c, keyOf(0), g)
			if present, suspect := p.Counts(); present != g.Pieces || suspect != 0 {
				t.Errorf("pieces of %d: %d present and %d suspect, want %d and none", g.PieceLength, present, suspect, g.Pieces)
			}
			p.mu.Lock()
			p.cache.evicting.Lock()
			err := p.trim()
			p.cache.evicting.Unlock()
			p.mu.Unlock()
			if err = errors.Join(err, p.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCheckFails has two who want a piece checked, and a disk that cannot be read at first.
func TestCheckFails(t *testing.T) {
	dir := t.TempDir()
	leave(t, dir, keyOf(0), small)
	data, _ := paths(dir, keyOf(0))
	if err := os.Chtimes(data, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	c := openCache(t, dir, 1<<30)
	p := mustOpen(t, c, keyOf(0), small)
	right := p.verify
	broken := errors.New("the disk is broken")
	begun, fail := make(chan struct{}), make(chan struct{})
	p.verify = func(int, io.Reader) (bool, error) {
		close(begun)
		<-fail
		p.mu.Lock()
		p.verify = right
		p.mu.Unlock()
		return false, broken
	}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- p.Check(context.Background(), Span{0, 0}) }()
	<-begun
	go func() { second <- p.Check(context.Background(), Span{0, 0}) }()
	time.Sleep(10 * time.Millisecond) // until it waits, most likely
	close(fail)
	if err := <-first; !errors.Is(err, broken) {
		t.Errorf("the first: %v, want %v", err, broken)
	}
	if err := <-second; err != nil {
		t.Errorf("the second: %v", err)
	}
	if got := p.State(0); got != Present {
		t.Errorf("the piece is in state %d, want %d", got, Present)
	}
}

// FuzzStates parses any file of states, and what it takes can be reckoned with.
func FuzzStates(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(magic1 + "\x00\x01\x02"))
	f.Add(append(header(&small), 1, 3, 5))
	f.Add(append(header(&Geometry{PieceLength: math.MaxInt64, Size: math.MaxInt64}), 1))
	f.Add(append(header(&Geometry{PieceLength: 1 << 60, Size: 1 << 60}), 1))
	f.Add(append(header(&Geometry{PieceLength: 1, Size: 3}), 1, 1, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parseStates(b)
		if !ok {
			return
		}
		files := closedFiles{geometry: Geometry{PieceLength: s.pieceLength, Pieces: len(s.states), Size: s.size}, saved: s}
		g := &files.geometry
		var sum int64
		for i := range s.states {
			if n := g.length(i); n <= 0 || n > g.PieceLength || g.cost(i) < n {
				t.Errorf("piece %d has %d bytes and takes %d", i, n, g.cost(i))
			}
			sum += g.length(i)
		}
		if sum != g.Size {
			t.Errorf("the pieces have %d bytes, the torrent %d", sum, g.Size)
		}
		for _, lent := range []bool{false, true} {
			doomed, left, _ := files.choose(1, 0, lent)
			for _, i := range doomed {
				if left.have.has(i) || !lent && s.states[i]&savedPresent == 0 {
					t.Errorf("piece %d is evicted, and left or not there", i)
				}
			}
		}
	})
}

// FuzzPieces opens a cache with any content in the files of a torrent, evicts some of it, and removes it.
func FuzzPieces(f *testing.F) {
	right := content(keyOf(0), &small, 0)
	whole := append(append(right, content(keyOf(0), &small, 1)...), content(keyOf(0), &small, 2)...)
	f.Add([]byte{}, []byte{})
	f.Add([]byte(magic1+"\x00\x01\x02"), whole)
	f.Add([]byte(magic1+"\x01\x01\x01"), whole[:5000])
	f.Add(append(header(&small), 3, 1, 1), whole)
	f.Add(append(header(&small), 1, 4, 5), append(whole, whole...))
	f.Add(append(append(header(&small), 1, 1, 1), make([]byte, trailerSize)...), whole)
	f.Add(append(header(&Geometry{PieceLength: 100, Size: 300}), 3, 1, 1), whole)
	f.Fuzz(func(t *testing.T, states, data []byte) {
		dir := t.TempDir()
		key, second := keyOf(0), keyOf(2)
		for _, k := range []Key{key, second} {
			dataPath, statesPath := paths(dir, k)
			mustWrite(t, statesPath, states)
			mustWrite(t, dataPath, data)
		}
		c := openCache(t, dir, 1<<30)
		pieces, bytesThere := c.Have(key, &small, 0, small.Size)
		if pieces < 0 || pieces > 3 || bytesThere > small.Size {
			t.Errorf("%d pieces with %d bytes", pieces, bytesThere)
		}
		p := mustOpen(t, c, key, small)
		checkAccount(t, c)
		if present, _ := p.Counts(); present != 0 {
			// The trailer has the inode and the times of the data, which were not known.
			t.Errorf("%d pieces are present that nobody has checked", present)
		}
		if err := p.Check(t.Context(), Span{0, 2}); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			b := make([]byte, small.length(i))
			if _, err := p.ReadAt(i, b, 0); err == nil && !bytes.Equal(b, content(key, &small, i)) {
				t.Errorf("piece %d is present and wrong", i)
			}
		}
		c.evicting.Lock()
		_, err := c.evictClosed(1, true)
		c.evicting.Unlock()
		if err != nil {
			t.Error(err)
		}
		checkAccount(t, c)
		if err := errors.Join(p.Close(), c.Remove(key), c.Remove(second)); err != nil {
			t.Error(err)
		}
		if left := onDisk(dir); left != 0 {
			t.Errorf("%d bytes are left", left)
		}
	})
}

// FuzzParseName takes a name apart as the cache puts it together.
func FuzzParseName(f *testing.F) {
	f.Add(keyOf(1).String() + dataSuffix)
	f.Add(keyOf(1).String() + statesSuffix)
	f.Add("library.json")
	f.Fuzz(func(t *testing.T, name string) {
		key, ok := parseName(name)
		if ok && name != key.String()+dataSuffix && name != key.String()+statesSuffix {
			t.Errorf("%q is taken for a file of %s", name, key)
		}
	})
}

// TestTrailerOrder is about the format, which others have on their disks.
func TestTrailerOrder(t *testing.T) {
	dir := t.TempDir()
	leave(t, dir, keyOf(0), small)
	data, states := paths(dir, keyOf(0))
	b := mustRead(t, states)
	if len(b) != headerSize+3+trailerSize || string(b[:8]) != "shoalpc2" || b[24] != savedPresent|savedEdge || b[25] != savedPresent {
		t.Fatalf("%x", b)
	}
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := int64(binary.LittleEndian.Uint64(b[27:])); got != info.Size() {
		t.Errorf("the trailer says %d bytes, the data has %d", got, info.Size())
	}
}
