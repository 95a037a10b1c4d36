package nlm

import "math"

// span is a range of bytes of a file, both ends included. One that ends at math.MaxUint64 goes to the
// end of the file, however far that moves.
type span struct{ first, last uint64 }

// newSpan returns the range of a length that begins at offset; a length of 0 goes to the end of the file.
// It returns false for a range that would go beyond what 64 bits can say.
func newSpan(offset, length uint64) (span, bool) {
	if length == 0 {
		return span{offset, math.MaxUint64}, true
	}
	if length-1 > math.MaxUint64-offset {
		return span{}, false
	}
	return span{offset, offset + length - 1}, true
}

// length is 0 if the range goes to the end of the file.
func (s span) length() uint64 {
	if s.last == math.MaxUint64 {
		return 0
	}
	return s.last - s.first + 1
}

func (s span) overlaps(o span) bool { return s.first <= o.last && o.first <= s.last }

// adjoins says whether one range begins where the other one ends.
func (s span) adjoins(o span) bool {
	return s.last != math.MaxUint64 && s.last+1 == o.first || o.last != math.MaxUint64 && o.last+1 == s.first
}

// union is for ranges that overlap or adjoin.
func (s span) union(o span) span { return span{min(s.first, o.first), max(s.last, o.last)} }

// without appends to spans what is left of s when o is taken out: nothing, or one or two ranges.
func (s span) without(o span, spans []span) []span {
	if s.first < o.first {
		spans = append(spans, span{s.first, min(s.last, o.first-1)})
	}
	if s.last > o.last {
		spans = append(spans, span{max(s.first, o.last+1), s.last})
	}
	return spans
}
