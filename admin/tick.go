package admin

import (
	"sync"
	"time"

	"shoal/torrents"
)

// ticks make all streams look at the same moments, and share what they see then: 50 open pages cost little more than one.
type ticks struct {
	length time.Duration
	began  time.Time

	mu     sync.Mutex // held for moments
	at     int64      // the tick that values are of
	values map[string]any
}

// tickLength is the time from one look to the next. What torrents do in the swarm is found out once a second, too.
const tickLength = time.Second

func newTicks() ticks { return ticks{length: tickLength, began: time.Now()} }

// wait is how long it is to the next tick.
func (t *ticks) wait() time.Duration { return t.length - time.Since(t.began)%t.length }

// renew forgets what was seen in this tick, so that who comes sees what there is now.
func (t *ticks) renew() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.values = nil
}

// inTick returns what look does, which runs once in a tick for all who ask for the same key; they wait for it. What it returns is shared,
// so nobody changes it.
func inTick[T any](t *ticks, key string, look func() (T, error)) (T, error) {
	t.mu.Lock()
	if at := int64(time.Since(t.began) / t.length); at != t.at || t.values == nil {
		t.at, t.values = at, make(map[string]any)
	}
	once, ok := t.values[key].(func() (T, error))
	if !ok {
		once = sync.OnceValues(look)
		t.values[key] = once
	}
	t.mu.Unlock()
	return once()
}

// seenTorrents is Library.Torrents, once in a tick. The list is shared.
func (s *server) seenTorrents() []torrents.Torrent {
	list, _ := inTick(&s.ticks, "torrents", func() ([]torrents.Torrent, error) { return s.library.Torrents(), nil })
	return list
}

// seenStats is Library.Stats, once in a tick. Its maps are shared.
func (s *server) seenStats() torrents.Stats {
	stats, _ := inTick(&s.ticks, "stats", func() (torrents.Stats, error) { return s.library.Stats(), nil })
	return stats
}

// seenReaders are those who read, once in a tick. The list is shared.
func (s *server) seenReaders() []Reader {
	list, _ := inTick(&s.ticks, "readers", func() ([]Reader, error) { return s.readers(), nil })
	return list
}

// seenClients are the clients, once in a tick. The list is shared.
func (s *server) seenClients() []Client {
	list, _ := inTick(&s.ticks, "clients", func() ([]Client, error) { return s.clients(), nil })
	return list
}

// seenNAT is what s.nat returns, once in a tick. It is shared.
func (s *server) seenNAT() *NAT {
	found, _ := inTick(&s.ticks, "nat", func() (*NAT, error) { return s.nat(), nil })
	return found
}
