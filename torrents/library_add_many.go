package torrents

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
)

// maxWriting is how many records are written at a time: disks take many together in little more time than one.
const maxWriting = 32

// AddMagnets is AddMagnet of many links at once, which takes much less time than one after the other, as their records are written
// side by side. What becomes of links[i] is in the i-th places; the errors are those of AddMagnet.
func (l *Library) AddMagnets(route string, links []string) ([]Torrent, []error) {
	added, errs := make([]Torrent, len(links)), make([]error, len(links))
	additions := make([]addition, len(links))
	for i, link := range links {
		additions[i], errs[i] = l.magnetAddition(link)
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	r := l.state.route(route)
	first := make(map[Infohash]int) // where the new ones are in links
	var fresh []*torrentRecord
	for i := range additions {
		rec := &additions[i].rec
		switch _, twin := first[rec.Infohash]; {
		case errs[i] != nil:
		case r == nil:
			errs[i] = fmt.Errorf("route %q: %w", route, ErrNotFound)
		case isClosed(l.closing):
			errs[i] = ErrClosed
		case !twin && l.entries[rec.Infohash] == nil:
			rec.Route = r.ID
			first[rec.Infohash] = i
			fresh = append(fresh, rec)
		}
	}
	failed := l.writeRecords(fresh)
	for i := range additions {
		ih := additions[i].rec.Infohash
		at, isFresh := first[ih]
		switch {
		case errs[i] != nil:
		case isFresh && failed[ih] != nil:
			errs[i] = failed[ih]
		case isFresh && at == i:
			added[i] = l.enter(additions[i].rec).describe(route)
		default:
			added[i], errs[i] = l.addKnown(l.entries[ih], r, additions[i])
		}
	}
	return added, errs
}

// writeRecords is writeRecord of many that are new, side by side. It returns why some were not written, of which nothing is left.
func (l *Library) writeRecords(records []*torrentRecord) map[Infohash]error {
	if len(records) == 0 {
		return nil
	}
	var mu sync.Mutex
	failed := make(map[Infohash]error)
	fail := func(r *torrentRecord, err error) {
		mu.Lock()
		defer mu.Unlock()
		failed[r.Infohash] = &WriteError{fmt.Errorf("write the record of %s: %w", r.Infohash, err)}
	}
	var writing sync.WaitGroup
	slots := make(chan struct{}, maxWriting)
	for _, r := range records {
		slots <- struct{}{}
		writing.Go(func() {
			defer func() { <-slots }()
			b, err := json.MarshalIndent(r, "", "  ")
			if err == nil {
				err = swapFile(l.recordPath(r.Infohash), b)
			}
			if err != nil {
				fail(r, err)
			}
		})
	}
	writing.Wait()
	// One sync is enough for all new names in the folder.
	if err := syncDir(filepath.Join(l.opts.DataDir, torrentsDir)); err != nil {
		for _, r := range records {
			fail(r, err)
		}
	}
	if len(failed) > 0 {
		// Nobody was told of them, so nothing of them shall be there after a restart.
		var paths []string
		for ih := range failed {
			paths = append(paths, l.recordPath(ih))
		}
		if err := removeDurably(paths...); err != nil {
			l.log.Warn("what is left of torrents that were not added could not be removed", "err", err)
		}
	}
	return failed
}
