package admin

import (
	"net/http"
	"net/netip"

	"shoal/admin/locale"
	"shoal/torrents"
)

// Export is how clients reach the NFS server.
type Export struct {
	Addr       netip.Addr // that it listens on; unspecified or not valid for all of this machine
	Port       int        // of NFS and MOUNT
	Portmapped bool
	Allow      []netip.Prefix // who may mount
	// Refused lists the addresses that made calls last though they may not, the latest first; nil if nobody knows.
	Refused func() []Refused
	// NAT returns the address that several machines come from, if there is one, and else nil; the func is nil if nobody knows.
	NAT func() *NAT
}

var overviewPage = page{
	name: "overview", parts: []string{"alerts", "totals", "rates", "readers"}, scripts: []string{"chart.js"},
}

// overviewView is what there is to see at a glance.
type overviewView struct {
	Alerts       []alert
	Total        int
	States       []stateCount
	CacheUsed    int64
	CacheLimit   int64
	Peers        int
	InSwarm      int
	Clients      int
	DownRate     int64 // in bytes per second, as the other rates
	UpRate       int64
	ReadRate     int64
	Readers      []Reader
	Examples     []example
	ExampleRoute string
}

type stateCount struct {
	State torrents.State
	Count int
}

// alert is something that a person has to know or do.
type alert struct {
	Text, Link, LinkText string
	Bad                  bool
}

// maxReadersShown is how many readers the overview has; the rest is on the page of clients.
const maxReadersShown = 50

func (s *server) viewOverview(r *http.Request) (any, error) {
	l := s.locale(r)
	stats, clients, readers := s.seenStats(), s.seenClients(), s.seenReaders()
	v := overviewView{
		Alerts:    s.alerts(l, stats),
		CacheUsed: stats.CacheUsed, CacheLimit: stats.CacheLimit, Peers: stats.Peers, InSwarm: stats.Members, Clients: len(clients),
		DownRate: stats.DownRate, UpRate: stats.UpRate, ReadRate: s.readRate(),
		Readers: readers[:min(len(readers), maxReadersShown)],
	}
	for _, state := range torrents.States() {
		if n := stats.Torrents[state]; n > 0 {
			v.States = append(v.States, stateCount{state, n})
			v.Total += n
		}
	}
	if v.Total == 0 {
		v.Examples, v.ExampleRoute = examples, s.firstRoute()
	}
	return v, nil
}

// alerts are what keeps Shoal from doing what it should, in words.
func (s *server) alerts(l *locale.Locale, stats torrents.Stats) []alert {
	var alerts []alert
	if n := stats.Torrents[torrents.StateFailed]; n > 0 {
		address, _ := query(s.url("/torrents"), "state", torrents.StateFailed) // a pair
		alerts = append(alerts, alert{l.N("overview.alert_failed", n), address, l.T("overview.alert_failed_link"), true})
	}
	if watch := s.library.Watch(); watch.State == torrents.WatchUnavailable {
		alerts = append(alerts, alert{Text: l.T("overview.alert_watch", watch.Dir, watch.Reason), Bad: true})
	}
	if !s.export.Portmapped {
		alerts = append(alerts, alert{Text: l.T("overview.alert_portmap"), Link: s.url("/connect"), LinkText: l.T("overview.alert_portmap_link")})
	}
	if found := s.seenNAT(); found != nil {
		alerts = append(alerts, alert{Text: found.what(l), Link: s.url("/connect"), LinkText: l.T("nat.link")})
	}
	return alerts
}

// example is a torrent with a free licence.
type example struct {
	Key, Name, Author, Licence, Magnet string
}

// examples are films of the Blender Foundation, with the infohashes of the torrents that it and WebTorrent's project publish.
var examples = []example{
	{"sintel", "Sintel", "Blender Foundation", "CC BY 3.0", exampleMagnet("08ada5a7a6183aae1e09d831df6748d566095a10", "Sintel")},
	{"bunny", "Big Buck Bunny", "Blender Foundation", "CC BY 3.0", exampleMagnet("dd8255ecdc7ca55fb0bbf81323d87062db1f6d1c", "Big+Buck+Bunny")},
	{"tears", "Tears of Steel", "Blender Foundation", "CC BY 3.0", exampleMagnet("209c8226b299b308beaf2b9cd3fb49212dbd13ec", "Tears+of+Steel")},
}

func exampleMagnet(infohash, name string) string {
	return "magnet:?xt=urn:btih:" + infohash + "&dn=" + name +
		"&tr=udp%3A%2F%2Ftracker.opentrackr.org%3A1337%2Fannounce&tr=udp%3A%2F%2Fexplodie.org%3A6969" +
		"&ws=https%3A%2F%2Fwebtorrent.io%2Ftorrents%2F"
}

// firstRoute is where an example goes: the first route, or one that is made for it.
func (s *server) firstRoute() string {
	if routes := s.library.Routes(); len(routes) > 0 {
		return routes[0].Name
	}
	return exampleRoute
}

const exampleRoute = "films"
