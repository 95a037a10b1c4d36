package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/mux"

	"shoal/admin/locale"
	"shoal/torrents"
)

var (
	torrentPage = page{
		name: "torrent", nav: "torrents", parts: []string{"head", "readers", "peers", "trackers"},
		scripts: []string{"pieces.js", "torrent.js"},
	}
	torrentDeletePage = page{name: "torrent_delete", nav: "torrents"}
)

// registerTorrentPage is the page of a torrent, and its forms.
func (s *server) registerTorrentPage(r *mux.Router) {
	const path = "/torrents/{infohash}"
	s.handlePage(r, path, torrentPage, s.viewTorrent)
	s.handlePage(r, path+"/delete", torrentDeletePage, s.viewTorrentDelete)
	for verb, handle := range map[string]func(*http.Request, torrents.Torrent) (string, note, error){
		"change": s.changeTorrentForm, "prefetch": s.prefetchForm, "evict": s.evictForm, "look": s.lookForm, "delete": s.deleteTorrentForm,
	} {
		r.HandleFunc(path+"/"+verb, s.form(s.ofTorrent(handle))).Methods(http.MethodPost)
	}
}

// torrentView is all there is to see of a torrent.
type torrentView struct {
	torrents.Torrent
	Why      string // the reason as a sentence; may be empty
	Bad      bool   // something is wrong, and not only slow
	RouteURL string
	Self     string // the address of the page, without its query

	// What is live.
	Readers      []readerRow
	Peers        []peerRow
	MorePeers    int    // that are not shown
	NoPeers      string // why there are none
	Availability *availabilityRow
	Trackers     []trackerRow
	TrackersWhy  string // why there are none

	// Still is what is only there when the page is opened: what changes seldom, or costs more.
	Still *torrentStill
}

func (v torrentView) title() string { return v.Name }

// torrentStill is what of a torrent's page is not live.
type torrentStill struct {
	Path   string // in the export; empty while the torrent is no folder yet
	Magnet string
	Routes []torrents.Route

	Files      *folderView
	NoFiles    string // why there are none
	FilesError string // why they cannot be read, as a sentence
	Pieces     *pieceLegend
	Archives   *archiveSection
}

func (s *server) viewTorrent(r *http.Request) (any, error) {
	ih, err := infohashOf(r)
	if err != nil {
		return nil, err
	}
	t, err := s.library.Torrent(ih)
	if err != nil {
		return nil, err
	}
	l := s.locale(r)
	v := torrentView{
		Torrent: t, Bad: t.State == torrents.StateFailed, Self: s.url("/torrents", ih),
		Readers: s.readerRows(&t), NoPeers: l.T("torrent.no_peers_" + string(t.State)),
	}
	if v.Reason != "" {
		v.Why = sentence(errors.New(v.Reason))
	}
	v.RouteURL, _ = query(s.url("/torrents"), "route", t.Route) // a pair
	peers, err := s.library.Peers(ih)
	if err != nil {
		return nil, err
	}
	v.Peers, v.MorePeers = peerRows(l, peers)
	live := isStream(r)
	facts := s.swarmFacts.of(s.library, &t, live)
	v.Availability, v.Trackers = facts.availability, trackerRows(l, facts.trackers)
	if facts.err != nil {
		v.TrackersWhy = s.problemOf(r, facts.err).Detail
	}
	if !live {
		v.Still, err = s.stillOf(r, l, &t, facts.trackers)
	}
	return v, err
}

func (s *server) stillOf(r *http.Request, l *locale.Locale, t *torrents.Torrent, trackers []torrents.Tracker) (*torrentStill, error) {
	still := &torrentStill{Magnet: magnetOf(t, trackers), Routes: s.library.Routes()}
	if !t.Resolved {
		still.NoFiles = l.T("torrent.files_unresolved")
		return still, nil
	}
	still.Path = "/" + t.Route + "/" + t.Name
	var err error
	switch still.Files, err = s.folder(r, t); {
	case errors.Is(err, torrents.ErrFailed):
		still.FilesError = s.problemOf(r, err).Detail
	case err != nil:
		return nil, err
	}
	if still.Pieces, err = s.pieceLegend(l, t); err != nil {
		return nil, err
	}
	still.Archives, err = s.archivesOf(r, l, t)
	if errors.Is(err, torrents.ErrFailed) { // there are no files either, which says why
		err = nil
	}
	return still, err
}

// maxMagnetTrackers is how many trackers a magnet link for others names.
const maxMagnetTrackers = 10

// magnetOf is a magnet link for others. It leaves out trackers whose addresses may say who it is that announces.
func magnetOf(t *torrents.Torrent, trackers []torrents.Tracker) string {
	var link strings.Builder
	link.WriteString("magnet:?xt=urn:btih:" + t.Infohash.String())
	if t.Resolved { // until then it may only be called after its infohash
		link.WriteString("&dn=" + parameterValue(t.Name))
	}
	n := 0
	for _, tracker := range trackers {
		if tracker.Kind == torrents.KindTracker && n < maxMagnetTrackers && !mayBeSecret(tracker.URL) {
			link.WriteString("&tr=" + parameterValue(tracker.URL))
			n++
		}
	}
	return link.String()
}

// parameterValue escapes a text as clients expect it in magnet links, which not all take + for a space.
func parameterValue(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// mayBeSecret says whether the address of a tracker has more in it than a public one needs, which may be a passkey.
func mayBeSecret(address string) bool {
	_, rest, ok := strings.Cut(address, "://")
	host, path, _ := strings.Cut(rest, "/")
	return !ok || strings.Contains(host, "@") || path != "" && path != "announce" && path != "announce.php"
}

// pieceLegend is what the map of pieces says in words; pieces.js draws it.
type pieceLegend struct {
	Address string // of the states
	Count   int
	Length  int64 // of a piece, in bytes
	Label   string
	States  []pieceCount
}

type pieceCount struct {
	State int // as on the wire
	Name  string
	Count int
}

// pieceNames are the names of the states that pieces may have, in their order on the wire.
var pieceNames = []string{
	torrents.PieceMissing: "missing", torrents.PiecePartial: "partial", torrents.PieceNow: "now", torrents.PieceAhead: "ahead",
	torrents.PieceCached: "cached", torrents.PieceUnchecked: "unchecked",
}

func (s *server) pieceLegend(l *locale.Locale, t *torrents.Torrent) (*pieceLegend, error) {
	states, length, err := s.library.PieceStates(t.Infohash)
	if err != nil || len(states) == 0 {
		return nil, err
	}
	counts := make([]int, len(pieceNames))
	for _, state := range states {
		counts[state]++
	}
	m := &pieceLegend{Address: s.url("/api/v1/torrents", t.Infohash, "pieces"), Count: len(states), Length: length}
	shares := make([]string, 0, len(counts))
	for state, n := range counts {
		name := l.T("torrent.piece_" + pieceNames[state])
		m.States = append(m.States, pieceCount{state, name, n})
		if n > 0 {
			shares = append(shares, l.Percent(int64(n), int64(len(states)))+" "+name)
		}
	}
	m.Label = l.N("torrent.pieces_label", len(states), strings.Join(shares, ", "))
	return m, nil
}
