package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"shoal/archive"
)

// archiveMetrics are the totals of all archives for Prometheus.
type archiveMetrics struct {
	stats func() archive.Stats

	inflated, delivered          *prometheus.Desc
	open, memory, segments, disk *prometheus.Desc
}

func newArchiveMetrics(stats func() archive.Stats) *archiveMetrics {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("shoal_archive_"+name, help, nil, nil)
	}
	return &archiveMetrics{
		stats:     stats,
		inflated:  describe("inflated_bytes_total", "Data that was decoded of deflated members, also more than once."),
		delivered: describe("delivered_bytes_total", "Data of deflated members that was read."),
		open:      describe("open_members", "Deflated members that have a decoder."),
		memory:    describe("memory_bytes", "Memory that decoded segments and checkpoints take."),
		segments:  describe("segments", "Decoded segments that are kept in memory."),
		disk:      describe("spool_bytes", "What members take on disk that were decoded whole."),
	}
}

// Describe is for prometheus.Collector.
func (m *archiveMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect is for prometheus.Collector.
func (m *archiveMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.stats()
	to <- prometheus.MustNewConstMetric(m.inflated, prometheus.CounterValue, float64(s.Inflated))
	to <- prometheus.MustNewConstMetric(m.delivered, prometheus.CounterValue, float64(s.Delivered))
	for desc, value := range map[*prometheus.Desc]float64{
		m.open: float64(s.Open), m.memory: float64(s.SegmentBytes), m.segments: float64(s.Segments), m.disk: float64(s.SpoolBytes),
	} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
}
