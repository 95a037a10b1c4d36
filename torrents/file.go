package torrents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"shoal/torrents/cache"
)

// File is the content of one file of a torrent. It is safe for concurrent use.
type File struct {
	MetaFile
	entry *entry
}

// errNotReady is returned for data that would have to be waited for by whoever does not wait.
var errNotReady = errors.New("not in the cache yet")

// maxHold is how much of a torrent a read needs to have in the cache at the same time, in bytes. Longer reads are done in
// parts.
const maxHold = 1 << 20

// Ready says, without waiting, whether the n bytes at off, as far as the file has them, can be read
// at once. It is false for a torrent that nobody has read for a while.
func (f *File) Ready(off int64, n int) bool {
	off, n = f.clip(off, n)
	if n == 0 {
		return true
	}
	s := f.entry.opened()
	return s != nil && s.pieces.Ready(s.meta.span(&f.MetaFile, off, int64(n)))
}

// Await returns when the n bytes at off, as far as the file has them, can be read at once, and keeps them so until release
// is called, once. It makes the torrent join the swarm for that. reader names who waits: when ctx is cancelled, what is fetched
// ahead for him is given up. n should be at most 1 MiB, or the cache may be too small for it. The error is that of ReadAt.
func (f *File) Await(ctx context.Context, off int64, n int, reader string) (release func(), err error) {
	off, n = f.clip(off, n)
	if n == 0 {
		return func() {}, nil
	}
	s, err := f.entry.read()
	if err != nil {
		return nil, err
	}
	let, err := f.await(ctx, s, off, int64(n), reader)
	if err != nil {
		// However far it got: he may have hung up before it began.
		if errors.Is(ctx.Err(), context.Canceled) {
			s.gone(&f.MetaFile, reader)
		}
		f.entry.release()
		return nil, err
	}
	return func() {
		let()
		f.entry.release()
	}, nil
}

// ReadAt fills p from off. It waits for the pieces that are missing until ctx ends, not at all if it
// has ended already, and returns io.EOF with fewer bytes at the end of the file. What it returns was
// verified.
//
// The error is that of ctx, ErrGaveUp after Options.ReadGiveUp without any data, ErrNotFound when
// the torrent is removed, ErrFailed, ErrPaused, ErrCacheTooSmall, ErrClosed, or one of the disk.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: negative offset", off)
	}
	_, n := f.clip(off, len(p))
	var end error
	if n < len(p) {
		end = io.EOF
	}
	for read := 0; read < n; {
		got, err := f.readPart(ctx, p[read:min(n, read+maxHold)], off+int64(read))
		read += got
		if err != nil {
			return read, err
		}
	}
	return n, end
}

func (f *File) readPart(ctx context.Context, p []byte, off int64) (int, error) {
	s, err := f.entry.read()
	if err != nil {
		return 0, err
	}
	defer f.entry.release()
	release, err := f.await(ctx, s, off, int64(len(p)), "")
	if err != nil {
		return 0, err
	}
	defer release()
	n, err := s.pieces.File().ReadAt(p, f.Offset+off)
	if err != nil {
		s.pieces.Distrust(s.meta.span(&f.MetaFile, off, int64(len(p))))
		err = f.entry.cacheFailed(s, err)
	}
	return n, err
}

// Extent returns the file of the cache and the place in it where the n bytes at off are, if all of them
// are verified. done has to be called after the last use of the file, with the error of reading it.
func (f *File) Extent(off int64, n int) (file *os.File, at int64, done func(error), ok bool) {
	if got, have := f.clip(off, n); got != off || have != n || n == 0 {
		return nil, 0, nil, false
	}
	s := f.entry.tryRead()
	if s == nil {
		return nil, 0, nil, false
	}
	span := s.meta.span(&f.MetaFile, off, int64(n))
	if s.damaged.Load() || !s.pieces.Hold(span) {
		f.entry.release()
		return nil, 0, nil, false
	}
	if !s.pieces.Lend() {
		s.pieces.Release(span)
		f.entry.release()
		return nil, 0, nil, false
	}
	f.follow(s, off, int64(n), "")
	return s.pieces.File(), f.Offset + off, func(err error) {
		s.pieces.Release(span)
		f.entry.extentDone(span, err)
	}, true
}

// follow lets the read-ahead follow a read of data that is there. That alone is no reason to join the
// swarm.
func (f *File) follow(s *session, off, n int64, reader string) {
	if !s.pieces.Complete() {
		s.advance(&f.MetaFile, off, n, reader)
	}
}

// await returns when the n bytes at off are verified, and keeps them until release is called. The read-ahead follows.
func (f *File) await(ctx context.Context, s *session, off, n int64, reader string) (release func(), err error) {
	span := s.meta.span(&f.MetaFile, off, n)
	if s.pieces.Hold(span) {
		f.follow(s, off, n, "")
		return func() { s.pieces.Release(span) }, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", errNotReady, context.Cause(ctx))
	}
	if err := f.entry.fits(s.meta); err != nil {
		return nil, f.entry.readFailed(err)
	}
	if err := s.pieces.Check(ctx, span); err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
			return nil, err // somebody else checks it still; nothing is wrong with the cache
		}
		return nil, f.entry.cacheFailed(s, err)
	}
	if s.pieces.Hold(span) {
		f.follow(s, off, n, "")
		return func() { s.pieces.Release(span) }, nil
	}
	m, err := f.entry.joinSoon(ctx, s)
	if err != nil {
		return nil, err
	}
	s.advance(&f.MetaFile, off, n, reader)
	release, err = f.entry.wait(ctx, s, m, span)
	switch {
	case err == nil:
		f.entry.readWorks()
		return release, nil
	case ctx.Err() != nil:
		return nil, err // whoever wanted it does not want it any more, which is no failure
	}
	return nil, f.entry.readFailed(err)
}

// clip returns how much of the n bytes at off the file has.
func (f *File) clip(off int64, n int) (int64, int) {
	if off < 0 || off >= f.Size {
		return f.Size, 0
	}
	return off, int(min(int64(n), f.Size-off))
}

// Holds says whether n bytes at off, all of which the file has, are on the disk. That does not open the torrent.
func (f *File) Holds(off, n int64) bool { return f.entry.cachedBytes(f.Offset+off, n) == n }

// Cached returns how many bytes of the file are in the cache.
func (f *File) Cached() int64 { return f.entry.cachedBytes(f.Offset, f.Size) }

// key is the torrent's name in the cache.
func (ih Infohash) key() cache.Key { return cache.Key(ih) }
