package admin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPageOfManyFiles guards the order of magnitude of what `bench -only site` measures.
func TestPageOfManyFiles(t *testing.T) {
	const files = 40_000
	var list strings.Builder
	for i := range files {
		name := fmt.Sprintf("A.Series.S%02dE%06d.1080p.WEB.x264.mkv", i%7+1, i)
		fmt.Fprintf(&list, "d6:lengthi1024e4:pathl%d:%see", len(name), name)
	}
	const pieces = files * 1024 >> 20
	metainfo := fmt.Sprintf("d4:infod5:filesl%se4:name4:many12:piece lengthi%de6:pieces%d:%see",
		list.String(), 1<<20, 20*(pieces+1), strings.Repeat("h", 20*(pieces+1)))
	s := openSite(t)
	torrent := s.mustAdd(t, "films", []byte(metainfo))
	var times []time.Duration
	for range 5 {
		begin := time.Now()
		a := s.sendPage(t, http.MethodGet, "/torrents/"+torrent.Infohash.String(), nil)
		times = append(times, time.Since(begin))
		wantStatus(t, a, http.StatusOK)
		if !strings.Contains(string(a.body), "40,000") || len(a.body) > 1<<20 {
			t.Fatalf("the page has %d bytes:\n%.2000s", len(a.body), a.body)
		}
	}
	first := times[0]
	slices.Sort(times)
	t.Logf("%v at the median, at first %v", times[2], first)
	// Far more than it takes, even on a busy machine with the race detector.
	if times[2] > time.Second {
		t.Errorf("the page takes %v at the median", times[2])
	}
}
