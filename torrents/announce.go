package torrents

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anacrolix/torrent/tracker"
	"github.com/anacrolix/torrent/tracker/udp"
)

const (
	// What the engine does after an announce that failed: it waits for failedPause, then for twice
	// that and so on up to maxFailedPause. announceShortest is the shortest interval that it takes from a
	// tracker.
	failedPause      = time.Minute
	maxFailedPause   = 30 * time.Minute
	announceShortest = time.Minute

	// maxAnnounces is how many trackers of one torrent are kept account of: the engine has two for each that
	// speaks UDP.
	maxAnnounces = 4 * maxTrackers
	// maxMessage is the longest word of a tracker that is kept, in bytes.
	maxMessage = 200
)

// announce is how it goes with one tracker.
type announce struct {
	under    bool      // an announce is under way
	last     time.Time // when the last one ended; zero if none has
	next     time.Time // when the next one is due
	message  string    // why the last one failed; empty if it did not
	told     bool      // the message is the tracker's own
	failures int       // in a row

	seeds, leechers, peers int       // what it told last
	ok                     time.Time // when it last answered; zero if it never did
	until                  time.Time // when it wants to be asked again after that
}

// announces is how it goes with the trackers of a torrent, by the address that the engine has for them.
type announces struct {
	mu sync.Mutex
	of map[string]announce
}

func (a *announces) get(address string) (announce, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got, ok := a.of[address]
	return got, ok
}

func (a *announces) any() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.of) > 0
}

func (a *announces) change(address string, f func(*announce)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	got, known := a.of[address]
	if !known && len(a.of) >= maxAnnounces {
		return
	}
	f(&got)
	if a.of == nil {
		a.of = make(map[string]announce)
	}
	a.of[address] = got
}

func (a *announce) begin() { a.under = true }

// end notes how an announce went. err is the engine's.
func (a *announce) end(now time.Time, resp tracker.AnnounceResponse, err error) {
	a.under, a.last = false, now
	if err == nil {
		interval := max(time.Duration(resp.Interval)*time.Second, announceShortest)
		a.message, a.told, a.failures = "", false, 0
		a.seeds, a.leechers, a.peers = int(max(resp.Seeders, 0)), int(max(resp.Leechers, 0)), len(resp.Peers)
		a.ok, a.until, a.next = now, now.Add(interval), now.Add(interval)
		return
	}
	a.message, a.told = announceFailure(err)
	a.message = cmp.Or(a.message, "it gave no reason")
	pause := min(failedPause<<min(a.failures, 16), maxFailedPause)
	a.failures++
	a.next = now.Add(pause)
	if a.next.Before(a.until) {
		a.next = a.until
	}
}

// announceFailure says in words why an announce failed, and whether these are words of the tracker.
func announceFailure(err error) (message string, told bool) {
	if refused, ok := errors.AsType[udp.ErrorResponse](err); ok { // BEP 15
		return cleanText(refused.Message, maxMessage), true
	}
	text := err.Error()
	// BEP 3, "failure reason".
	if quoted, ok := strings.CutPrefix(text, "tracker gave failure reason: "); ok {
		if reason, err := strconv.Unquote(quoted); err == nil {
			return cleanText(reason, maxMessage), true
		}
	}
	// The page that comes with a status of HTTP says no more than that.
	if status, ok := strings.CutPrefix(text, "response from tracker: "); ok {
		status, _, _ = strings.Cut(status, ": ")
		return cleanText(status, maxMessage), false
	}
	// Without the address, which the row has, and the keys in it.
	if request, ok := errors.AsType[*url.Error](err); ok {
		text = request.Err.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		text = "no answer"
	}
	return cleanText(text, maxMessage), false
}
