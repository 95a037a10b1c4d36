package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"shoal/torrents"
)

// swarmMetrics are the library's totals for Prometheus. None is for a single torrent: of those there may be
// tens of thousands (torrentMetrics).
type swarmMetrics struct {
	stats     func() torrents.Stats
	delivered func() uint64 // bytes of files that clients were sent since the start

	torrents, size, members        *prometheus.Desc
	swarm, peers, amplification    *prometheus.Desc
	cached, cacheLimit, cacheFiles *prometheus.Desc
	cacheUsed, lodged, evictions   *prometheus.Desc
}

func newSwarmMetrics(stats func() torrents.Stats, delivered func() uint64) *swarmMetrics {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("shoal_"+name, help, labels, nil)
	}
	return &swarmMetrics{
		stats:     stats,
		delivered: delivered,
		torrents:  describe("torrents", "Torrents in the library, by state.", "state"),
		size:      describe("torrents_bytes", "Size of all torrents."),
		members:   describe("swarm_torrents", "Torrents that take part in the swarm."),
		swarm:     describe("swarm_bytes_total", "Data of torrents exchanged with peers: down, with what was of no use, and up.", "dir"),
		peers:     describe("peers", "Connected peers; each counts for each of its torrents."),
		amplification: describe("read_amplification_ratio",
			"Bytes that came from peers for each that clients were sent, since the start; 0 while none was sent."),
		cached:     describe("cache_bytes", "Data in the cache, counted in whole pieces."),
		cacheLimit: describe("cache_limit_bytes", "What the cache may take on disk now."),
		cacheUsed:  describe("cache_used_bytes", "What the cache takes on disk, or is about to."),
		evictions:  describe("cache_evictions_total", "Pieces that were evicted: for room, on request, or as their torrent was removed.", "reason"),
		lodged:     describe("cache_archive_bytes", "What is kept of archives, within shoal_cache_used_bytes, by the folder of the cache.", "folder"),
		cacheFiles: describe("cache_open_files", "Files of the cache that are open."),
	}
}

// Describe is for prometheus.Collector.
func (m *swarmMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect is for prometheus.Collector.
func (m *swarmMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.stats()
	for state, n := range s.Torrents {
		to <- prometheus.MustNewConstMetric(m.torrents, prometheus.GaugeValue, float64(n), string(state))
	}
	for folder, n := range s.Lodged {
		to <- prometheus.MustNewConstMetric(m.lodged, prometheus.GaugeValue, float64(n), folder)
	}
	for desc, value := range map[*prometheus.Desc]float64{
		m.size: float64(s.Size), m.members: float64(s.Members), m.peers: float64(s.Peers),
		m.cached: float64(s.Cached), m.cacheUsed: float64(s.CacheUsed), m.cacheLimit: float64(s.CacheLimit), m.cacheFiles: float64(s.OpenFiles),
	} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	for dir, n := range map[string]int64{"down": s.Received, "up": s.Sent} {
		to <- prometheus.MustNewConstMetric(m.swarm, prometheus.CounterValue, float64(n), dir)
	}
	for why, n := range s.Evicted {
		to <- prometheus.MustNewConstMetric(m.evictions, prometheus.CounterValue, float64(n), why)
	}
	ratio := 0.0
	if delivered := m.delivered(); delivered > 0 {
		ratio = float64(s.Received) / float64(delivered)
	}
	to <- prometheus.MustNewConstMetric(m.amplification, prometheus.GaugeValue, ratio)
}
