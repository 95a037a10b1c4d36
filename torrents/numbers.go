package torrents

import (
	"fmt"
	"slices"
	"sort"
)

// IDRun is a run of file ids of what is inside one file of a torrent.
type IDRun struct {
	Place string `json:"place"` // which file, as whoever took the ids names it
	First uint64 `json:"first"`
	N     int    `json:"n"`
}

// Numbers hands out the file ids of what is inside files of one torrent, for ever: NFS clients, and 32-bit ones among them, go by these.
type Numbers struct {
	lib *Library
	ih  Infohash
}

// Take returns the first n file ids of a place, in runs. It hands out those that it has not yet, which is durable before it returns.
// The error is ErrNotFound, ErrClosed, or a *WriteError.
func (n Numbers) Take(place string, want int) ([]IDRun, error) {
	n.lib.changing.Lock()
	defer n.lib.changing.Unlock()
	e, ok := n.lib.entries[n.ih]
	if !ok {
		return nil, fmt.Errorf("torrent %s: %w", n.ih, ErrNotFound)
	}
	rec := e.record()
	have := 0
	for _, r := range rec.Inner {
		if r.Place == place {
			have += r.N
		}
	}
	if lack := want - have; lack > 0 {
		if lack > maxRun {
			return nil, inputErrorf("%d file ids are too many for what is inside one file", lack)
		}
		if isClosed(n.lib.closing) {
			return nil, ErrClosed
		}
		state := n.lib.state.clone()
		run := IDRun{Place: place, First: state.takeIDs(uint64(lack)), N: lack}
		if err := n.lib.writeState(state); err != nil {
			return nil, err
		}
		rec.Inner = append(slices.Clip(rec.Inner), run)
		if err := n.lib.writeRecord(&rec); err != nil {
			return nil, err
		}
		e.setRecord(rec)
	}
	return slices.DeleteFunc(slices.Clone(rec.Inner), func(r IDRun) bool { return r.Place != place }), nil
}

// Find returns which one of which place a file id is.
func (n Numbers) Find(id uint64) (place string, at int, ok bool) {
	e, err := n.lib.entry(n.ih)
	if err != nil {
		return "", 0, false
	}
	inner := e.inner()
	i := sort.Search(len(inner), func(i int) bool { return inner[i].First > id }) - 1
	if i < 0 || id-inner[i].First >= uint64(inner[i].N) {
		return "", 0, false
	}
	for _, r := range inner[:i] {
		if r.Place == inner[i].Place {
			at += r.N
		}
	}
	return inner[i].Place, at + int(id-inner[i].First), true
}

// inner returns the runs of file ids inside files, in ascending order.
func (e *entry) inner() []IDRun {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rec.Inner // it is only ever replaced
}

// oldArchiveIDs is above all file ids that a library hands out one after another: what earlier versions have added has the ids of its
// archives there.
const oldArchiveIDs = 1 << 40

// archiveIDs returns the first of the file ids of the torrent's files as folders.
func (r *torrentRecord) archiveIDs() uint64 {
	if r.ArchiveIDs == 0 {
		return oldArchiveIDs + r.FirstID
	}
	return r.ArchiveIDs
}

// checkRuns says whether runs of file ids ascend, as Find counts on that.
func checkRuns(runs []IDRun) error {
	next := uint64(firstID)
	for _, r := range runs {
		if r.First < next || r.N <= 0 || r.First > oldArchiveIDs || r.N > maxRun {
			return fmt.Errorf("the record has %d file ids from %d on for %.40q", r.N, r.First, r.Place)
		}
		next = r.First + uint64(r.N)
	}
	return nil
}

// maxRun is how many file ids a place may take at a time.
const maxRun = 1 << 24
