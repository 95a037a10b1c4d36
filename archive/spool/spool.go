// Package spool keeps on disk what can only be decoded from its start. Each member is decoded once, in order, as far as
// somebody reads, into a file of a folder whose size is limited.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

var (
	// ErrSize is in the errors about members that decode to more or fewer bytes than they claim. It is remembered.
	ErrSize = errors.New("other size than claimed")
	// ErrDecoder is in the errors about members whose decoder panicked. It is remembered.
	ErrDecoder = errors.New("decoder failed")
	// ErrNoRoom is in the errors about members for which there is no room. The next read tries again.
	ErrNoRoom = errors.New("no room to decode into")
	// ErrClosed is what reads say after Close.
	ErrClosed = errors.New("spool is closed")
)

// maxSize is how large a member may be, in bytes. Sums of a few cannot overflow.
const maxSize = 1 << 60

// Room is where the bytes on disk are accounted for, in whole blocks, if others have a share in the same limit. Take may wait; it may be
// for others to make room, by Free as well.
type Room interface {
	Take(ctx context.Context, n int64) error // n bytes, before they are written; an error is the reason why not
	Add(n int64)                             // n bytes that are there already
	Give(n int64)                            // n bytes back
}

// Options says where a Spool works, and within which limits.
type Options struct {
	Dir   string       // nobody else writes there; it is made if it is not there
	Limit func() int64 // bytes on disk that whole members may take; asked whenever one is begun
	Room  Room         // may be nil
	Log   *slog.Logger // may be nil

	Workers int           // decoders of a level that are open at a time, each with its memory; 0 means one for each CPU
	Ahead   int64         // bytes that are decoded beyond what was asked for, 0 means 4 MiB
	Wait    time.Duration // how long a member waits for others that are being read to make room, 0 means ten seconds
	Idle    time.Duration // how long a decoder stays when nobody reads, 0 means a minute
	// Permanent says which errors of a decoder will come again, and are remembered. The others, as those of the
	// swarm, end the reads that wait, and the next one tries again. May be nil.
	Permanent func(error) bool
}

func (o *Options) fill() {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Ahead <= 0 {
		o.Ahead = 4 << 20
	}
	if o.Wait <= 0 {
		o.Wait = 10 * time.Second
	}
	if o.Idle <= 0 {
		o.Idle = time.Minute
	}
	if o.Permanent == nil {
		o.Permanent = func(error) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Spool is a folder of decoded members.
type Spool struct {
	o      Options
	ctx    context.Context // ends with the spool
	cancel context.CancelFunc
	wg     sync.WaitGroup // the decoding goroutines

	mu      sync.Mutex // for moments
	entries map[string]*entry
	used    int64     // bytes reserved: what the members take once all of them is there
	stay    []dropped // what was evicted, and could not be removed
	clock   uint64    // grows with each use of a member
	places  [Levels]places
	closed  bool
}

// Opener starts decoding a member from its start. What it returns has to end its reads when ctx does, and is read and closed by one
// goroutine.
type Opener func(ctx context.Context) (io.ReadCloser, error)

// entry is a member. Its fields belong to Spool.mu, but for the first three.
type entry struct {
	s    *Spool
	hash string
	size int64

	opener   Opener
	level    int // stays while it is being decoded
	handles  int
	readers  int      // reads in flight: what is read is not evicted
	path     string   // of its file; empty if there is none
	reserved bool     // its part of the limit
	taken    int64    // bytes taken from Options.Room
	doomed   bool     // it goes once its decoder has ended
	done     int64    // bytes that can be read
	finished bool     // all is there, and the file says so
	checked  []uint64 // which sums of the file were seen to be right in this run: a bit for each; nil for none
	renaming bool     // the file is about to have another path
	err      error    // why it can't be decoded; see remember
	lastUse  uint64
	usedAt   time.Time // likewise, as others know it
	wanted   int64     // the farthest end of a read, since the decoder was started
	waited   time.Time // when somebody read last, or waited for that
	waiters  []*waiter
	decoding *decoding // nil if there is none
}

// places are those of the decoders of a level.
type places struct {
	open  int // decoders
	queue []chan struct{}
}

// waiter is a read that waits until the first bytes, up to end, are there.
type waiter struct {
	end  int64
	done chan error // has room for one
}

// New opens the folder. What earlier runs finished is there at once; what they left unfinished is removed.
func New(o Options) (*Spool, error) {
	o.fill()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Spool{o: o, ctx: ctx, cancel: cancel, entries: make(map[string]*entry)}
	if err := s.scan(); err != nil {
		cancel()
		return nil, fmt.Errorf("spool folder: %w", err)
	}
	s.trim()
	return s, nil
}

// Levels is how many levels there are.
const Levels = 4

// Open is OpenInner at level 0.
func (s *Spool) Open(key string, size int64, open Opener) (*Member, error) {
	return s.OpenInner(0, key, size, open)
}

// OpenInner returns the member of a key, which decodes to size bytes. Nothing is read or reserved before the first read. The key is a path
// that says all that decides the content; see Evict. The same key may be open many times, with the same size.
//
// What decodes from other members is of a higher level than they are, below Levels. Each level has its own Options.Workers: if those that wait
// for others could have all places, the others would have none.
func (s *Spool) OpenInner(level int, key string, size int64, open Opener) (*Member, error) {
	if size < 0 || size > maxSize {
		return nil, fmt.Errorf("member of %d bytes, more than the %d that can be: %w", size, int64(maxSize), ErrSize)
	}
	hash := nameOf(key)
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, ErrClosed
		}
		e := s.entries[hash]
		if e == nil {
			e = &entry{s: s, hash: hash, size: size}
			s.entries[hash] = e
		}
		if e.size == size {
			e.opener = open
			if e.decoding == nil { // one of an earlier run has none yet
				e.level = min(max(level, 0), Levels-1)
			}
			e.handles++
			s.mu.Unlock()
			return &Member{e: e}, nil
		}
		if e.handles > 0 || e.readers > 0 {
			s.mu.Unlock()
			return nil, fmt.Errorf("member of %d bytes, which is open with %d: %w", size, e.size, ErrSize)
		}
		e.err = nil // an earlier run, or an archive before it was looked into again, knew another size
		drop, ended := s.evict(e)
		s.mu.Unlock()
		if ended != nil {
			<-ended
		}
		s.finishEvicting(drop)
	}
}

// Used says how many bytes are reserved.
func (s *Spool) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Close ends all decoding and all reads that wait, and waits for them. What is unfinished is removed.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
	s.mu.Lock()
	var paths []string
	for _, e := range s.entries {
		e.fail(ErrClosed)
		if e.path != "" && !e.finished {
			paths = append(paths, e.path)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, path := range paths {
		errs = append(errs, remove(path))
	}
	return errors.Join(errs...)
}

// touch makes the member the one that was used last.
func (e *entry) touch() {
	e.s.clock++
	e.lastUse, e.usedAt = e.s.clock, time.Now()
}

// fail ends the reads that wait.
func (e *entry) fail(err error) {
	for _, w := range e.waiters {
		w.done <- err
	}
	e.waiters = nil
}
