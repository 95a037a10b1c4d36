package torrents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// AddMetainfo puts a torrent into a route. It returns when the torrent will survive a crash, and
// waits for no peer. The error is an *InputError, an *ExistsError, or ErrNotFound for the route.
func (l *Library) AddMetainfo(route string, metainfo []byte) (Torrent, error) {
	m, err := ParseMetainfo(metainfo)
	if err != nil {
		return Torrent{}, err
	}
	g := m.geometry()
	if err := l.checkFits(&g); err != nil {
		return Torrent{}, inputErrorf("%v", err)
	}
	return l.add(route, torrentRecord{Infohash: m.Infohash, Added: l.now()}, m, metainfo)
}

// AddMagnet puts a magnet link into a route. It returns when the link will survive a crash; its
// metadata is looked for in the background, for ever. The errors are those of AddMetainfo.
func (l *Library) AddMagnet(route, magnet string) (Torrent, error) {
	link, err := parseMagnet(magnet)
	if err != nil {
		return Torrent{}, err
	}
	rec := torrentRecord{Infohash: link.infohash, Name: link.shownName(), Added: l.now(), Magnet: magnet}
	return l.add(route, rec, nil, nil)
}

// exists returns an *ExistsError if the library has the torrent. It needs l.mu or l.changing.
func (l *Library) exists(ih Infohash) error {
	e, ok := l.entries[ih]
	if !ok {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	found := &ExistsError{Torrent: e.rec.Name, Infohash: ih}
	if r := l.state.byID(e.route); r != nil {
		found.Route = r.Name
	}
	return found
}

// add writes the record and makes the entry. m and metainfo are nil for a magnet.
func (l *Library) add(route string, rec torrentRecord, m *Metainfo, metainfo []byte) (Torrent, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	r := l.state.route(route)
	if r == nil {
		return Torrent{}, fmt.Errorf("route %q: %w", route, ErrNotFound)
	}
	if err := l.exists(rec.Infohash); err != nil {
		return Torrent{}, err
	}
	rec.Route = r.ID
	if isClosed(l.closing) {
		return Torrent{}, ErrClosed
	}
	if m == nil {
		if err := l.writeRecord(&rec); err != nil {
			return Torrent{}, err
		}
	} else if err := l.settle(&rec, m, metainfo); err != nil {
		return Torrent{}, err
	}
	l.cache.Find(rec.Infohash.key())
	e := l.newEntry(rec)
	l.mu.Lock()
	l.entries[e.ih] = e
	l.mu.Unlock()
	l.announce(e, l.state.byID(rec.Route).Changed)
	return e.describe(route), nil
}

// settle gives a torrent whose metainfo is known its name and its file ids, and writes it all down.
// It needs l.changing.
func (l *Library) settle(rec *torrentRecord, m *Metainfo, metainfo []byte) error {
	inRoute := l.inRoute(rec.Route)
	rec.Name = torrentName(m.Name, m.Infohash, m.IsFile, func(name string) bool {
		return slices.ContainsFunc(inRoute, func(e *entry) bool { return e.shows(name) })
	})
	// The ids are taken first: should we stop before the record is written, they are lost, and not
	// given to two.
	next := l.state.clone()
	rec.fill(m, len(metainfo), next.takeIDs(m.ids()))
	next.byID(rec.Route).Changed = l.now()
	if err := l.writeState(next); err != nil {
		return err
	}
	if err := writeDurably(l.metainfoPath(rec.Infohash), metainfo); err != nil {
		return fmt.Errorf("write the torrent file of %s: %w", rec.Infohash, err)
	}
	return l.writeRecord(rec)
}

// Remove takes a torrent out of the library and frees its cache. Reads of it end with ErrNotFound.
// The error is ErrNotFound if it is not there.
func (l *Library) Remove(ih Infohash) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	e, ok := l.entries[ih]
	if !ok {
		return fmt.Errorf("torrent %s: %w", ih, ErrNotFound)
	}
	return l.remove(e, true)
}

// remove needs l.changing. dismissed says that somebody does not want the torrent any more, so that the
// watch folder will not bring it again.
func (l *Library) remove(e *entry, dismissed bool) error {
	now := l.now()
	next := l.state.clone()
	if dismissed {
		l.dismiss(next, e)
	}
	if r := next.byID(e.route); r != nil {
		r.Changed = now
	}
	if err := l.writeState(next); err != nil {
		return err
	}
	// The record goes first: a torrent file without one is no torrent of the library.
	for _, path := range []string{l.recordPath(e.ih), l.metainfoPath(e.ih)} {
		if err := removeDurably(path); err != nil {
			return fmt.Errorf("remove torrent %s: %w", e.ih, err)
		}
	}
	l.mu.Lock()
	delete(l.entries, e.ih)
	l.mu.Unlock()
	l.opts.Watcher.RemoveTorrent(e.ih, now)
	err := errors.Join(e.end(), l.cache.Remove(e.ih.key()))
	if err != nil {
		// It is gone from the library all the same.
		l.log.Warn("the cache of a removed torrent could not be freed", "torrent", e.ih, "err", err)
	}
	return nil
}

const (
	// maxResolving is how many magnets are in the swarm at a time.
	maxResolving = 64
	// resolveTurn is how long one of them may stay before the next gets its place.
	resolveTurn = 5 * time.Minute
	// A magnet that had its turn waits this long for the next, doubling.
	minResolvePause = 5 * time.Second
	maxResolvePause = 10 * time.Minute
)

// resolve looks for the metadata of a magnet until it is there or the magnet is removed.
func (l *Library) resolve(e *entry) {
	e.mu.Lock()
	magnet := e.rec.Magnet
	e.mu.Unlock()
	link, err := parseMagnet(magnet)
	if err != nil {
		e.fail(err)
		return
	}
	for pause := minResolvePause; ; pause = min(2*pause, maxResolvePause) {
		metainfo, err := l.resolveTurn(e.ctx, link)
		if err == nil {
			err = l.resolved(e, metainfo)
		}
		var bad *InputError
		switch {
		case err == nil:
			return
		case errors.As(err, &bad):
			e.fail(err) // asking again brings the same metadata
			return
		}
		l.log.Debug("magnet not resolved yet", "torrent", e.ih, "err", err)
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// resolveTurn waits for a place in the swarm, and takes it for a while.
func (l *Library) resolveTurn(ctx context.Context, link magnetLink) ([]byte, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTurn)
	defer cancel()
	return l.swarm.resolve(ctx, link)
}

// resolved turns a magnet into a torrent. The metainfo comes from strangers: it has the right
// infohash, but whoever made that may have made it to hurt.
func (l *Library) resolved(e *entry, metainfo []byte) error {
	m, err := ParseMetainfo(metainfo)
	if err != nil {
		return err
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.entries[e.ih] != e {
		return nil // removed meanwhile
	}
	e.mu.Lock()
	rec := e.rec
	e.mu.Unlock()
	if m.Infohash != e.ih {
		// A link by the version 2 infohash of a torrent that has both.
		return inputErrorf("this is the torrent %s; add it by that infohash", m.Infohash)
	}
	if err := l.settle(&rec, m, metainfo); err != nil {
		return err
	}
	e.mu.Lock()
	e.rec = rec
	e.mu.Unlock()
	l.log.Info("magnet resolved", "torrent", e.ih, "name", rec.Name)
	l.announce(e, l.state.byID(rec.Route).Changed)
	return nil
}
