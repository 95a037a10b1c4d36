package torrents

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"
)

// CheckTracker says what is wrong with the URL of a tracker. The error is an *InputError.
func CheckTracker(link string) error {
	_, err := trackerURL(link)
	return err
}

// trackerURL returns the URL of a tracker as the engine takes it. anacrolix/torrent v1.62.0 panics at URLs of
// other schemes, with a user name, and that are written in another way than package url writes them.
func trackerURL(link string) (string, error) {
	if len(link) > maxURL {
		return "", inputErrorf("the tracker's URL is longer than %d KiB", maxURL>>10)
	}
	u, err := url.Parse(strings.TrimSpace(link))
	if err != nil {
		return "", inputErrorf("the tracker's URL cannot be read")
	}
	u.Fragment, u.RawFragment = "", ""
	schemes := []string{u.Scheme}
	switch {
	case u.Scheme == "udp":
		schemes = []string{"udp", "udp4", "udp6"} // the engine makes two trackers of it
	case u.Scheme != "http" && u.Scheme != "https":
		return "", inputErrorf("the tracker's URL has to begin with http://, https:// or udp://")
	}
	switch {
	case u.Hostname() == "":
		return "", inputErrorf("the tracker's URL has no host")
	case u.Scheme == "udp" && u.Port() == "":
		return "", inputErrorf("the tracker's URL has no port")
	case u.User != nil:
		return "", inputErrorf("the tracker's URL has a user name, which is not supported")
	}
	for _, scheme := range schemes {
		v := *u
		v.Scheme = scheme
		again, err := url.Parse(v.String())
		if err != nil || again.String() != v.String() {
			return "", inputErrorf("the tracker's URL cannot be read")
		}
	}
	return u.String(), nil
}

// isUDP says whether a tracker is asked over UDP, which no proxy passes on.
func isUDP(tracker string) bool { return strings.HasPrefix(tracker, "udp:") }

// extraTrackers returns those of the options as the engine takes them.
func extraTrackers(opts *SwarmOptions, log *slog.Logger) (usable []string, err error) {
	for _, link := range opts.ExtraTrackers {
		good, err := trackerURL(link)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", link, err)
		}
		if opts.Proxy != "" && isUDP(good) {
			log.Warn("an extra tracker is left out: it is asked over UDP, which the proxy does not pass on", "tracker", good)
			continue
		}
		usable = append(usable, good)
	}
	return usable, nil
}

// askable is trackerURL, and refuses trackers that cannot be reached.
func (s *swarm) askable(link string) (string, error) {
	good, err := trackerURL(link)
	if err == nil && s.opts.Proxy != "" && isUDP(good) {
		err = inputErrorf("the tracker is asked over UDP, which the proxy does not pass on")
	}
	return good, err
}

// addTrackers announces the torrent to the trackers, as far as their URLs can be used, and to those of
// SwarmOptions.ExtraTrackers if it is known not to be private.
func (m *member) addTrackers(tiers [][]string, extra bool) {
	m.t.AddTrackers(m.swarm.usableTrackers(tiers, extra))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.overlooked = time.Now().Add(overlookedAfter)
}

// usableTrackers returns those that the engine can ask, and SwarmOptions.ExtraTrackers behind them if extra
// says so.
func (s *swarm) usableTrackers(tiers [][]string, extra bool) [][]string {
	var usable [][]string
	for _, tier := range tiers {
		var list []string
		for _, link := range tier {
			good, err := s.askable(link)
			if err != nil {
				s.log.Debug("a tracker is left out", "err", err)
				continue
			}
			list = append(list, good)
		}
		if len(list) > 0 {
			usable = append(usable, list)
		}
	}
	if extra {
		for _, link := range s.extraTrackers {
			if !slices.ContainsFunc(usable, func(tier []string) bool { return slices.Contains(tier, link) }) {
				usable = append(usable, []string{link})
			}
		}
	}
	return usable
}

// checkWebSeed says what is wrong with the URL of a web seed: the engine panics at some. The error is an
// *InputError.
func checkWebSeed(link string) error {
	u, err := url.Parse(link)
	if err != nil || len(link) > maxURL || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return inputErrorf("the web seed's URL cannot be used")
	}
	return nil
}

// addWebSeeds fetches from the web seeds (BEP 19), as far as their URLs can be used.
func (m *member) addWebSeeds(links []string) {
	var usable []string
	for _, link := range links {
		if err := checkWebSeed(link); err != nil {
			m.swarm.log.Debug("a web seed is left out", "torrent", m.t.InfoHash().HexString(), "err", err)
			continue
		}
		if m.t.Info().IsDir() && !strings.HasSuffix(link, "/") {
			link += "/" // as it should be; the engine would ask for the same thing as every file
		}
		usable = append(usable, link)
	}
	m.t.AddWebSeeds(usable)
}
