package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// testLimit is for everything that a test waits for.
const testLimit = 60 * time.Second

func openCache(t testing.TB, dir string, limit int64) *Cache {
	t.Helper()
	c, err := Open(Options{Dir: dir, Limit: limit, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range c.opened() {
			if err := p.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if err := c.Close(); err != nil {
			t.Errorf("close the cache: %v", err)
		}
	})
	return c
}

// opened lists what is open.
func (c *Cache) opened() (list []*Pieces) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.open {
		list = append(list, p)
	}
	return list
}

// keyOf is the key of the nth torrent of a test.
func keyOf(n int) Key {
	var key Key
	binary.BigEndian.PutUint64(key[:], uint64(n)+1)
	return key
}

// contents keeps what content has made.
var contents sync.Map

// content is what is right for a piece. None of it is zero.
func content(key Key, g *Geometry, piece int) []byte {
	id := [...]int64{int64(binary.BigEndian.Uint64(key[:])), g.length(piece), int64(piece)}
	if b, ok := contents.Load(id); ok {
		return b.([]byte)
	}
	b := make([]byte, g.length(piece))
	random := rand.NewPCG(binary.BigEndian.Uint64(key[:]), uint64(piece))
	for i := range b {
		if i%8 == 0 && len(b)-i >= 8 {
			binary.LittleEndian.PutUint64(b[i:], random.Uint64()|0x0101010101010101)
		} else if b[i] == 0 {
			b[i] = byte(piece) | 1
		}
	}
	contents.Store(id, b)
	return b
}

func verifier(key Key, g *Geometry) Verify {
	return func(piece int, r io.Reader) (bool, error) {
		b, err := io.ReadAll(r)
		return bytes.Equal(b, content(key, g, piece)), err
	}
}

func mustOpen(t testing.TB, c *Cache, key Key, g Geometry) *Pieces {
	t.Helper()
	p, err := c.Open(key, g, verifier(key, &g))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// engine does what the BitTorrent engine does: it asks peers, who are never wrong, for what is wanted.
type engine struct {
	p       *Pieces
	stop    chan struct{}
	end     sync.WaitGroup
	written atomic.Int64 // bytes from peers
}

const chunk = 16 << 10

func startEngine(p *Pieces) *engine {
	e := &engine{p: p, stop: make(chan struct{})}
	p.Fetch(true)
	e.end.Go(e.run)
	return e
}

func (e *engine) close() {
	e.p.Fetch(false)
	close(e.stop)
	e.end.Wait()
}

func (e *engine) run() {
	wanted := make(map[int]Urgency)
	chunks := make(map[int]int) // that the engine believes are there
	complete := make(map[int]bool)
	for {
		piece, found := e.next(wanted, complete)
		if !found {
			select {
			case <-e.stop:
				return
			case <-e.p.Changed():
			}
		}
		for _, c := range e.p.Changes() {
			if c.Recheck {
				was := complete[c.Piece]
				if complete[c.Piece] = e.p.State(c.Piece) == Present; was != complete[c.Piece] {
					delete(chunks, c.Piece)
				}
			}
			if wanted[c.Piece] = c.Urgency; c.Urgency == None {
				delete(wanted, c.Piece)
			}
		}
		select {
		case <-e.stop:
			return
		default:
		}
		if found && wanted[piece] != None && !complete[piece] {
			e.fetch(piece, chunks, complete)
		}
	}
}

func (e *engine) next(wanted map[int]Urgency, complete map[int]bool) (piece int, found bool) {
	best := None
	for i, u := range wanted {
		if u > best && !complete[i] {
			piece, best, found = i, u, true
		}
	}
	return piece, found
}

// fetch gets the next chunk of a piece, and hashes the piece when it has all.
func (e *engine) fetch(piece int, chunks map[int]int, complete map[int]bool) {
	b := content(e.p.key, &e.p.Geometry, piece)
	if at := chunks[piece] * chunk; at < len(b) {
		end := min(at+chunk, len(b))
		e.written.Add(int64(end - at))
		if _, err := e.p.WriteAt(piece, b[at:end], int64(at)); err != nil {
			panic(err)
		}
		chunks[piece]++
		if end < len(b) {
			return
		}
	}
	var got bytes.Buffer
	_, err := e.p.Hash(piece, &got, int64(len(b)))
	delete(chunks, piece)
	if err != nil || !bytes.Equal(got.Bytes(), b) {
		if err == nil {
			panic("what was written is not what is there")
		}
		e.p.Reset(piece)
		return
	}
	e.p.Verified(piece)
	complete[piece] = true
}

var ticket atomic.Uint32

// read waits for pieces as a reader of the library does, and compares them.
func read(ctx context.Context, p *Pieces, span Span, while func()) error {
	own := ticket.Add(1)
	p.Want(span, Now, 1, own)
	defer p.Want(span, Now, -1, own)
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for !p.Hold(span) {
		if err := p.Check(ctx, span); err != nil {
			return err
		}
		missing := span.Last
		for i := span.First; i < span.Last; i++ {
			if p.State(i) != Present {
				missing = i
				break
			}
		}
		select {
		case <-p.Done(missing):
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer p.Release(span)
	while()
	for i := span.First; i <= span.Last; i++ {
		b := make([]byte, p.length(i))
		if _, err := p.File().ReadAt(b, int64(i)*p.PieceLength); err != nil {
			return err
		}
		if !bytes.Equal(b, content(p.key, &p.Geometry, i)) {
			return errors.New("wrong bytes")
		}
	}
	return nil
}

// fill fetches pieces.
func fill(t testing.TB, p *Pieces, span Span) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	e := startEngine(p)
	defer e.close()
	for i := span.First; i <= span.Last; i++ {
		if err := read(ctx, p, Span{i, i}, func() {}); err != nil {
			t.Fatalf("fetch piece %d: %v", i, err)
		}
	}
}

// onDisk returns what the files in a folder take.
func onDisk(dir string) (sum int64) {
	entries, _ := os.ReadDir(dir) // what vanishes meanwhile takes nothing
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case err != nil:
		case e.IsDir():
			sum += onDisk(filepath.Join(dir, e.Name()))
		default:
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	return sum
}

// checkAccount compares what the cache believes with what there is. Nothing may go on meanwhile.
func checkAccount(t testing.TB, c *Cache) {
	t.Helper()
	c.evicting.Lock()
	defer c.evicting.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	var used, unwritten int64
	for _, ct := range c.closed {
		used += ct.bytes
	}
	for key, p := range c.open {
		p.mu.Lock()
		sum := p.roomTaken() + p.statesCost() + p.overhead
		if p.charged != sum {
			t.Errorf("torrent %s is charged with %d bytes, its pieces take %d", key, p.charged, sum)
		}
		used += sum
		present, suspect := 0, 0
		for i := range p.slots {
			s := &p.slots[i]
			switch {
			case s.isLeaving():
				t.Errorf("piece %d of %s is still being evicted", i, key)
			case s.state == Present:
				present++
			case s.state == Suspect:
				suspect++
			case s.has(hasRoom) && !s.has(partial):
				unwritten += p.cost(i)
			case s.has(partial) && !s.has(hasRoom):
				t.Errorf("piece %d of %s has data and no room", i, key)
			}
			if s.state != Missing && !s.has(hasRoom) {
				t.Errorf("piece %d of %s is there and has no room", i, key)
			}
		}
		if present != p.present || suspect != p.suspect {
			t.Errorf("%s: %d present and %d suspect pieces are counted as %d and %d", key, present, suspect, p.present, p.suspect)
		}
		p.mu.Unlock()
	}
	for _, tenant := range c.tenants {
		used += tenant.used
	}
	if c.used != used {
		t.Errorf("%d bytes are used, counted as %d", used, c.used)
	}
	if got := c.unwritten.Load(); got != unwritten {
		t.Errorf("%d bytes of room have no data, counted as %d", unwritten, got)
	}
	if disk := onDisk(c.dir); disk > c.used {
		t.Errorf("%d bytes are on disk, and %d counted", disk, c.used)
	}
}

// await polls until something is the case.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testLimit); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestLeast has readers who each need several pieces of a cache that holds as many as one of them needs: each
// is served.
func TestLeast(t *testing.T) {
	g := Geometry{PieceLength: 32 << 10, Pieces: 40, Size: 40 * 32 << 10}
	for _, readers := range []int{1, 2, 3, 8, 24} {
		c := openCache(t, t.TempDir(), g.Least(32<<10)) // three pieces
		p := mustOpen(t, c, keyOf(0), g)
		e := startEngine(p)
		ctx, cancel := context.WithTimeout(t.Context(), testLimit)
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				for range 2 + 200/readers {
					first, n := rand.IntN(g.Pieces), 1+rand.IntN(3)
					span := Span{first, min(first+n, g.Pieces) - 1}
					own, giveUp := context.WithCancel(ctx)
					if rand.IntN(4) == 0 { // some go away
						time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, giveUp)
					}
					err := read(own, p, span, func() {})
					giveUp()
					if err != nil && (!errors.Is(err, context.Canceled) || ctx.Err() != nil) {
						t.Errorf("%d readers: pieces %d to %d: %v", readers, span.First, span.Last, err)
						return
					}
				}
			})
		}
		all.Wait()
		cancel()
		e.close()
		checkAccount(t, c)
		if t.Failed() {
			return
		}
	}
}

func TestParseName(t *testing.T) {
	key := strings.Repeat("0a", 20)
	for name, want := range map[string]bool{
		key + ".data": true, key + ".pieces": true, key: false, key + ".other": false, key[1:] + ".data": false,
		strings.ToUpper(key) + ".data": false, strings.Repeat("xy", 20) + ".data": false, ".data": false, "": false,
		key + "00.data": false, key + ".data.data": false,
	} {
		if got, ok := parseName(name); ok != want || ok && got.String() != key {
			t.Errorf("%q: %s, %v, want %v", name, got, ok, want)
		}
	}
}

func paths(dir string, key Key) (data, states string) {
	base := filepath.Join(dir, key.String())
	return base + dataSuffix, base + statesSuffix
}

// TestStrays counts what somebody else has put below the folder, at any depth.
func TestStrays(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "lost+found", "a")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "x"), filepath.Join(deep, "x")} {
		if err := os.WriteFile(path, bytes.Repeat([]byte{1}, 1<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := openCache(t, dir, 1<<30)
	if used, _ := c.Use(); used < 2<<20 || used > 2<<20+64<<10 {
		t.Errorf("%d bytes are used, want 2 MiB and some", used)
	}
}
