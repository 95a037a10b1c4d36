//go:build linux

package hostile

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/test/netns"
)

// slow makes a source give about 3 MiB/s.
const slow = int64(4 * time.Millisecond)

// TestRandomReads reads 300 places of a large film, and may fetch little more than the pieces that these are in.
func TestRandomReads(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 2<<30, 1<<20)
	src := startSource(t, f, "127.0.0.2")
	l := openLibrary(t, nil, src.addr)
	file := l.add(t, f)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		const n = 64 << 10
		if err := await(deadline(t), file, f, random.Int64N(f.size/n)*n, n, "tv"); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond) // what was asked for may still come
	t.Logf("300 reads of 64 KiB made the seeder send %d pieces, %.1f MiB", src.distinct(), mib(src.sent.Load()))
	if n := src.distinct(); n > 320 {
		t.Errorf("300 reads of 64 KiB made the seeder send %d pieces, want at most 320", n)
	}
	if sent := src.sent.Load(); sent > 330<<20 {
		t.Errorf("300 reads of 64 KiB made the seeder send %.1f MiB", mib(sent))
	}
}

// TestReadsOutOfOrder reads as Linux does: 16 READs of 1 MiB at a time, which overtake one another. That is one stream.
func TestReadsOutOfOrder(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 128<<20, 256<<10)
	src := startSource(t, f, "127.0.0.2")
	src.pause.Store(int64(100 * time.Microsecond))
	l := openLibrary(t, nil, src.addr)
	file := l.add(t, f)
	const read, depth = 1 << 20, 16
	var next atomic.Int64
	var running sync.WaitGroup
	ctx := deadline(t)
	random := rand.New(rand.NewPCG(3, 4))
	order := make([]int64, f.size/2/read)
	for i := range order {
		order[i] = int64(i)
	}
	for i := 0; i+depth <= len(order); i += depth / 2 {
		part := order[i : i+depth/2]
		random.Shuffle(len(part), func(a, b int) { part[a], part[b] = part[b], part[a] })
	}
	for range depth {
		running.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(order)) {
					return
				}
				if err := await(ctx, file, f, order[i]*read, read, "tv"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	eventually(t, "the read-ahead is there", func() bool { return int64(src.distinct())*f.pieceLength >= f.size/2+14<<20 })
	sent, ahead := src.sent.Load(), int64(src.distinct())*f.pieceLength-f.size/2
	t.Logf("reading %.0f MiB made the seeder send %.1f MiB, of which %.1f MiB are ahead", mib(f.size/2), mib(sent), mib(ahead))
	if sent > f.size/2+20<<20 {
		t.Errorf("reading %.0f MiB made the seeder send %.1f MiB, want at most 20 MiB more", mib(f.size/2), mib(sent))
	}
}

// viewer reads a film in sequence, until its context ends.
type viewer struct {
	at   atomic.Int64
	stop context.CancelFunc
	done chan error
}

func view(t testing.TB, l *library, f *film, name string, from int64, pause time.Duration) *viewer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	v := &viewer{stop: cancel, done: make(chan error, 1)}
	v.at.Store(from)
	file := l.file(t, f)
	var running sync.WaitGroup
	running.Go(func() {
		const n = 256 << 10
		for v.at.Load() < f.size {
			if err := await(ctx, file, f, v.at.Load(), n, name); err != nil {
				v.done <- err
				return
			}
			v.at.Add(n)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
		v.done <- nil
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return v
}

// hangUp ends a viewer, whose reads have to have been right until then.
func (v *viewer) hangUp(t testing.TB) {
	t.Helper()
	v.stop()
	if err := <-v.done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestHangUp lets a client go: what it waited for, and what was to follow, is not fetched any more. It may as well go between two
// READs, or before the last one has begun to wait.
func TestHangUp(t *testing.T) {
	netns.Require(t)
	for _, test := range []struct {
		name    string
		waiting bool
	}{{"while it waits", true}, {"before it waits", false}} {
		t.Run(test.name, func(t *testing.T) {
			f := newFilm(t, "film", 256<<20, 256<<10)
			src := startSource(t, f, "127.0.0.2")
			l := openLibrary(t, nil, src.addr)
			file := l.add(t, f)
			ctx, hangUp := context.WithCancel(deadline(t))
			defer hangUp()
			at := int64(0)
			read := func() error {
				const n = 256 << 10
				err := await(ctx, file, f, at, n, "tv")
				at += n
				return err
			}
			for at < 32<<20 { // then the window is open
				if err := read(); err != nil {
					t.Fatal(err)
				}
			}
			src.pause.Store(slow)
			for begin := time.Now(); time.Since(begin) < 500*time.Millisecond; {
				if err := read(); err != nil {
					t.Fatal(err)
				}
			}
			if test.waiting {
				defer time.AfterFunc(20*time.Millisecond, hangUp).Stop() // a piece takes three times this
			} else {
				hangUp()
			}
			err := read()
			for err == nil { // what is there may still be read
				err = read()
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			before := src.sent.Load()
			time.Sleep(time.Second)
			after := src.sent.Load()
			// In a second the seeder sends three times this, and until all is there that was wanted, 16.
			if more := after - before; more > 1<<20 {
				t.Errorf("in a second after the client is gone, the seeder sends %.1f MiB", mib(more))
			}
			time.Sleep(500 * time.Millisecond)
			if more := src.sent.Load() - after; more > 0 {
				t.Errorf("a second after the client is gone, the seeder still sends: %.1f MiB", mib(more))
			}
		})
	}
}

// TestTwoViewers has two clients watch the same film: it is fetched once. When one hangs up, the other goes on as before.
func TestTwoViewers(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 128<<20, 256<<10)
	src := startSource(t, f, "127.0.0.2")
	src.pause.Store(int64(200 * time.Microsecond))
	l := openLibrary(t, nil, src.addr)
	l.add(t, f)
	a, b := view(t, l, f, "tv", 0, 0), view(t, l, f, "phone", 0, 0)
	eventually(t, "both are on", func() bool { return a.at.Load() > 32<<20 && b.at.Load() > 32<<20 })
	if sent, read := src.sent.Load(), max(a.at.Load(), b.at.Load()); sent > read+18<<20 {
		t.Errorf("both have read %.1f MiB, and the seeder sent %.1f", mib(read), mib(sent))
	}
	src.pause.Store(slow)
	a.hangUp(t)
	before := src.distinct()
	time.Sleep(time.Second)
	// The window that was open is still being fetched, whatever b reads of it.
	if n := src.distinct() - before; n < 4 {
		t.Errorf("after one of two clients is gone, %d pieces came in a second", n)
	}
	src.pause.Store(int64(200 * time.Microsecond))
	if err := <-b.done; err != nil {
		t.Error(err)
	}
	if sent := src.sent.Load(); sent > f.size+f.size/20 {
		t.Errorf("a film of %.0f MiB that two watched was sent as %.1f MiB", mib(f.size), mib(sent))
	}
}

// TestSlowViewer reads slower than the seeder sends: the window stays open.
func TestSlowViewer(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 128<<20, 256<<10)
	src := startSource(t, f, "127.0.0.2")
	l := openLibrary(t, nil, src.addr)
	file := l.add(t, f)
	at := int64(0)
	read := func(to int64, pause time.Duration) {
		for ; at < to; at += 256 << 10 {
			if err := await(deadline(t), file, f, at, 256<<10, "tv"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pause)
		}
	}
	read(32<<20, 0)
	for range 3 {
		read(at+2<<20, 50*time.Millisecond)
		ahead := func() int64 { return int64(src.distinct())*f.pieceLength - at }
		eventually(t, "12 MiB are ahead", func() bool { return ahead() >= 12<<20 })
		if n := ahead(); n > 18<<20 {
			t.Errorf("at %.1f MiB, %.1f MiB are ahead, want at most 18", mib(at), mib(n))
		}
	}
}

// TestSeek goes elsewhere in the film while the window is being fetched from a slow seeder.
func TestSeek(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 256<<20, 256<<10)
	src := startSource(t, f, "127.0.0.2")
	l := openLibrary(t, nil, src.addr)
	file := l.add(t, f)
	v := view(t, l, f, "tv", 0, 0)
	eventually(t, "the window is open", func() bool { return v.at.Load() > 32<<20 })
	src.pause.Store(slow)
	time.Sleep(300 * time.Millisecond)
	// A program that seeks lets the READs that are under way come to an end.
	v.hangUp(t)
	begin, before := time.Now(), src.sent.Load()
	if err := await(deadline(t), file, f, 200<<20, 256<<10, "tv"); err != nil {
		t.Fatal(err)
	}
	sent := src.sent.Load() - before
	t.Logf("the first byte after a seek comes after %v and %.1f MiB", time.Since(begin), mib(sent))
	if sent > 6<<20 { // of a window of 16
		t.Errorf("before the first byte after a seek, %.1f MiB were sent", mib(sent))
	}
}

// TestSeekElsewhere is TestSeek for a client that does not hang up.
func TestSeekElsewhere(t *testing.T) {
	netns.Require(t)
	f := newFilm(t, "film", 256<<20, 256<<10)
	src := startSource(t, f, "127.0.0.2")
	l := openLibrary(t, nil, src.addr)
	file := l.add(t, f)
	for off := int64(0); off < 32<<20; off += 256 << 10 {
		if off == 31<<20 {
			src.pause.Store(slow)
		}
		if err := await(deadline(t), file, f, off, 256<<10, "tv"); err != nil {
			t.Fatal(err)
		}
	}
	before := src.sent.Load()
	for _, off := range []int64{200 << 20, 100 << 20, 150 << 20} {
		if err := await(deadline(t), file, f, off, 256<<10, "tv"); err != nil {
			t.Fatal(err)
		}
	}
	sent := src.sent.Load() - before
	t.Logf("three seeks made the seeder send %.1f MiB", mib(sent))
	if sent > 6<<20 {
		t.Errorf("three seeks made the seeder send %.1f MiB, want at most 6", mib(sent))
	}
}
