package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lodger is a tenant that keeps files of a few blocks.
type lodger struct {
	t      *testing.T
	dir    string
	tenant *Tenant

	slow time.Duration // how long what is in use stays after it was told to go

	mu    sync.Mutex
	next  int
	files []*lodged // what was used least lately in front
}

type lodged struct {
	path  string
	key   Key
	index int
	bytes int64
	used  time.Time
	busy  bool
}

func lodge(t *testing.T, c *Cache, share int64) *lodger {
	t.Helper()
	l := &lodger{t: t, dir: filepath.Join(c.dir, "lodger")}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l.tenant = c.Lodge("lodger", share, l)
	return l
}

// add writes a file of whole blocks, if there is room for it.
func (l *lodger) add(ctx context.Context, key Key, index int, bytes int64) error {
	if limit := l.tenant.Limit(); l.tenant.Used()+bytes > limit {
		l.remove(bytes, func(f *lodged) bool { return !f.busy })
		if l.tenant.Used()+bytes > limit {
			return ErrNoRoom
		}
	}
	if err := l.tenant.Take(ctx, bytes); err != nil {
		return err
	}
	l.mu.Lock()
	l.next++
	f := &lodged{path: filepath.Join(l.dir, strconv.Itoa(l.next)), key: key, index: index, bytes: bytes, used: time.Now()}
	l.mu.Unlock()
	if err := os.WriteFile(f.path, make([]byte, bytes), 0o644); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, f)
	return nil
}

// remove removes the first files that pass, until n bytes are free.
func (l *lodger) remove(n int64, pass func(*lodged) bool) (freed int64) {
	for freed < n {
		l.mu.Lock()
		i := slices.IndexFunc(l.files, pass)
		if i < 0 {
			l.mu.Unlock()
			break
		}
		f := l.files[i]
		l.files = slices.Delete(l.files, i, i+1)
		l.mu.Unlock()
		goes := func() {
			if err := os.Remove(f.path); err != nil {
				l.t.Error(err)
			}
			l.tenant.Give(f.bytes)
		}
		if f.busy && l.slow > 0 {
			time.AfterFunc(l.slow, goes)
		} else {
			goes()
		}
		freed += f.bytes
	}
	return freed
}

const everything = 1 << 60

func (l *lodger) Free(n int64, before time.Time, force bool) int64 {
	return l.remove(n, func(f *lodged) bool { return f.used.Before(before) && (force || !f.busy) })
}

func (l *lodger) Evict(key Key, files []int) int64 {
	return l.remove(everything, func(f *lodged) bool {
		return f.key == key && !f.busy && (len(files) == 0 || slices.Contains(files, f.index))
	})
}

func (l *lodger) Forget(key Key) error {
	l.remove(everything, func(f *lodged) bool { return f.key == key })
	return nil
}

func (l *lodger) indexes() (list []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		list = append(list, f.index)
	}
	return list
}

func (l *lodger) mustAdd(index int, bytes int64) {
	l.t.Helper()
	if err := l.add(l.t.Context(), keyOf(index), index, bytes); err != nil {
		l.t.Fatal(err)
	}
}

// use says whether the nth file is in use.
func (l *lodger) use(n int, busy bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files[n].busy = busy
}

// TestTenantTakes lets a tenant take room from torrents that are not open, in front of those that are, and none from what is pinned.
func TestTenantTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 3*tenCost + tenCost/2
		c := openCache(t, t.TempDir(), limit)
		l := lodge(t, c, 2)
		for i := range 3 {
			p := mustOpen(t, c, keyOf(i), ten)
			fill(t, p, Span{0, 9})
			if i > 0 {
				mustClose(t, p)
			}
			time.Sleep(time.Second)
		}
		for i := range 6 {
			l.mustAdd(i, 32<<10)
		}
		checkAccount(t, c)
		if got := haveAll(c, &ten, 3); got[0] != 10 || got[1] >= 10 || got[2] != 10 {
			t.Errorf("pieces left are %d, want those of the open torrent, and of the one that was closed last", got)
		}
		for i := range 3 {
			c.Pin(keyOf(i), true)
		}
		l.remove(everything, func(*lodged) bool { return true })
		c.Pin(keyOf(1), false)
		if err := c.Remove(keyOf(1)); err != nil {
			t.Fatal(err)
		}
		c.SetLimit(2*tenCost + 64<<10)
		l.mustAdd(0, 32<<10)
		l.use(0, true)
		began := time.Now()
		if err := l.tenant.Take(t.Context(), 64<<10); !errors.Is(err, ErrNoRoom) || time.Since(began) > takeTime+time.Second {
			t.Errorf("what is pinned: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := l.tenant.Take(ctx, 128<<10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("when its context ends: %v", err)
		}
		if err := l.tenant.Take(t.Context(), limit); !errors.Is(err, ErrNoRoom) {
			t.Errorf("more than there may be: %v", err)
		}
		checkAccount(t, c)
		if c.Use(); len(c.claims) > 0 {
			t.Errorf("%d claims are left", len(c.claims))
		}
	})
}

// TestTenantGives has pieces need room: it comes from whoever has not used something for the longest time, and last from what is used.
func TestTenantGives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const step = 80 << 10 // two of them are the larger part of a torrent
		c := openCache(t, t.TempDir(), 3*tenCost+2*step)
		l := lodge(t, c, 1)
		l.mustAdd(0, step)
		time.Sleep(time.Second)
		for i := range 2 { // the first file is older than these, the second younger
			p := mustOpen(t, c, keyOf(i), ten)
			fill(t, p, Span{0, 9})
			mustClose(t, p)
			time.Sleep(time.Second)
		}
		l.mustAdd(1, step)
		p := mustOpen(t, c, keyOf(2), ten)
		fill(t, p, Span{0, 9})
		if got := l.indexes(); len(got) != 2 {
			t.Fatalf("there is no need, and of the files there are %v", got)
		}
		q := mustOpen(t, c, keyOf(3), ten)
		fill(t, q, Span{0, 2})
		if got, have := l.indexes(), haveAll(c, &ten, 4); !slices.Equal(got, []int{1}) || have[0] != 10 || have[1] != 10 {
			t.Errorf("files %v and pieces %v are left, want only the oldest file to go", got, have)
		}
		fill(t, q, Span{3, 9})
		if got, have := l.indexes(), haveAll(c, &ten, 4); !slices.Equal(got, []int{1}) || have[0] == 10 || have[3] != 10 {
			t.Errorf("files %v and pieces %v are left, want the torrent to go that was closed first", got, have)
		}
		time.Sleep(2 * tenantRest) // what is open is not older than that
		c.SetLimit(c.Limit() - tenCost*3/2)
		time.Sleep(time.Second)
		if got, have := l.indexes(), haveAll(c, &ten, 4); len(got) != 0 || have[2] != 10 || have[3] != 10 {
			t.Errorf("files %v and pieces %v are left, want those of open torrents", got, have)
		}
		checkAccount(t, c)
	})
}

// TestTenantForced lowers the limit below what a tenant uses, and lets somebody wait for a piece whose room it has: it has to give way, but
// not at once.
func TestTenantForced(t *testing.T) {
	for _, lower := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := openCache(t, t.TempDir(), tenCost)
			l := lodge(t, c, 1)
			l.mustAdd(0, 128<<10)
			l.use(0, true)
			p := mustOpen(t, c, keyOf(0), ten)
			began := time.Now()
			if lower {
				c.SetLimit(100 << 10)
			} else {
				p.Want(Span{0, 3}, Now, 1, 1) // more than is left
				defer p.Want(Span{0, 3}, Now, -1, 1)
			}
			time.Sleep(stuckTime * 9 / 10)
			if len(l.indexes()) != 1 {
				t.Errorf("what is used went after %v", time.Since(began))
			}
			time.Sleep(stuckTime)
			if len(l.indexes()) != 0 {
				t.Error("what is used is there still")
			}
			if used, limit := c.Use(); used > limit {
				t.Errorf("%d of %d bytes are used", used, limit)
			}
		})
	}
}

// TestTenantForcedLittle takes from what a tenant uses as much as is lacking, and no more because what it takes goes a little later.
func TestTenantForcedLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, t.TempDir(), tenCost)
		l := lodge(t, c, 1)
		l.slow = stuckTime / 2
		for i := range 4 {
			l.mustAdd(i, 32<<10)
			l.use(i, true)
		}
		c.SetLimit(100 << 10)
		time.Sleep(3 * stuckTime)
		if got := l.indexes(); !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("%v are left, want all but the first", got)
		}
		if used, limit := c.Use(); used > limit {
			t.Errorf("%d of %d bytes are used", used, limit)
		}
		checkAccount(t, c)
	})
}

// TestTenantUnwanted does not take from a tenant, for what somebody will read soon, what it has used a moment ago; and takes that rather
// than what somebody waits for.
func TestTenantUnwanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCache(t, t.TempDir(), tenCost)
		l := lodge(t, c, 1)
		l.mustAdd(0, 96<<10)
		time.Sleep(time.Second)
		p := mustOpen(t, c, keyOf(0), ten)
		p.Want(Span{0, 9}, Ahead, 1, 0) // of which some do not fit
		time.Sleep(tenantRest / 2)
		if _, noRoom := p.Waited(); noRoom || len(l.indexes()) != 1 {
			t.Errorf("%v is there", l.indexes())
		}
		p.Want(Span{4, 4}, Now, 1, 1)
		time.Sleep(time.Second)
		if _, noRoom := p.Waited(); noRoom {
			t.Error("who waits has no room")
		}
		if len(l.indexes()) != 0 {
			t.Error("what somebody will read has gone first")
		}
		p.Want(Span{4, 4}, Now, -1, 1)
		p.Want(Span{0, 9}, Ahead, -1, 0)
	})
}

// TestTenantTurn has a tenant wait for room, and then somebody for a piece: that gets what there is, unless the tenant has waited for long.
func TestTenantTurn(t *testing.T) {
	for _, wait := range []time.Duration{takeTurn / 2, 2 * takeTurn} {
		synctest.Test(t, func(t *testing.T) {
			const size = 32 << 10
			c := openCache(t, t.TempDir(), tenCost)
			l := lodge(t, c, 1)
			l.mustAdd(0, tenCost-size)
			l.mustAdd(1, size)
			l.use(0, true)
			l.use(1, true)
			p := mustOpen(t, c, keyOf(0), ten)
			var wg sync.WaitGroup
			taken := false
			wg.Go(func() {
				if err := l.tenant.Take(t.Context(), size*3/4); err != nil { // beside which no piece fits
					t.Error(err)
				}
				taken = true
			})
			synctest.Wait()
			p.Want(Span{0, 0}, Now, 1, 1)
			time.Sleep(wait)
			l.remove(size, func(f *lodged) bool { return f.index == 1 })
			synctest.Wait()
			if _, noRoom := p.Waited(); noRoom == (wait < takeTurn) || taken == (wait < takeTurn) {
				t.Errorf("after %v the tenant has room: %t, and the piece: %t", wait, taken, !noRoom)
			}
			p.Want(Span{0, 0}, Now, -1, 1)
			l.remove(everything, func(*lodged) bool { return true })
			wg.Wait()
		})
	}
}

// TestTenantForgets removes what tenants keep of a torrent along with it, or only of a file.
func TestTenantForgets(t *testing.T) {
	c := openCache(t, t.TempDir(), 1<<20)
	l := lodge(t, c, 2)
	for i := range 4 {
		if err := l.add(t.Context(), keyOf(0), i, 4096); err != nil {
			t.Fatal(err)
		}
	}
	l.mustAdd(9, 4096)
	l.use(3, true)
	if n := c.EvictTenants(keyOf(0), []int{1}); n != 4096 || !slices.Equal(l.indexes(), []int{0, 2, 3, 9}) {
		t.Errorf("%d bytes freed, %v left", n, l.indexes())
	}
	if n := c.EvictTenants(keyOf(0), nil); n != 2*4096 || !slices.Equal(l.indexes(), []int{3, 9}) {
		t.Errorf("%d bytes freed, %v left", n, l.indexes())
	}
	if err := c.Remove(keyOf(0)); err != nil || !slices.Equal(l.indexes(), []int{9}) {
		t.Errorf("%v left, %v", l.indexes(), err)
	}
	checkAccount(t, c)
}

// TestTenantAfterRestart counts what a tenant has left as a stranger's until it is there.
func TestTenantAfterRestart(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "lodger")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(folder, "x"), make([]byte, 64<<10))
	c := openCache(t, dir, 1<<20)
	if used, _ := c.Use(); used < 64<<10 {
		t.Errorf("%d bytes are used", used)
	}
	l := lodge(t, c, 4)
	if used, _ := c.Use(); used != 0 {
		t.Errorf("%d bytes are used, and the tenant has not said of any", used)
	}
	l.tenant.Add(68 << 10)
	if used, _ := c.Use(); used != 68<<10 || l.tenant.Used() != used {
		t.Errorf("%d bytes are used", used)
	}
	if limit := l.tenant.Limit(); limit != 256<<10 {
		t.Errorf("the limit is %d, want a quarter of 1 MiB", limit)
	}
	large := Geometry{PieceLength: 256 << 10, Pieces: 20, Size: 20 * 256 << 10}
	c.SetLimit(large.Least(tenantHold) + 100<<10)
	mustOpen(t, c, keyOf(0), large)
	if limit := l.tenant.Limit(); limit != 100<<10 {
		t.Errorf("the limit is %d, want what reading the torrent leaves", limit)
	}
	c.SetLimit(100 << 10)
	if limit := l.tenant.Limit(); limit != 0 {
		t.Errorf("the limit is %d, want none", limit)
	}
}
