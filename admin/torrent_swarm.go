package admin

import (
	"cmp"
	"math"
	"strings"
	"sync"
	"time"

	"shoal/admin/locale"
	"shoal/admin/logs"
	"shoal/torrents"
)

// maxPeerRows is how many peers the page of a torrent shows.
const maxPeerRows = 100

type peerRow struct {
	torrents.Peer
	FoundName string
	FlagNames string
	Share     int64 // of 1000
}

// peerRows returns the rows of the first peers, and how many there are beside them.
func peerRows(l *locale.Locale, peers []torrents.Peer) (rows []peerRow, more int) {
	for _, p := range peers[:min(len(peers), maxPeerRows)] {
		row := peerRow{Peer: p, FoundName: l.T("torrent.found_" + strings.ReplaceAll(string(p.Found), " ", "_"))}
		names := make([]string, len(p.Flags))
		for i, flag := range p.Flags {
			names[i] = l.T("torrent.flag_" + string(flag))
		}
		row.FlagNames = strings.Join(names, ", ")
		row.Share = int64(min(max(p.Progress, 0), 1) * 1000)
		rows = append(rows, row)
	}
	return rows, len(peers) - len(rows)
}

type trackerRow struct {
	torrents.Tracker
	StatusName string
	Why        string // its message
}

// trackerRows are without passkeys, which are on no screen that somebody else may see.
func trackerRows(l *locale.Locale, trackers []torrents.Tracker) []trackerRow {
	rows := make([]trackerRow, len(trackers))
	for i, t := range trackers {
		rows[i] = trackerRow{t, l.T("torrent.tracker_" + string(t.Status)), logs.Redact(t.Message)}
		if rows[i].URL = logs.Redact(t.URL); t.Kind != torrents.KindTracker {
			rows[i].URL = l.T("torrent.kind_" + string(t.Kind))
		}
	}
	return rows
}

// availabilityRow is torrents.Availability, for people.
type availabilityRow struct {
	Min, Missing int
	Mean         int // rounded
}

// swarmFacts keep for a moment what costs too much to find out several times a second for each page that is open: trackers of a torrent
// that nobody reads are in its metainfo, and availability is about each piece of each peer.
type swarmFacts struct {
	mu    sync.Mutex
	known map[torrents.Infohash]*swarmFact
}

type swarmFact struct {
	at           time.Time
	state        torrents.State
	trackers     []torrents.Tracker
	availability *availabilityRow
	err          error // of reading the trackers
}

const (
	// factAge is how old a fact of a torrent in the swarm may be, and idleFactAge that of another, of which there is little to know.
	factAge     = 2 * time.Second
	idleFactAge = time.Minute
	// maxFacts is of how many torrents there are facts.
	maxFacts = 64
)

// of returns facts that are not too old, if they may be old at all.
func (f *swarmFacts) of(library *torrents.Library, t *torrents.Torrent, mayBeOld bool) *swarmFact {
	now := time.Now()
	f.mu.Lock()
	fact := f.known[t.Infohash]
	f.mu.Unlock()
	if mayBeOld && fact != nil && fact.state == t.State && now.Sub(fact.at) < fact.age() {
		return fact
	}
	fact = &swarmFact{at: now, state: t.State}
	fact.trackers, fact.err = library.Trackers(t.Infohash)
	a, known, err := library.Availability(t.Infohash)
	if known {
		fact.availability = &availabilityRow{a.Min, a.Missing, int(math.Round(a.Mean))}
	}
	fact.err = cmp.Or(fact.err, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) >= maxFacts {
		f.known = make(map[torrents.Infohash]*swarmFact)
	}
	f.known[t.Infohash] = fact
	return fact
}

func (f *swarmFact) age() time.Duration {
	if f.state == torrents.StateActive || f.state == torrents.StateMetadata || f.availability != nil {
		return factAge
	}
	return idleFactAge
}
