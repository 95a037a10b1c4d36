package torrents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// AddMetainfo puts a torrent into a route. It returns when the torrent will survive a crash, and
// waits for no peer. A magnet link that the library has and whose metadata is not known yet becomes the
// torrent, in this route.
//
// The error is an *InputError, ErrNotFound for the route, a *WriteError, or an *ExistsError, which says as well
// whether the torrent has got trackers and web seeds that it did not have.
func (l *Library) AddMetainfo(route string, metainfo []byte) (Torrent, error) {
	m, err := ParseMetainfo(metainfo)
	if err != nil {
		return Torrent{}, err
	}
	g := m.geometry()
	if err := l.checkFits(&g, nil); err != nil {
		return Torrent{}, inputErrorf("%v", err)
	}
	return l.add(route, addition{
		rec: torrentRecord{Infohash: m.Infohash, Added: l.now()}, sources: m.sources(), meta: m, metainfo: metainfo,
	})
}

// AddMagnet puts a magnet link, or an infohash alone, into a route. It returns when the link will survive a crash; its
// metadata is looked for in the background, for ever. The errors are those of AddMetainfo.
func (l *Library) AddMagnet(route, magnet string) (Torrent, error) {
	a, err := l.magnetAddition(magnet)
	if err != nil {
		return Torrent{}, err
	}
	return l.add(route, a)
}

// magnetAddition reads a magnet link, or an infohash alone. The error is an *InputError.
func (l *Library) magnetAddition(magnet string) (addition, error) {
	if link, ok := infohashLink(magnet); ok {
		magnet = link
	}
	link, err := parseMagnet(magnet)
	if err != nil {
		return addition{}, err
	}
	rec := torrentRecord{Infohash: link.infohash, Name: link.shownName(), Added: l.now(), Magnet: magnet}
	return addition{rec: rec, sources: link.sources()}, nil
}

// addition is a torrent that is to be added.
type addition struct {
	rec     torrentRecord
	sources sources // those that its metainfo or link names

	meta     *Metainfo // nil for a magnet link
	metainfo []byte
}

// add writes the record and makes the entry.
func (l *Library) add(route string, a addition) (Torrent, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	r := l.state.route(route)
	if r == nil {
		return Torrent{}, fmt.Errorf("route %q: %w", route, ErrNotFound)
	}
	if isClosed(l.closing) {
		return Torrent{}, ErrClosed
	}
	if e, ok := l.entries[a.rec.Infohash]; ok {
		return l.addKnown(e, r, a)
	}
	rec := a.rec
	rec.Route = r.ID
	var err error
	if a.meta == nil {
		err = l.writeRecord(&rec)
	} else {
		err = l.settle(&rec, a.meta, a.metainfo)
	}
	if err != nil {
		// Nobody was told of it, so nothing of it shall be there after a restart.
		if left := removeDurably(l.recordPath(rec.Infohash), l.metainfoPath(rec.Infohash), l.idsPath(rec.Infohash)); left != nil {
			l.log.Warn("what is left of a torrent that was not added could not be removed", "torrent", rec.Infohash, "err", left)
		}
		return Torrent{}, err
	}
	return l.enter(rec).describe(route), nil
}

// enter makes the entry of a torrent whose record is written. It needs l.changing.
func (l *Library) enter(rec torrentRecord) *entry {
	l.cache.Find(rec.Infohash.key())
	e := l.newEntry(rec)
	l.mu.Lock()
	l.entries[e.ih] = e
	l.mu.Unlock()
	l.announce(e, l.state.byID(rec.Route).Changed)
	return e
}

// addKnown adds what the library has already: at most, it becomes more.
func (l *Library) addKnown(e *entry, r *routeRecord, a addition) (Torrent, error) {
	rec := e.record()
	if a.meta != nil && !rec.resolved() && rec.readable() {
		rec.Route = r.ID
		if err := l.become(e, rec, a.meta, a.metainfo); err != nil {
			return Torrent{}, err
		}
		return e.describe(r.Name), nil
	}
	added, err := l.merge(e, a.sources, a.meta == nil)
	if err != nil {
		return Torrent{}, err
	}
	return Torrent{}, &ExistsError{
		Route: l.routeName(e.route), Torrent: rec.Name, Infohash: e.ih,
		Trackers: len(added.Trackers), WebSeeds: len(added.WebSeeds),
	}
}

// settle gives a torrent whose metainfo is known its name and its file ids, and writes it all down.
// It needs l.changing.
func (l *Library) settle(rec *torrentRecord, m *Metainfo, metainfo []byte) error {
	if !rec.Named {
		rec.Name = m.Name
	}
	rec.Named = false
	rec.Name = torrentName(rec.Name, m.Infohash, m.IsFile, func(name string) bool {
		return l.holder(rec.Route, name, m.Infohash) != nil
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
		return &WriteError{fmt.Errorf("write the torrent file of %s: %w", rec.Infohash, err)}
	}
	return l.writeRecord(rec)
}

// become makes a torrent of a magnet whose record is to be rec. It needs l.changing.
func (l *Library) become(e *entry, rec torrentRecord, m *Metainfo, metainfo []byte) error {
	link, err := parseMagnet(rec.Magnet)
	if err != nil {
		return err
	}
	others := link.sources().with(rec.sources)
	rec.sources = sources{}
	if !m.Private { // see merge
		rec.sources = m.sources().missing(others)
	}
	if err := l.settle(&rec, m, metainfo); err != nil {
		return err
	}
	e.stopLooking()
	l.mu.Lock()
	e.route = rec.Route
	l.mu.Unlock()
	e.setRecord(rec)
	e.hidden = false
	e.recovered()
	l.announce(e, l.state.byID(rec.Route).Changed)
	return nil
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
	// Without room for the new state, removing makes some. It is written afterwards then.
	late := l.writeState(next)
	var full *WriteError
	if late != nil && (!errors.As(late, &full) || !full.Full()) {
		return late
	}
	// The record goes first: a torrent file without one is no torrent of the library.
	for _, path := range []string{l.recordPath(e.ih), l.metainfoPath(e.ih), l.idsPath(e.ih)} {
		if err := removeDurably(path); err != nil {
			return &WriteError{fmt.Errorf("remove torrent %s: %w", e.ih, err)}
		}
	}
	l.mu.Lock()
	delete(l.entries, e.ih)
	l.mu.Unlock()
	l.opts.Watcher.RemoveTorrent(e.ih, now)
	err := errors.Join(e.end(), l.cache.Remove(e.ih.key()))
	if late != nil {
		err = errors.Join(err, l.writeState(next))
	}
	if err != nil {
		// It is gone from the library all the same.
		l.log.Warn("a torrent was removed, but not all that it took", "torrent", e.ih, "err", err)
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

// look begins to look for the metadata of a magnet, from the start if that is under way. It needs
// l.changing.
func (l *Library) look(e *entry) {
	e.stopLooking()
	before := e.search
	s := &search{entry: e, done: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(e.ctx)
	e.search = s
	l.workers.Go(func() {
		defer close(s.done)
		defer s.stop()
		if before != nil {
			<-before.done // it was stopped, and two at a time would be in each other's way
		}
		l.resolve(s)
	})
}

// search is a search for the metadata of a magnet.
type search struct {
	entry *entry
	ctx   context.Context //nolint:containedctx // ends when the search is to
	stop  context.CancelFunc
	done  chan struct{} // closed when it has ended
}

// resolve looks for the metadata of a magnet until it is there or the search is stopped.
func (l *Library) resolve(s *search) {
	e, rec := s.entry, s.entry.record()
	link, err := parseMagnet(rec.Magnet)
	if err != nil {
		e.fail(err)
		return
	}
	link.trackers = slices.Concat(link.trackers, rec.Trackers)
	link.webSeeds = slices.Concat(link.webSeeds, rec.WebSeeds)
	link.peers = slices.Concat(link.peers, rec.Peers)
	for pause := minResolvePause; ; pause = min(2*pause, maxResolvePause) {
		metainfo, err := l.resolveTurn(s.ctx, link)
		if err == nil {
			err = l.resolved(e, metainfo)
		}
		var bad *InputError
		switch {
		case err == nil, s.ctx.Err() != nil:
			return
		case errors.As(err, &bad):
			e.fail(err) // asking again brings the same metadata
			return
		}
		l.log.Debug("magnet not resolved yet", "torrent", e.ih, "err", err)
		select {
		case <-s.ctx.Done():
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
	rec := e.record()
	if l.entries[e.ih] != e || rec.resolved() {
		return nil // removed, or given as a .torrent file, meanwhile
	}
	if m.Infohash != e.ih {
		// A link by the version 2 infohash of a torrent that has both.
		return inputErrorf("this is the torrent %s; add it by that infohash", m.Infohash)
	}
	if err := l.become(e, rec, m, metainfo); err != nil {
		return err
	}
	l.log.Info("magnet resolved", "torrent", e.ih, "name", e.record().Name)
	return nil
}
