package main

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"shoal/torrents"
)

const (
	// maxTorrentSeries is of how many torrents there are metrics: each is several series, which Prometheus keeps.
	maxTorrentSeries = 5000
	// maxLabel is the longest name of a torrent or route in a label, in bytes.
	maxLabel = 200
)

// torrentMetrics are those of single torrents, for SHOAL_METRICS_PER_TORRENT.
type torrentMetrics struct {
	list func() []torrents.Torrent

	cached, size, down, up, peers, leftOut *prometheus.Desc
}

func newTorrentMetrics(list func() []torrents.Torrent) *torrentMetrics {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("shoal_torrent_"+name, help, []string{"infohash", "name", "route"}, nil)
	}
	return &torrentMetrics{
		list:   list,
		cached: describe("cached_bytes", "Data of the torrent in the cache, counted in whole pieces."),
		size:   describe("size_bytes", "Size of the torrent; 0 while that is unknown."),
		down:   describe("download_bytes_per_second", "Rate at which data of the torrent comes from peers."),
		up:     describe("upload_bytes_per_second", "Rate at which data of the torrent goes to peers."),
		peers:  describe("peers", "Connected peers of the torrent."),
		leftOut: prometheus.NewDesc("shoal_torrents_without_metrics",
			"Torrents beyond the 5000 that have metrics of their own.", nil, nil),
	}
}

// Describe is for prometheus.Collector.
func (m *torrentMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.cached, m.size, m.down, m.up, m.peers, m.leftOut} {
		to <- d
	}
}

// Collect is for prometheus.Collector.
func (m *torrentMetrics) Collect(to chan<- prometheus.Metric) {
	list := m.list()
	// By infohash, so that it is the same ones each time.
	slices.SortFunc(list, func(a, b torrents.Torrent) int { return bytes.Compare(a.Infohash[:], b.Infohash[:]) })
	shown := list[:min(len(list), maxTorrentSeries)]
	to <- prometheus.MustNewConstMetric(m.leftOut, prometheus.GaugeValue, float64(len(list)-len(shown)))
	for i := range shown {
		t := &shown[i]
		labels := []string{t.Infohash.String(), label(t.Name), label(t.Route)}
		for desc, value := range map[*prometheus.Desc]int64{
			m.cached: t.Cached, m.size: t.Size, m.down: t.DownRate, m.up: t.UpRate, m.peers: int64(t.Peers),
		} {
			to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
		}
	}
}

// label makes a label of a name that strangers chose: UTF-8 of maxLabel bytes at the most, without characters that do something to a
// terminal or to the direction of text.
func label(name string) string {
	if len(name) > maxLabel {
		end := maxLabel
		for end > maxLabel-utf8.UTFMax && !utf8.RuneStart(name[end]) {
			end--
		}
		name = name[:end]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
			return '_'
		}
		return r
	}, name)
}
