package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
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
	// Segments is how many bytes of decoded data are kept in memory: 64 MiB if it is 0.
	Segments int64
	// Spool says where members are decoded to that can only be read from their start. Its Permanent is set here.
	Spool spool.Options
	// Names say how names are cleaned, and in which charset they are unless they say so themselves.
	Names names.Options
	// Depth is how many archives may be in each other: 2 if it is 0, and 4 at the most.
	Depth int
	// Workers is how many decode at a time; one for each processor if it is 0.
	Workers int
	Logger  *slog.Logger
}

// Store is what all archives share. It is safe for concurrent use.
type Store struct {
	opts     Options
	log      *slog.Logger
	segments *inflate.Cache
	pool     *inflate.Pool
	spool    *spool.Spool

	ctx    context.Context //nolint:containedctx // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	open   map[*deflated]struct{} // those that have a decoder
	closed bool

	delivered atomic.Int64 // bytes that reads of deflated returned
}

const (
	defaultDepth = 2
	maxDepth     = 4
	// decodes is how many decodes of segments may have begun, most of them waiting for peers.
	decodes = 48
	// restTime is how long a decoder stays after its last use.
	restTime = time.Minute
)

// New opens the store. The error is one of the disk.
func New(o Options) (*Store, error) {
	if o.Depth == 0 {
		o.Depth = defaultDepth
	}
	o.Depth = min(o.Depth, maxDepth)
	if o.Segments == 0 {
		o.Segments = inflate.DefaultCacheLimit
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of archives: %w", err)
	}
	o.Spool.Permanent = Refuses
	sp, err := spool.New(o.Spool)
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: o, log: o.Logger, segments: inflate.NewCache(o.Segments), pool: inflate.NewPool(o.Workers, decodes), spool: sp,
		open: make(map[*deflated]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks.Go(s.rest)
	return s, nil
}

// Close ends all reads, and saves what was learned. It waits for the disk.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.tasks.Wait()
	for _, d := range s.opens() {
		d.rest(time.Now().Add(time.Hour))
	}
	return s.spool.Close()
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
			if !d.rest(time.Now().Add(-restTime)) {
				continue
			}
			s.mu.Lock()
			if !d.isOpen() {
				delete(s.open, d)
			}
			s.mu.Unlock()
		}
	}
}

// What was learned is in files: their version, a checksum of what follows, and that.
const (
	indexVersion = "shoal archive 1\n"
	indexHeader  = len(indexVersion) + crc32.Size
	maxIndex     = 256 << 20
)

func (s *Store) indexPath(key string) string {
	return filepath.Join(s.opts.Dir, filepath.FromSlash(key))
}

// readIndex returns what is kept under a key, or nil if that is nothing or damaged.
func (s *Store) readIndex(key string) []byte {
	path := s.indexPath(key)
	if st, err := os.Stat(path); err != nil || st.Size() < int64(indexHeader) || st.Size() > maxIndex {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		s.log.Warn("what is known of an archive cannot be read", "path", path, "err", err)
		return nil
	}
	body, ok := bytes.CutPrefix(b, []byte(indexVersion))
	if !ok || len(body) < crc32.Size || !bytes.Equal(body[:crc32.Size], checksum(body[crc32.Size:])) {
		return nil
	}
	return body[crc32.Size:]
}

// writeIndex keeps something under a key. If that fails it is learned again.
func (s *Store) writeIndex(key string, body []byte) {
	path := s.indexPath(key)
	b := append(append([]byte(indexVersion), checksum(body)...), body...)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+tempSuffix, b, 0o644)
	}
	if err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err != nil {
		s.log.Warn("what is known of an archive cannot be kept", "path", path, "err", err)
	}
}

const tempSuffix = ".new"

// Forget removes what is known of archives whose keys begin with a folder.
func (s *Store) Forget(folder string) error {
	if err := os.RemoveAll(s.indexPath(folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget archives: %w", err)
	}
	return nil
}

func checksum(b []byte) []byte {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}
}
