package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/admin/logs"
	"shoal/torrents"
)

// events opens the stream of the API, over a connection.
func (s *site) events(t *testing.T, query, lastID string) *eventReader {
	t.Helper()
	server := httptest.NewServer(s.handler)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = resp.Body.Close()
		server.Close()
	})
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /api/v1/events?%s answers %d", query, resp.StatusCode)
	}
	return &eventReader{bufio.NewReader(resp.Body), resp.Body.Close}
}

// decodeEvent reads the data of an event, which has to have no other members than v.
func decodeEvent[T any](t testing.TB, e event) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(strings.NewReader(e.data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("the event %s has %q, which cannot be read: %v", e.name, e.data, err)
	}
	return v
}

// rowNames are the names of the torrents in an event.
func rowNames(t testing.TB, e torrentsEvent) []string {
	t.Helper()
	names := []string{}
	for _, data := range e.Rows {
		var row torrentJSON
		if err := json.Unmarshal(data, &row); err != nil {
			t.Fatal(err)
		}
		names = append(names, row.Name)
	}
	return names
}

func TestEventsBeginWithWhatThereIs(t *testing.T) {
	s := openSite(t)
	s.clients = []Client{{Addr: netip.MustParseAddr("10.0.0.1"), Machine: "tv"}}
	s.readers = []Reader{{Protocol: ProtocolNFS, Client: netip.MustParseAddr("10.0.0.1"), Path: "/films/a"}}
	slog.New(logs.NewHandler(slog.NewTextHandler(s.log, nil), s.recent)).Warn("something was logged")
	a := s.mustAdd(t, "films", torrentFile("a", 40_000))
	s.mustAdd(t, "films", completeTorrent("b"))

	r := s.events(t, "topics=torrents,stats,readers,clients,logs&ids="+a.Infohash.String()+","+strings.Repeat("0", 40), "")
	got := r.want(t, "clients", "logs", "readers", "stats", "torrents")
	if list := decodeEvent[clientList](t, got[0]); len(list.Clients) != 1 || list.Clients[0].Machine != "tv" {
		t.Errorf("the clients are %+v", list)
	}
	lines := decodeEvent[logsEvent](t, got[1])
	if n := len(lines.Records); n == 0 || lines.Records[n-1].Message != "something was logged" {
		t.Errorf("the log is %+v", lines)
	}
	if list := decodeEvent[readerList](t, got[2]); len(list.Readers) != 1 || list.Readers[0].Path != "/films/a" {
		t.Errorf("the readers are %+v", list)
	}
	if stats := decodeEvent[statsJSON](t, got[3]); stats.Version != "v1" || stats.Torrents[torrents.StateIdle] != 1 || stats.Readers != 1 {
		t.Errorf("the stats are %+v", stats)
	}
	event := decodeEvent[torrentsEvent](t, got[4])
	if event.Totals[torrents.StateIdle] != 1 || event.Totals[torrents.StateComplete] != 1 {
		t.Errorf("the totals are %v, want an idle torrent and a complete one", event.Totals)
	}
	if names := rowNames(t, event); !slices.Equal(names, []string{"a"}) || !slices.Equal(event.Gone, []torrents.Infohash{{}}) {
		t.Errorf("the torrents are %q and gone are %v, want a, and the one that is not there", names, event.Gone)
	}
	row := s.get(t, "/api/v1/torrents/"+a.Infohash.String())
	if got, want := string(event.Rows[0]), string(bytes.TrimSpace(row.body)); got != want {
		t.Errorf("the torrent is %s, want %s", got, want)
	}
}

func TestEventsTellOfChanges(t *testing.T) {
	s := openSite(t)
	a := s.mustAdd(t, "films", torrentFile("a", 40_000)).Infohash
	b := s.mustAdd(t, "films", torrentFile("b", 40_000)).Infohash
	other := s.mustAdd(t, "films", torrentFile("other", 40_000)).Infohash
	query := "topics=torrents&ids=" + a.String() + "," + b.String()
	r := s.events(t, query, "")
	first := r.want(t, "torrents")[0]

	paused := true
	change := func(ih torrents.Infohash) {
		if _, err := s.library.ChangeTorrent(ih, torrents.TorrentChange{Paused: &paused}); err != nil {
			t.Fatal(err)
		}
	}
	change(b)
	event := decodeEvent[torrentsEvent](t, r.want(t, "torrents")[0])
	if names := rowNames(t, event); !slices.Equal(names, []string{"b"}) || event.Totals[torrents.StatePaused] != 1 || len(event.Gone) != 0 {
		t.Errorf("after b was paused there is %+v of %q, want b alone", event, names)
	}
	change(other)
	event = decodeEvent[torrentsEvent](t, r.want(t, "torrents")[0])
	if names := rowNames(t, event); len(names) != 0 || event.Totals[torrents.StatePaused] != 2 {
		t.Errorf("after another was paused there is %+v of %q, want totals alone", event, names)
	}
	if err := s.library.Remove(a); err != nil {
		t.Fatal(err)
	}
	last := r.want(t, "torrents")[0]
	event = decodeEvent[torrentsEvent](t, last)
	if !slices.Equal(event.Gone, []torrents.Infohash{a}) || len(event.Rows) != 0 {
		t.Errorf("after a was removed there is %+v, want that it is gone", event)
	}
	// Who has missed that is told all, and who has not, nothing.
	_ = r.close()
	event = decodeEvent[torrentsEvent](t, s.events(t, query, first.id).want(t, "torrents")[0])
	if names := rowNames(t, event); !slices.Equal(names, []string{"b"}) || !slices.Equal(event.Gone, []torrents.Infohash{a}) {
		t.Errorf("who comes again is told %+v, want b, and that a is gone", event)
	}
	r = s.events(t, query, last.id)
	s.mustAdd(t, "films", torrentFile("new", 1))
	if event = decodeEvent[torrentsEvent](t, r.want(t, "torrents")[0]); event.Totals[torrents.StateIdle] != 1 || len(event.Rows) != 0 {
		t.Errorf("who comes again and has all is told %+v, want what has happened since", event)
	}
}

func TestEventsOfPieces(t *testing.T) {
	s := openSite(t)
	ih := s.mustAdd(t, "films", torrentFile("a", 40_000)).Infohash
	r := s.events(t, "topics=pieces&ids="+ih.String(), "")
	got := decodeEvent[piecesEvent](t, r.want(t, "pieces")[0])
	if got.Infohash != ih || got.Gone || got.PieceLength != 16384 || got.Pieces != 3 || !slices.Equal(got.Changes, [][3]int{{0, 3, 0}}) {
		t.Errorf("at first the pieces are %+v, want three that are missing", got)
	}
	if err := s.library.Remove(ih); err != nil {
		t.Fatal(err)
	}
	if got = decodeEvent[piecesEvent](t, r.want(t, "pieces")[0]); !got.Gone || got.Pieces != 0 {
		t.Errorf("after it was removed the pieces are %+v, want that it is gone", got)
	}
}

func TestEventsOfLogs(t *testing.T) {
	s := openSite(t)
	log := slog.New(logs.NewHandler(slog.NewTextHandler(s.log, nil), s.recent))
	for range 150 {
		log.Warn("before")
	}
	r := s.events(t, "topics=logs&level=warn", "")
	first := r.want(t, "logs")[0]
	if got := decodeEvent[logsEvent](t, first); len(got.Records) != eventLogs || got.Missed {
		t.Errorf("at first there are %d lines (missed: %t), want the last %d", len(got.Records), got.Missed, eventLogs)
	}
	log.Info("nothing")
	log.Error("after\nthat")
	got := decodeEvent[logsEvent](t, r.want(t, "logs")[0])
	if len(got.Records) != 1 || got.Records[0].Level != "error" || got.Missed {
		t.Errorf("then there is %+v, want the new line", got)
	}
	for range 150 {
		log.Warn("many")
	}
	// All of them may not come within a tick.
	n := 0
	for n < 150 {
		got = decodeEvent[logsEvent](t, r.want(t, "logs")[0])
		n += len(got.Records)
		if got.Missed {
			break
		}
	}
	if n < eventLogs {
		t.Errorf("of many lines there are %d, want at least %d", n, eventLogs)
	}
}

func TestEventsAreRefused(t *testing.T) {
	s := openSite(t)
	ih := strings.Repeat("0", 40)
	for _, query := range []string{
		"topics=nothing", "topics=stats,", "topics=%3Cscript%3E", "topics=" + strings.Repeat("x", 10_000), "topics=pieces",
		"topics=pieces&ids=" + ih + "," + strings.Repeat("1", 40), "topics=torrents&ids=x", "topics=torrents&ids=" + ih + ",",
		"topics=torrents&ids=" + strings.Repeat(ih+",", maxEventIDs) + ih, "topics=logs&level=loud",
	} {
		wantStatus(t, s.get(t, "/api/v1/events?"+query), http.StatusBadRequest)
	}
	r := s.do(t, http.MethodHead, "/api/v1/events?topics=stats", "", nil)
	wantStatus(t, r, http.StatusOK)
	if len(r.body) != 0 {
		t.Errorf("HEAD answers %q", r.body)
	}
}

// TestEventsOfManyTorrents: as many torrents as a stream may show, of which none is there.
func TestEventsOfManyTorrents(t *testing.T) {
	s := openSite(t)
	var ids []string
	for i := range maxEventIDs {
		ids = append(ids, torrents.Infohash{1, byte(i)}.String())
	}
	begin := time.Now()
	event := decodeEvent[torrentsEvent](t, s.events(t, "topics=torrents&ids="+strings.Join(ids, ","), "").want(t, "torrents")[0])
	if len(event.Gone) != maxEventIDs {
		t.Errorf("%d torrents are gone after %v, want %d", len(event.Gone), time.Since(begin), maxEventIDs)
	}
}

func TestChangesOfPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		before := make([]torrents.PieceState, random.IntN(20))
		next := make([]torrents.PieceState, random.IntN(20))
		if random.IntN(3) > 0 {
			next = slices.Clone(before)
		}
		for i := range next {
			if random.IntN(3) == 0 {
				next[i] = torrents.PieceState(random.IntN(3))
			}
		}
		runs := changes(before, next)
		got := slices.Repeat([]torrents.PieceState{255}, len(next))
		if len(before) == len(next) {
			got = slices.Clone(before)
		}
		for _, run := range runs {
			for i := run[0]; i < run[0]+run[1]; i++ {
				if got[i] == torrents.PieceState(run[2]) {
					t.Fatalf("from %v to %v piece %d does not change, and is in %v", before, next, i, runs)
				}
				got[i] = torrents.PieceState(run[2])
			}
		}
		if !slices.Equal(got, next) {
			t.Fatalf("from %v the changes %v lead to %v, want %v", before, runs, got, next)
		}
	}
}
