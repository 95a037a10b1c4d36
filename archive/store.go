package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"shoal/archive/inflate"
	"shoal/archive/names"
	"shoal/archive/spool"
)

// Options say what all archives share.
type Options struct {
	// Dir is a folder of our own for what was learned of archives. It may be lost while nobody uses it.
	Dir string
	// Room is where the bytes in that are accounted for, and Limit how many there may be, asked for each file. Both may be nil.
	Room  spool.Room
	Limit func() int64
	// Segments is how many bytes of decoded data are kept in memory: 64 MiB if it is 0.
	Segments int64
	// Spool says where members are decoded to that can only be read from their start. Its Permanent is set here.
	Spool spool.Options
	// Names say in which charset names are unless they say so themselves. Its limits are those of Limits.
	Names names.Options
	// Limits are what an archive may have and cost.
	Limits Limits
	// Workers is how many decode at a time, and how many decoders of Spool are open, with the memory that each takes; one for each
	// processor if it is 0.
	Workers int
	Logger  *slog.Logger
}

// Store is what all archives share. It is safe for concurrent use.
type Store struct {
	opts     Options
	log      *slog.Logger
	segments *inflate.Cache
	pools    [MaxDepth]*inflate.Pool // by how deep what is decoded is in archives: one waits for those above
	spool    *spool.Spool
	indexes  *indexes
	ppmd     [MaxDepth]*turn // by how deep they are in archives, of RAR members that may take hundreds of MiB each
	heavy    chan struct{}   // who decodes a whole file to find out what is in it

	ctx         context.Context //nolint:containedctx // ends with Close
	cancel      context.CancelFunc
	keeping     context.Context //nolint:containedctx // ends closePatience later, as what was learned is kept then
	stopKeeping context.CancelFunc
	tasks       sync.WaitGroup

	mu      sync.Mutex
	open    map[*deflated]struct{} // those that have a decoder
	nested  map[string]int         // archives in archives that were listed, by the first name of their keys: a torrent's
	members map[string]int         // which are known, by torrent
	closed  bool

	delivered atomic.Int64 // bytes that reads of deflated returned
}

const (
	// decodes is how many decodes of segments may have begun, most of them waiting for peers.
	decodes = 48
	// restTime is how long a decoder stays after its last use.
	restTime = time.Minute
	// closePatience is how long Close waits for others to make room for what was learned, of all members together.
	closePatience = 2 * time.Second
)

// New opens the store. The error is one of the disk.
func New(o Options) (*Store, error) {
	o.Limits = o.Limits.withDefaults()
	o.Names = o.Limits.names(o.Names)
	if o.Segments == 0 {
		o.Segments = inflate.DefaultCacheLimit
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	known, err := openIndexes(o.Dir, o.Room, o.Limit, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("open the folder of archives: %w", err)
	}
	if o.Spool.Workers == 0 {
		o.Spool.Workers = o.Workers
	}
	o.Spool.Permanent = Refuses
	sp, err := spool.New(o.Spool)
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, log: o.Logger, segments: inflate.NewCache(o.Segments), spool: sp,
		indexes: known, heavy: make(chan struct{}, o.Workers),
		open: make(map[*deflated]struct{}), nested: make(map[string]int), members: make(map[string]int),
	}
	s.pools[0] = inflate.NewPool(o.Workers, decodes)
	for i := range s.ppmd {
		s.ppmd[i] = newTurn()
	}
	for i := range s.pools[1:] {
		s.pools[i+1] = s.pools[i].Inner()
	}
	s.keeping, s.stopKeeping = context.WithCancel(context.Background())
	s.ctx, s.cancel = context.WithCancel(s.keeping)
	s.tasks.Go(s.rest)
	return s, nil
}

// Close ends all reads, and saves what was learned. It waits for the disk.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	defer s.stopKeeping()
	defer time.AfterFunc(closePatience, s.stopKeeping).Stop()
	err := s.spool.Close() // its decoders may read from those of members
	s.tasks.Wait()
	for _, d := range s.opens() {
		d.rest(time.Time{}, true)
	}
	return err
}

// run runs something on a goroutine that Close waits for. It is false after Close.
func (s *Store) run(do func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tasks.Go(do)
	}
	return !s.closed
}

// opened notes a decoder. It is false after Close.
func (s *Store) opened(d *deflated) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.open[d] = struct{}{}
	}
	return !s.closed
}

// rested notes that a decoder is there no longer. Like opened, it is called with deflated.mu held.
func (s *Store) rested(d *deflated) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, d)
}

func (s *Store) opens() []*deflated {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*deflated, 0, len(s.open))
	for d := range s.open {
		list = append(list, d)
	}
	return list
}

// rest lets go of decoders that nobody uses any more.
func (s *Store) rest() {
	every := time.NewTicker(restTime / 4)
	defer every.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-every.C:
		}
		for _, d := range s.opens() {
			d.rest(time.Now().Add(-restTime), false)
		}
	}
}

// Forget removes what is known of archives whose keys begin with an element, and what was decoded of them, whoever reads it.
func (s *Store) Forget(folder string) error {
	s.mu.Lock()
	delete(s.nested, folder)
	delete(s.members, folder)
	s.mu.Unlock()
	for _, d := range s.opens() {
		if folderOf(d.key) == folder {
			d.forget()
		}
	}
	s.spool.Evict(folder, true)
	_, err := s.indexes.forget(folder)
	return err
}

// Keep removes what is known of archives whose keys begin with none of the elements, and what was decoded of them.
func (s *Store) Keep(folders []string) error {
	s.spool.Keep(folders)
	return s.indexes.keep(folders)
}

// Evict removes what was decoded into the spool of archives whose keys are in a folder of one or two elements, and is not in use. It
// returns how many bytes on disk that were.
func (s *Store) Evict(folder string) int64 { return s.spool.Evict(folder, false) }

// FreeSpool is spool.Free.
func (s *Store) FreeSpool(n int64, before time.Time, force bool) int64 {
	return s.spool.Free(n, before, force)
}

// FreeIndexes removes what is known of archives, of those first that were used least lately, until n bytes on disk are free, and returns
// how many are.
func (s *Store) FreeIndexes(n int64) int64 { return s.indexes.free(n) }

// hasIndex says whether something of this version is kept under a key. It may be damaged.
func (s *Store) hasIndex(key string) bool { return hasIndexFile(s.indexes.path(key)) }

// removeIndex removes what is kept under a key.
func (s *Store) removeIndex(key string) {
	if err := s.indexes.remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("what is known of an archive cannot be removed", "archive", key, "err", err)
	}
}

func (s *Store) readIndex(key string) []byte { return s.indexes.read(key) }

func (s *Store) writeIndex(key string, body []byte) { s.indexes.write(s.keeping, key, body) }
