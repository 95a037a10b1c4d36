package torrents

import (
	"context"
	"testing"
	"time"
)

// TestLookWhileJoining samples the members of the swarm while torrents come and go, which the race detector watches.
func TestLookWhileJoining(t *testing.T) {
	s := newSample(t, "joins", 16<<10, map[string][]byte{"x": randomBytes(10_000)})
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec))
	mustAdd(t, l, "r", s.metainfo)
	e := l.entries[s.infohash]
	session, err := e.use()
	if err != nil {
		t.Fatal(err)
	}
	defer e.release()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			for _, m := range l.swarm.list() {
				m.look(time.Now()) //nolint:contextcheck // announces end with the torrent's time in the swarm
			}
		}
	}()
	for range 200 {
		m, err := l.swarm.join(session.meta, sources{}, session.pieces)
		if err != nil {
			t.Fatal(err)
		}
		m.leave()
	}
	stop()
	<-ended
}
