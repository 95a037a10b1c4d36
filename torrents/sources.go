package torrents

import (
	"slices"
	"unicode/utf8"
)

// sources are where a torrent's peers and data may be found.
type sources struct {
	Trackers []string `json:"trackers,omitempty"`
	WebSeeds []string `json:"web_seeds,omitempty"`
	Peers    []string `json:"peers,omitempty"` // host:port, that magnet links named
}

// maxSourceURL bounds the URL of a tracker or web seed that is kept in a record, in bytes.
const maxSourceURL = 2048

func (s sources) count() int { return len(s.Trackers) + len(s.WebSeeds) + len(s.Peers) }

// with returns s and more of them.
func (s sources) with(more sources) sources {
	return sources{
		Trackers: slices.Concat(s.Trackers, more.Trackers),
		WebSeeds: slices.Concat(s.WebSeeds, more.WebSeeds),
		Peers:    slices.Concat(s.Peers, more.Peers),
	}
}

// missing returns what of other is not in s, as far as both together stay within maxTrackers,
// maxWebSeeds and maxMagnetPeers. What could not be used is left out.
func (s sources) missing(other sources) sources {
	return sources{
		Trackers: missingURLs(s.Trackers, other.Trackers, maxTrackers, trackerURL),
		WebSeeds: missingURLs(s.WebSeeds, other.WebSeeds, maxWebSeeds, func(u string) (string, error) { return u, checkWebSeed(u) }),
		Peers:    missingURLs(s.Peers, other.Peers, maxMagnetPeers, magnetPeer),
	}
}

// missingURLs is missing for one kind. usable returns a URL in its one spelling.
func missingURLs(have, other []string, limit int, usable func(string) (string, error)) []string {
	known := make(map[string]bool)
	for _, u := range have {
		if spelled, err := usable(u); err == nil {
			known[spelled] = true
		}
	}
	var list []string
	for _, u := range other {
		if len(have)+len(list) >= limit {
			break
		}
		spelled, err := usable(u)
		if err == nil && !known[spelled] && len(spelled) <= maxSourceURL && utf8.ValidString(spelled) {
			known[spelled] = true
			list = append(list, spelled)
		}
	}
	return list
}

// sources returns those that the metainfo names, as far as they are used.
func (m *Metainfo) sources() sources {
	return sources{
		Trackers: slices.Concat(m.trackers()...),
		WebSeeds: m.raw.UrlList[:min(len(m.raw.UrlList), maxWebSeeds)],
	}
}

// sources returns those that the link names.
func (l magnetLink) sources() sources { return sources{l.trackers, l.webSeeds, l.peers} }

// sourcesOf returns all sources of a torrent, and whether it is known to be private (BEP 27). It reads
// the torrent's metainfo, if that is known.
func (l *Library) sourcesOf(rec *torrentRecord) (_ sources, private bool, err error) {
	if rec.resolved() {
		m, err := l.loadMetainfo(rec)
		if err != nil {
			return sources{}, false, err
		}
		return m.sources().with(rec.sources), m.Private, nil
	}
	link, err := parseMagnet(rec.Magnet)
	if err != nil {
		return sources{}, false, err
	}
	return link.sources().with(rec.sources), false, nil
}

// merge gives a torrent of the library the sources that it did not have, and returns these. It needs
// l.changing.
//
// A private torrent takes none from a magnet link: anybody who has seen its infohash can write one, and
// a tracker of his would learn who has the torrent, which is what BEP 27 is to prevent. A .torrent file
// is another matter: it is from the torrent's own tracker, which may have given the user a new address.
func (l *Library) merge(e *entry, more sources, fromMagnet bool) (sources, error) {
	rec := e.record()
	if e.hidden {
		return sources{}, nil
	}
	have, private, err := l.sourcesOf(&rec)
	if err != nil {
		l.log.Warn("a torrent that cannot be read takes no trackers", "torrent", e.ih, "err", err)
		return sources{}, nil
	}
	added := have.missing(more)
	if added.count() == 0 || private && fromMagnet {
		return sources{}, nil
	}
	rec.sources = rec.with(added)
	if err := l.writeRecord(&rec); err != nil {
		return sources{}, err
	}
	e.setRecord(rec)
	switch {
	case rec.resolved():
		e.useSources(added)
	case e.looks():
		l.look(e)
	}
	return added, nil
}
