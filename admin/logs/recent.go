// Package logs keeps the recent log in memory, and keeps secrets out of it.
//
// A Handler stands before the one that writes the log. What goes through it loses the passkeys, passwords, tokens and
// cookies that are in it, for both; what is kept besides has no control characters. It knows nothing of HTTP.
package logs

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// DefaultRecords and DefaultBytes are how much an appliance keeps.
	DefaultRecords = 10_000
	DefaultBytes   = 8 << 20

	// maxValue and maxKey bound a message or value that is kept, and a key, in bytes; maxAttrs how many attributes of a record are.
	maxValue = 2 << 10
	maxKey   = 256
	maxAttrs = 64

	// recordBytes and attrBytes are what a record and an attribute take beside their texts, about.
	recordBytes = 160
	attrBytes   = 32
)

// Record is a line of the log. It has no secrets, and no control characters in its texts.
type Record struct {
	ID      uint64 // from 1 on, one more for each record; never used again while the process runs
	Time    time.Time
	Level   slog.Level
	Message string
	Attrs   []Attr // not to be changed
}

// Attr is an attribute of a record. The keys of groups are joined with dots.
type Attr struct{ Key, Value string }

func (r *Record) size() int {
	n := recordBytes + len(r.Message)
	for _, a := range r.Attrs {
		n += attrBytes + len(a.Key) + len(a.Value)
	}
	return n
}

// matches says whether the message or an attribute, as "key=value", has the text, which is in lower case.
func (r *Record) matches(text string) bool {
	if text == "" || strings.Contains(strings.ToLower(r.Message), text) {
		return true
	}
	return slices.ContainsFunc(r.Attrs, func(a Attr) bool {
		return strings.Contains(strings.ToLower(a.Key+"="+a.Value), text)
	})
}

// Recent is the last records of a log. It is safe for concurrent use.
type Recent struct {
	maxRecords, maxBytes int

	mu      sync.Mutex // for moments
	records []*Record  // the oldest first; none is changed once it is here
	bytes   int
	last    uint64
}

// NewRecent keeps so many records, and no more bytes in memory than that, about.
func NewRecent(maxRecords, maxBytes int) *Recent {
	return &Recent{maxRecords: maxRecords, maxBytes: maxBytes}
}

// add keeps a record, and gives it its ID.
func (l *Recent) add(r *Record) {
	size := r.size()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	r.ID = l.last
	l.records = append(l.records, r)
	l.bytes += size
	for len(l.records) > l.maxRecords || l.bytes > l.maxBytes && len(l.records) > 1 {
		l.bytes -= l.records[0].size()
		l.records[0] = nil // the memory behind the slice would keep it
		l.records = l.records[1:]
	}
}

// Query says which records are wanted.
type Query struct {
	Level  slog.Level // of this one and above; the zero value is slog.LevelInfo
	Text   string     // in the message, or in an attribute as "key=value", in upper or lower case; empty for all
	After  uint64     // only those with a larger ID
	Before uint64     // only those with a smaller ID; 0 for all
	Limit  int        // how many at most; 0 for all
}

// Page is a part of the log.
type Page struct {
	Records []*Record // the newest first; not to be changed
	Next    uint64    // the Query.Before that goes on with what is older; 0 if nothing older matches
}

// Records returns those that match, the newest first. It waits for nothing.
func (l *Recent) Records(q Query) Page {
	l.mu.Lock()
	all := slices.Clone(l.records) // so that nobody who logs waits for the search
	l.mu.Unlock()
	text := strings.ToLower(q.Text)
	var page Page
	for _, r := range slices.Backward(all) {
		if r.ID <= q.After {
			break
		}
		if q.Before != 0 && r.ID >= q.Before || r.Level < q.Level || !r.matches(text) {
			continue
		}
		if q.Limit > 0 && len(page.Records) == q.Limit {
			page.Next = page.Records[q.Limit-1].ID
			break
		}
		page.Records = append(page.Records, r)
	}
	return page
}

// Newest returns the ID of the newest record; 0 if there was none yet.
func (l *Recent) Newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}
