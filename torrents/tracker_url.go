package torrents

import "net/url"

// trackerURL returns the address of a tracker in the one spelling that the engine takes. anacrolix/torrent
// v1.62.0 panics, and with it the whole process, at an address with another scheme, with a user name, or
// in another spelling than that of net/url. The error is an *InputError.
func trackerURL(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", inputErrorf("it is no address")
	}
	switch u.Scheme {
	case "http", "https", "udp":
	case "ws", "wss":
		return "", inputErrorf("it is for browsers (WebTorrent)")
	default:
		return "", inputErrorf("its address does not begin with http, https or udp")
	}
	if u.User != nil {
		return "", inputErrorf("its address has a user name")
	}
	spelled := u.String()
	// The engine parses it again, for UDP with another scheme. It has to get the same once more.
	again, err := url.Parse(spelled)
	if err != nil || u.Host == "" || again.String() != spelled || again.User != nil {
		return "", inputErrorf("it is no address")
	}
	return spelled, nil
}

// usableTrackers returns those of the trackers that the engine takes.
func usableTrackers(tiers [][]string) [][]string {
	usable := make([][]string, len(tiers))
	for i, tier := range tiers {
		for _, tracker := range tier {
			if spelled, err := trackerURL(tracker); err == nil {
				usable[i] = append(usable[i], spelled)
			}
		}
	}
	return usable
}
