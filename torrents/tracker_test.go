package torrents

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"

	"shoal/torrents/cache"
	"shoal/torrents/outbound"
)

// naming returns the sample's metainfo with trackers, a tier each, and web seeds. private sets BEP 27's flag,
// which makes another torrent of it.
func (s *sample) naming(t testing.TB, trackers, seeds []string, private bool) []byte {
	t.Helper()
	mi, err := metainfo.Load(bytes.NewReader(s.metainfo))
	if err != nil {
		t.Fatal(err)
	}
	if private {
		info, err := mi.UnmarshalInfo()
		if err != nil {
			t.Fatal(err)
		}
		info.Private = &private
		if mi.InfoBytes, err = bencode.Marshal(info); err != nil {
			t.Fatal(err)
		}
	}
	mi.AnnounceList, mi.UrlList = tiers(trackers), seeds
	b, err := bencode.Marshal(mi)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// httpTracker is an HTTP tracker, and whatever else announces may meet.
type httpTracker struct {
	*httptest.Server
	peer string // host:port that it tells of

	mu    sync.Mutex
	heard []string // path and infohash of every announce
	sent  atomic.Int64
}

func startTracker(t testing.TB, peer string) *httpTracker {
	t.Helper()
	tr := &httpTracker{peer: peer}
	tr.Server = httptest.NewServer(tr)
	t.Cleanup(tr.Close)
	return tr
}

func (tr *httpTracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tr.mu.Lock()
	tr.heard = append(tr.heard, r.URL.Path+" "+r.URL.Query().Get("info_hash"))
	tr.mu.Unlock()
	switch r.URL.Path {
	case "/announce":
		_, _ = io.WriteString(w, "d8:intervali1800e5:peers6:"+compact(tr.peer)+"e")
	case "/unregistered":
		_, _ = io.WriteString(w, "d14:failure reason20:unregistered torrente")
	case "/garbage":
		_, _ = io.WriteString(w, "<html>"+strings.Repeat("\x00", 1000))
	case "/large":
		for range 100 {
			n, err := w.Write(make([]byte, 1<<20))
			tr.sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	case "/hang":
		<-r.Context().Done()
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (tr *httpTracker) announces(path string, ih Infohash) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return slices.Contains(tr.heard, path+" "+string(ih[:]))
}

// compact is a peer as BEP 23 has it.
func compact(addr string) string {
	ap := netip.MustParseAddrPort(addr)
	b := ap.Addr().As4()
	return string(binary.BigEndian.AppendUint16(b[:], ap.Port()))
}

// udpTracker is a tracker of BEP 15 that tells of a peer. It counts datagrams.
func udpTracker(t testing.TB, peer string) (url string, heard *atomic.Int64) {
	t.Helper()
	heard = new(atomic.Int64)
	s, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 2048)
		for {
			n, from, err := s.ReadFrom(b)
			if err != nil {
				return
			}
			heard.Add(1)
			if n < 16 {
				continue
			}
			action, transaction := binary.BigEndian.Uint32(b[8:]), b[12:16]
			answer := append(binary.BigEndian.AppendUint32(nil, action), transaction...)
			if action == 0 {
				answer = append(answer, "12345678"...) // a connection
			} else {
				answer = append(answer, "\x00\x00\x07\x08\x00\x00\x00\x00\x00\x00\x00\x01"+compact(peer)...)
			}
			_, _ = s.WriteTo(answer, from)
		}
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-ended
	})
	return "udp://" + s.LocalAddr().String() + "/announce", heard
}

// heard collects what the engine logs, which has what each announce and each web seed answered. (Its
// WriteStatus has that too, and races with its own timer.)
type heard struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

// count returns how many lines have all the words.
func (h *heard) count(words ...string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for line := range strings.Lines(h.text.String()) {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
			n++
		}
	}
	return n
}

func (h *heard) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(h, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// await waits until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s: not %s", what)
		}
	}
}

// readBeside reads the first file of a torrent beside, until the test ends.
func readBeside(t testing.TB, shown Shown) {
	t.Helper()
	files := mustLoad(t, shown)
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = files[0].ReadAt(ctx, make([]byte, 1), 0) })
	t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
}

func TestTrackerURL(t *testing.T) {
	for link, want := range map[string]string{
		"http://t.example/announce":                "http://t.example/announce",
		" http://t.example:80/announce?passkey=1 ": "http://t.example:80/announce?passkey=1",
		"HTTPS://T.example/a b":                    "https://T.example/a%20b",
		"udp://t.example:6969":                     "udp://t.example:6969",
		"UDP://[2606:4700::1]:6969/announce#x":     "udp://[2606:4700::1]:6969/announce",
		"http://t.example/#":                       "http://t.example/",
		"http://t.example?":                        "http://t.example?",
		"http://t.example/%2f%41":                  "http://t.example/%2f%41",
		"http://t.example/%7euser/announce":        "http://t.example/%7euser/announce",
		"http://[::1]:1/announce":                  "http://[::1]:1/announce",
		"http://[":                                 "",
		"t.example":                                "",
		"":                                         "",
		"*http://t.example/":                       "",
		"udp://t.example/announce":                 "",
		"udp://:6969":                              "",
		"udp4://t.example:6969":                    "",
		"http://":                                  "",
		"http:///announce":                         "",
		"http:announce":                            "",
		"http://user:secret@t.example/":            "",
		"http://user@t.example/":                   "",
		"ws://t.example/":                          "",
		"wss://t.example/":                         "",
		"file:///etc/passwd":                       "",
		"foo://x":                                  "",
		"dht://x":                                  "",
		"t.example/announce":                       "",
		"http://t.example/%zz":                     "",
		"http://t.example:port/":                   "",
		"http://[::1/":                             "",
		"http://t.example/\x00":                    "",
		"http://t.example/" + strings.Repeat("a", maxURL+1): "",
	} {
		got, err := trackerURL(link)
		if got != want {
			t.Errorf("trackerURL(%.80q) = %q, %v; want %q", link, got, err, want)
		}
		if _, bad := errors.AsType[*InputError](err); (err != nil) != bad || bad && strings.Contains(err.Error(), "secret") {
			t.Errorf("trackerURL(%.80q): the error is %v, want an InputError without secrets", link, err)
		}
	}
}

// TestStrangeURLs: the engine panics at most of these.
func TestStrangeURLs(t *testing.T) {
	s := newSample(t, "folder", 16384, map[string][]byte{"a": randomBytes(20_000), "b": randomBytes(20_000)})
	seeder := startPeer(t, s)
	strange := []string{
		"", "foo://x", "HTTP://127.0.0.1:9/A", "http://user:password@127.0.0.1:9/", "http://127.0.0.1:9/a b", "http://127.0.0.1:9/#x#",
		"udp://127.0.0.1", "udp://", "UDP://127.0.0.1:9", "udp6://[::1]:9", "udp://127.0.0.1:9/%zz", "ws://127.0.0.1:9", "http://[::1%25lo]:9/",
		"http://127.0.0.1:99999999/", "\x7f\x00", "http://127.0.0.1:9\\x", "//127.0.0.1:9", "*udp://127.0.0.1:9", "http://%31:9/",
		"*", "dht://x", "http://127.0.0.1:1/\u00e9", "http://", "http:///announce", "udp:", "127.0.0.1:1", "/announce", "http://[::1]:1/announce",
		"http://127.0.0.1:1/announce?", "http:opaque", "http://a%2eb/",
	}
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, seeder.addr))
	mustAdd(t, l, "r", s.naming(t, strange, strange, false))
	readFiles(t, rec.await(t, s.infohash), s.files)
	link := magnetLink{infohash: Infohash{1}, trackers: strange}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.swarm.resolve(ctx, link); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a magnet link with strange trackers: %v", err)
	}
}

// TestTrackersByProxy: those that are asked over UDP are left out, and others keep their tiers.
func TestTrackersByProxy(t *testing.T) {
	for proxy, want := range map[string][][]string{
		"":                     {{"http://a.example/x", "udp://b.example:1"}, {"https://d.example/?k=v"}, {"udp://e.example:1"}},
		"socks5://127.0.0.1:9": {{"http://a.example/x"}, {"https://d.example/?k=v"}},
	} {
		s := &swarm{opts: SwarmOptions{Proxy: proxy, ExtraTrackers: []string{"udp://e.example:1"}}, log: slog.New(slog.DiscardHandler)}
		var err error
		if s.extraTrackers, err = extraTrackers(&s.opts, s.log); err != nil {
			t.Fatal(err)
		}
		tiers := [][]string{{"HTTP://a.example/x", "udp://b.example:1"}, {"foo://c"}, {"https://d.example/?k=v", "http://u:p@e.example/"}}
		if got := s.usableTrackers(tiers, true); !reflect.DeepEqual(got, want) {
			t.Errorf("with the proxy %q the trackers are %q, want %q", proxy, got, want)
		}
	}
}

// TestTrackers: one good tracker makes up for those that lie, and each says what it is.
func TestTrackers(t *testing.T) {
	s := newSample(t, "file", 16384, map[string][]byte{"": randomBytes(50_000)})
	seeder := startPeer(t, s)
	tr := startTracker(t, seeder.addr)
	var urls []string
	for _, path := range []string{"/hang", "/garbage", "/unregistered", "/large", "/absent", "/announce"} {
		urls = append(urls, tr.URL+path)
	}
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Swarm.AllowPrivate = true
	var said heard
	opts.Logger = said.logger()
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.naming(t, urls, nil, false))
	readFiles(t, rec.await(t, s.infohash), s.files)
	for _, want := range []string{"unregistered torrent", outbound.ErrTooLarge.Error(), "error decoding", "404 Not Found"} {
		await(t, "said of a tracker: "+want, func() bool { return said.count("announced", want) > 0 })
	}
	if sent := tr.sent.Load(); sent > 20<<20 {
		t.Errorf("%d bytes of an endless answer were taken", sent)
	}
	await(t, "hanging", func() bool { return tr.announces("/hang", s.infohash) })
	began := time.Now()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closing takes %v while a tracker hangs", took)
	}
}

func TestUDPTracker(t *testing.T) {
	s := newSample(t, "file", 16384, map[string][]byte{"": randomBytes(50_000)})
	url, _ := udpTracker(t, startPeer(t, s).addr)
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Swarm.AllowPrivate = true
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.naming(t, []string{url}, nil, false))
	readFiles(t, rec.await(t, s.infohash), s.files)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	// It may have been telling the tracker of its end. The engine waits 15 s for an answer, which is not
	// read any more.
	await(t, "silent", func() bool {
		stacks := make([]byte, 1<<20)
		return !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("tracker/udp.(*Client)"))
	})
}

// TestPrivateAddresses: what a torrent names on this network is never contacted.
func TestPrivateAddresses(t *testing.T) {
	s := newSample(t, "file", 16384, map[string][]byte{"": randomBytes(50_000)})
	tr := startTracker(t, "127.0.0.1:9")
	udp, datagrams := udpTracker(t, "127.0.0.1:9")
	seed := startTracker(t, "127.0.0.1:9")
	rec := newRecorder()
	opts := testOptions(t, rec)
	var said heard
	opts.Logger = said.logger()
	l := mustOpen(t, opts)
	trackers := []string{tr.URL + "/announce", strings.Replace(tr.URL, "127.0.0.1", "localhost", 1) + "/announce", udp}
	mustAdd(t, l, "r", s.naming(t, trackers, []string{seed.URL + "/file"}, false))
	readBeside(t, rec.await(t, s.infohash))
	await(t, "each refused", func() bool {
		return said.count("announced", outbound.ErrNotPublic.Error()) >= len(trackers)
	})
	await(t, "the web seed refused", func() bool {
		return said.count("webseed request error", outbound.ErrNotPublic.Error()) > 0
	})
	if n := len(tr.heard) + len(seed.heard) + int(datagrams.Load()); n > 0 {
		t.Errorf("private addresses were contacted %d times", n)
	}
}

// TestTrackerRedirects: a public tracker that redirects to a private address. The dialer takes it for one
// of ours.
func TestTrackerRedirects(t *testing.T) {
	inner := startTracker(t, "127.0.0.1:9")
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inner.URL+r.URL.Path, http.StatusFound)
	}))
	t.Cleanup(outer.Close)
	var said heard
	opts := testOptions(t, newRecorder()).Swarm
	out, err := newOutgoing(opts, said.logger())
	if err != nil {
		t.Fatal(err)
	}
	guarded := out.dial
	out.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "public.example:80" {
			addr = outer.Listener.Addr().String()
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
		return guarded(ctx, network, addr)
	}
	out.seeds.DialContext = out.dial
	s, err := newSwarm(opts, out, nil, said.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	data := newSample(t, "file", 16384, map[string][]byte{"": randomBytes(50_000)})
	meta, err := ParseMetainfo(data.naming(t, []string{"http://public.example/announce"}, []string{"http://public.example/file"}, false))
	if err != nil {
		t.Fatal(err)
	}
	store, err := cache.Open(cache.Options{Dir: t.TempDir(), Limit: 1 << 30, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	p, err := store.Open(meta.Infohash.key(), meta.geometry(), newPieceHashes(meta).verify)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }() // in a folder that is about to go
	m, err := s.join(meta, sources{}, p)
	if err != nil {
		t.Fatal(err)
	}
	defer m.leave()
	p.Want(cache.Span{First: 0, Last: 0}, cache.Now, 1, 0)
	await(t, "both refused", func() bool {
		return said.count("announced", outbound.ErrNotPublic.Error()) > 0 &&
			said.count("webseed request error", outbound.ErrNotPublic.Error()) > 0
	})
	if len(inner.heard) > 0 {
		t.Errorf("a redirect was followed to a private address: %q", inner.heard)
	}
}

// TestWebSeed: as the only source, for a file and for a folder whose URL lacks the slash.
func TestWebSeed(t *testing.T) {
	for name, files := range map[string]map[string][]byte{
		"file":   {"": randomBytes(300_000)},
		"folder": {"a b#": randomBytes(100_000), "c/d": randomBytes(200_000)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSample(t, name, 16384, files)
			web := httptest.NewServer(http.FileServer(http.Dir(s.dir)))
			t.Cleanup(web.Close)
			rec := newRecorder()
			opts := testOptions(t, rec)
			opts.Swarm.AllowPrivate = true
			l := mustOpen(t, opts)
			seed := web.URL + "/"
			if name == "folder" {
				seed = web.URL
			}
			mustAdd(t, l, "r", s.naming(t, nil, []string{seed}, false))
			readFiles(t, rec.await(t, s.infohash), s.files)
		})
	}
}

// TestExtraTrackers: they hear of every torrent but private ones, and of magnet links that name no tracker.
func TestExtraTrackers(t *testing.T) {
	extra := startTracker(t, "127.0.0.1:9")
	own := startTracker(t, "127.0.0.1:9")
	public := newSample(t, "public", 16384, map[string][]byte{"": randomBytes(50_000)})
	private := newSample(t, "private", 16384, map[string][]byte{"": randomBytes(50_000)})
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Swarm.AllowPrivate = true
	opts.Swarm.ExtraTrackers = []string{extra.URL + "/announce"}
	l := mustOpen(t, opts)
	tracked := []string{own.URL + "/announce"}
	var known []Infohash
	for _, b := range [][]byte{public.naming(t, tracked, nil, false), private.naming(t, tracked, nil, true)} {
		known = append(known, mustAdd(t, l, "r", b).Infohash)
		readBeside(t, rec.await(t, infohashOf(t, b)))
	}
	var links []Infohash
	for i, query := range []string{"", "&tr=" + own.URL + "/announce"} {
		ih := Infohash{byte(i + 1)}
		if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:"+ih.String()+query); err != nil {
			t.Fatal(err)
		}
		links = append(links, ih)
	}
	for _, ih := range []Infohash{known[0], known[1], links[1]} {
		await(t, "announced to its own tracker", func() bool { return own.announces("/announce", ih) })
	}
	for _, ih := range []Infohash{known[0], links[0]} {
		await(t, "announced to the extra tracker", func() bool { return extra.announces("/announce", ih) })
	}
	for _, ih := range []Infohash{known[1], links[1]} {
		if extra.announces("/announce", ih) {
			t.Errorf("%s is announced to the extra tracker, and is private or may be", ih)
		}
	}
	opts = testOptions(t, newRecorder())
	opts.Swarm.ExtraTrackers = []string{"x"}
	if _, err := Open(opts); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("with a bad extra tracker: %v, want an error that names it", err)
	}
}

// TestAnnounceIP looks at what a tracker is told.
func TestAnnounceIP(t *testing.T) {
	asked := make(chan url.Values, 10)
	tracker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query()
		_, _ = w.Write([]byte("d8:intervali1800e5:peers0:e"))
	}))
	t.Cleanup(tracker.Close)
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(1000)})
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Swarm.AllowPrivate = true
	opts.Swarm.AnnounceIPs = []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.naming(t, []string{tracker.URL + "/announce"}, nil, false))
	readBeside(t, rec.await(t, s.infohash)) // nobody has it
	select {
	case q := <-asked:
		if q.Get("ipv4") != "192.0.2.7" || q.Get("ipv6") != "2001:db8::7" ||
			!reflect.DeepEqual(q["ip"], []string{"192.0.2.7", "2001:db8::7"}) {
			t.Errorf("the tracker was told %v, want both addresses", q)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the tracker was not asked")
	}
}

// FuzzTrackerAddress joins the swarm with trackers of any address: the engine must not panic.
func FuzzTrackerAddress(f *testing.F) {
	for _, address := range []string{
		"foo://x/", "HTTP://127.0.0.1:1/a", "http://a:b@127.0.0.1:1/a", "http://127.0.0.1:1/a b", "http://127.0.0.1:1/%zz",
		"http://127.0.0.1:1/a#b%20c", "http://127.0.0.1:1?#", "http://127.0.0.1:1/%7f?",
	} {
		f.Add(address)
	}
	l := mustOpen(f, testOptions(f, newRecorder()))
	f.Fuzz(func(t *testing.T, address string) {
		// Nothing but loopback is asked, whatever the fuzzer finds. The engine keeps the socket of a UDP
		// tracker for ever, and here a leak is a failure.
		if u, err := url.Parse(address); err == nil && (u.Scheme == "udp" || u.Host != "" && u.Hostname() != "127.0.0.1") {
			return
		}
		link := "magnet:?xt=urn:btih:" + strings.Repeat("0f", 20)
		parsed, err := parseMagnet(link)
		if err != nil {
			t.Fatal(err)
		}
		parsed.trackers = []string{address}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = l.swarm.resolve(ctx, parsed) // it ends at once
	})
}
