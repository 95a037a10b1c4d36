package torrents

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent/tracker"
	"github.com/anacrolix/torrent/tracker/udp"
)

func TestAnnounceFailure(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
		told bool
	}{
		{errors.New(`tracker gave failure reason: "unregistered torrent"`), "unregistered torrent", true},
		{errors.New(`tracker gave failure reason: "a\x1bb"`), "a b", true},
		{fmt.Errorf("announce: %w", udp.ErrorResponse{Message: "Torrent not registered.\x00"}), "Torrent not registered.", true},
		{errors.New(`response from tracker: 502 Bad Gateway: "<html>…"`), "502 Bad Gateway", false},
		{
			&url.Error{Op: "Get", URL: "http://x/announce?passkey=secret", Err: errors.New("connection refused")},
			"connection refused", false,
		},
		{&url.Error{Op: "Get", URL: "http://x/", Err: context.DeadlineExceeded}, "no answer", false},
		{errors.New("error decoding \"" + strings.Repeat("x", 1000) + "\": y"), "error decoding \"" + strings.Repeat("x", 181) + "…", false},
	} {
		if got, told := announceFailure(test.err); got != test.want || told != test.told {
			t.Errorf("announceFailure(%.60q) is %q, %t; want %q, %t", test.err, got, told, test.want, test.told)
		}
	}
}

func TestAnnounceTimes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	no, none := errors.New(""), tracker.AnnounceResponse{}
	var a announce
	// The engine waits twice as long after each failure, up to half an hour.
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		if a.end(now, none, no); a.next.Sub(now) != want*time.Minute || a.failures != i+1 || a.message == "" {
			t.Errorf("after failure %d: next in %v, %+v", i+1, a.next.Sub(now), a)
		}
	}
	a.end(now, tracker.AnnounceResponse{Interval: 5, Seeders: -1}, nil)
	if a.next.Sub(now) != announceShortest || a.failures != 0 || a.message != "" || a.seeds != 0 {
		t.Errorf("after an answer with a short interval: %+v", a)
	}
	// It asks no sooner than the tracker has said.
	a.end(now, tracker.AnnounceResponse{Interval: 3600, Seeders: 2}, nil)
	a.end(now.Add(time.Second), none, no)
	if a.next.Sub(now) != time.Hour || a.seeds != 2 {
		t.Errorf("after an answer with an interval of an hour, and a failure: %+v", a)
	}
}

func TestAnnounceOverUDP(t *testing.T) {
	now := time.Now()
	begun, refused, silent, answered := announce{under: true}, announce{}, announce{}, announce{}
	refused.end(now, tracker.AnnounceResponse{}, udp.ErrorResponse{Message: "no"})
	silent.end(now, tracker.AnnounceResponse{}, context.DeadlineExceeded)
	answered.end(now, tracker.AnnounceResponse{Seeders: 3}, nil)
	order := []announce{silent, begun, refused, answered}
	for i, worse := range order {
		for _, better := range order[i:] {
			for _, both := range [][2]announce{{worse, better}, {better, worse}} {
				var m member
				m.announces.change("udp4://x:1/a", func(a *announce) { *a = both[0] })
				m.announces.change("udp6://x:1/a", func(a *announce) { *a = both[1] })
				if got, known := m.announceTo("udp://x:1/a"); !known || got != better {
					t.Errorf("of %+v it is %+v, want the better one", both, got)
				}
			}
		}
	}
	var m member
	if _, known := m.announceTo("udp://x:1/a"); known {
		t.Error("a tracker that nobody has asked is known")
	}
	m.announces.change("udp6://x:1/a", (*announce).begin)
	if got, known := m.announceTo("udp://x:1/a"); !known || !got.under {
		t.Errorf("over IPv6 alone it is %+v", got)
	}
	for i := range 2 * maxAnnounces {
		m.announces.change(fmt.Sprint(i), (*announce).begin)
	}
	if got := len(m.announces.of); got > maxAnnounces {
		t.Errorf("%d announces are kept, want at most %d", got, maxAnnounces)
	}
}
