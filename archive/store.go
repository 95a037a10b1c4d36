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
	pool     *inflate.Pool
	spool    *spool.Spool
	heavy    chan struct{} // who decodes a whole file to find out what is in it

	ctx    context.Context //nolint:containedctx // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	open   map[*deflated]struct{} // those that have a decoder
	nested map[string]int         // archives in archives that were listed, by the first name of their keys: a torrent's
	// forgotten are the folders of keys that were forgotten, so that nothing that is still under way is kept there.
	forgotten map[string]struct{}
	closed    bool
}

const (
	// decodes is how many decodes of segments may have begun, most of them waiting for peers.
	decodes = 48
	// restTime is how long a decoder stays after its last use.
	restTime = time.Minute
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
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of archives: %w", err)
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
		opts: o, log: o.Logger, segments: inflate.NewCache(o.Segments), pool: inflate.NewPool(o.Workers, decodes), spool: sp,
		heavy: make(chan struct{}, o.Workers), open: make(map[*deflated]struct{}), nested: make(map[string]int),
		forgotten: make(map[string]struct{}),
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

func (s *Store) indexPath(key string) string { return indexPath(s.opts.Dir, key) }

func indexPath(dir, key string) string { return filepath.Join(dir, filepath.FromSlash(key)) }

// readIndex returns what is kept under a key, or nil if that is nothing or damaged.
func (s *Store) readIndex(key string) []byte {
	body, err := readIndexFile(s.indexPath(key))
	if err != nil {
		s.log.Warn("what is known of an archive cannot be read", "key", key, "err", err)
	}
	return body
}

// readIndexFile returns what is kept in a file, or nil if that is nothing or damaged. The error is one of the disk.
func readIndexFile(path string) ([]byte, error) {
	if st, err := os.Stat(path); err != nil || st.Size() < int64(indexHeader) || st.Size() > maxIndex {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	body, ok := bytes.CutPrefix(b, []byte(indexVersion))
	if !ok || len(body) < crc32.Size || !bytes.Equal(body[:crc32.Size], checksum(body[crc32.Size:])) {
		return nil, nil
	}
	return body[crc32.Size:], nil
}

// writeIndex keeps something under a key. If that fails it is learned again.
func (s *Store) writeIndex(key string, body []byte) {
	if s.isForgotten(key) {
		return
	}
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

// has says whether something is kept under a key.
func (s *Store) has(key string) bool {
	_, err := os.Stat(s.indexPath(key))
	return err == nil
}

// removeIndex removes what is kept under a key.
func (s *Store) removeIndex(key string) {
	if err := os.Remove(s.indexPath(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("what is known of an archive cannot be removed", "path", s.indexPath(key), "err", err)
	}
}

const tempSuffix = ".new"

func checksum(b []byte) []byte {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}
}
