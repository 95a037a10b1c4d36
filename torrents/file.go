package torrents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// File is the content of one file of a torrent. It is safe for concurrent use.
type File struct {
	MetaFile
	entry *entry
}

// errNotReady is returned for data that would have to be waited for by whoever does not wait.
var errNotReady = errors.New("not in the cache yet")

// Ready says, without waiting, whether the n bytes at off, as far as the file has them, can be read
// at once. It is false for a torrent that nobody has read for a while.
func (f *File) Ready(off int64, n int) bool {
	off, n = f.clip(off, n)
	if n == 0 {
		return true
	}
	f.entry.mu.Lock()
	s := f.entry.session
	f.entry.mu.Unlock()
	return s != nil && s.pieces.ready(s.piece(&f.MetaFile, off), s.piece(&f.MetaFile, off+int64(n)-1))
}

// Await returns nil when the n bytes at off, as far as the file has them, can be read at once. It makes
// the torrent join the swarm for that. The error is that of ReadAt.
func (f *File) Await(ctx context.Context, off int64, n int) error {
	off, n = f.clip(off, n)
	if n == 0 {
		return nil
	}
	s, err := f.entry.use()
	if err != nil {
		return err
	}
	defer f.entry.release()
	return f.await(ctx, s, off, int64(n))
}

// ReadAt fills p from off. It waits for the pieces that are missing until ctx ends, not at all if it
// has ended already, and returns io.EOF with fewer bytes at the end of the file. What it returns was
// verified.
//
// The error is that of ctx, ErrGaveUp after Options.ReadGiveUp without any data, ErrNotFound when
// the torrent is removed, ErrFailed, ErrClosed, or one of the disk.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: negative offset", off)
	}
	_, n := f.clip(off, len(p))
	var err error
	if n < len(p) {
		err = io.EOF
	}
	if n == 0 {
		return 0, err
	}
	s, useErr := f.entry.use()
	if useErr != nil {
		return 0, useErr
	}
	defer f.entry.release()
	if err := f.await(ctx, s, off, int64(n)); err != nil {
		return 0, err
	}
	if got, err := s.pieces.data.ReadAt(p[:n], f.Offset+off); err != nil {
		return got, f.entry.cacheFailed(s, err)
	}
	return n, err
}

// Extent returns the file of the cache and the place in it where the n bytes at off are, if all of them
// are verified. done has to be called after the last use of the file, with the error of reading it.
func (f *File) Extent(off int64, n int) (file *os.File, at int64, done func(error), ok bool) {
	if got, have := f.clip(off, n); got != off || have != n || n == 0 {
		return nil, 0, nil, false
	}
	s := f.entry.tryUse()
	if s == nil {
		return nil, 0, nil, false
	}
	if s.damaged.Load() || !s.pieces.ready(s.piece(&f.MetaFile, off), s.piece(&f.MetaFile, off+int64(n)-1)) {
		f.entry.release()
		return nil, 0, nil, false
	}
	f.follow(s, off, int64(n))
	return s.pieces.data, f.Offset + off, f.entry.done, true
}

// follow lets the read-ahead follow a read of data that is there. That alone is no reason to join the
// swarm.
func (f *File) follow(s *session, off, n int64) {
	if s.pieces.complete() {
		return
	}
	s.readAheadSoon(&f.MetaFile, s.advance(&f.MetaFile, off, n))
}

// await returns when the n bytes at off are verified, and lets the read-ahead follow.
func (f *File) await(ctx context.Context, s *session, off, n int64) error {
	want := span{s.piece(&f.MetaFile, off), s.piece(&f.MetaFile, off+n-1)}
	if s.pieces.ready(want.first, want.last) {
		f.follow(s, off, n)
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", errNotReady, context.Cause(ctx))
	}
	ahead := s.advance(&f.MetaFile, off, n)
	m, err := f.entry.joinSoon(ctx, s)
	if err != nil {
		return err
	}
	s.readAhead(&f.MetaFile, ahead)
	if err = f.entry.fetch(ctx, s, m, want); ctx.Err() != nil {
		return err // whoever wanted it does not want it any more, which is no failure
	}
	return f.entry.readFailed(err)
}

// clip returns how much of the n bytes at off the file has.
func (f *File) clip(off int64, n int) (int64, int) {
	if off < 0 || off >= f.Size {
		return f.Size, 0
	}
	return off, int(min(int64(n), f.Size-off))
}
