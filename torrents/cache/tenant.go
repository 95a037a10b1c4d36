package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Tenant is somebody else who keeps files in a folder of the cache. What these take is taken from the limit, as room for pieces is. It is
// safe for concurrent use.
type Tenant struct {
	cache  *Cache
	folder string
	share  int64
	keeper Keeper

	used int64 // bytes; guarded by Cache.mu
}

// Keeper looks after the files of a tenant. The cache calls it from any goroutine, and waits for it. So its methods may call Add and Give,
// and wait for the disk, but neither call Take nor wait for anybody who is in it.
type Keeper interface {
	// Free removes what was last used before a time, what was used least lately first, until n bytes are free, and returns how many
	// are. What is in use goes only if force says so, and may do so a little later.
	Free(n int64, before time.Time, force bool) int64
	// Evict removes what is not in use of some files of a torrent, or of all of them if there are none, and returns how many
	// bytes that were.
	Evict(key Key, files []int) int64
	// Forget removes everything of a torrent, in use or not.
	Forget(key Key) error
}

// ErrNoRoom is returned for room that cannot be made.
var ErrNoRoom = errors.New("everything in the cache is in use or pinned")

const (
	// takeTime is how long room is waited for that cannot be made.
	takeTime = 10 * time.Second
	// takeTurn is how long a tenant waits behind those who wait for pieces.
	takeTurn = 100 * time.Millisecond
	// tenantRest is for how long what tenants keep stays after its last use while there is something else to evict.
	tenantRest = time.Minute
	// stuckTime is how long more than may be is on disk, or somebody waits for a piece, before what tenants use goes as well, and then
	// before more of it does.
	stuckTime = time.Second
	// tenantHold is how many bytes of a torrent whoever makes a tenant's files from them reads at a time.
	tenantHold = 1 << 20
)

// claim is room that a tenant waits for.
type claim struct {
	tenant  *Tenant
	bytes   int64
	since   time.Time
	granted chan struct{} // closed then
}

// Lodge lets somebody keep files in a folder of the cache, which take a part of the limit at most: half of it with a share of 2. Until
// then, what an earlier run has left there counts as a stranger's. He calls Add for what of it he keeps, once.
func (c *Cache) Lodge(folder string, share int64, keeper Keeper) *Tenant {
	t := &Tenant{cache: c, folder: folder, share: share, keeper: keeper}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used -= c.strays[folder]
	delete(c.strays, folder)
	c.tenants = append(c.tenants, t)
	return t
}

// Limit returns how many bytes the tenant may have now: its share, as far as that leaves as much as reading the open torrents needs.
func (t *Tenant) Limit() int64 {
	c := t.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	room, least := c.room(), int64(0)
	for _, p := range c.open {
		least = max(least, c.Least(&p.Geometry, tenantHold, p.tally))
	}
	return max(0, min(room/t.share, room-least))
}

// Used returns how many bytes the tenant has taken.
func (t *Tenant) Used() int64 {
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	return t.used
}

// Lodged returns how many bytes the tenants have taken, by their folders.
func (c *Cache) Lodged() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	used := make(map[string]int64, len(c.tenants))
	for _, t := range c.tenants {
		used[t.folder] += t.used
	}
	return used
}

// Take takes room for n bytes that are about to be written, and evicts for that what nobody uses or wants. It waits while there is none,
// for some seconds at the most. The error is the cause of ctx, ErrNoRoom, or os.ErrClosed.
func (t *Tenant) Take(ctx context.Context, n int64) error {
	c := t.cache
	c.mu.Lock()
	if len(c.claims) == 0 && len(c.waitNow) == 0 && c.used+n <= c.room() {
		t.charge(n)
		c.mu.Unlock()
		return nil
	}
	if room := c.room(); n > room {
		c.mu.Unlock()
		return fmt.Errorf("%d bytes of a cache of %d: %w", n, room, ErrNoRoom)
	}
	w := &claim{tenant: t, bytes: n, since: time.Now(), granted: make(chan struct{})}
	c.claims = append(c.claims, w)
	c.blocked.Store(true)
	c.wake()
	c.mu.Unlock()
	return c.await(ctx, w)
}

// await waits until a claim is granted, or withdraws it.
func (c *Cache) await(ctx context.Context, w *claim) (err error) {
	timer := time.NewTimer(takeTime)
	defer timer.Stop()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = ErrNoRoom
	case <-c.stop:
		err = os.ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.claims, w)
	if i < 0 { // it came just now
		return nil
	}
	c.claims = slices.Delete(c.claims, i, i+1)
	return err
}

// Add counts n bytes that are on disk already.
func (t *Tenant) Add(n int64) {
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	t.charge(n)
	t.cache.wake()
}

// Give gives back room for n bytes, which are not on disk any more.
func (t *Tenant) Give(n int64) {
	c := t.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	t.charge(-n)
	c.admit()
}

// charge needs c.mu.
func (t *Tenant) charge(n int64) {
	t.used += n
	t.cache.used += n
}

// admitClaims gives room to tenants that wait for it, first come first: to those whose turn it is, or to all. It needs c.mu.
func (c *Cache) admitClaims(all bool) {
	for len(c.claims) > 0 {
		w := c.claims[0]
		if c.used+w.bytes > c.room() || !all && time.Since(w.since) < takeTurn {
			return
		}
		w.tenant.charge(w.bytes)
		close(w.granted)
		c.claims = c.claims[1:]
	}
	c.claims = nil
}

// lodged returns the tenants that have something.
func (c *Cache) lodged() (list []*Tenant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenants {
		if t.used > 0 {
			list = append(list, t)
		}
	}
	return list
}

// freeTenants evicts what tenants keep, n bytes if there are as many, and returns how many it has. It needs c.evicting, and that what
// Keeper.Free says of it holds.
func (c *Cache) freeTenants(n int64, before time.Time, force bool) (freed int64) {
	if n <= 0 {
		return 0
	}
	for _, t := range c.lodged() {
		if freed >= n {
			break
		}
		freed += t.keeper.Free(n-freed, before, force)
	}
	return freed
}

// evictUsed evicts what open torrents have, and before anything that somebody wants goes, what tenants have.
func (c *Cache) evictUsed(n need) (freed int64, errs error) {
	evictOpen := c.evictOpen
	if c.noHoles.Load() {
		evictOpen = c.evictWhole
	}
	if n.worst < classEdge || len(c.lodged()) == 0 {
		return evictOpen(n)
	}
	unwanted := n
	unwanted.worst = classEdge
	freed, errs = evictOpen(unwanted)
	if freed < n.least {
		freed += c.freeTenants(n.least-freed, time.Now(), false)
	}
	if freed < n.least && n.worst > classEdge {
		n.least -= freed
		n.enough = n.least
		more, err := evictOpen(n)
		freed, errs = freed+more, errors.Join(errs, err)
	}
	return freed, errs
}

// unstick evicts what tenants use, once it has been lacking for a while. It needs c.evicting.
func (c *Cache) unstick(n need, lack int64) (freed int64) {
	switch {
	case lack <= 0 || n.worst < classWaiting:
		c.stuck = time.Time{}
	case c.stuck.IsZero():
		c.stuck = time.Now()
	case time.Since(c.stuck) >= stuckTime:
		c.stuck = time.Now() // what is in use may go a little later: more does not go before that
		return c.freeTenants(lack, time.Now(), true)
	}
	return 0
}

// EvictTenants removes what tenants keep of some files of a torrent, or of all of them if there are none, and is not in use, and
// returns how many bytes that were. It waits for the disk.
func (c *Cache) EvictTenants(key Key, files []int) (freed int64) {
	for _, t := range c.lodged() {
		freed += t.keeper.Evict(key, files)
	}
	return freed
}

// forgetTenants removes everything that tenants keep of a torrent.
func (c *Cache) forgetTenants(key Key) (errs error) {
	c.mu.Lock()
	tenants := slices.Clone(c.tenants)
	c.mu.Unlock()
	for _, t := range tenants { // who has nothing may be about to
		if err := t.keeper.Forget(key); err != nil {
			errs = errors.Join(errs, fmt.Errorf("free %s: %w", filepath.Join(c.dir, t.folder), err))
		}
	}
	return errs
}
