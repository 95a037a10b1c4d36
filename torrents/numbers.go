package torrents

import (
	"fmt"
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
	var runs []IDRun
	have := 0
	for _, r := range e.inner() {
		if r.Place == place {
			runs = append(runs, r)
			have += r.N
		}
	}
	lack := want - have
	switch {
	case lack <= 0:
		return runs, nil
	case lack > maxRun:
		return nil, inputErrorf("%d file ids are too many for what is inside one file", lack)
	case isClosed(n.lib.closing):
		return nil, ErrClosed
	}
	first, err := n.lib.takeInnerIDs(uint64(lack))
	if err != nil {
		return nil, err
	}
	run := IDRun{Place: place, First: first, N: lack}
	if err := e.addInner(run); err != nil {
		return nil, err
	}
	return append(runs, run), nil
}

// idReserve is how many file ids are taken at a time for what is inside files, so that library.json is not written for each archive. Those
// that are left when we stop are nobody's.
const idReserve = 1 << 14

// takeInnerIDs hands out n file ids, and returns the first. It needs l.changing. The error is a *WriteError.
func (l *Library) takeInnerIDs(n uint64) (uint64, error) {
	if l.reserve.n < n {
		state := l.state.clone()
		n := max(n, idReserve)
		first := state.takeIDs(n)
		if err := l.writeState(state); err != nil {
			return 0, err
		}
		l.reserve.first, l.reserve.n = first, n
	}
	first := l.reserve.first
	l.reserve.first += n
	l.reserve.n -= n
	return first, nil
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

// inner returns the runs of file ids inside files, in ascending order. They are not to be changed.
func (e *entry) inner() []IDRun {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ids.runs
}

// addInner adds a run of file ids, durably. It needs l.changing. The error is a *WriteError.
func (e *entry) addInner(run IDRun) error {
	e.mu.Lock()
	ids := e.ids
	e.mu.Unlock()
	if err := ids.add(e.lib.idsPath(e.ih), run); err != nil {
		return err
	}
	e.mu.Lock()
	e.ids = ids
	e.mu.Unlock()
	return nil
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

// maxRun is how many file ids a place may take at a time.
const maxRun = 1 << 24
