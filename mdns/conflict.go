package mdns

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/net/dns/dnsmessage"
)

// exclusive are the types of which one name has one owner.
var exclusive = []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV, dnsmessage.TypeTXT}

// conflicts says whether somebody else has one of our names.
func (s *session) conflicts(l *linkState, answers []heard) bool {
	return slices.ContainsFunc(answers, func(a heard) bool { return a.ttl > 0 && l.owns(a.key) && s.strange(l, &a) })
}

// owns says whether a name is one that only we may have.
func (l *linkState) owns(key string) bool {
	return slices.ContainsFunc(l.records, func(r record) bool { return r.unique && r.key == key })
}

// strange says whether a record of one of our names is not ours. An address of another interface is ours as well: that may be on the
// same network.
func (s *session) strange(l *linkState, a *heard) bool {
	if !slices.Contains(exclusive, a.kind) {
		return false
	}
	if a.kind == dnsmessage.TypeA || a.kind == dnsmessage.TypeAAAA {
		if addr, ok := netip.AddrFromSlice([]byte(a.data)); ok && s.own[addr] {
			return false
		}
	}
	return !slices.ContainsFunc(l.records, func(r record) bool {
		return r.kind == a.kind && r.key == a.key && r.data == a.data
	})
}

// loses says whether somebody who wants one of our names at the same time goes first (RFC 6762, section 8.2).
func (s *session) loses(l *linkState, proposed []heard) bool {
	for i := range l.records {
		if i > 0 && l.records[i].key == l.records[i-1].key {
			continue // those of one name are together
		}
		name := l.records[i].key
		theirs := slices.DeleteFunc(slices.Clone(proposed), func(a heard) bool { return a.key != name })
		if !slices.ContainsFunc(theirs, func(a heard) bool { return s.strange(l, &a) }) {
			continue // nobody wants it, or it is what we have sent ourselves
		}
		var ours []heard
		for _, r := range l.records {
			if r.key == name && r.unique && r.kind != typeNSEC {
				ours = append(ours, heard{key: r.key, kind: r.kind, data: r.data})
			}
		}
		if compareRecords(ours, theirs) < 0 {
			return true
		}
	}
	return false
}

// compareRecords compares those of one name: whose are later has it.
func compareRecords(a, b []heard) int {
	order := func(x, y heard) int { return cmp.Or(cmp.Compare(x.kind, y.kind), cmp.Compare(x.data, y.data)) }
	return slices.CompareFunc(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order), order)
}
