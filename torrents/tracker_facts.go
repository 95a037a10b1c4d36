package torrents

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/torrent"
)

// TrackerKind is a way to find peers.
type TrackerKind string

// The ways to find peers.
const (
	KindTracker TrackerKind = "tracker" // BEP 3, BEP 15
	KindDHT     TrackerKind = "dht"     // BEP 5
	KindPEX     TrackerKind = "pex"     // BEP 11
	KindLSD     TrackerKind = "lsd"     // BEP 14
)

// TrackerStatus is how it goes with a tracker.
type TrackerStatus string

// What a tracker may be doing.
const (
	TrackerIdle       TrackerStatus = "idle"       // the torrent is not in the swarm, or its turn has not come
	TrackerAnnouncing TrackerStatus = "announcing" // an answer is waited for
	TrackerOK         TrackerStatus = "ok"         // the last announce was answered
	TrackerFailed     TrackerStatus = "failed"     // the last announce failed; Message says why
	TrackerOff        TrackerStatus = "off"        // not used for this torrent; Message says why
)

// Tracker is one way in which a torrent finds peers. What is known of it is of this stay in the swarm.
type Tracker struct {
	Kind    TrackerKind
	URL     string // of a tracker
	Tier    int    // of a tracker, from 0 on (BEP 12)
	Status  TrackerStatus
	Message string // in words, at most 200 bytes; may be the tracker's own

	// Seeds and Leechers are how many a tracker told of, Peers how many addresses came with that. For the
	// others Peers is how many of those connected were found so.
	Seeds, Leechers, Peers int

	Failures int       // announces that failed since the last that did not
	Last     time.Time // when the last announce ended; zero if none has
	Next     time.Time // when the next one is due; zero if unknown
}

// Trackers lists how a torrent finds peers: its trackers in their tiers, then DHT, PEX and LSD. It reads the
// metainfo of a torrent that is not in the swarm, and waits for nobody. The error is ErrNotFound or ErrFailed.
func (l *Library) Trackers(ih Infohash) ([]Tracker, error) {
	e, err := l.entry(ih)
	if err != nil {
		return nil, err
	}
	tiers, private, err := e.trackers()
	if err != nil {
		return nil, err
	}
	m := l.swarm.member(ih)
	if m != nil {
		tiers = addMissing(tiers, m.t.Metainfo().AnnounceList)
	}
	var list []Tracker
	for tier, addresses := range tiers {
		for _, address := range addresses {
			row := l.swarm.describeTracker(m, address)
			row.Tier = tier
			list = append(list, row)
		}
	}
	return append(list, l.swarm.otherWays(m, private)...), nil
}

// entry returns a torrent of the library. The error is ErrNotFound.
func (l *Library) entry(ih Infohash) (*entry, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if e, ok := l.entries[ih]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("torrent %s: %w", ih, ErrNotFound)
}

// trackers returns the tiers of trackers of the torrent, and whether it is known to be private.
func (e *entry) trackers() (list [][]string, private bool, err error) {
	rec, extra := e.record(), false
	if rec.resolved() {
		meta, err := e.lib.browsed.metainfo(e)
		if err != nil {
			return nil, false, err
		}
		list, private, extra = meta.trackers(), meta.Private, !meta.Private
	} else {
		link, err := parseMagnet(rec.Magnet)
		if err != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrFailed, err)
		}
		list, extra = tiers(link.trackers), len(link.trackers)+len(rec.Trackers) == 0
	}
	list = addMissing(list, slices.Concat(make([][]string, len(list)), tiers(rec.Trackers)))
	if extra {
		list = addMissing(list, slices.Concat(make([][]string, len(list)), tiers(e.lib.swarm.extraTrackers)))
	}
	return list, private, nil
}

// metainfo returns the torrent's metainfo, from the disk unless it is being read. The error is ErrFailed.
func (e *entry) metainfo() (*Metainfo, error) {
	if s := e.opened(); s != nil {
		return s.meta, nil
	}
	return e.loadMetainfo()
}

// addMissing adds to tiers what engine has, which may have got more since and spells them its own way.
func addMissing(tiers, engine [][]string) [][]string {
	known := make(map[string]bool)
	merged := make([][]string, max(len(tiers), len(engine)))
	for i, tier := range tiers {
		merged[i] = slices.Clone(tier)
		for _, address := range tier {
			if spelled, err := trackerURL(address); err == nil {
				known[spelled] = true
			}
		}
	}
	for i, tier := range engine {
		for _, address := range tier {
			if !known[address] {
				known[address] = true
				merged[i] = append(merged[i], address)
			}
		}
	}
	return merged
}

// maxTrackerURL is how much of a tracker's address is shown, in bytes.
const maxTrackerURL = 1000

func (s *swarm) describeTracker(m *member, address string) Tracker {
	row := Tracker{Kind: KindTracker, URL: cleanText(address, maxTrackerURL), Status: TrackerIdle}
	spelled, err := s.askable(address)
	if err != nil {
		row.Status, row.Message = TrackerOff, err.Error()
		return row
	}
	if m == nil {
		return row
	}
	a, known := m.announceTo(spelled)
	if !known {
		return row
	}
	switch {
	case a.under:
		row.Status = TrackerAnnouncing
	case a.message != "":
		row.Status = TrackerFailed
	case !a.last.IsZero():
		row.Status = TrackerOK
	}
	row.Message, row.Failures, row.Last, row.Next = a.message, a.failures, a.last, a.next
	row.Seeds, row.Leechers, row.Peers = a.seeds, a.leechers, a.peers
	return row
}

// announceTo returns how it goes with a tracker. The engine has two for each that speaks UDP, one for each
// version of IP; of these it is the one with which it goes better.
func (m *member) announceTo(address string) (announce, bool) {
	rest, isUDP := strings.CutPrefix(address, "udp://")
	if !isUDP {
		return m.announces.get(address)
	}
	a, knownA := m.announces.get("udp4://" + rest)
	b, knownB := m.announces.get("udp6://" + rest)
	if !knownA || knownB && b.worth() > a.worth() {
		a = b
	}
	return a, knownA || knownB
}

// worth orders announces by how well it goes.
func (a *announce) worth() int {
	switch {
	case !a.last.IsZero() && a.message == "":
		return 3
	case a.told:
		return 2
	case a.under:
		return 1
	default:
		return 0
	}
}

// otherWays are DHT, PEX and LSD, for a torrent that may have a place in the swarm.
func (s *swarm) otherWays(m *member, private bool) []Tracker {
	found := make(map[TrackerKind]int)
	if m != nil {
		for _, c := range m.t.PeerConns() {
			found[kindOf(c.Discovery)]++
		}
	}
	rows := []Tracker{s.describeDHT(m), {Kind: KindPEX}, {Kind: KindLSD}}
	on := map[TrackerKind]bool{KindDHT: s.opts.DHT, KindPEX: s.opts.PEX, KindLSD: s.opts.LSD}
	for i := range rows {
		row := &rows[i]
		switch {
		case !on[row.Kind]:
			*row = Tracker{Kind: row.Kind, Status: TrackerOff, Message: "switched off"}
		case private:
			*row = Tracker{Kind: row.Kind, Status: TrackerOff, Message: "the torrent is private"} // BEP 27
		case m == nil:
			row.Status = TrackerIdle
		case row.Status == "":
			row.Status = TrackerOK
		}
		row.Peers = found[row.Kind]
	}
	return rows
}

func (s *swarm) describeDHT(m *member) Tracker {
	row := Tracker{Kind: KindDHT}
	nodes := 0
	for _, server := range s.client.DhtServers() {
		if stats, ok := server.Stats().(dht.ServerStats); ok {
			nodes += stats.GoodNodes
		}
	}
	row.Message = counted(nodes, "node")
	if m == nil {
		return row
	}
	m.mu.Lock()
	row.Last, row.Next = m.announced, m.nextAnnounce
	m.mu.Unlock()
	if row.Last.IsZero() {
		row.Status, row.Message = TrackerFailed, "no node of the DHT is known yet"
	}
	return row
}

func kindOf(source torrent.PeerSource) TrackerKind {
	switch source {
	case torrent.PeerSourceDhtGetPeers, torrent.PeerSourceDhtAnnouncePeer:
		return KindDHT
	case torrent.PeerSourcePex, torrent.PeerSourceUtHolepunch:
		return KindPEX
	case torrent.PeerSourceLPD:
		return KindLSD
	case torrent.PeerSourceTracker:
		return KindTracker
	default:
		return ""
	}
}
