package inflate

import "sort"

const (
	// minSpacing is how far apart checkpoints are at least, in bytes of uncompressed data: closer ones do not save traffic, as the
	// Source is read by pieces that are larger. At 1 MiB the index of text, which refers to much of each window, takes 0.33 % of it.
	minSpacing = 5 << 18
	// maxSpacing is the most that they are wanted apart. Blocks may be longer.
	maxSpacing = 8 << 20
	// wantedPoints is how many checkpoints there are of data too large for minSpacing, unless that is too large for maxSpacing as well.
	wantedPoints = 1024
	// minCut is after how many bytes without a checkpoint a segment is ended at least. A multiple of chunkLength.
	minCut = 8 << 20
	// lookahead is how many bytes package flate wants behind the end of a block that is not the last one, as the next one has 10 bits
	// at least.
	lookahead = 2
	// usualRatio is how many bytes come of a compressed one, about, where nobody said it.
	usualRatio = 3
)

// point is a checkpoint: the end of a block, or the beginning of a gzip member.
type point struct {
	out      int64 // offset in the uncompressed data, in bytes
	in       int64 // offset in the compressed data, in bits
	isHeader bool  // a gzip header comes next
	packed   []byte
	raw      []byte // the window as it is, before it is packed
}

// spacing returns how far apart checkpoints are, in bytes of uncompressed data.
func spacing(size int64) int64 {
	return min(max(minSpacing, (size/wantedPoints+chunkLength-1)/chunkLength*chunkLength), maxSpacing)
}

// longest returns how long a segment becomes at most where checkpoints are wanted that far apart, in bytes.
func longest(spacing int64) int64 { return max(minCut, 2*spacing) }

// place is where a segment begins and ends in the uncompressed data, and what decoding it needs.
type place struct {
	start, end int64
	from       point // the last one at or before start
	stop       int64 // offset in the compressed data, in bytes, before which all is that is needed
	atPoint    bool  // there is a checkpoint at the end
}

// locate finds the segment of an offset that is before cut, where the last segment ends.
func locate(points []point, cut, longest, compressed, off int64) place {
	i := sort.Search(len(points), func(i int) bool { return points[i].out > off }) - 1
	from := points[i]
	start := from.out + (off-from.out)/longest*longest
	p := place{start: start, end: min(start+longest, cut), from: from, stop: compressed}
	if i+1 < len(points) {
		next := points[i+1]
		p.stop = min((next.in+7)/8+lookahead, compressed)
		if next.out <= p.end {
			p.end, p.atPoint = next.out, true
		}
	}
	return p
}
