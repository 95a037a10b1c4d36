package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"shoal/torrents"
)

// oddTorrents are two with one name, and one whose name is not even UTF-8.
func oddTorrents() []torrents.Torrent {
	return []torrents.Torrent{
		{
			Infohash: torrents.Infohash{2}, Name: "same", Route: "films", Size: 100, Cached: 50,
			Activity: torrents.Activity{Peers: 3, DownRate: 7, UpRate: 8},
		},
		{Infohash: torrents.Infohash{1}, Name: "same", Route: "films"},
		{Infohash: torrents.Infohash{3}, Name: "<b>\xff\"\n\u202e\x1b\\" + strings.Repeat("ü", 150), Route: "music"},
	}
}

func TestTorrentMetrics(t *testing.T) {
	hash := func(n int) string { return fmt.Sprintf("%02d", n) + strings.Repeat("0", 38) }
	odd := `<b>_\"___\\` + strings.Repeat("ü", (maxLabel-len("<b>\xff\"\n\u202e\x1b\\"))/2)
	want := ""
	for _, one := range []struct {
		name, help string
		value      int
	}{
		{"cached_bytes", "Data of the torrent in the cache, counted in whole pieces.", 50},
		{"download_bytes_per_second", "Rate at which data of the torrent comes from peers.", 7},
		{"peers", "Connected peers of the torrent.", 3},
		{"size_bytes", "Size of the torrent; 0 while that is unknown.", 100},
		{"upload_bytes_per_second", "Rate at which data of the torrent goes to peers.", 8},
	} {
		name := "shoal_torrent_" + one.name
		want += fmt.Sprintf("# HELP %[1]s %[2]s\n# TYPE %[1]s gauge\n", name, one.help)
		want += fmt.Sprintf("%s{infohash=%q,name=%q,route=%q} 0\n", name, hash(1), "same", "films")
		want += fmt.Sprintf("%s{infohash=%q,name=%q,route=%q} %d\n", name, hash(2), "same", "films", one.value)
		want += fmt.Sprintf("%s{infohash=%q,name=\"%s\",route=%q} 0\n", name, hash(3), odd, "music")
	}
	want += "# HELP shoal_torrents_without_metrics Torrents beyond the 5000 that have metrics of their own.\n" +
		"# TYPE shoal_torrents_without_metrics gauge\nshoal_torrents_without_metrics 0\n"
	if err := testutil.CollectAndCompare(newTorrentMetrics(oddTorrents), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestTorrentMetricsAreBounded has more torrents than have metrics.
func TestTorrentMetricsAreBounded(t *testing.T) {
	m := newTorrentMetrics(func() []torrents.Torrent {
		list := make([]torrents.Torrent, maxTorrentSeries+3)
		for i := range list {
			list[i].Infohash = torrents.Infohash{byte(i), byte(i >> 8)}
		}
		return list
	})
	if got := testutil.CollectAndCount(m, "shoal_torrent_peers"); got != maxTorrentSeries {
		t.Errorf("%d torrents have metrics, want %d", got, maxTorrentSeries)
	}
	const help = "# HELP shoal_torrents_without_metrics Torrents beyond the 5000 that have metrics of their own.\n" +
		"# TYPE shoal_torrents_without_metrics gauge\n"
	if err := testutil.CollectAndCompare(m, strings.NewReader(help+"shoal_torrents_without_metrics 3\n"), "shoal_torrents_without_metrics"); err != nil {
		t.Error(err)
	}
}

// TestMetricsPerTorrent has no name of a torrent in the metrics unless it is asked for.
func TestMetricsPerTorrent(t *testing.T) {
	for value, want := range map[string]bool{"": false, "true": true} {
		cfg, mistakes := parseConfig([]string{prefix + "METRICS_PER_TORRENT=" + value})
		if len(mistakes) > 0 || cfg.MetricsPerTorrent != want {
			t.Errorf("%q makes it %v (%q), want %v", value, cfg.MetricsPerTorrent, mistakes, want)
		}
	}
}

func FuzzLabel(f *testing.F) {
	for _, name := range []string{"", "a film", "\xff\xfe", strings.Repeat("\U0001F41F", 60), strings.Repeat("\x80", 300), "a\u202eb\r\n"} {
		f.Add(name)
	}
	desc := prometheus.NewDesc("shoal_x", "x", []string{"name"}, nil)
	f.Fuzz(func(t *testing.T, name string) {
		got := label(name)
		if len(got) > maxLabel || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x1b\u202e") {
			t.Errorf("%q makes the label %q of %d bytes", name, got, len(got))
		}
		if !slices.Contains([]string{"", name}, got) && utf8.ValidString(name) && len(name) <= maxLabel && !strings.Contains(got, "_") {
			t.Errorf("%q makes the label %q", name, got)
		}
		if _, err := prometheus.NewConstMetric(desc, prometheus.GaugeValue, 1, got); err != nil {
			t.Errorf("%q makes the label %q: %v", name, got, err)
		}
	})
}
