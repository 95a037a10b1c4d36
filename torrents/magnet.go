package torrents

import (
	"fmt"
	"net/netip"

	"github.com/anacrolix/torrent/metainfo"
)

const (
	// maxMagnet bounds a magnet link in bytes: 64 trackers of 200 bytes, escaped, and then some.
	maxMagnet = 64 << 10
	// maxTrackers and maxWebSeeds bound how many addresses of strangers one link makes us contact.
	maxTrackers = 64
	maxWebSeeds = 16
)

// magnetLink is a parsed magnet URI (BEP 9, BEP 53).
type magnetLink struct {
	infohash Infohash
	v2       *[32]byte // whole v2 infohash, if the link has one
	name     string    // clean; empty if the link has none
	trackers []string
	webSeeds []string
	peers    []string // host:port
}

// parseMagnet reads a magnet link. The error is an *InputError.
func parseMagnet(uri string) (link magnetLink, err error) {
	// The engine's parser panics at an infohash in base32 that is padded or has a line end in it.
	defer func() {
		if r := recover(); r != nil {
			err = inputErrorf("the magnet link %.80q has an infohash that cannot be read", uri)
		}
	}()
	if len(uri) > maxMagnet {
		return link, inputErrorf("the magnet link is longer than %d KiB", maxMagnet>>10)
	}
	m, err := metainfo.ParseMagnetV2Uri(uri)
	if err != nil {
		return link, inputErrorf("the magnet link %.80q cannot be read: %v", uri, err)
	}
	switch {
	case m.InfoHash.Ok:
		link.infohash = Infohash(m.InfoHash.Value)
	case m.V2InfoHash.Ok:
		link.infohash = Infohash(m.V2InfoHash.Value[:len(link.infohash)])
	default:
		return link, inputErrorf("the magnet link %.80q has no infohash", uri)
	}
	if link.infohash == (Infohash{}) {
		return link, inputErrorf("the infohash of the magnet link %.80q is nothing but zeros", uri) // which makes the engine panic
	}
	if m.V2InfoHash.Ok {
		v2 := [32]byte(m.V2InfoHash.Value)
		link.v2 = &v2
	}
	if m.DisplayName != "" {
		link.name = cleanName(m.DisplayName)
	}
	link.trackers = m.Trackers[:min(len(m.Trackers), maxTrackers)]
	seeds := m.Params["ws"]
	link.webSeeds = seeds[:min(len(seeds), maxWebSeeds)]
	for _, peer := range m.Params["x.pe"] {
		if addr, err := magnetPeer(peer); err == nil && len(link.peers) < maxMagnetPeers {
			link.peers = append(link.peers, addr)
		}
	}
	return link, nil
}

// maxMagnetPeers is how many peers of magnet links a torrent has.
const maxMagnetPeers = maxTrackers

// magnetPeer returns the address of a peer in its one spelling. Only literal ones are taken: a name would make us ask the DNS for a stranger.
func magnetPeer(addr string) (string, error) {
	parsed, err := netip.ParseAddrPort(addr)
	return parsed.String(), err
}

// shownName is what to call the torrent while its metadata is unknown.
func (l magnetLink) shownName() string {
	if l.name != "" {
		return l.name
	}
	return fmt.Sprintf("magnet %s", l.infohash)
}
