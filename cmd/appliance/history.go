package main

import (
	"shoal/admin/history"
	"shoal/torrents"
)

// figures returns a function that takes a sample of what the site shows over time. It is called each second, so it looks at no torrent
// that is at rest.
func figures(of *metricSources, library *torrents.Library) func() history.Sample {
	return func() history.Sample {
		swarm, cacheUsed := library.Activity()
		return history.Sample{
			DownRate: float64(swarm.DownRate), UpRate: float64(swarm.UpRate), Read: of.delivered(),
			CacheUsed: float64(cacheUsed), Readers: float64(len(of.export.Readers())), Peers: float64(swarm.Peers),
		}
	}
}
