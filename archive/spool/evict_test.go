package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRoom takes room as it is decoded, not before, and gives back all of it, whatever becomes of the member.
func TestRoom(t *testing.T) {
	const size = 5<<20 + 100
	b := content(1, size)
	for name, fail := range map[string]error{"read": nil, "damaged": errDamaged, "stopped": errors.New("no peers")} {
		t.Run(name, func(t *testing.T) {
			r := &room{free: 1 << 30}
			s := open(t, Options{Room: r, Ahead: 1})
			r.spool = s
			c := &codec{b: b}
			m := member(t, s, "a/0/1", size, c)
			check(t, m, b, 0, 100)
			if took, _ := r.sums(); took < 4096 || took > 2*takeStep {
				t.Errorf("%d bytes of room taken for some", took)
			}
			if fail != nil {
				c.fail.Store(&fail)
				if _, err := m.ReadAt(t.Context(), make([]byte, 1), size/2); !errors.Is(err, fail) {
					t.Errorf("got %v", err)
				}
			} else {
				check(t, m, b, 0, size)
			}
			awaitRest(t, m)
			took, _ := r.sums()
			if want := blocks(fileSize(size)); fail == nil && took != want {
				t.Errorf("%d bytes of room taken, want %d", took, want)
			}
			eventually(t, "room is kept", func() bool { s.Free(1<<40, time.Now(), false); return s.Used() == 0 })
			eventually(t, "room is kept", func() bool { took, gave := r.sums(); return took == gave })
			if done, part := files(t, s.o.Dir); done+part > 0 {
				t.Errorf("%d + %d files are left", done, part)
			}
		})
	}
}

// TestNothing keeps no file, and no room, of a member of which nothing could be decoded.
func TestNothing(t *testing.T) {
	r := &room{free: 1 << 30}
	s := open(t, Options{Room: r})
	c := &codec{b: content(1, 1000)}
	stopped := errors.New("no peers")
	c.fail.Store(&stopped)
	if _, err := member(t, s, "a", 1000, c).ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
	eventually(t, "it is kept", func() bool { done, part := files(t, s.o.Dir); return s.Used() == 0 && done+part == 0 })
}

// TestNoRoomOnTheWay fails the reads that wait when room ends, and goes on where it was when there is some again.
func TestNoRoomOnTheWay(t *testing.T) {
	const size = 3 << 20
	b := content(1, size)
	r := &room{free: takeStep}
	s := open(t, Options{Room: r})
	m := member(t, s, "a", size, &codec{b: b})
	check(t, m, b, 0, takeStep/2)
	if _, err := m.ReadAt(t.Context(), make([]byte, 1), size-1); !errors.Is(err, ErrNoRoom) || !errors.Is(err, errRoom) {
		t.Errorf("got %v", err)
	}
	check(t, m, b, 0, takeStep/2)
	r.mu.Lock()
	r.free += size
	r.mu.Unlock()
	check(t, m, b, 0, size)
}

// TestForce ends a decoder whose member has to go, and those who wait for it; what is read without waiting is decoded again.
func TestForce(t *testing.T) {
	const size = 1 << 20
	b := content(1, size)
	r := &room{free: 1 << 30}
	s := open(t, Options{Room: r})
	slow := &codec{b: b, gate: make(chan int, 1)}
	m := member(t, s, "a", size, slow)
	began := time.Now()
	send(t, slow.gate, chunk)
	check(t, m, b, 0, chunk)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := m.ReadAt(t.Context(), make([]byte, 1), size-1); !errors.Is(err, ErrNoRoom) {
			t.Errorf("the read that waits: %v", err)
		}
	})
	eventually(t, "nobody waits", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(m.e.waiters) == 1 && m.e.done == chunk
	})
	if n := s.Free(1, time.Now(), false); n != 0 {
		t.Errorf("%d bytes of what is being read were freed", n)
	}
	if n := s.Free(1, began, true); n != 0 {
		t.Errorf("%d bytes of what was used since were freed", n)
	}
	took, _ := r.sums()
	if n := s.Free(1, time.Now(), true); n != took {
		t.Errorf("%d of %d bytes were freed", n, took)
	}
	wg.Wait()
	eventually(t, "it is there still", func() bool { done, part := files(t, s.o.Dir); return done+part == 0 && s.Used() == 0 })
	eventually(t, "room is kept", func() bool { took, gave := r.sums(); return took == gave })
	wg.Go(func() { check(t, m, b, 0, size) })
	send(t, slow.gate, size)
	send(t, slow.gate, 1) // its end
	wg.Wait()

	release, err := m.Hold()
	if err != nil {
		t.Fatal(err)
	}
	awaitRest(t, m)
	if n := s.Free(1, time.Now(), false); n != 0 || !m.Ready(0, size) {
		t.Errorf("%d bytes of what is held were freed", n)
	}
	if n := s.Evict("a", false); n != 0 || !m.Ready(0, size) {
		t.Errorf("%d bytes of what is held were evicted", n)
	}
	release()
	if n := s.Free(1, time.Now(), false); n == 0 || m.Ready(0, 1) {
		t.Error("what was held is not freed")
	}
}

// TestCannotRemove keeps the room of a file that cannot be removed until it can, and meanwhile leaves others alone.
func TestCannotRemove(t *testing.T) {
	const size = 1 << 20
	b := content(1, size)
	r := &room{free: 1 << 30}
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Room: r, Limit: func() int64 { return 2 * fileSize(size) }})
	var first *Member
	for i, key := range []string{"a", "b"} {
		m := member(t, s, key, size, &codec{b: b})
		check(t, m, b, 0, size)
		eventually(t, "not finished", func() bool { done, _ := files(t, dir); return done == i+1 })
		awaitRest(t, m)
		if first == nil {
			first = m
		}
	}
	path := first.e.path
	inside := filepath.Join(path, "file")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(inside, 0o755); err != nil { // a folder with something in it cannot be removed
		t.Fatal(err)
	}
	used := s.Used()
	for range 3 {
		if n := s.Free(1, time.Now(), false); n != 0 {
			t.Errorf("%d bytes were freed", n)
		}
	}
	if _, gave := r.sums(); gave != 0 || s.Used() != used {
		t.Errorf("%d bytes of room were given back, %d of %d are used", gave, s.Used(), used)
	}
	if !member(t, s, "b", size, nil).Ready(0, size) {
		t.Error("another one has gone for nothing")
	}
	if _, err := member(t, s, "c", size, &codec{b: b}).ReadAt(t.Context(), make([]byte, 1), 0); !errors.Is(err, ErrNoRoom) || !errors.Is(err, errStays) {
		t.Errorf("there is no room: %v", err)
	}
	if n := s.Evict("b", true); n != blocks(fileSize(size)) || member(t, s, "b", size, nil).Ready(0, 1) {
		t.Errorf("%d bytes were evicted of what is to go whatever becomes of others", n)
	}
	if err := os.Remove(inside); err != nil {
		t.Fatal(err)
	}
	if n := s.Free(1, time.Now(), false); n != blocks(fileSize(size)) {
		t.Errorf("%d bytes were freed when it can be removed", n)
	}
	check(t, member(t, s, "c", size, &codec{b: b}), b, 0, size)
}

// TestBefore frees nothing that was used since.
func TestBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{})
		b := content(1, 1000)
		var times []time.Time
		for i := range 3 {
			check(t, member(t, s, fmt.Sprint(i), len(b), &codec{b: b}), b, 0, len(b))
			times = append(times, time.Now())
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if n := s.Free(1<<40, times[0], false); n != 0 {
			t.Errorf("%d bytes freed", n)
		}
		if n := s.Free(1<<40, times[2], false); n != 2*blocks(fileSize(1000)) {
			t.Errorf("%d bytes freed", n)
		}
		if n := s.Free(1<<40, times[2].Add(1), false); n != blocks(fileSize(1000)) {
			t.Errorf("%d bytes freed", n)
		}
	})
}

// TestEvict evicts the members of a folder, and those of no known one, after a restart as well.
func TestEvict(t *testing.T) {
	b := content(1, 1000)
	keys := []string{"a/0/1", "a/0/2/3", "a/0", "a/1/1", "a", "ab/0/1", "b/0/1"}
	one := blocks(fileSize(1000))
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, Options{Dir: dir})
		for _, key := range keys {
			m := member(t, s, key, len(b), &codec{b: b})
			check(t, m, b, 0, len(b))
			awaitRest(t, m)
		}
		eventually(t, "not finished", func() bool { done, _ := files(t, dir); return done == len(keys) })
		if restart {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, Options{Dir: dir})
		}
		left := func() string {
			var there []string
			for _, key := range keys {
				if m := member(t, s, key, len(b), &codec{b: b}); m.Ready(0, 1) {
					there = append(there, key)
				}
			}
			return strings.Join(there, " ")
		}
		if n, got := s.Evict("a/0", false), left(); n != 3*one || got != "a/1/1 a ab/0/1 b/0/1" {
			t.Errorf("restart %v: %d bytes freed, %s are left", restart, n, got)
		}
		if n, got := s.Keep([]string{"c", "ab", "a"}), left(); n != one || got != "a/1/1 a ab/0/1" {
			t.Errorf("restart %v: %d bytes freed, %s are left", restart, n, got)
		}
		if n, got := s.Evict("a", true), left(); n != 2*one || got != "ab/0/1" {
			t.Errorf("restart %v: %d bytes freed, %s are left", restart, n, got)
		}
	}
}

// TestEvictWhileRead evicts again and again what others read: they get the right bytes, or the reason.
func TestEvictWhileRead(t *testing.T) {
	const size = 1 << 20
	b := content(1, size)
	s := open(t, Options{Workers: 2})
	m := member(t, s, "a/0/1", size, &codec{b: b})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	over := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
				s.Evict("a", true)
			}
		}
	})
	read := 0
	for range 300 {
		p := make([]byte, 1000)
		off := read * 7919 % (size - 1000)
		switch _, err := m.ReadAt(ctx, p, int64(off)); {
		case errors.Is(err, ErrNoRoom):
		case err != nil:
			t.Fatal(err)
		default:
			read++
			if string(p) != string(b[off:off+1000]) {
				t.Fatalf("wrong bytes at %d", off)
			}
		}
	}
	close(over)
	wg.Wait()
	t.Logf("%d of 300 reads had the bytes", read)
}
