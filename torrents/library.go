// Package torrents keeps the library (routes and torrents: what must survive a restart), takes part
// in the swarm, and caches pieces on disk. It is the only package that knows the BitTorrent engine.
//
// # Who waits for what
//
// Open reads small files and waits for nothing else. Adding a torrent returns when it is on disk; a
// magnet link is resolved in the background, and retried for ever. Listing waits for nothing. Only
// File.ReadAt waits for peers, until its context ends or Options.ReadGiveUp has passed without any
// data.
//
// A torrent is in the swarm only while somebody reads what is not in the cache, and for Options.Idle
// after that.
//
// # On disk
//
// record.go describes Options.DataDir, whose loss loses the list of torrents. Package cache describes
// Options.CacheDir, which may be deleted while the library is closed. A torrent that cannot be
// loaded is kept and shown as failed.
package torrents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"shoal/torrents/cache"
	"shoal/torrents/outbound"
)

// Options say what the library is to work with.
type Options struct {
	DataDir  string // records and metainfo; made if missing
	CacheDir string // pieces; made if missing

	// CacheLimit is how many bytes on disk there may be below CacheDir, unless ChangeLimits has set another limit;
	// 0 is all but a twentieth of the disk.
	CacheLimit int64

	Routes   []string // made if missing
	Archives Archives // of new routes
	Watch    WatchOptions

	ReadGiveUp time.Duration // end a read after this long without any data; 0 is never
	Idle       time.Duration // leave the swarm this long after the last read

	Swarm   SwarmOptions
	Watcher Watcher
	Logger  *slog.Logger
}

// Watcher is told of everything that shows in the name space: once for all that there is while Open
// runs, then for each change, in order, one call at a time. It must be quick, and must not call the
// library.
type Watcher interface {
	// PutRoute adds a route, or changes the one with its ID.
	PutRoute(Route)
	// RemoveRoute removes a route, which is empty by then.
	RemoveRoute(id uint64)
	// PutTorrent adds a torrent, or renames and moves the one with its infohash.
	PutTorrent(Shown)
	// RemoveTorrent removes a torrent. at is when its route changed by that.
	RemoveTorrent(ih Infohash, at time.Time)
}

// Shown is a torrent as the name space has it: its metadata is known.
type Shown struct {
	Infohash Infohash
	Route    uint64
	Name     string // unique in the route
	IsFile   bool
	FileName string // of a single file, as the metainfo has it, clean: it stays when Name changes
	Size     int64  // in bytes
	FirstID  uint64 // file id of its top; enough of the following ones are its own
	// ArchiveIDs is the first of as many file ids as the metainfo has files: those of the files as folders.
	ArchiveIDs uint64
	Numbers    Numbers // of what is inside files
	ModTime    time.Time
	Changed    time.Time // when its route, and the one it was in before, changed by it; zero while Open runs
	// Cached returns how many bytes of it are in the cache.
	Cached func() int64
	// Load reads from the local disk what is inside.
	Load func() ([]File, error)
}

// Library is an open library. It is safe for concurrent use.
type Library struct {
	opts  Options
	log   *slog.Logger
	locks []*flock.Flock // of the folders
	cache *cache.Cache
	swarm *swarm
	web   *outbound.Client // fetches what users name by URL

	blocked *blocked // nil without a blocklist

	closing   chan struct{} // closed when Close begins
	closeOnce sync.Once
	ctx       context.Context //nolint:containedctx // ends with Close; the parent of background work
	cancel    context.CancelFunc
	workers   sync.WaitGroup
	slots     chan struct{} // one for each magnet that is in the swarm
	fetching  chan struct{} // one for each .torrent file that is being fetched
	browsed   browsed

	// changing is held over a whole change, its writes to disk included, so that changes follow one
	// another. Reading needs mu only.
	changing sync.Mutex
	// mu guards state, entries and their routes for readers. They are changed with changing held as well,
	// so who holds that may read without mu.
	mu      sync.RWMutex
	state   *libraryRecord
	entries map[Infohash]*entry

	reserve struct{ first, n uint64 } // file ids that are taken and nobody's yet; see takeInnerIDs. Guarded by changing

	watching *watching // nil without a watch folder
}

// Open opens the library, and makes it if it is not there. The error is ErrListen, ErrUplink, ErrBlocklist, or a *fs.PathError of one of the
// folders: of the folder itself, with ErrLocked, if another process has it open. A blocklist that has to be fetched is waited for, a minute
// at most.
func Open(opts Options) (_ *Library, err error) {
	l := &Library{
		opts:    opts,
		log:     opts.Logger,
		closing: make(chan struct{}),
		slots:   make(chan struct{}, maxResolving),
		entries: make(map[Infohash]*entry),

		fetching: make(chan struct{}, maxFetching),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.openDirs(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.cancel()
			err = errors.Join(err, unlock(l.locks))
		}
	}()
	if err := l.loadState(); err != nil {
		return nil, err
	}
	records, err := l.loadRecords()
	if err != nil {
		return nil, err
	}
	if l.cache, err = l.openCache(records); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.cache.Close())
		}
	}()
	l.loadEntries(records)
	l.tidyCache()
	out, err := newOutgoing(opts.Swarm, l.log)
	if err != nil {
		return nil, err
	}
	l.web = outbound.NewClient(out.dial)
	if opts.Swarm.Blocklist != "" {
		out.uplink.Rebind() // it may have to be fetched
		if l.blocked, err = openBlocked(l.ctx, opts.Swarm.Blocklist, opts.DataDir, l.web, l.log); err != nil {
			return nil, err
		}
	}
	if l.swarm, err = newSwarm(opts.Swarm, out, l.blocked, l.log); err != nil {
		return nil, err
	}
	if err := l.begin(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for _, name := range opts.Routes {
		var exists *ExistsError
		if _, err := l.AddRoute(name, opts.Archives); err != nil && !errors.As(err, &exists) {
			return nil, errors.Join(err, l.Close())
		}
	}
	if l.blocked != nil {
		l.workers.Go(func() { l.blocked.follow(l.ctx) })
	}
	l.workers.Go(l.tend)
	if opts.Watch.Dir != "" {
		l.watching = newWatching(l)
		l.workers.Go(l.watching.run)
	}
	return l, nil
}

// tidyCache lets the cache of torrents that are not in the library go first, and says which cannot be read with its limit.
func (l *Library) tidyCache() {
	l.cache.Keep(func(key cache.Key) bool {
		_, ok := l.entries[Infohash(key)]
		return ok
	})
	for _, e := range l.entries {
		if g := e.rec.geometry(); e.rec.resolved() {
			if err := l.checkFits(&g, nil); err != nil {
				l.log.Error("a torrent cannot be read", "torrent", e.ih, "name", e.rec.Name, "err", err)
			}
		}
	}
}

// begin puts the limits into force, and lets the watcher know of everything.
func (l *Library) begin() error {
	// Magnets that are resolved meanwhile wait, so that the watcher gets one call at a time.
	l.changing.Lock()
	defer l.changing.Unlock()
	if err := l.applyLimits(); err != nil {
		return err
	}
	for _, r := range l.Routes() {
		l.opts.Watcher.PutRoute(r)
	}
	for _, e := range l.entries {
		l.announce(e, time.Time{})
	}
	return nil
}

// openDirs makes the folders and takes the locks.
func (l *Library) openDirs() error {
	dirs := []string{l.opts.DataDir, filepath.Join(l.opts.DataDir, torrentsDir), l.opts.CacheDir}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the folder %s: %w", dir, err)
		}
	}
	var err error
	if l.locks, err = lockFolders(l.opts.DataDir, l.opts.CacheDir); err != nil {
		return err
	}
	if err = checkDirs(dirs); err == nil {
		err = l.checkRoom()
	}
	if err != nil {
		return errors.Join(err, unlock(l.locks))
	}
	return nil
}

// checkDirs makes sure now, and not only when the first torrent is added, that dirs can be written.
func checkDirs(dirs []string) error {
	for _, dir := range dirs {
		if err := removeLeftovers(dir); err != nil {
			return fmt.Errorf("clean up %s: %w", dir, err)
		}
		if err := tryWriting(dir, 0); err != nil {
			return fmt.Errorf("write in %s: %w", dir, err)
		}
	}
	return nil
}

// tryWriting makes a file of so many bytes in a folder, and removes it.
func tryWriting(dir string, bytes int) error {
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, bytes))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// checkRoom makes sure that the disk of the data folder has room for a few records, if there is no library yet. One that is there
// can be read without, and what fills the disk may be the cache, or pass.
func (l *Library) checkRoom() error {
	err := tryWriting(l.opts.DataDir, leastRoom)
	if err == nil {
		return nil
	}
	if _, missing := os.Stat(l.statePath()); missing != nil {
		return fmt.Errorf("write in %s: %w", l.opts.DataDir, err)
	}
	l.log.Warn("nothing can be added or changed: the disk of the data folder has no room", "err", err)
	return nil
}

// leastRoom is in bytes, and some ten records.
const leastRoom = 64 << 10

func (l *Library) statePath() string { return filepath.Join(l.opts.DataDir, "library.json") }

// firstID is the first file id to hand out: 1 is the root's.
const firstID = 2

func (l *Library) loadState() error {
	b, err := os.ReadFile(l.statePath())
	if errors.Is(err, os.ErrNotExist) {
		l.state = &libraryRecord{Format: libraryFormat, NextID: firstID}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the library: %w", err)
	}
	var state libraryRecord
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("read the library %s: %w", l.statePath(), err)
	}
	if state.Format < 1 || state.Format > libraryFormat {
		return fmt.Errorf("the library %s has format %d, and this version reads up to %d", l.statePath(), state.Format, libraryFormat)
	}
	l.state = &state
	if state.Format < libraryFormat {
		// An older version must not open it any more, as it would overlook what is new.
		l.log.Info("the library gets a new format, which older versions do not read", "format", libraryFormat)
		state.Format = libraryFormat
		return l.writeState(&state)
	}
	return nil
}

// openCache opens the cache with its limit, and with what it has to keep from the start.
func (l *Library) openCache(records []loaded) (*cache.Cache, error) {
	opts := cache.Options{
		Dir: l.opts.CacheDir, Limit: valueOr(l.state.Limits.Cache, l.opts.CacheLimit), Logger: l.log,
	}
	for i := range records {
		if rec := &records[i]; rec.Pinned {
			opts.Pinned = append(opts.Pinned, rec.Infohash.key())
		}
	}
	return cache.Open(opts)
}

// announce lets the watcher know of e, or begins to look for its metadata. It needs l.changing.
func (l *Library) announce(e *entry, changed time.Time) {
	rec := e.record()
	switch {
	case e.hidden:
	case e.looks():
		l.look(e)
	case rec.resolved():
		l.opts.Watcher.PutTorrent(Shown{
			Infohash: e.ih, Route: rec.Route, Name: rec.Name, IsFile: rec.IsFile, FileName: rec.fileName(), Size: rec.Size,
			FirstID: rec.FirstID, ArchiveIDs: rec.archiveIDs(), Numbers: Numbers{l, e.ih}, ModTime: rec.ModTime, Changed: changed, Load: e.load,
			Cached: func() int64 { return e.cachedBytes(0, rec.Size) },
		})
	}
}

// Close ends every read with ErrClosed, leaves the swarm, and lets go of the library.
func (l *Library) Close() error {
	var err error
	l.closeOnce.Do(func() {
		// A change that is under way ends first, so that none begins background work later.
		l.changing.Lock()
		close(l.closing)
		l.changing.Unlock()
		l.cancel()
		l.workers.Wait()
		for _, e := range l.list() {
			err = errors.Join(err, e.end())
		}
		err = errors.Join(err, l.swarm.close(), l.cache.Close(), unlock(l.locks))
	})
	return err
}

// maxRest is how late a torrent may leave the swarm.
const maxRest = 10 * time.Second

// tend lets torrents that nobody reads leave the swarm.
func (l *Library) tend() {
	rest := time.NewTicker(max(min(l.opts.Idle/4, maxRest), time.Millisecond))
	defer rest.Stop()
	for {
		var err error
		select {
		case <-l.closing:
			return
		case now := <-rest.C:
			l.browsed.forget(now)
			for _, e := range l.list() {
				err = errors.Join(err, e.rest(now.Add(-l.opts.Idle)))
			}
		}
		if err != nil {
			l.log.Error("the cache could not be written", "err", err)
		}
	}
}

func (l *Library) list() []*entry {
	l.mu.RLock()
	defer l.mu.RUnlock()
	list := make([]*entry, 0, len(l.entries))
	for _, e := range l.entries {
		list = append(list, e)
	}
	return list
}

func (l *Library) now() time.Time { return time.Now().Round(0).UTC() }

// writeState makes next the state, once it is on disk. It needs l.changing.
func (l *Library) writeState(next *libraryRecord) error {
	if isClosed(l.closing) {
		return ErrClosed
	}
	b, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the library: %w", err)
	}
	if err := writeDurably(l.statePath(), b); err != nil {
		return &WriteError{fmt.Errorf("write the library: %w", err)}
	}
	l.mu.Lock()
	l.state = next
	l.mu.Unlock()
	return nil
}

// routeName returns the name of a route, or "" if it is not there. It needs l.mu or l.changing.
func (l *Library) routeName(id uint64) string {
	if r := l.state.byID(id); r != nil {
		return r.Name
	}
	return ""
}

// Torrents lists the torrents, in no order: who wants one sorts what he picks.
func (l *Library) Torrents() []Torrent {
	l.mu.RLock()
	entries := make([]*entry, 0, len(l.entries))
	routes := make([]string, 0, len(l.entries))
	names := make(map[uint64]string, len(l.state.Routes))
	for _, r := range l.state.Routes {
		names[r.ID] = r.Name
	}
	for _, e := range l.entries {
		entries = append(entries, e)
		routes = append(routes, names[e.route])
	}
	l.mu.RUnlock()
	list := make([]Torrent, len(entries))
	for i, e := range entries {
		list[i] = e.describe(routes[i])
	}
	return list
}

// Torrent describes one torrent. The error is ErrNotFound.
func (l *Library) Torrent(ih Infohash) (Torrent, error) {
	l.mu.RLock()
	e, ok := l.entries[ih]
	route := ""
	if ok {
		route = l.routeName(e.route)
	}
	l.mu.RUnlock()
	if !ok {
		return Torrent{}, fmt.Errorf("torrent %s: %w", ih, ErrNotFound)
	}
	return e.describe(route), nil
}

// isClosed says whether c is closed, if nothing is ever sent on it.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
