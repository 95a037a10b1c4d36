package torrents

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// File is the content of one file of a torrent. It is safe for concurrent use.
type File struct {
	MetaFile
	entry *entry
}

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

// ReadAt fills p from off. It waits for the pieces that are missing until ctx ends, and returns
// io.EOF with fewer bytes at the end of the file. What it returns was verified.
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
	if !s.pieces.complete() {
		if err := f.await(ctx, s, off, int64(n)); err != nil {
			return 0, err
		}
	}
	if got, err := s.pieces.data.ReadAt(p[:n], f.Offset+off); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the end of the cache is not that of the file
		}
		return got, f.entry.readFailed(fmt.Errorf("read the cache: %w", err))
	}
	return n, err
}

// await returns when the n bytes at off are verified, and lets the read-ahead follow.
func (f *File) await(ctx context.Context, s *session, off, n int64) error {
	want := span{s.piece(&f.MetaFile, off), s.piece(&f.MetaFile, off+n-1)}
	ahead := s.advance(&f.MetaFile, off, n)
	if s.pieces.ready(want.first, want.last) {
		// Data that is there is no reason to join the swarm.
		if s.joined() != nil {
			s.readAhead(&f.MetaFile, ahead)
		}
		return nil
	}
	m, err := f.entry.join(s)
	if err != nil {
		return err
	}
	s.readAhead(&f.MetaFile, ahead)
	return f.entry.readFailed(f.entry.fetch(ctx, s, m, want))
}

// clip returns how much of the n bytes at off the file has.
func (f *File) clip(off int64, n int) (int64, int) {
	if off < 0 || off >= f.Size {
		return f.Size, 0
	}
	return off, int(min(int64(n), f.Size-off))
}
