package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Member is an open member. Any number of goroutines may use it.
type Member struct {
	e      *entry
	closed bool // belongs to Spool.mu
}

// Size is what the member decodes to, in bytes.
func (m *Member) Size() int64 { return m.e.size }

// Close says that it is not read any more; reads that are in flight go on. Its file stays until the room is needed, and its decoder as if
// it were open: who reads often opens it anew for each read.
func (m *Member) Close() {
	s := m.e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	m.e.handles--
	m.e.leave()
}

// leave forgets a member that nobody knows, and of which nothing is known. It needs mu.
func (e *entry) leave() {
	known := e.handles > 0 || e.readers > 0 || e.decoding != nil || e.path != "" || e.reserved || e.err != nil
	if !known && e.s.entries[e.hash] == e {
		delete(e.s.entries, e.hash)
	}
}

// Ready says whether n bytes at an offset can be read without decoding. It never waits.
func (m *Member) Ready(off, n int64) bool {
	s := m.e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	return off >= 0 && n >= 0 && (off >= m.e.size || min(n, m.e.size-off) <= m.e.done-off) && m.e.err == nil
}

// ReadAt is that of io.ReaderAt. It waits until everything in front of the end of the read is decoded, or ctx ends.
// Errors are those of ctx, of the decoder and its source, ErrSize, ErrNoRoom, ErrClosed, and of the disk.
func (m *Member) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading a member at %d: %w", off, fs.ErrInvalid)
	}
	if off >= m.e.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	atEnd := false
	if left := m.e.size - off; int64(len(p)) > left {
		p, atEnd = p[:left], true
	}
	if err := m.begin(); err != nil {
		return 0, err
	}
	defer m.e.end()
	for again := false; ; {
		path, err := m.e.await(ctx, off+int64(len(p)))
		if err != nil {
			return 0, err
		}
		n, err := m.e.read(path, p, off)
		if errors.Is(err, fs.ErrNotExist) { // it was evicted, or gets its last name, or somebody else has removed it
			m.e.lose(path)
			continue
		}
		if errors.Is(err, errSum) && !again {
			again = true // which costs decoding all of it
			m.e.discard(path, err)
			continue
		}
		if err == nil && atEnd {
			err = io.EOF
		}
		return n, err
	}
}

// read reads from the file, of which what an earlier run has left, or was not read yet, is checked.
func (e *entry) read(path string, p []byte, off int64) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if strings.HasSuffix(path, doneSuffix) {
		if err := e.check(f, off, off+int64(len(p))); err != nil {
			return 0, err
		}
	}
	n, err := f.ReadAt(p, off)
	switch {
	case n == len(p):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fmt.Errorf("%w: the file ends at %d of %d bytes", errSum, off+int64(n), e.size)
	}
	return n, fmt.Errorf("reading what was decoded: %w", err)
}

// Hold keeps the member from being evicted, as a read does, until release is called, once; it does not where Free or Evict are to force it.
// The error is fs.ErrClosed.
func (m *Member) Hold() (release func(), err error) {
	if err := m.begin(); err != nil {
		return nil, err
	}
	return m.e.end, nil
}

// begin counts a read.
func (m *Member) begin() error {
	e := m.e
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	if m.closed {
		return fmt.Errorf("reading a member that is closed: %w", fs.ErrClosed)
	}
	e.readers++
	e.touch()
	return nil
}

// end is what begin is to be followed by.
func (e *entry) end() {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	e.readers--
	e.leave()
}

// lose forgets the file of a path, if it is still that of the member, and says how much room it has: decoding starts anew then, into
// another one, in that room.
func (e *entry) lose(path string) (taken int64, ok bool) {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	if e.path != path || e.renaming {
		return 0, false
	}
	e.dropFile()
	if e.decoding != nil {
		e.decoding.cancel()
	}
	return e.taken, true
}

// await waits until the first bytes, up to end, are there, and returns the path of the file.
func (e *entry) await(ctx context.Context, end int64) (path string, err error) {
	s := e.s
	s.mu.Lock()
	e.wanted = max(e.wanted, end)
	switch {
	case s.closed:
		s.mu.Unlock()
		return "", ErrClosed
	case e.err != nil:
		err := e.err
		s.mu.Unlock()
		return "", err
	case end <= e.done:
		if e.decoding != nil { // it may go on, to stay ahead
			e.waited = time.Now()
			e.decoding.poke()
		}
		path := e.path
		s.mu.Unlock()
		return path, nil
	}
	w := &waiter{end: end, done: make(chan error, 1)}
	e.waiters = append(e.waiters, w)
	e.waited = time.Now()
	s.demand(e)
	s.mu.Unlock()

	select {
	case err = <-w.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.waiters = slices.DeleteFunc(e.waiters, func(other *waiter) bool { return other == w })
	e.waited = time.Now()
	if len(e.waiters) == 0 && len(s.places[e.level].queue) > 0 && e.decoding != nil && e.done < e.size {
		e.decoding.cancel() // others are waiting for its place
	}
	if err != nil {
		return "", fmt.Errorf("decoding up to %d of %d bytes: %w", end, e.size, err)
	}
	return e.path, nil
}
