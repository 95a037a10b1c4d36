// Package blocklist reads lists of addresses that are not to be talked to, in the forms in which they are
// passed around.
package blocklist

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
)

// List is a set of addresses. It is not changed once it was made.
type List struct {
	spans   []span // in order, apart from one another
	skipped int
}

// span is a range of addresses, both ends included, with those of IPv4 as IPv6 has them (::ffff:0:0/96).
type span struct{ first, last addr }

// addr is a number of 128 bits: less memory than a netip.Addr.
type addr struct{ high, low uint64 }

func number(a netip.Addr) addr {
	b := a.As16()
	var n addr
	for i, x := range b {
		if i < 8 {
			n.high = n.high<<8 | uint64(x)
		} else {
			n.low = n.low<<8 | uint64(x)
		}
	}
	return n
}

func (a addr) compare(b addr) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
}

// follows says whether a is the number after b.
func (a addr) follows(b addr) bool {
	next := addr{b.high, b.low + 1}
	if next.low == 0 {
		next.high++
	}
	return a == next && a.compare(b) > 0
}

// Len returns how many ranges the list has; those that touch count as one.
func (l *List) Len() int { return len(l.spans) }

// Skipped returns how many lines of the file could not be read.
func (l *List) Skipped() int { return l.skipped }

// Contains says whether a is in the list.
func (l *List) Contains(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	n := number(a)
	i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].first.compare(n) > 0 })
	return i > 0 && l.spans[i-1].last.compare(n) >= 0
}

// merge sorts spans and joins those that overlap or touch, in place.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.first.compare(b.first) })
	merged := spans[:0]
	for _, s := range spans {
		end := len(merged) - 1
		switch {
		case end < 0 || s.first.compare(merged[end].last) > 0 && !s.first.follows(merged[end].last):
			merged = append(merged, s)
		case s.last.compare(merged[end].last) > 0:
			merged[end].last = s.last
		}
	}
	return merged
}
