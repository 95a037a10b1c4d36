package torrents

import "net/url"

// usableTrackers returns the trackers of tiers that the engine can ask, spelled as it wants them. With
// any other (a scheme it does not know, a name and password, HTTP:// in capitals) anacrolix/torrent
// v1.62.0 panics, and they come from strangers. Without udp, those that are asked over it are left out.
func usableTrackers(tiers [][]string, udp bool) [][]string {
	usable := make([][]string, 0, len(tiers))
	for _, tier := range tiers {
		var list []string
		for _, tracker := range tier {
			if u, ok := usableTracker(tracker, udp); ok {
				list = append(list, u)
			}
		}
		if len(list) > 0 {
			usable = append(usable, list)
		}
	}
	return usable
}

func usableTracker(tracker string, udp bool) (string, bool) {
	u, err := url.Parse(tracker)
	if err != nil || u.Host == "" || u.User != nil {
		return "", false
	}
	switch u.Scheme {
	case "http", "https":
	case "udp", "udp4", "udp6":
		if !udp {
			return "", false
		}
	default:
		return "", false
	}
	// The engine parses it again, and wants it to come out the same.
	spelled := u.String()
	again, err := url.Parse(spelled)
	return spelled, err == nil && again.String() == spelled
}
