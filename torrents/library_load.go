package torrents

import (
	"cmp"
	"fmt"
	"slices"
)

// loaded is a record, and why it is not shown.
type loaded struct {
	torrentRecord
	ids idsFile
	err error
}

func (l *Library) loadRecords() ([]loaded, error) {
	list, err := l.records()
	if err != nil {
		return nil, fmt.Errorf("read the library: %w", err)
	}
	records := make([]loaded, 0, len(list))
	names := make(map[string]bool)
	for _, ih := range list {
		rec, err := l.readRecord(ih)
		if err == nil {
			key := fmt.Sprintf("%d/%s", rec.Route, rec.Name)
			err = l.checkRecord(rec, names[key])
			names[key] = names[key] || err == nil && rec.holds(rec.Name)
		}
		if rec == nil {
			rec = &torrentRecord{Infohash: ih}
		}
		ids, idsErr := readIDs(l.idsPath(ih), rec.Inner)
		records = append(records, loaded{*rec, ids, cmp.Or(err, idsErr)})
	}
	return records, nil
}

func (l *Library) loadEntries(records []loaded) {
	for i := range records {
		rec := &records[i]
		l.passIDs(&rec.torrentRecord, rec.ids)
		e := l.newEntry(rec.torrentRecord)
		e.ids = rec.ids
		if rec.err != nil {
			e.hidden = true
			e.fail(rec.err)
		}
		l.entries[e.ih] = e
	}
}

// passIDs keeps the ids of a torrent from being given to another one, should library.json be lost, or an older one be restored. It needs
// l.changing, or that nobody else has the library yet.
func (l *Library) passIDs(rec *torrentRecord, ids idsFile) {
	next := max(rec.Route+1, rec.FirstID+rec.IDs, ids.next())
	if next > l.state.NextID {
		l.state.NextID = next
		l.reserve.n = 0 // it was taken before, and may have some of them
	}
}

// checkRecord says what else than its own content keeps a record from being shown. taken says that another
// one has its name.
func (l *Library) checkRecord(r *torrentRecord, taken bool) error {
	if !slices.ContainsFunc(l.state.Routes, func(route routeRecord) bool { return route.ID == r.Route }) {
		return fmt.Errorf("the record is for route %d, which is not there", r.Route)
	}
	if !r.resolved() {
		return nil
	}
	if clean := possibleName(r.Name); clean != r.Name {
		return fmt.Errorf("the record has the name %q", r.Name)
	}
	if taken {
		return fmt.Errorf("the record has the name %q, which another torrent has in its route", r.Name)
	}
	return nil
}
