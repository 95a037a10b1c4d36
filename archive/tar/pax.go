package tar

import (
	"fmt"
	"strconv"
	"strings"
)

// Records of an extended header that say where data are or what they are called: POSIX.1-2001, "pax Extended Header Keyword/Value
// Pairs", and GNU tar's manual, "Storing Sparse Files".
const (
	paxPath     = "path"
	paxLinkPath = "linkpath"
	paxSize     = "size"
	paxMTime    = "mtime"

	paxSparse         = "GNU.sparse."
	paxSparseMajor    = paxSparse + "major"
	paxSparseMinor    = paxSparse + "minor"
	paxSparseName     = paxSparse + "name"
	paxSparseSize     = paxSparse + "size"
	paxSparseRealSize = paxSparse + "realsize"
	paxSparseBlocks   = paxSparse + "numblocks"
	paxSparseMap      = paxSparse + "map"
	paxSparseOffset   = paxSparse + "offset"
	paxSparseBytes    = paxSparse + "numbytes"
)

// paxRecords holds the records that matter here. Those of format 0.0, a pair for each extent, become the map of format 0.1.
type paxRecords map[string]string

// parsePAX reads records of the form "length keyword=value\n", where the length is that of all of it, in bytes.
func parsePAX(s string) (paxRecords, error) {
	records := paxRecords{}
	var pairs []string
	for s != "" {
		digits, rest, ok := strings.Cut(s, " ")
		n, err := strconv.ParseUint(digits, 10, 31)
		if !ok || err != nil || int(n) > len(s) || int(n) < len(digits)+2 || s[n-1] != '\n' {
			return nil, damageError(fmt.Sprintf("a record of an extended header is damaged: %.40q", s))
		}
		keyword, value, ok := strings.Cut(rest[:int(n)-len(digits)-2], "=")
		if !ok || keyword == "" {
			return nil, damageError(fmt.Sprintf("a record of an extended header has no keyword: %.40q", s))
		}
		s = s[n:]
		switch {
		case keyword == paxSparseOffset || keyword == paxSparseBytes:
			if (len(pairs)%2 == 0) != (keyword == paxSparseOffset) {
				return nil, damageError("an extended header has a map of holes whose offsets and lengths don't alternate")
			}
			pairs = append(pairs, value)
		case keyword == paxPath, keyword == paxLinkPath, keyword == paxSize, keyword == paxMTime, strings.HasPrefix(keyword, paxSparse):
			records[keyword] = value
		}
	}
	if len(pairs) > 0 {
		records[paxSparseMap] = strings.Join(pairs, ",")
	}
	return records, nil
}

// apply puts the records into the header that they belong to. An empty value leaves what the header has.
func (records paxRecords) apply(h *header) error {
	if v := records[paxPath]; v != "" {
		h.name = v
	}
	if v := records[paxLinkPath]; v != "" {
		h.link = v
	}
	if v := records[paxMTime]; v != "" {
		seconds, fraction, _ := strings.Cut(v, ".")
		if n, err := strconv.ParseInt(seconds, 10, 64); err == nil {
			h.mtime, h.nsec = n, nanoseconds(fraction)
			if seconds[0] == '-' && h.nsec > 0 {
				h.mtime, h.nsec = n-1, 1e9-h.nsec
			}
		}
	}
	if v := records[paxSize]; v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return damageError(fmt.Sprintf("the extended header of %.200q has no valid size: %.40q", h.name, v))
		}
		h.stored, h.size = n, n
	}
	return nil
}

// nanoseconds reads what is after the point of a number of seconds.
func nanoseconds(fraction string) int64 {
	n, err := strconv.ParseUint((fraction + "000000000")[:9], 10, 63)
	if err != nil {
		return 0
	}
	return int64(n)
}
