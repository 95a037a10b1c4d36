package archive

import (
	"context"

	"shoal/archive/spool"
)

// spooled is a File that is decoded once from its start, into the spool.
type spooled struct {
	store *Store
	key   string
	size  int64
	level int // see Archive.level
	open  spool.Opener
}

func (s *spooled) Size() int64 { return s.size }

// begin opens the member. Nothing is decoded by that.
func (s *spooled) begin() (*spool.Member, error) {
	return s.store.spool.OpenInner(s.level, s.key, s.size, s.open)
}

func (s *spooled) Ready(off int64, n int) bool {
	m, err := s.begin()
	if err != nil {
		return false
	}
	defer m.Close()
	return m.Ready(off, int64(n))
}

func (s *spooled) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	m, err := s.begin()
	if err != nil {
		return 0, err
	}
	defer m.Close()
	return m.ReadAt(ctx, p, off)
}

// Await decodes up to the end of what is asked for.
func (s *spooled) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	m, err := s.begin()
	if err != nil {
		return nil, err
	}
	held, err := m.Hold()
	if err != nil {
		m.Close()
		return nil, err
	}
	release = func() {
		held()
		m.Close()
	}
	if last := min(off+int64(n), s.size) - 1; last >= max(off, 0) {
		var one [1]byte
		if _, err := m.ReadAt(ctx, one[:], last); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}
