package tar

import (
	"errors"
	"strconv"
	"strings"
)

// maxExtents is how many extents a member with holes may have. GNU tar makes one for each run of blocks that is not empty.
const maxExtents = 1 << 16

// errSparse says that the map of a member with holes is of no use. Where its data end is known all the same.
var errSparse = errors.New("map of holes contradicts itself or is too long")

// sparseMap collects the runs of data of a member with holes.
type sparseMap struct {
	runs []sparseRun
	bad  bool
}

// sparseRun is Len bytes of data at a place in the member.
type sparseRun struct{ at, length int64 }

// add appends a run. One that is empty only says how long the member is.
func (m *sparseMap) add(at, length int64, ok bool) {
	switch {
	case !ok || at < 0 || length < 0 || len(m.runs) >= maxExtents:
		m.bad = true
	case length > 0 && !m.bad:
		m.runs = append(m.runs, sparseRun{at, length})
	}
}

// addDecimal appends a run of which the numbers are decimal.
func (m *sparseMap) addDecimal(at, length string) {
	a, err1 := strconv.ParseInt(at, 10, 64)
	n, err2 := strconv.ParseInt(length, 10, 64)
	m.add(a, n, err1 == nil && err2 == nil)
}

// extents makes a list of data and holes that is size bytes long, of stored bytes of data at off.
func (m *sparseMap) extents(off, stored, size int64) ([]Extent, error) {
	if m.bad || size < 0 {
		return nil, errSparse
	}
	out := make([]Extent, 0, 2*len(m.runs)+1)
	at := int64(0)
	for _, r := range m.runs {
		if r.at < at || r.at > size || r.length > size-r.at || r.length > stored {
			return nil, errSparse
		}
		if r.at > at {
			out = append(out, Extent{Hole, r.at - at})
		}
		out = append(out, Extent{off, r.length})
		off, stored, at = off+r.length, stored-r.length, r.at+r.length
	}
	if stored != 0 {
		return nil, errSparse
	}
	if at < size {
		out = append(out, Extent{Hole, size - at})
	}
	return out, nil
}

// The map of the old GNU format is in the header, and goes on in blocks of its own: GNU tar's manual, "Old GNU Format".
const (
	sparseEntry      = 24 // bytes: an offset and a length
	sparseInHeader   = 386
	sparseInHeaderN  = 4
	sparseMore       = 482 // offset of what says that a block of the map follows
	sparseRealSize   = 483
	sparseInBlockN   = 21
	sparseMoreBlocks = 504
)

// entries adds the entries of a part of the map in the old format.
func (m *sparseMap) entries(b []byte) {
	for ; len(b) > 0; b = b[sparseEntry:] {
		if b[0] == 0 { // the rest is empty
			return
		}
		at, ok1 := number(b[:sparseEntry/2])
		length, ok2 := number(b[sparseEntry/2 : sparseEntry])
		m.add(at, length, ok1 && ok2)
	}
}

// oldGNUSparse reads the map of a header of type S. The data are behind the blocks of the map, which the size doesn't count.
func (w *walker) oldGNUSparse(h *header, b *block, data int64) (m sparseMap, after int64, err error) {
	if !h.isGNU { // star has the same type with another layout
		m.bad = true
		return m, data, nil
	}
	var ok bool
	if h.size, ok = number(b[sparseRealSize : sparseRealSize+12]); !ok {
		m.bad = true
	}
	m.entries(b[sparseInHeader:][:sparseInHeaderN*sparseEntry])
	for more := b[sparseMore] != 0; more; more = b[sparseMoreBlocks] != 0 {
		if m.bad {
			return m, data, damageError("the map of holes of " + strconv.Quote(h.name) + " is too long or damaged")
		}
		if err := w.in.read(b[:], data); err != nil {
			return m, data, err
		}
		data += blockSize
		held := len(m.runs)
		m.entries(b[:sparseInBlockN*sparseEntry])
		// A chain of blocks without an entry would cost as much as somebody likes.
		m.bad = m.bad || len(m.runs) == held
	}
	return m, data, nil
}

// paxSparseFile reads the map that the records tell of. It says whether there is one, and how many bytes of the data it takes.
func (w *walker) paxSparseFile(h *header, records paxRecords, data int64) (m sparseMap, found bool, taken int64, err error) {
	version := records[paxSparseMajor] + "." + records[paxSparseMinor]
	switch {
	case version == "1.0", version == "0.0", version == "0.1", version == "." && records[paxSparseMap] != "":
	default:
		return m, false, 0, nil
	}
	if v := records[paxSparseName]; v != "" {
		h.name = v
	}
	v := records[paxSparseSize]
	if v == "" {
		v = records[paxSparseRealSize]
	}
	if v != "" {
		if h.size, err = strconv.ParseInt(v, 10, 64); err != nil {
			h.size = -1
		}
	}
	// What libarchive 3.6 writes has, as the size of the data, that of the file with its holes, where this does not fit the header.
	if h.size > 0 && h.stored == h.size && h.ustar > 0 && h.ustar < h.stored {
		h.stored = h.ustar
	}
	if version == "1.0" {
		taken, err = w.sparse10(&m, h, data)
		return m, true, taken, err
	}
	var numbers []string
	if v := records[paxSparseMap]; v != "" {
		numbers = strings.Split(v, ",")
	}
	if n, err := strconv.Atoi(records[paxSparseBlocks]); err != nil || len(numbers)%2 != 0 || n != len(numbers)/2 {
		m.bad = true
		return m, true, 0, nil
	}
	for i := 0; i < len(numbers) && !m.bad; i += 2 {
		m.addDecimal(numbers[i], numbers[i+1])
	}
	return m, true, 0, nil
}

// sparse10 reads the map of format 1.0: decimal numbers, a line each, in blocks in front of the data. The first one says how
// many pairs follow.
func (w *walker) sparse10(m *sparseMap, h *header, data int64) (taken int64, err error) {
	var (
		b        block
		line, at string
		left     = -1 // numbers to come; -1 before the first
	)
	for left != 0 && !m.bad {
		if h.stored-taken < blockSize || taken >= maxSpecial {
			m.bad = true
			return taken, nil
		}
		if err := w.in.read(b[:], data+taken); err != nil {
			return taken, err
		}
		taken += blockSize
		for rest := string(b[:]); left != 0 && !m.bad; {
			part, after, whole := strings.Cut(rest, "\n")
			line += part
			if !whole {
				break
			}
			rest = after
			switch {
			case strings.HasPrefix(line, "#"): // libarchive reads past such lines, though GNU tar writes none
			case left < 0:
				n, err := strconv.ParseUint(line, 10, 31)
				if err != nil || n > maxExtents {
					m.bad = true
				}
				left = 2 * int(n)
			case left%2 == 0:
				at, left = line, left-1
			default:
				m.addDecimal(at, line)
				left--
			}
			line = ""
		}
		m.bad = m.bad || len(line) > 20 // longer than any number
	}
	return taken, nil
}
