package torrents

import (
	"fmt"
	"reflect"
)

// TorrentChange is what to change of a torrent; nil leaves a property as it is.
type TorrentChange struct {
	Route  *string // to move it there
	Name   *string // to show it under; unlike a name from a metainfo it is not repaired
	Paused *bool   // it stays out of the swarm: only what is in the cache can be read
	Pinned *bool   // what is in the cache is never evicted
}

// ChangeTorrent changes a torrent. It returns when the change will survive a crash. Handles and file ids
// stay, so that clients go on reading. Where a torrent moves and another one has its name there, it gets a
// suffix as one that is added would.
//
// The error is ErrNotFound for the torrent or the route, an *InputError for a bad name, a *NameTakenError,
// ErrFailed for a torrent whose record cannot be read, or a *WriteError.
func (l *Library) ChangeTorrent(ih Infohash, change TorrentChange) (Torrent, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	e, ok := l.entries[ih]
	if !ok {
		return Torrent{}, fmt.Errorf("torrent %s: %w", ih, ErrNotFound)
	}
	old := e.record()
	next, err := l.changed(old, change)
	if err != nil {
		return Torrent{}, err
	}
	if reflect.DeepEqual(old, next) {
		return e.describe(l.routeName(old.Route)), nil
	}
	if err := l.replace(e, next); err != nil {
		return Torrent{}, err
	}
	return e.describe(l.routeName(next.Route)), nil
}

// replace makes next the record of a torrent, and lets that take effect. It needs l.changing.
func (l *Library) replace(e *entry, next torrentRecord) error {
	old := e.record()
	if err := l.writeChange(&old, &next); err != nil {
		return err
	}
	l.mu.Lock()
	e.route = next.Route
	l.mu.Unlock()
	e.setRecord(next)
	l.follow(e, &old, &next)
	return nil
}

// changed returns the record that a change makes of rec. It needs l.changing.
func (l *Library) changed(rec torrentRecord, change TorrentChange) (torrentRecord, error) {
	if !rec.readable() {
		return rec, fmt.Errorf("%w: the record of %s cannot be read, so that it can only be removed", ErrFailed, rec.Infohash)
	}
	old := rec
	if change.Paused != nil {
		rec.Paused = *change.Paused
	}
	if change.Pinned != nil {
		rec.Pinned = *change.Pinned
	}
	if change.Route != nil {
		r := l.state.route(*change.Route)
		if r == nil {
			return rec, fmt.Errorf("route %q: %w", *change.Route, ErrNotFound)
		}
		rec.Route = r.ID
	}
	if change.Name != nil {
		if err := checkName("torrent", *change.Name); err != nil {
			return rec, err
		}
		rec.Name, rec.Named = *change.Name, !rec.resolved()
	}
	if rec.Name == old.Name && rec.Named == old.Named && rec.Route == old.Route {
		return rec, nil
	}
	rec.FileName = old.fileName()
	switch holder := l.holder(rec.Route, rec.Name, rec.Infohash); {
	case holder == nil:
	case change.Name != nil:
		return rec, &NameTakenError{Route: l.routeName(rec.Route), Name: rec.Name, Infohash: holder.ih}
	case rec.resolved():
		rec.Name = torrentName(rec.Name, rec.Infohash, rec.IsFile, func(name string) bool {
			return l.holder(rec.Route, name, rec.Infohash) != nil
		})
	}
	return rec, nil
}

// writeChange writes the new record, and that the routes which show the torrent change, if they do.
func (l *Library) writeChange(old, next *torrentRecord) error {
	if isClosed(l.closing) {
		return ErrClosed
	}
	if next.resolved() && (old.Route != next.Route || old.Name != next.Name) {
		state := l.state.clone()
		now := l.now()
		for _, id := range []uint64{old.Route, next.Route} {
			if r := state.byID(id); r != nil {
				r.Changed = now
			}
		}
		if err := l.writeState(state); err != nil {
			return err
		}
	}
	return l.writeRecord(next)
}

// follow lets a change that was written take effect. It needs l.changing.
func (l *Library) follow(e *entry, old, next *torrentRecord) {
	wasHidden := e.hidden
	if wasHidden {
		l.tryAgain(e, next)
	}
	moved := next.resolved() && (old.Route != next.Route || old.Name != next.Name)
	if moved || wasHidden {
		l.announce(e, l.state.byID(next.Route).Changed)
	}
	switch {
	case next.Paused && !old.Paused:
		e.stopLooking()
		e.pause()
	case old.Paused && !next.Paused && e.looks():
		l.look(e)
	}
}

// tryAgain says whether a torrent that failed when the library was opened still does: its route may have been
// lost, and it has another one now, or the disk could not be read. It needs l.changing.
func (l *Library) tryAgain(e *entry, rec *torrentRecord) {
	_, err := l.readRecord(e.ih)
	var ids idsFile
	if err == nil {
		ids, err = readIDs(l.idsPath(e.ih), rec.Inner)
	}
	if err == nil {
		err = l.checkRecord(rec, l.holder(rec.Route, rec.Name, e.ih) != nil)
	}
	if err != nil {
		e.fail(err)
		return
	}
	l.passIDs(rec, ids)
	e.mu.Lock()
	e.ids = ids
	e.mu.Unlock()
	e.hidden = false
	e.recovered()
}

// holder returns the torrent of a route that keeps the one with the infohash from having the name, or nil. It
// needs l.changing.
func (l *Library) holder(route uint64, name string, ih Infohash) *entry {
	for _, e := range l.inRoute(route) {
		if rec := e.record(); e.ih != ih && rec.holds(name) {
			return e
		}
	}
	return nil
}
