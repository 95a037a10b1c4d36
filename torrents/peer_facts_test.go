package torrents

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	pp "github.com/anacrolix/torrent/peer_protocol"
	"github.com/anacrolix/torrent/storage"
)

// addEmpty gives a peer a torrent of which it has nothing.
func addEmpty(t testing.TB, p *peer, s *sample) *torrent.Torrent {
	t.Helper()
	mi, err := metainfo.Load(bytes.NewReader(s.metainfo))
	if err != nil {
		t.Fatal(err)
	}
	tt, _ := p.client.AddTorrentOpt(torrent.AddTorrentOpts{
		InfoHash: mi.HashInfoBytes(), InfoBytes: mi.InfoBytes,
		Storage: storage.NewFileOpts(storage.NewFileClientOpts{
			ClientBaseDir: t.TempDir(), PieceCompletion: storage.NewMapPieceCompletion(),
		}),
	})
	return tt
}

// addMagnet gives a peer a torrent of which it has no metadata.
func addMagnet(t testing.TB, p *peer, s *sample) {
	t.Helper()
	p.client.AddTorrentOpt(torrent.AddTorrentOpts{InfoHash: metainfo.Hash(s.infohash), DeferStorageOpen: true})
}

func mustPeers(t testing.TB, l *Library, ih Infohash) []Peer {
	t.Helper()
	list, err := l.Peers(ih)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPeers(t *testing.T) {
	s := newSample(t, "show", 16<<10, map[string][]byte{"a": randomBytes(8 << 20)})
	seed := startPeerWith(t, func(cfg *torrent.ClientConfig) {
		cfg.ExtendedHandshakeClientVersion = "Seed\x1b 1.0\xff" + strings.Repeat("x", 100)
	}, s)
	rec := newRecorder()
	opts := testOptions(t, rec, seed.addr)
	opts.Swarm.DownLimit = 2 << 20
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.metainfo)
	if got := mustPeers(t, l, s.infohash); len(got) != 0 {
		t.Errorf("nobody reads it, and it has the peers %+v", got)
	}
	f := mustLoad(t, rec.await(t, s.infohash))[0]
	if _, err := f.ReadAt(t.Context(), make([]byte, 1), 0); err != nil {
		t.Fatal(err)
	}
	// A second one comes in, encrypted, and downloads from us.
	leech := startPeerWith(t, func(cfg *torrent.ClientConfig) {
		cfg.HeaderObfuscationPolicy = torrent.HeaderObfuscationPolicy{RequirePreferred: true, Preferred: true}
	})
	addEmpty(t, leech, s).DownloadAll()
	addr := l.swarm.client.ListenAddrs()[0].String()
	await(t, "both are there", func() bool {
		// While the limit is reached, the engine turns away whoever comes.
		leech.client.Torrents()[0].AddPeers(peerInfos([]string{addr}))
		return len(mustPeers(t, l, s.infohash)) == 2
	})
	done := make(chan error, 1)
	go func() {
		_, err := f.ReadAt(t.Context(), make([]byte, f.Size), 0)
		done <- err
	}()
	var list []Peer
	await(t, "data flows between them", func() bool {
		if list = mustPeers(t, l, s.infohash); len(list) == 0 {
			return false
		}
		// Of a whole window: the first rate is the engine's, with its burst in it.
		rate := list[0].DownRate
		// Whoever has all that we have is not interested until there is more.
		isInterested := func(p Peer) bool { return slices.Contains(p.Flags, FlagInterested) }
		return len(list) == 2 && list[0].Received+list[1].Received > 0 && list[0].Sent+list[1].Sent > 0 &&
			rate > 0 && rate <= 2*opts.Swarm.DownLimit && slices.ContainsFunc(list, isInterested)
	})
	slices.SortFunc(list, func(a, b Peer) int { return strings.Compare(string(a.Found), string(b.Found)) })
	got := list[0]
	if got.Addr != seed.addr || got.Found != FoundFixed || got.Transport != "TCP" || got.Progress != 1 ||
		!slices.Contains(got.Flags, FlagSeed) || slices.Contains(got.Flags, FlagChoking) || slices.Contains(got.Flags, FlagInterested) {
		t.Errorf("the seed is %+v", got)
	}
	if !strings.HasPrefix(got.Client, "Seed 1.0\uFFFDxxx") || len(got.Client) > maxClient {
		t.Errorf("the seed's client is %q", got.Client)
	}
	got = list[1]
	if got.Found != FoundIncoming || !got.Encrypted || got.Progress >= 1 || !slices.Contains(got.Flags, FlagInterested) {
		t.Errorf("the one that came in is %+v", got)
	}
	if a, ok, err := l.Availability(s.infohash); err != nil || !ok || a.Min < 1 || a.Mean < 1 || a.Mean > 2 || a.Missing != 0 {
		t.Errorf("the availability is %+v, %t, %v", a, ok, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(s.infohash); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Peers(s.infohash); !errors.Is(err, ErrNotFound) {
		t.Errorf("the peers of what was removed: %v, want ErrNotFound", err)
	}
	await(t, "nothing is kept of connections that are closed", func() bool {
		l.swarm.observer.connections.mu.Lock()
		defer l.swarm.observer.connections.mu.Unlock()
		return len(l.swarm.observer.connections.of) == 0
	})
}

func TestWebSeedAsPeer(t *testing.T) {
	s := newSample(t, "show.bin", 16<<10, map[string][]byte{"": randomBytes(200_000)})
	server := httptest.NewServer(http.FileServer(http.Dir(s.dir)))
	t.Cleanup(server.Close)
	rec := newRecorder()
	opts := testOptions(t, rec)
	opts.Swarm.AllowPrivate = true
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.naming(t, nil, []string{server.URL + "/show.bin"}, false))
	readFiles(t, rec.await(t, s.infohash), s.files)
	list := mustPeers(t, l, s.infohash)
	if len(list) != 1 {
		t.Fatalf("the peers are %+v, want one web seed", list)
	}
	if got := list[0]; got.Found != FoundWebSeed || got.Transport != "HTTP" || "http://"+got.Addr != server.URL ||
		got.Progress != 1 || got.Received < 200_000 || got.Sent != 0 {
		t.Errorf("the web seed is %+v", got)
	}
	if a, ok, err := l.Availability(s.infohash); err != nil || !ok || a.Min != 1 || a.Missing != 0 {
		t.Errorf("the availability is %+v, %t, %v", a, ok, err)
	}
}

func TestSumAvailability(t *testing.T) {
	cached := []PieceState{PieceMissing, PieceCached, PieceUnchecked, PieceMissing}
	for _, test := range []struct {
		counts []uint16
		seeds  int
		want   Availability
	}{
		{[]uint16{0, 0, 0, 0}, 0, Availability{Min: 0, Mean: 0, Missing: 3}},
		{[]uint16{1, 0, 0, 2}, 0, Availability{Min: 0, Mean: 0.75, Missing: 1}},
		{[]uint16{1, 0, 0, 2}, 2, Availability{Min: 2, Mean: 2.75, Missing: 0}},
	} {
		if got := sumAvailability(test.counts, test.seeds, cached); got != test.want {
			t.Errorf("sumAvailability(%d, %d) is %+v, want %+v", test.counts, test.seeds, got, test.want)
		}
	}
}

func TestIsEncrypted(t *testing.T) {
	for text, want := range map[string]bool{
		`*torrent.PeerConn 0xc0 [flags=Tr,v1 id="E,e", exts=, v="flags=E,v1 "]`: false,
		`*torrent.PeerConn 0xc0 [flags=I,U,E,v1 id="-TR", exts=, v="x"]`:        true,
		`*torrent.PeerConn 0xc0 [flags=I,e,v2 id="-TR", exts=, v="x"]`:          true,
		"": false,
	} {
		if got := isEncrypted(text); got != want {
			t.Errorf("isEncrypted(%q) is %t, want %t", text, got, want)
		}
	}
}

func TestPeerRates(t *testing.T) {
	var m member
	var c torrent.Peer
	stats := torrent.PeerStats{DownloadRate: 500}
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	look := func(after time.Duration, received int64) int64 {
		stats.BytesReadData.Add(received)
		var p Peer
		m.measure(&p, &c, &stats, begin.Add(after))
		return p.DownRate
	}
	for i, test := range []struct {
		after    time.Duration
		received int64
		want     int64
	}{
		{0, 1000, 500},                            // the engine's, as there is no other
		{rateWindow / 2, 1000, 500},               // too soon
		{2 * rateWindow, 3000, 2000},              // of what came since the first look
		{4 * rateWindow, 0, 0},                    // nothing
		{4*rateWindow + rateMemory, 30_000, 1000}, // just not forgotten
		{5*rateWindow + 2*rateMemory, 1, 500},     // forgotten
	} {
		if got := look(test.after, test.received); got != test.want {
			t.Errorf("look %d: %d bytes/s, want %d", i, got, test.want)
		}
	}
	m.forgetOthers(nil, []*torrent.Peer{&c})
	if len(m.peerRates.of) != 1 {
		t.Error("a peer that is there is forgotten")
	}
	m.forgetOthers(nil, nil)
	if len(m.peerRates.of) != 0 {
		t.Error("a peer that is gone is not forgotten")
	}
}

func TestConnections(t *testing.T) {
	var c connections
	p := new(torrent.PeerConn)
	c.read(p, &pp.Message{Type: pp.Unchoke}) // not one that was added
	c.added(p)
	for _, test := range []struct {
		msg  pp.Message
		want connection
	}{
		{pp.Message{Type: pp.Piece}, connection{}},
		{pp.Message{Type: pp.Unchoke}, connection{unchoked: true}},
		{pp.Message{Keepalive: true}, connection{unchoked: true}}, // its type is that of Choke
		{pp.Message{Type: pp.Interested}, connection{unchoked: true, interested: true}},
		{pp.Message{Type: pp.Choke}, connection{interested: true}},
		{pp.Message{Type: pp.NotInterested}, connection{}},
	} {
		c.read(p, &test.msg)
		got := c.get(p)
		if got.since = (time.Time{}); got != test.want {
			t.Errorf("after %v it is %+v, want %+v", test.msg.Type, got, test.want)
		}
	}
	c.closed(p)
	c.read(p, &pp.Message{Type: pp.Unchoke})
	if len(c.of) != 0 {
		t.Error("a message makes a connection that is closed come back")
	}
}
