package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// room lets a number of bytes be taken. When there are none it has the spool free some.
type room struct {
	spool *Spool

	mu         sync.Mutex
	free       int64
	took, gave int64
}

var errRoom = errors.New("others have it")

func (r *room) Take(_ context.Context, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if lack := n - r.free; lack > 0 && r.spool != nil {
		r.mu.Unlock()
		r.spool.Free(lack, time.Now(), false)
		r.mu.Lock()
	}
	if n > r.free {
		return errRoom
	}
	r.free -= n
	r.took += n
	return nil
}

func (r *room) sums() (took, gave int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.took, r.gave
}

func (r *room) Add(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free -= n
	r.took += n
}

func (r *room) Give(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += n
	r.gave += n
}

// TestLimit evicts whole members, the one that was read least lately, and says why there is no room.
func TestLimit(t *testing.T) {
	const size = 100_000
	whole := fileSize(size)
	onDisk := blocks(whole)
	limit := 3 * whole
	r := &room{free: 3 * onDisk}
	s := open(t, Options{Limit: func() int64 { return limit }, Room: r})
	r.spool = s
	var members []*Member
	var codecs []*codec
	b := content(7, size)
	for i := range 4 {
		codecs = append(codecs, &codec{b: b})
		members = append(members, member(t, s, fmt.Sprint(i), size, codecs[i]))
	}
	for _, i := range []int{0, 1, 2, 0, 3} { // evicts 1
		check(t, members[i], b, 0, size)
	}
	awaitAll := func() {
		t.Helper()
		for _, m := range members {
			awaitRest(t, m)
		}
	}
	awaitAll()
	for i, want := range []bool{true, false, true, true} {
		if members[i].Ready(0, size) != want {
			t.Errorf("member %d: there %v, want %v", i, !want, want)
		}
	}
	if done, part := files(t, s.o.Dir); done != 3 || part != 0 || s.Used() != 3*whole || r.free != 0 {
		t.Errorf("%d + %d files, %d used, %d free", done, part, s.Used(), r.free)
	}
	check(t, members[1], b, 0, size) // evicts 2
	if n := codecs[1].opened.Load(); n != 2 {
		t.Errorf("decoded %d times", n)
	}
	awaitAll()
	if n := s.Free(1, time.Now(), false); n != onDisk {
		t.Errorf("%d bytes were freed for one, want %d", n, onDisk)
	}
	if members[0].Ready(0, 1) || !members[1].Ready(0, size) {
		t.Error("another was freed than the one that was read least lately")
	}
	limit = whole - 1
	_, err := members[0].ReadAt(t.Context(), make([]byte, 1), 0)
	if !errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), fmt.Sprint(limit)) {
		t.Errorf("larger than the limit: %v", err)
	}
	limit = 10 * whole
	r.mu.Lock()
	r.free -= onDisk // taken by others
	r.mu.Unlock()
	check(t, members[2], b, 0, size)
	awaitAll()
	if n := s.Free(1<<40, time.Now(), false); n != 2*onDisk {
		t.Errorf("%d bytes were freed, want %d", n, 2*onDisk)
	}
	r.mu.Lock()
	left := r.free
	r.free = 0
	r.mu.Unlock()
	if left != 2*onDisk || s.Used() != 0 || r.took != r.gave {
		t.Errorf("%d left, %d used, took %d, gave %d", left, s.Used(), r.took, r.gave)
	}
	if _, err := members[0].ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrNoRoom) || !errors.Is(err, errRoom) {
		t.Errorf("no room elsewhere: %v", err)
	}
}

// TestReadIsKept does not evict what somebody reads, though the reader waits.
func TestReadIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 100_000
		b := content(8, size)
		s := open(t, Options{Limit: func() int64 { return fileSize(size) }, Workers: 2, Wait: 100 * time.Millisecond})
		slow := &codec{b: b, gate: make(chan int)}
		m1, err := s.Open("slow", size, func(ctx context.Context) (io.ReadCloser, error) {
			time.Sleep(time.Millisecond) // or no time would pass where it is ended and begun again and again, and no limit be reached
			return slow.open(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m1.Close()
		m2 := member(t, s, "other", size, &codec{b: b})
		var wg sync.WaitGroup
		wg.Go(func() { check(t, m1, b, 0, size) })
		time.Sleep(time.Second)
		synctest.Wait()
		if slow.active.Load() != 1 {
			t.Fatal("the source isn't asked")
		}
		if _, err := m2.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrNoRoom) {
			t.Errorf("got %v", err)
		}
		wg.Go(func() { check(t, m2, b, 0, size) }) // waits until the other was read
		synctest.Wait()
		send(t, slow.gate, size)
		send(t, slow.gate, 1) // its end
		wg.Wait()
		check(t, m2, b, 0, size)
	})
}

// TestRestart finds what was finished, and only that.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	b := content(9, 300_000)
	s := open(t, Options{Dir: dir, Ahead: 1})
	for i, n := range []int{len(b), 1000, len(b), len(b), len(b)} {
		c := &codec{b: b}
		check(t, member(t, s, fmt.Sprint(i), len(b), c), b, 0, n)
		eventually(t, "not finished", func() bool { d, _ := files(t, dir); return n < len(b) || d > 0 && c.active.Load() == 0 })
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if done, part := files(t, dir); done != 4 || part != 0 {
		t.Fatalf("%d + %d files after closing", done, part)
	}
	// A crash leaves a part; another file loses its end, and one is of another name.
	paths, _ := filepath.Glob(filepath.Join(dir, "*"+doneSuffix))
	hash := strings.Repeat("ab", hashDigits/2)
	foreign := filepath.Join(dir, "readme")
	other, err := os.ReadFile(paths[1])
	err = errors.Join(err, os.Truncate(paths[0], int64(len(b))), os.WriteFile(filepath.Join(dir, hash+"-1.done"), other, 0o600),
		os.WriteFile(filepath.Join(dir, hash+"-2.part"), b, 0o600), os.WriteFile(foreign, nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	whole := fileSize(int64(len(b)))
	r := &room{free: 2 * blocks(whole)}
	s = open(t, Options{Dir: dir, Room: r, Limit: func() int64 { return 3*whole - 1 }})
	if done, part := files(t, dir); done != 2 || part != 0 || s.Used() != 2*whole || r.free != 0 {
		t.Errorf("%d + %d files, %d used, %d free", done, part, s.Used(), r.free)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a file of others: %v", err)
	}
	kept := 0
	for i := range 5 {
		c := &codec{b: b}
		m := member(t, s, fmt.Sprint(i), len(b), c)
		if m.Ready(0, int64(len(b))) {
			kept++
			check(t, m, b, 0, len(b))
			if c.opened.Load() != 0 {
				t.Error("decoded again")
			}
		}
	}
	if kept != 2 {
		t.Errorf("%d members are there", kept)
	}
	// Somebody removes a file: it is decoded again.
	for _, path := range paths {
		if err := remove(path); err != nil {
			t.Fatal(err)
		}
	}
	check(t, member(t, s, "3", len(b), &codec{b: b}), b, 7, 100)
}

// crash is a decoder that panics when it is opened, read or closed, whichever is not that late.
type crash struct{ opens, reads bool }

func (c crash) open(context.Context) (io.ReadCloser, error) {
	if !c.opens {
		panic("cannot be opened")
	}
	return c, nil
}

func (c crash) Read(p []byte) (int, error) {
	if !c.reads {
		panic("cannot be read")
	}
	return len(p), nil
}

func (crash) Close() error { panic("cannot be closed") }

// TestPanic ends the member, not the process: its decoder runs on a goroutine of the spool.
func TestPanic(t *testing.T) {
	s := open(t, Options{})
	for i, c := range []crash{{}, {opens: true}} {
		m, err := s.Open(fmt.Sprint(i), 100, c.open)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // it is remembered
			if _, err := m.ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrDecoder) {
				t.Errorf("decoder %d: %v", i, err)
			}
		}
		m.Close()
	}
	m, err := s.Open("endless", 100, crash{opens: true, reads: true}.open)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.ReadAt(t.Context(), make([]byte, 100), 0); !errors.Is(err, ErrSize) {
		t.Errorf("a decoder that panics when it is closed, after too much data: %v", err)
	}
}

// TestLevels decodes from a member that has to be decoded, where there is a place for one decoder: each level has its own.
func TestLevels(t *testing.T) {
	const size = 100_000
	b := content(3, size)
	s := open(t, Options{Limit: func() int64 { return 1 << 20 }, Workers: 1})
	outer := member(t, s, "outer", size, &codec{b: b})
	inner, err := s.OpenInner(1, "inner", size, func(ctx context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(readerAt{ctx, outer}, 0, size)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	check(t, inner, b, 0, size)
}

// readerAt is a member as an io.ReaderAt.
type readerAt struct {
	ctx context.Context
	m   *Member
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r.m.ReadAt(r.ctx, p, off) }
