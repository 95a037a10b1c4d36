package torrents

import (
	"fmt"
	"slices"
	"time"
)

const (
	// slowAfter is how long nothing may come before there is a reason to tell.
	slowAfter = 3 * time.Second
	// seekTime is how long a torrent may look for its first peers before it has none.
	seekTime = 30 * time.Second
	// limitShare is how much of a limit has to be in use for it to be what slows things down.
	limitShare = 0.9
	// reasonAge is how old a reason may be that is told again, so that lists of many torrents cost little.
	reasonAge = time.Second
)

// slowness is what is known of a torrent in the swarm for which somebody waits.
type slowness struct {
	blocked  string        // what keeps it from fetching, in words
	metadata bool          // the metadata is waited for
	waiting  bool          // somebody waits
	noRoom   bool          // what is waited for has no room in the cache, and none can be made
	silent   time.Duration // since useful data came last, or since somebody waits if that is less
	alone    time.Duration // since when no peer is connected; 0 if one is

	peers    int // connected
	webSeeds int
	having   int // peers with a piece that is waited for
	choking  int // peers that choke us, of those that have such a piece

	trackerSays string // why trackers refuse the torrent, if none of them takes it
	asking      bool   // an announce is under way
	limit       int64  // of all downloads, in bytes per second; 0 if it is not reached
}

// reason says in a sentence why whoever waits gets no data; empty if nothing is wrong.
func (s slowness) reason() string {
	switch {
	case s.blocked != "":
		return s.blocked
	case !s.waiting && !s.metadata:
		return ""
	case s.noRoom && s.silent >= slowAfter:
		return "the cache is full of what is pinned or being read"
	case s.limit > 0:
		return fmt.Sprintf("the download limit of %s/s is reached", sizeText(s.limit))
	case s.metadata && s.peers > 0:
		return counted(s.peers, "peer") + ", none sent the metadata yet"
	case s.peers == 0 && s.webSeeds == 0:
		return s.withoutPeers()
	case s.silent < slowAfter:
		return ""
	case s.peers == 0:
		return fmt.Sprintf("no peers, and nothing from the web seed since %s", timeSpan(s.silent))
	case s.having == 0 && s.webSeeds == 0 && s.peers == 1:
		return "1 peer, and it has none of the wanted pieces"
	case s.having == 0 && s.webSeeds == 0:
		return counted(s.peers, "peer") + ", and none has the wanted pieces"
	case s.choking == s.having && s.webSeeds == 0:
		return s.choked()
	default:
		return fmt.Sprintf("nothing from %s since %s", counted(s.peers, "peer"), timeSpan(s.silent))
	}
}

func (s slowness) withoutPeers() string {
	switch {
	case s.trackerSays != "":
		return "the tracker says: " + s.trackerSays
	case s.alone < slowAfter, s.metadata && s.alone < seekTime:
		return ""
	case s.alone < seekTime || s.asking && s.alone < time.Minute:
		return "looking for peers"
	default:
		return "no peers since " + timeSpan(s.alone)
	}
}

func (s slowness) choked() string {
	switch {
	case s.having < s.peers && s.having == 1:
		return fmt.Sprintf("1 of %d peers has the wanted pieces, and chokes us", s.peers)
	case s.having < s.peers:
		return fmt.Sprintf("%d of %d peers have the wanted pieces, and choke us", s.having, s.peers)
	case s.peers == 1:
		return "the only peer chokes us"
	default:
		return fmt.Sprintf("all %d peers choke us", s.peers)
	}
}

// timeSpan is a duration for people: its largest unit, rounded down.
func timeSpan(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d days", d/day)
	}
}

// reasonAt is a reason, and when it was found.
type reasonAt struct {
	at   time.Time
	text string
}

// describe tells of the torrent, and if it is slow, why.
func (e *entry) describe(route string) Torrent {
	t := e.look(route)
	if t.State != StateActive && t.State != StateMetadata {
		return t
	}
	if problem := e.lib.swarm.problem(); problem != "" {
		t.Reason = problem
		return t
	}
	m := e.lib.swarm.member(e.ih)
	if m == nil {
		return t
	}
	now := time.Now()
	m.mu.Lock()
	last := m.lastReason
	m.mu.Unlock()
	if now.Sub(last.at) > reasonAge {
		last = reasonAt{now, e.slowness(m, t.State == StateMetadata, now).reason()}
		m.mu.Lock()
		m.lastReason = last
		m.mu.Unlock()
	}
	if last.text != "" {
		t.Reason = last.text
	}
	return t
}

// slowness looks at what may slow the torrent down. It asks the engine, unless nobody waits.
func (e *entry) slowness(m *member, metadata bool, now time.Time) slowness {
	s := slowness{metadata: metadata}
	if m.isBroken() {
		s.blocked = cleanText("the cache cannot be written: "+m.cause.Error(), maxMessage)
	}
	since, waiting := e.waiting()
	if s.waiting = waiting; !waiting && !metadata {
		return s
	}
	m.mu.Lock()
	received, alone := m.received, m.alone
	m.mu.Unlock()
	s.silent = now.Sub(received)
	if since.After(received) {
		s.silent = now.Sub(since)
	}
	if !alone.IsZero() {
		s.alone = now.Sub(alone)
	}
	if limit := m.swarm.downLimit(); limit > 0 && float64(m.swarm.downRate(now)) >= limitShare*float64(limit) {
		s.limit = limit
	}
	wanted, noRoom := e.waited()
	s.noRoom = noRoom && e.lib.cache.Blocked()
	conns := m.t.PeerConns()
	s.peers, s.webSeeds = len(conns), len(m.t.WebseedPeerConns())
	for _, c := range conns {
		if has := c.PeerPieces(); !slices.ContainsFunc(wanted, has.ContainsInt) {
			continue
		}
		s.having++
		if !m.swarm.observer.connections.get(c).unchoked {
			s.choking++
		}
	}
	s.trackerSays, s.asking = m.announces.refusal()
	return s
}

// waiting says whether somebody waits for data, and since when, reads that followed one another being one.
func (e *entry) waiting() (since time.Time, waiting bool) {
	s := e.opened()
	if s == nil {
		return time.Time{}, false
	}
	return s.patience.waiting()
}

func (p *patience) waiting() (since time.Time, waiting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.since, p.count > 0
}

// refusal returns what a tracker says against the torrent, if one does and none takes it, and whether an answer
// is waited for.
func (a *announces) refusal() (says string, asking bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := false
	for _, of := range a.of {
		asking = asking || of.under
		taken = taken || !of.last.IsZero() && of.message == ""
		// Of several always the same one.
		if of.told && (says == "" || of.message < says) {
			says = of.message
		}
	}
	if taken {
		says = ""
	}
	return says, asking
}
