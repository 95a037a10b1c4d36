// Package cache keeps pieces of torrents in files below one folder, within a limit of bytes on disk.
//
// # The promise
//
// A piece is admitted before it is asked for: room for all of it is taken from the limit, and if there is
// none, other pieces are evicted first. So what is on disk stays below the limit whatever peers send: what
// comes for a piece that has no room is thrown away, and fetched again when it has.
//
// A piece is served only if its hash was checked by whoever wrote it, or here: what an earlier run left
// behind is hashed again before its first use, unless that run closed it and nothing has touched it
// since (states.go).
//
// # Eviction
//
// The least recently read pieces go first, or groups of them (lend.go): those of torrents that are not open, then those of open ones.
// Never a piece that is being read or is pinned, nor one that somebody waits for, unless somebody else has
// waited for longer and there is nothing else. What tenants keep (tenant.go) goes by its last use, too: before torrents that were
// closed later, else before open ones once it has rested, and in any case before what somebody wants. Heads and tails of large files, which is all that scanners of
// libraries read, stay as long as they take no more than a share of the limit.
//
// # Who waits for what
//
// Cache.evicting is held while the disk frees something, by a goroutine of the cache, or by who evicts, removes or closes a torrent; then
// Cache.mu and Pieces.mu, in this order, for moments. Hold, Want and Release never wait. Tenants are called with Cache.evicting held,
// or nothing; a lock of theirs under which they call Add or Give is between that and Cache.mu.
package cache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Key names a torrent: its infohash.
type Key [20]byte

func (k Key) String() string { return fmt.Sprintf("%x", k[:]) }

// Options say where the cache is and how large it may become.
type Options struct {
	Dir    string // has to be there
	Limit  int64  // of bytes on disk below Dir; 0 is all but a twentieth of the disk
	Pinned []Key  // as Pin makes them, before anything is evicted
	Logger *slog.Logger
}

// Cache is the cache of all torrents. It is safe for concurrent use.
type Cache struct {
	dir   string
	log   *slog.Logger
	start time.Time

	kick    chan struct{} // of capacity 1: there may be something to evict
	stop    chan struct{}
	ending  sync.Once
	evictor sync.WaitGroup
	// evicting is held while files are changed by evicting, and by closing a torrent, which waits for that.
	evicting sync.Mutex
	stuck    time.Time   // since when not enough can be evicted; zero if it can; guarded by evicting
	noHoles  atomic.Bool // the file system cannot punch holes: torrents are evicted as a whole
	blocked  atomic.Bool // somebody waits for room

	unwritten atomic.Int64 // bytes of room that is taken and has no data on disk yet
	evictions evictions

	workers    *workers
	assemblies assemblies

	mu          sync.Mutex
	limit       int64
	lendRoom    int64 // how large the cache is at least while it lends
	used        int64 // bytes of room taken, and of everything else below dir
	space       diskSpace
	spaceAt     time.Time // when space was measured
	spaceFailed bool
	open        map[Key]*Pieces
	closed      map[Key]*closedTorrent
	tallies     map[Key]*Tally
	pinned      map[Key]bool
	waitNow     []request // pieces that wait for room, by their tickets
	waitAhead   []request // likewise, first come first
	tenants     []*Tenant
	claims      []*claim         // of tenants that wait for room, first come first
	strays      map[string]int64 // bytes of folders that are nobody's, by their names
}

// request is a piece that waits for room.
type request struct {
	pieces *Pieces
	piece  int
	ticket uint32 // in waitNow, that of the piece
}

const (
	// blockSize is what file systems allocate at a time.
	blockSize = 4096
	// edgeShare is the part of the limit that heads and tails of files may take before they are evicted like
	// everything else.
	edgeShare = 8
	// slackShare is the part of the limit that is evicted at a time beyond what is needed, so that not every
	// piece waits for it.
	slackShare = 32
	// autoReserve is the part of the disk that stays free when there is no limit.
	autoReserve = 20
	// Of the disk, so much stays free in any case: it is where others write, too.
	reserveShare = 100
	maxReserve   = 64 << 20
	// spaceAge is how old the measure of what is free on the disk may be.
	spaceAge = 500 * time.Millisecond
	// evictPause is how long to wait before trying again while there is nothing that may be evicted.
	evictPause = 50 * time.Millisecond
	// lookPause is how often the limit is compared with the disk, which others fill as well.
	lookPause = 2 * time.Second
	// complainPause is how often to say that evicting fails, and how long to leave a torrent alone for which it does.
	complainPause = time.Minute
)

// Open opens the cache in a folder, whatever is in there. The error is one of the disk.
func Open(opts Options) (*Cache, error) {
	c := &Cache{
		dir:        opts.Dir,
		log:        opts.Logger,
		start:      time.Now(),
		kick:       make(chan struct{}, 1),
		stop:       make(chan struct{}),
		limit:      opts.Limit,
		lendRoom:   lendRoom,
		assemblies: assemblies{left: assemblyLimit},
		open:       make(map[Key]*Pieces),
		closed:     make(map[Key]*closedTorrent),
		tallies:    make(map[Key]*Tally),
		pinned:     make(map[Key]bool),
		strays:     make(map[string]int64),
	}
	for _, key := range opts.Pinned {
		c.pinned[key] = true
	}
	if err := c.scan(); err != nil {
		return nil, fmt.Errorf("look through the cache: %w", err)
	}
	if err := c.probeHoles(); err != nil {
		return nil, fmt.Errorf("try the cache's disk: %w", err)
	}
	c.workers = newWorkers()
	c.evictor.Go(c.run)
	return c, nil
}

// Close ends the eviction. Torrents have to be closed before. Closing again does nothing.
func (c *Cache) Close() error {
	c.ending.Do(func() {
		close(c.stop)
		c.workers.close()
	})
	c.evictor.Wait()
	return nil
}

// scan finds out what earlier runs have left.
func (c *Cache) scan() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		size := allocated(info)
		if info.IsDir() {
			size = treeSize(filepath.Join(c.dir, e.Name()))
			c.strays[e.Name()] = size
		}
		c.used += size
		key, ok := parseName(e.Name())
		if !ok {
			continue
		}
		t := c.closed[key]
		if t == nil {
			t = &closedTorrent{}
			c.closed[key] = t
			c.tally(key).pieces.Store(unknown)
		}
		t.bytes += size
		if info.ModTime().After(t.lastUse) {
			t.lastUse = info.ModTime()
		}
	}
	return nil
}

// treeSize returns what a folder takes that somebody else has put there, as far as it can be read, in bytes.
func treeSize(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil {
			return filepath.SkipDir
		}
		if info, err := e.Info(); err == nil {
			bytes += allocated(info)
		}
		return nil
	})
	return bytes
}

// onDisk returns what the files of a torrent take, in bytes.
func (c *Cache) onDisk(key Key) (bytes int64) {
	for _, path := range []string{c.dataPath(key), c.statesPath(key)} {
		if info, err := os.Lstat(path); err == nil {
			bytes += allocated(info)
		}
	}
	return bytes
}

// Find looks for what there is on disk of a torrent that the cache knows nothing of.
func (c *Cache) Find(key Key) {
	c.evicting.Lock()
	defer c.evicting.Unlock()
	t := &closedTorrent{lastUse: time.Now(), bytes: c.onDisk(key)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.bytes > 0 && c.open[key] == nil && c.closed[key] == nil {
		c.closed[key] = t
		c.used += t.bytes
		c.tally(key).pieces.Store(unknown)
		c.wake()
	}
}

const (
	dataSuffix   = ".data"
	statesSuffix = ".pieces"
)

// parseName returns the torrent that a file of the cache belongs to.
func parseName(name string) (key Key, ok bool) {
	stem, isData := strings.CutSuffix(name, dataSuffix)
	if !isData {
		stem, ok = strings.CutSuffix(name, statesSuffix)
		if !ok {
			return key, false
		}
	}
	if len(stem) != 2*len(key) || strings.ToLower(stem) != stem {
		return key, false
	}
	_, err := hex.Decode(key[:], []byte(stem))
	return key, err == nil
}

func (c *Cache) dataPath(key Key) string   { return filepath.Join(c.dir, key.String()+dataSuffix) }
func (c *Cache) statesPath(key Key) string { return filepath.Join(c.dir, key.String()+statesSuffix) }

// Keep lets what is there of torrents that known does not say are known go first when room is needed. Should they be added again, as
// after the loss of the library, they need not be fetched again.
func (c *Cache) Keep(known func(Key) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, t := range c.closed {
		if !known(key) {
			t.lastUse = time.Time{}
		}
	}
}

// Remove frees what is there of a torrent, which must not be open.
func (c *Cache) Remove(key Key) error {
	tenantsErr := c.forgetTenants(key)
	c.evicting.Lock()
	defer c.evicting.Unlock()
	pieces := c.closedPieces(key)
	_, err := c.forget(key)
	if err == nil {
		c.evictions.add(OnRemoval, pieces)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pinned, key)
	delete(c.tallies, key)
	return errors.Join(err, tenantsErr)
}

func (c *Cache) removeFiles(key Key) error {
	for _, path := range []string{c.statesPath(key), c.dataPath(key)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("free the cache: %w", err)
		}
	}
	return nil
}

// Tally counts the pieces that are there of a torrent, open or not.
type Tally struct {
	pieces atomic.Int32
	lent   atomic.Bool // parts of units were, since the start; see Pieces.Lend
}

const unknown = -1

// Pieces returns how many there are. It is not ok if nobody has looked since the start; see Cache.Have.
func (t *Tally) Pieces() (n int, ok bool) {
	got := t.pieces.Load()
	return int(got), got != unknown
}

// Tally returns that of a torrent, which is good until Remove.
func (c *Cache) Tally(key Key) *Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tally(key)
}

// tally needs c.mu, but while Open runs.
func (c *Cache) tally(key Key) *Tally {
	t := c.tallies[key]
	if t == nil {
		t = &Tally{}
		c.tallies[key] = t
	}
	return t
}

// Pin says whether a torrent's pieces are kept whatever else needs room.
func (c *Cache) Pin(key Key, pinned bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pinned {
		c.pinned[key] = true
	} else {
		delete(c.pinned, key)
		c.wake()
	}
}

// SetLimit changes the limit of bytes on disk; 0 is all but a twentieth of the disk. What is too much is evicted in
// the background.
func (c *Cache) SetLimit(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = bytes
	c.admit()
	c.wake()
}

// Use returns how many bytes there are on disk or are to come soon, and how many there may be.
func (c *Cache) Use() (used, limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used, c.room()
}

// Limit returns how many bytes there may be if nobody else filled the disk.
func (c *Cache) Limit() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit == 0 {
		return c.room()
	}
	return c.limit
}

// Blocked says whether somebody waits for room that cannot be made.
func (c *Cache) Blocked() bool { return c.blocked.Load() }

// diskSpace is what a file system has, in bytes.
type diskSpace struct{ total, free int64 }

// room returns how many bytes may be used now: the limit, or what the disk has if that is less. It needs c.mu.
func (c *Cache) room() int64 {
	if time.Since(c.spaceAt) > spaceAge {
		space, err := statDisk(c.dir)
		if err == nil {
			c.space = space
		} else if !c.spaceFailed {
			c.log.Warn("the disk of the cache cannot be asked for its space", "err", err)
		}
		c.spaceFailed, c.spaceAt = err != nil, time.Now()
	}
	switch {
	case c.space.total > 0:
	case c.limit == 0:
		return math.MaxInt64 / 2 // it cannot be told
	default:
		return c.limit
	}
	reserve := min(c.space.total/reserveShare, maxReserve)
	if c.limit == 0 {
		reserve = c.space.total / autoReserve
	}
	onDisk := max(0, c.used-c.unwritten.Load()+c.space.free-reserve)
	if c.limit == 0 {
		return onDisk
	}
	return min(c.limit, onDisk)
}

// diskFull is told that the disk is, whatever was measured.
func (c *Cache) diskFull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spaceAt = time.Time{}
	c.wake()
}

// wake makes the evictor look.
func (c *Cache) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// admit gives room to who waits for it, as far as there is some: first to those who wait for a piece, then to
// read-ahead. It needs c.mu, and no Pieces.mu.
func (c *Cache) admit() {
	if c.admitAll() > 0 {
		c.wake()
	}
}

// admitAll is admit for the evictor, which need not be woken to look: it does. It returns how many wait on.
func (c *Cache) admitAll() (waiting int) {
	c.admitClaims(false)
	c.admitFrom(&c.waitNow, waitsNow)
	if len(c.waitNow) == 0 {
		c.admitClaims(true)
	}
	if len(c.waitNow)+len(c.claims) == 0 {
		c.admitFrom(&c.waitAhead, waitsAhead)
	}
	waiting = len(c.waitNow) + len(c.claims) + len(c.waitAhead)
	c.blocked.Store(waiting > 0)
	return waiting
}

// admitFrom admits from the front of a queue.
func (c *Cache) admitFrom(queue *[]request, flag slotFlags) {
	for len(*queue) > 0 {
		r := (*queue)[0]
		if !r.pieces.tryAdmit(r.piece, flag) {
			return
		}
		*queue = (*queue)[1:]
	}
	*queue = nil
}

// tick is the time in units of 10 ms, as slots keep it. It wraps after 497 days, which comparing allows for.
func (c *Cache) tick() uint32 { return uint32(time.Since(c.start) / tickTime) }

const tickTime = 10 * time.Millisecond

// pageSize is that of the kernel.
var pageSize = os.Getpagesize()

// isFull says whether err is that of a disk that has no room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
