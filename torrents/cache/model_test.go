package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// shared is a torrent that several use, as the library does: it is opened for the first, and may be closed after the last.
type shared struct {
	c   *Cache
	key Key
	g   Geometry

	changing sync.Mutex

	mu    sync.Mutex
	p     *Pieces
	e     *engine
	users int
}

func (s *shared) use(t *testing.T) *Pieces {
	if p := s.tryUse(); p != nil {
		return p
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if p := s.tryUse(); p != nil {
		return p
	}
	p, err := s.c.Open(s.key, s.g, verifier(s.key, &s.g))
	if err != nil {
		t.Errorf("open: %v", err)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p, s.e = p, startEngine(p)
	s.users++
	return p
}

func (s *shared) tryUse() *Pieces {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p != nil {
		s.users++
	}
	return s.p
}

func (s *shared) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
}

// close closes the torrent, if nobody uses it or force says so, and calls then before it may be opened again.
func (s *shared) close(t *testing.T, force bool, then func() error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	p, e := s.p, s.e
	if s.users > 0 && !force {
		s.mu.Unlock()
		return
	}
	s.p, s.e = nil, nil
	s.mu.Unlock()
	if p != nil {
		e.close()
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if then != nil {
		if err := then(); err != nil {
			t.Error(err)
		}
	}
}

// modelGeometries have pieces that are whole blocks and that are not, that are many and that are none, and ends that are short.
func modelGeometries() []Geometry {
	return []Geometry{
		{PieceLength: 64 << 10, Pieces: 40, Size: 39*64<<10 + 5, Edges: []Span{{0, 1}, {38, 39}}},
		{PieceLength: 50_000, Pieces: 60, Size: 59*50_000 + 49_999},
		{PieceLength: 16 << 10, Pieces: 120, Size: 120 * 16 << 10, Edges: []Span{{3, 9}}},
		{PieceLength: 1 << 20, Pieces: 1, Size: 70_000},
		{PieceLength: 4097, Pieces: 300, Size: 300 * 4097},
		{PieceLength: 1000, Pieces: 64, Size: 64 * 1000},
		{PieceLength: 1 << 14},
	}
}

// TestModel does everything at once, and looks at quiet points whether the account is right.
func TestModel(t *testing.T) {
	const most = 1 << 20
	const largest = 72 << 10 // what the largest of the pieces takes, and an end
	dir := t.TempDir()
	c := openCache(t, dir, most)
	l := lodge(t, c, 2)
	var all []*shared
	least := int64(0)
	for i, g := range modelGeometries() {
		all = append(all, &shared{c: c, key: keyOf(i), g: g})
		least = max(least, g.Least(2*g.PieceLength))
	}
	least += int64(len(all)) * 3 * blockSize // what is open, and the last blocks of what is kept
	watching, watched := make(chan struct{}), make(chan int64)
	go func() {
		var max64 int64
		for every := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-every.C:
				max64 = max(max64, onDisk(dir))
			case <-watching:
				every.Stop()
				watched <- max64
				return
			}
		}
	}()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		modelRound(t, c, l, all, least, most)
		await(t, "the limit is kept", func() bool { used, limit := c.Use(); return used <= limit })
		checkAccount(t, c)
		if round%2 == 1 { // begin with what that has left
			for _, s := range all {
				s.close(t, true, nil)
			}
			checkAccount(t, c)
		}
		if t.Failed() {
			break
		}
	}
	for _, s := range all {
		s.close(t, true, nil)
	}
	close(watching)
	if max64 := <-watched; max64 > most+largest {
		t.Errorf("up to %d bytes were on disk, the limit is %d", max64, most)
	} else {
		t.Logf("at most %d of %d bytes on disk", max64, most)
	}
}

func modelRound(t *testing.T, c *Cache, l *lodger, all []*shared, least, most int64) {
	c.SetLimit(most)
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	var readers, others sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for range 60 {
				if s := all[rand.IntN(len(all))]; !modelRead(ctx, t, s) {
					return
				}
			}
		})
	}
	over := make(chan struct{})
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				err := l.add(ctx, keyOf(rand.IntN(len(all))), rand.IntN(4), int64(1+rand.IntN(4))<<14)
				if err != nil && !errors.Is(err, ErrNoRoom) {
					t.Error(err)
					return
				}
			}
		})
	}
	others.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond):
			}
			s := all[rand.IntN(len(all))]
			switch rand.IntN(7) {
			case 0:
				c.SetLimit(least + rand.Int64N(most-least))
			case 1:
				c.Pin(all[3].key, rand.IntN(2) == 0)
			case 2:
				s.close(t, false, nil)
			case 3:
				s.close(t, false, func() error {
					if s.tryUse() != nil {
						s.release()
						return nil
					}
					return c.Remove(s.key)
				})
			case 4:
				c.Have(s.key, &s.g, 0, s.g.Size)
				c.Tally(s.key).Pieces()
			case 5:
				c.Find(s.key)
			case 6:
				c.Keep(func(Key) bool { return true })
			}
		}
	})
	readers.Wait()
	close(over)
	others.Wait()
	c.Pin(all[3].key, false)
	c.SetLimit(most)
}

// modelRead reads a span, and wants what follows. It says whether to go on.
func modelRead(ctx context.Context, t *testing.T, s *shared) bool {
	if s.g.Pieces == 0 {
		p := s.use(t)
		if p != nil {
			s.release()
		}
		return p != nil
	}
	p := s.use(t)
	if p == nil {
		return false
	}
	defer s.release()
	first, n := rand.IntN(s.g.Pieces), 1+rand.IntN(3)
	span := Span{first, min(first+n, s.g.Pieces) - 1}
	ahead := Span{span.Last + 1, min(span.Last+rand.IntN(6), s.g.Pieces-1)}
	p.Want(ahead, Ahead, 1, 0)
	defer p.Want(ahead, Ahead, -1, 0)
	own, giveUp := ctx, context.CancelFunc(func() {})
	if rand.IntN(5) == 0 {
		own, giveUp = context.WithTimeout(ctx, time.Duration(rand.IntN(5000))*time.Microsecond)
	}
	defer giveUp()
	err := read(own, p, span, func() {})
	if err != nil && (ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded)) {
		t.Errorf("torrent with pieces of %d, pieces %d to %d: %v", s.g.PieceLength, span.First, span.Last, err)
		return false
	}
	return true
}
