package zip

import (
	"cmp"
	"slices"
)

const maxDeflateRatio = 1032 // 258 bytes, the longest match, in two bits (RFC 1951, section 3.2.5)

// check finds the problems that numbers have among one another. Where data starts exactly is in local headers, so that here entries only
// overlap if they do without their names; Data knows it all.
func (a *Archive) check(o *Options) {
	order := make([]int32, len(a.records))
	for i := range a.records {
		order[i] = int32(i)
		if r := &a.records[i]; r.problem == NoProblem {
			r.problem = r.claim(o)
		}
	}
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(cmp.Compare(a.records[x].header, a.records[y].header), cmp.Compare(x, y))
	})
	a.starts = make([]int64, len(order))
	reach := int64(0) // how far any one before goes
	for k, i := range order {
		r := &a.records[i]
		a.starts[k] = r.header
		end := r.header + localSize + r.compressed
		problem := NoProblem
		switch {
		case r.header < 0 || end > a.directory:
			// Where it claims to end can't be true, and makes no other entry suspect.
			problem = Outside
		case r.header < reach || k+1 < len(order) && a.records[order[k+1]].header < end:
			problem = Overlap
			reach = max(reach, end)
		default:
			reach = end
		}
		if r.problem == NoProblem {
			r.problem = problem
		}
	}
}

// claim returns what is wrong with the numbers of an entry that is not encrypted.
func (r *record) claim(o *Options) Problem {
	ratio, from := o.MaxRatio, o.RatioFrom
	switch r.method {
	case Store:
		if r.size != r.compressed {
			return BadRatio
		}
	case Deflate:
		ratio, from = min(ratio, maxDeflateRatio), 0
	case BZIP2, LZMA, Zstd, XZ:
	default:
		return UnknownMethod
	}
	switch {
	case r.size > o.MaxSize:
		return TooLarge
	case r.size < from:
	case r.size/ratio > r.compressed || r.size/ratio == r.compressed && r.size%ratio != 0:
		return BadRatio
	}
	return NoProblem
}

// next returns where the local header after the one at off is, or the directory.
func (a *Archive) next(off int64) int64 {
	if i, _ := slices.BinarySearch(a.starts, off+1); i < len(a.starts) {
		return min(a.starts[i], a.directory)
	}
	return a.directory
}
