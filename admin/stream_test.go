package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/torrents"
)

// event is what a stream sends: an event, or a comment.
type event struct {
	name, id, data, comment string
	at                      time.Time
}

// eventReader reads a stream as HTML, 9.2.6 wants, as far as it is used here.
type eventReader struct {
	lines *bufio.Reader
	close func() error
}

// next returns the next event or comment. The error is io.EOF when the stream is over.
func (r *eventReader) next() (event, error) {
	var e event
	var data []string
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" && (data != nil || e.comment != "") {
			e.data, e.at = strings.Join(data, "\n"), time.Now()
			return e, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			data = append(data, value)
		case "retry", "":
			if line != "" && field == "" {
				e.comment = value
			}
		default:
			return e, fmt.Errorf("the line %q", line)
		}
	}
}

// want reads events with these names, in this order, and returns them.
func (r *eventReader) want(t testing.TB, names ...string) []event {
	t.Helper()
	var list []event
	for _, name := range names {
		e, err := r.next()
		if err != nil || e.name != name {
			t.Fatalf("the stream has %+v (%v), want an event %q", e, err, name)
		}
		list = append(list, e)
	}
	return list
}

// end reads until the stream is over.
func (r *eventReader) end(t testing.TB) {
	t.Helper()
	for {
		e, err := r.next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil || e.comment == "" {
			t.Fatalf("the stream has %+v (%v), want its end", e, err)
		}
	}
}

// pipeListener is a listener without a network, whose connections wait by the clock of a bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeListener) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// live is a server of a stream in a bubble, and its client.
type live struct {
	*server
	stop   chan struct{} // is server.done
	pipes  *pipeListener
	http   *http.Server
	client *http.Client

	mu    sync.Mutex
	parts []fragment
	err   error
	may   bool
}

// goLive serves a stream of parts.
func goLive(t *testing.T, parts ...fragment) *live {
	t.Helper()
	l := &live{parts: parts, may: true, stop: make(chan struct{}), pipes: &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}}
	l.server = &server{log: slog.New(slog.DiscardHandler), done: l.stop, ticks: newTicks()}
	allowed := func(*http.Request) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.may
	}
	l.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			l.streamWhile(w, r, func() ([]fragment, error) {
				l.mu.Lock()
				defer l.mu.Unlock()
				return slices.Clone(l.parts), l.err
			}, allowed)
		}),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 5 * time.Minute, IdleTimeout: 2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- l.http.Serve(l.pipes) }()
	transport := &http.Transport{DialContext: l.pipes.dial}
	l.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		_ = l.http.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
		transport.CloseIdleConnections()
	})
	return l
}

// change makes a part another.
func (l *live) change(name, data string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.parts {
		if l.parts[i].Name == name {
			l.parts[i].Data = []byte(data)
		}
	}
}

// open opens the stream, as one that comes again with lastID if that is not empty.
func (l *live) open(t *testing.T, lastID string) *eventReader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shoal/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := l.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" ||
		resp.Header.Get("X-Accel-Buffering") != "no" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the stream answers %d with %v", resp.StatusCode, resp.Header)
	}
	return &eventReader{bufio.NewReader(resp.Body), resp.Body.Close}
}

// count is how many streams are open.
func (l *live) count() int {
	l.streams.mu.Lock()
	defer l.streams.mu.Unlock()
	return l.streams.all
}

func textPart(name, data string) fragment { return fragment{Name: name, Data: []byte(data)} }

func TestStreamSendsWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := goLive(t, textPart("a", "1"), textPart("b", "one\ntwo\r\nthree\rfour\n"), textPart("c", ""))
		r := l.open(t, "")
		first := r.want(t, "a", "b", "c")
		for i, want := range []string{"1", "one\ntwo\nthree\nfour\n", ""} {
			if first[i].data != want {
				t.Errorf("%s is %q, want %q", first[i].name, first[i].data, want)
			}
		}
		begin := first[0].at
		time.Sleep(100 * time.Millisecond)
		l.change("b", "2")
		l.change("b", "3")
		if e := r.want(t, "b")[0]; e.data != "3" || e.at.Sub(begin) != tickLength {
			t.Errorf("after two changes in a tick there is %+v, want the last one after %v", e, tickLength)
		}
		l.change("a", "2")
		l.change("c", "4")
		if got := r.want(t, "a", "c"); got[0].data != "2" || got[1].data != "4" || got[0].at != got[1].at {
			t.Errorf("after two parts changed there is %+v", got)
		}
	})
}

func TestStreamHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := goLive(t, textPart("a", "1"))
		r := l.open(t, "")
		begin := r.want(t, "a")[0].at
		// Longer than the server lets a request take that comes to an end.
		for n := 1; n <= 60; n++ {
			e, err := r.next()
			if want := time.Duration(n) * heartbeatTime; err != nil || e.comment == "" || e.at.Sub(begin) != want {
				t.Fatalf("after %v there is %+v (%v), want a comment after %v", e.at.Sub(begin), e, err, want)
			}
		}
		l.change("a", "2")
		r.want(t, "a")
	})
}

func TestStreamIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := goLive(t, textPart("a", "1"), textPart("b", "1"), textPart("c", "1"))
		r := l.open(t, "")
		first := r.want(t, "a", "b", "c")
		_ = r.close()
		l.change("b", "2")
		r = l.open(t, first[2].id)
		after := r.want(t, "b")[0]
		_ = r.close()
		if e, err := l.open(t, after.id).next(); err != nil || e.comment == "" {
			t.Errorf("who comes again and has everything is sent %+v (%v), want a heartbeat", e, err)
		}
		// In the middle of what is sent at first.
		l.open(t, first[0].id).want(t, "b", "c")
		for _, id := range []string{"x", "a=b", ",,,=,", strings.Repeat("a", 2*maxEventID), "a=" + strings.Repeat("b=", 100)} {
			l.open(t, id).want(t, "a", "b", "c")
		}
	})
}

// TestStreamOfManyParts: what cannot be told by an id is sent again.
func TestStreamOfManyParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var parts []fragment
		var names []string
		for i := range 500 {
			parts = append(parts, textPart(fmt.Sprintf("part-%03d", i), "1"))
			names = append(names, parts[i].Name)
		}
		l := goLive(t, parts...)
		events := l.open(t, "").want(t, names...)
		if last := events[len(events)-1]; last.id != "" {
			t.Errorf("the id has %d bytes, want none", len(last.id))
		}
	})
}

func TestStreamEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*live)
		most time.Duration
	}{
		"with the server":  {func(l *live) { close(l.stop) }, 0},
		"with the session": {func(l *live) { l.mu.Lock(); l.may = false; l.mu.Unlock() }, allowedTime + tickLength},
		"with its parts":   {func(l *live) { l.mu.Lock(); l.err = errors.New("broken"); l.mu.Unlock() }, tickLength},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := goLive(t, textPart("a", "1"))
				r := l.open(t, "")
				r.want(t, "a")
				time.Sleep(time.Minute)
				begin := time.Now()
				test.end(l)
				r.end(t)
				if took := time.Since(begin); took > test.most {
					t.Errorf("the stream ends after %v, want %v at the most", took, test.most)
				}
				synctest.Wait()
				if n := l.count(); n != 0 {
					t.Errorf("%d streams are open, want none", n)
				}
			})
		})
	}
}

// TestShutdownWaitsForNoStream: the server stops at once.
func TestShutdownWaitsForNoStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := goLive(t, textPart("a", "1"))
		r := l.open(t, "")
		r.want(t, "a")
		go func() { _, _ = io.Copy(io.Discard, r.lines) }() // a pipe keeps nothing for who does not read
		close(l.stop)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.http.Shutdown(ctx); err != nil {
			t.Errorf("the server does not stop: %v", err)
		}
	})
}

func TestStreamEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := goLive(t, textPart("a", "1"))
		r := l.open(t, "")
		r.want(t, "a")
		if n := l.count(); n != 1 {
			t.Fatalf("%d streams are open, want 1", n)
		}
		_ = r.close()
		synctest.Wait()
		if n := l.count(); n != 0 {
			t.Errorf("%d streams are open after the client hung up, want none", n)
		}
	})
}

// TestStreamOfASlowClient is one that asks, and then reads nothing.
func TestStreamOfASlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := goLive(t, textPart("a", "1"))
		conn, err := l.pipes.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shoal\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(streamWriteTime - time.Second)
		if n := l.count(); n != 1 {
			t.Errorf("%d streams are open before the client is given up, want 1", n)
		}
		time.Sleep(2 * time.Second)
		if n := l.count(); n != 0 {
			t.Errorf("%d streams are open of a client that does not read, want none", n)
		}
	})
}

func TestStreamsOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := goLive(t, textPart("a", "1"))
		var open []*eventReader
		for range maxStreamsOfClient {
			open = append(open, l.open(t, ""))
		}
		refused := func() answer {
			resp, err := l.client.Get("http://shoal/") //nolint:noctx // the bubble ends it
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return answer{"one too many", resp.StatusCode, resp.Header, body}
		}
		a := refused()
		wantStatus(t, a, http.StatusTooManyRequests)
		checkProblem(t, a)
		if a.header.Get("Retry-After") == "" {
			t.Error("a stream too many is not told when to come again")
		}
		_ = open[3].close()
		synctest.Wait()
		l.open(t, "").want(t, "a")
	})
}

func TestStreamsInAll(t *testing.T) {
	var l streams
	var leaves []func()
	for i := range maxStreams {
		leave, ok := l.enter(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 10), 0}), 32))
		if !ok {
			t.Fatalf("stream %d is refused", i)
		}
		leaves = append(leaves, leave)
	}
	other := netip.MustParsePrefix("192.168.0.1/32")
	if _, ok := l.enter(other); ok {
		t.Errorf("%d streams are allowed, want %d", maxStreams+1, maxStreams)
	}
	for _, leave := range leaves {
		leave()
	}
	if l.all != 0 || len(l.of) != 0 {
		t.Errorf("after all have left, %d streams are open of %v", l.all, slices.Collect(maps.Keys(l.of)))
	}
}

// TestInTick: what all look at is looked at once in a tick, and again for who comes.
func TestInTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ticks := newTicks()
		looks := 0
		look := func() int {
			n, _ := inTick(&ticks, "n", func() (int, error) { looks++; return looks, nil })
			return n
		}
		var got []int
		for range 3 {
			got = append(got, look(), look())
			time.Sleep(ticks.wait())
		}
		ticks.renew()
		got = append(got, look(), look())
		if want := []int{1, 1, 2, 2, 3, 3, 4, 4}; !slices.Equal(got, want) {
			t.Errorf("in three ticks and after a renewal there is %v, want %v", got, want)
		}
	})
}

// TestSeen: what pages show together is one look of a tick.
func TestSeen(t *testing.T) {
	library := openSite(t).library
	s := &server{library: library, ticks: newTicks()}
	s.ticks.length = time.Hour
	list, stats := s.seenTorrents(), s.seenStats()
	if len(list) != 0 || stats.Torrents[torrents.StateIdle] != 0 {
		t.Fatalf("there are %v and %v, want none", list, stats.Torrents)
	}
	if _, err := library.AddMetainfo("films", torrentFile("a", 1)); err != nil {
		t.Fatal(err)
	}
	if n := len(s.seenTorrents()); n != 0 {
		t.Errorf("in the same tick there are %d torrents, want none", n)
	}
	s.ticks.renew()
	if n, stats := len(s.seenTorrents()), s.seenStats(); n != 1 || stats.Torrents[torrents.StateIdle] != 1 {
		t.Errorf("after a renewal there are %d torrents and %v, want one", n, stats.Torrents)
	}
}
