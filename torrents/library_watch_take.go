package torrents

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"shoal/torrents/watch"
)

// watchRound is what is done about one scan of the watch folder. No lock is held while it reads there.
type watchRound struct {
	*watching

	scan     *watch.Scan
	files    map[string]*watchedFile
	problems []WatchFile
	recorded map[string]recordedFile // by path
	torrents int                     // in files
	waiting  bool                    // a file has changed, and nobody knows what is in it now

	// doubts are why what seems to be gone may not be, by folder; "" stands for all of them.
	doubts map[string]string
}

// recordedFile is a .torrent file that was read before the last start.
type recordedFile struct {
	infohash Infohash
	stamp    watch.Stamp
}

// current is the state of the library at this moment. Nobody changes it.
func (l *Library) current() *libraryRecord {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state
}

// routes makes a route for each folder that is new. A folder whose route somebody has removed gets one
// again when a torrent is to be added.
func (r *watchRound) routes() {
	known := r.lib.current().Watch.Folders
	for _, name := range slices.Sorted(maps.Keys(r.scan.Folders)) {
		err := r.scan.Folders[name].Err
		if _, ok := known[name]; !ok && err == nil {
			_, err = r.lib.routeOfFolder(name, r.scan.Folders[name].Identity)
		}
		if err != nil {
			r.problems = append(r.problems, WatchFile{Path: name, State: WatchFileBroken, Error: err.Error()})
		}
	}
}

// routeOfFolder returns the name of the route of a folder of the watch folder. It makes the route if need
// be; one that has the name already is taken. The error is an *InputError for a name that cannot be.
func (l *Library) routeOfFolder(folder string, id watch.Identity) (string, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	rec, known := l.state.Watch.Folders[folder]
	if r := l.state.byID(rec.Route); known && r != nil {
		return r.Name, nil
	}
	if !known {
		rec.Identity = id
	}
	if err := CheckRouteName(folder); err != nil {
		return "", err
	}
	next := l.state.clone()
	var added *Route
	if r := next.route(folder); r != nil {
		rec.Route, rec.Made = r.ID, false
	} else {
		made := next.addRoute(folder, l.opts.Archives, l.now())
		route := made.describe(0)
		added = &route
		rec.Route, rec.Made = made.ID, true
	}
	next.Watch.setFolder(folder, rec)
	if err := l.writeState(next); err != nil {
		return "", err
	}
	if added != nil {
		l.log.Info("route made for a folder of the watch folder", "route", folder)
		l.opts.Watcher.PutRoute(*added)
	}
	return folder, nil
}

// takeAll reads the files that have changed, and adds what they bring.
func (r *watchRound) takeAll(ctx context.Context) {
	r.recorded = r.lib.recordedFiles()
	for i := range r.scan.Files {
		if ctx.Err() != nil {
			return
		}
		f := &r.scan.Files[i]
		taken := r.take(f)
		if r.torrents += len(taken.torrents); r.torrents > maxWatched {
			r.torrents -= len(taken.torrents)
			taken = &watchedFile{stamp: f.Stamp, failure: fmt.Sprintf("the watch folder has more than %d torrents", maxWatched)}
		}
		r.waiting = r.waiting || taken.waiting
		r.files[f.Path] = taken
	}
}

// recordedFiles lists what the records say of .torrent files, so that a start does not read them all.
func (l *Library) recordedFiles() map[string]recordedFile {
	files := make(map[string]recordedFile)
	for _, e := range l.list() {
		if source := e.source(); source != nil {
			files[source.Path] = recordedFile{e.ih, source.Stamp}
		}
	}
	for ih, dismissed := range l.current().Watch.Dismissed {
		for p, stamp := range dismissed {
			files[p] = recordedFile{ih, stamp}
		}
	}
	return files
}

// source is the file that brought the torrent; nil if none did.
func (e *entry) source() *sourceRecord {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rec.Source
}

// take looks at a file, and reads it if that is needed.
func (r *watchRound) take(f *watch.File) *watchedFile {
	before := r.watching.files[f.Path] // only this goroutine changes the map
	if f.Err != nil {
		return &watchedFile{stamp: f.Stamp, failure: f.Err.Error()}
	}
	if !f.Settled {
		return waitFor(f, before)
	}
	if before != nil && before.stamp == f.Stamp && !before.waiting && !before.again {
		return before
	}
	if rec, ok := r.recorded[f.Path]; ok && rec.stamp == f.Stamp && watch.IsTorrent(f.Path) {
		return &watchedFile{stamp: f.Stamp, torrents: []watchedTorrent{{infohash: rec.infohash}}}
	}
	b, err := r.scan.Read(*f)
	if errors.Is(err, watch.ErrChanged) {
		return waitFor(f, before)
	}
	if err != nil {
		return &watchedFile{stamp: f.Stamp, failure: "the file cannot be read: " + err.Error(), again: true}
	}
	taken := &watchedFile{stamp: f.Stamp}
	if watch.IsTorrent(f.Path) {
		r.addMetainfo(taken, f, b)
	} else {
		r.addMagnets(taken, f, b)
	}
	return taken
}

// waitFor notes that a file changes. What was in it before counts until that is known.
func waitFor(f *watch.File, before *watchedFile) *watchedFile {
	waits := &watchedFile{stamp: f.Stamp, waiting: true}
	if before != nil {
		waits.torrents = before.torrents
	}
	return waits
}

func (r *watchRound) addMetainfo(taken *watchedFile, f *watch.File, b []byte) {
	m, err := ParseMetainfo(b)
	if err != nil {
		taken.failure = err.Error()
		return
	}
	r.add(taken, f, addition{rec: torrentRecord{Infohash: m.Infohash}, sources: m.sources(), meta: m, metainfo: b})
}

func (r *watchRound) addMagnets(taken *watchedFile, f *watch.File, b []byte) {
	for number, line := range watch.MagnetLines(b) {
		if r.torrents+len(taken.torrents) > maxWatched {
			return // takeAll refuses the file
		}
		link, err := parseMagnet(line)
		if err != nil {
			taken.torrents = append(taken.torrents, watchedTorrent{failure: fmt.Sprintf("line %d: %v", number, err)})
			continue
		}
		if !taken.has(link.infohash) {
			rec := torrentRecord{Infohash: link.infohash, Name: link.shownName(), Magnet: line}
			r.add(taken, f, addition{rec: rec, sources: link.sources()})
		}
	}
	if len(taken.torrents) == 0 {
		taken.failure = "there is no magnet link in the file"
	}
}

// add adds a torrent of a file to the library, unless somebody does not want it. One that is there takes what
// trackers it lacks.
func (r *watchRound) add(taken *watchedFile, f *watch.File, a addition) {
	l, rec := r.lib, &a.rec
	found := watchedTorrent{infohash: rec.Infohash}
	defer func() { taken.torrents = append(taken.torrents, found) }()
	if l.current().Watch.isDismissed(rec.Infohash, f) {
		return
	}
	fail := func(err error) {
		found.failure = err.Error()
		var bad *InputError
		taken.again = taken.again || !errors.As(err, &bad)
	}
	route := ""
	if known, err := l.Torrent(rec.Infohash); err == nil {
		route = known.Route
	} else {
		folder := folderOf(f.Path)
		if route, err = l.routeOfFolder(folder, r.scan.Folders[folder].Identity); err != nil {
			fail(err)
			return
		}
	}
	rec.Added, rec.Source = l.now(), &sourceRecord{f.Path, f.Stamp}
	_, err := l.add(route, a)
	switch {
	case err == nil:
		l.log.Info("torrent added from the watch folder", "path", f.Path, "torrent", rec.Infohash)
	case !isKnown(err):
		fail(err)
	}
}
